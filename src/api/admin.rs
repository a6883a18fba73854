//! `POST /api/admin/sweep`.

use axum::Extension;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Admitted;
use super::docs::answers::{NoStore, NotAdmin, NotFound, OverQuota};
use super::no_route;
use super::operator;
use crate::error::{ErrorObject, code};
use crate::{AppState, stored};
use spinlane_core::ports::StoreError;
use spinlane_core::store::FullSweep;
use spinlane_http::json::Json;
use spinlane_http::problem::Problem;

/// What a full sweep has found and done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SweepReport {
    /// Keys that there were, counters left out.
    keys: u64,
    /// Values that had expired, or that nobody can read, and are gone.
    removed: u64,
    /// Values that may still be served.
    live: u64,
    /// What is not the cache's, and was left alone.
    foreign: u64,
    /// Counters that there were.
    counters: u64,
    /// Counters that nobody will use any more, and are gone.
    counters_removed: u64,
    /// Lanes that an upstream had asked to pause, and that go on.
    pauses_ended: u64,
}

impl SweepReport {
    fn new(swept: FullSweep, pauses_ended: u64) -> Self {
        Self {
            keys: swept.keys,
            removed: swept.removed,
            live: swept.live,
            foreign: swept.foreign,
            counters: swept.counters,
            counters_removed: swept.counters_removed,
            pauses_ended,
        }
    }
}

/// Removes all that has expired from the store, and what limits have left
/// behind; and ends the pauses that upstreams have asked for, which may be a day.
/// Lists the whole store, which has no paging: near 1.4 million keys
/// Spin's answer no longer fits into a component. Requests remove what they have
/// left behind themselves, so this is for what crashes leave.
#[utoipa::path(
    post,
    path = "/api/admin/sweep",
    operation_id = "sweep",
    tag = "operation",
    security(("adminToken" = [])),
    responses(
        (status = 200, description = "What was found and done.", body = SweepReport),
        NotAdmin,
        NotFound,
        OverQuota,
        NoStore,
    )
)]
pub(super) async fn sweep(
    State(app): State<AppState>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
) -> Result<Json<SweepReport>, Problem> {
    if operator::token(&app).is_none() {
        // The route answers as one that is not there: nobody need know what could be set.
        return Err(no_route("/api/admin/sweep"));
    }
    if !operator::asks(&app, &headers, admitted).await? {
        let message = "this route needs the operator's token in the header `x-admin-token`";
        let error = ErrorObject::new(code::ADMIN_REQUIRED, message);
        return Err(Problem::new(StatusCode::UNAUTHORIZED, error));
    }
    let pauses_ended = app.upstreams().end_pauses().await;
    let swept = app.store.full_sweep(&stored::namespaces(&app)).await;
    let swept = swept.map_err(|error| not_swept(&error))?;
    Ok(Json(SweepReport::new(swept, pauses_ended)))
}

fn not_swept(error: &StoreError) -> Problem {
    tracing::warn!(%error, "the full sweep came to no end");
    Problem::store_unavailable(
        "the key-value store failed before the sweep was through; what was removed by then stays \
         so: try again in a moment",
    )
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use serde_json::{Value, json};

    use super::*;
    use crate::App;
    use spinlane_core::cache::{Cache, Key};
    use spinlane_core::store::Store;
    use spinlane_core::testing::World;

    const RIGHT: &str = "the-right-one-of-24-bytes";

    /// Sweeps `world` with this token, where `admin_token` is [`RIGHT`] or not set.
    fn sweep(world: &World, set: bool, given: Option<&str>) -> (u16, Value) {
        sweep_with(world, if set { RIGHT } else { "" }, given)
    }

    /// The same where `admin_token` is `token`.
    fn sweep_with(world: &World, token: &str, given: Option<&str>) -> (u16, Value) {
        let token = token.to_owned();
        let app = App::new(world.ports(), move |name| match name {
            "admin_token" => Some(token.clone()),
            // What is counted is looked at elsewhere.
            "caller_limit" => Some("off".into()),
            _ => None,
        });
        let mut request = Request::post("/api/admin/sweep");
        if let Some(given) = given {
            request = request.header("x-admin-token", given);
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = world.run(async {
            let (head, body) = app.handle(request).await.into_parts();
            (head.status, to_bytes(body, usize::MAX).await.unwrap())
        });
        world.drain();
        let body = serde_json::from_slice(&answer.1).unwrap();
        (answer.0.as_u16(), body)
    }

    #[test]
    fn it_is_the_operators_alone_and_not_there_without_a_token() {
        let world = World::new();
        let (status, problem) = sweep(&world, false, Some(""));
        assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
        for wrong in [None, Some(""), Some("wrong")] {
            let (status, problem) = sweep(&world, true, wrong);
            assert_eq!((status, &problem["code"]), (401, &json!("admin_required")));
        }
        // One that could be guessed opens nothing, not even to who knows it.
        for token in ["a", "15-characters-x"] {
            let (status, problem) = sweep_with(&world, token, Some(token));
            assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
        }
        assert_eq!(world.store.calls(), 0);
    }

    #[test]
    fn it_removes_what_has_expired_and_what_limits_have_left() {
        let world = World::new();
        let cache = Cache::new(&Store::open(&world.ports())).typed::<u32>(&stored::BPM);
        let (one, two) = (Key::new(["one"]), Key::new(["two"]));
        world.run(async {
            cache.put(&one, Some(&1)).await;
            cache.put(&two, None).await;
        });
        world.drain();
        world.clock.advance(std::time::Duration::from_secs(600));
        let counters = world.ports().counters.unwrap();
        let present = world.ports().clock.unix().as_nanos();
        let window = 375_000_000;
        let left = [
            // An earlier form of them was called so.
            "rate:all:7",
            "lane:spotify:7",
            "caller:requests:ab:7",
            // These are of periods that are long over.
            "rate:all@375000000:7",
            "lane:spotify@10000000000:7",
            "caller:stops:ab@600000000000:7",
            // This one is of a clock that was years ahead.
            "rate:all@375000000:9999999999",
        ];
        let used = [
            format!("rate:all@{window}:{}", present / window),
            format!("lane:spotify@10000000000:{}", present / 10_000_000_000),
        ];
        for name in left.into_iter().chain(used.iter().map(String::as_str)) {
            world.run(counters.increment(name, 1)).unwrap();
        }
        let (status, report) = sweep(&world, true, Some(RIGHT));
        assert_eq!(status, 200, "{report}");
        assert_eq!(
            (&report["live"], &report["removed"]),
            (&1.into(), &1.into())
        );
        assert_eq!(report["countersRemoved"], 7, "{report}");
        let counters = world.store.counters();
        for name in &used {
            assert!(counters.contains_key(name), "{counters:?}");
        }
    }

    /// It has no end that the store knows of, and would count as another's.
    #[test]
    fn it_removes_what_is_left_of_a_pause() {
        let world = World::new();
        let store = Store::open(&world.ports());
        let begun = world.ports().clock.unix().as_millis();
        let pause = format!("{begun},1000");
        world
            .run(store.set("~pause:spotify", pause.as_bytes()))
            .unwrap();
        world.clock.advance(std::time::Duration::from_secs(60));
        let (status, report) = sweep(&world, true, Some(RIGHT));
        assert_eq!(status, 200, "{report}");
        assert_eq!(
            (&report["foreign"], &report["pausesEnded"]),
            (&0.into(), &0.into())
        );
        assert_eq!(world.run(store.get("~pause:spotify")), Ok(None));
    }

    #[test]
    fn a_store_in_trouble_is_a_problem() {
        let world = World::new();
        let fault = StoreError::Unavailable("redis://user:password@host".into());
        world.store.fail_with(Some(fault));
        let (status, problem) = sweep(&world, true, Some(RIGHT));
        assert_eq!(
            (status, &problem["code"]),
            (503, &json!("store_unavailable"))
        );
        assert!(!problem.to_string().contains("password"), "{problem}");
    }
}
