//! Runs that somebody stops, from another instance.

use super::*;
use spinlane_core::ports::StoreError;

fn stop(run: &str) -> Request<Body> {
    let path = format!("/api/chat-stream/{run}/stop");
    Request::post(path).body(Body::empty()).unwrap()
}

/// What ends on the store's side of a run is gone.
fn signals(world: &World) -> usize {
    let keys = world.store.dump().into_keys();
    keys.filter(|key| key.starts_with("stop:")).count()
}

/// Reads the stream of `app`'s answer until it has said something, has
/// `act` done, and gives all frames and how long they went on after that.
fn stopped(
    world: &World,
    variables: &[(&'static str, &'static str)],
    act: impl AsyncFnOnce(&str),
) -> (Vec<(String, Value)>, Duration) {
    let (here, clock) = (app(world, variables), world.clock.clone());
    let out = world.run(async {
        let response = here.handle(hello()).await;
        let run = response.headers()["x-run-id"].to_str().unwrap().to_owned();
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains("content") {
            bytes.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        let begin = clock.now();
        act(&run).await;
        bytes.extend(body.collect().await.unwrap().to_bytes());
        (frames(&bytes), clock.now() - begin)
    });
    world.drain();
    out
}

fn endless() -> World {
    streaming(vec![
        Step::Write(sse("message_start", START) + &delta("x")),
        Step::Hang,
    ])
}

#[test]
fn a_run_learns_within_a_second() {
    for scope in ["shared", "instance"] {
        let world = endless();
        let there = app(&world, &[]);
        let (frames, took) = stopped(&world, &[("limit_scope", scope)], async |run| {
            let response = there.handle(stop(run)).await;
            assert_eq!(response.status(), 204);
        });
        assert!(took <= Duration::from_secs(1), "{took:?}");
        let incomplete = json!({"incomplete": true, "reason": "stopped"});
        assert_eq!(last(&frames), ("done", &incomplete));
        assert_eq!(said(&frames), ["x"]);
        let usage = &frames[frames.len() - 2];
        assert_eq!(
            (usage.0.as_str(), &usage.1["partial"]),
            ("usage", &json!(true))
        );
        assert_eq!(signals(&world), 0, "the signal is left behind");
    }
}

#[test]
fn a_run_that_has_ended_or_never_was_is_stopped_all_the_same() {
    let world = endless();
    let app = app(&world, &[]);
    world.run(async {
        for run in ["0123456789abcdef0123456789abcdef", &"0".repeat(32)] {
            assert_eq!(app.handle(stop(run)).await.status(), 204);
        }
    });
    assert_eq!(signals(&world), 2);
    // Nobody sees them, and they are swept when their hour is over.
    world.clock.advance_wall(Duration::from_secs(2 * 3_600));
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(61));
        let request = Request::get("/api/status").body(Body::empty()).unwrap();
        world.run(app.handle(request));
        world.drain();
    }
}

#[test]
fn stops_have_a_quota_of_their_own() {
    let world = endless();
    let app = app(&world, &[("caller_limit", "1/10m")]);
    world.run(async {
        // Who may not begin another run may end the one that there is.
        for status in [200, 429] {
            assert_eq!(app.handle(hello()).await.status(), status);
        }
        let run = "0".repeat(32);
        for _ in 0..10 {
            assert_eq!(app.handle(stop(&run)).await.status(), 204);
        }
        let refused = app.handle(stop(&run)).await;
        assert_eq!(refused.status(), 429);
        assert_eq!(
            refused.headers()["ratelimit-policy"],
            "\"stops\";q=10;w=600"
        );
        let body = refused.into_body().collect().await.unwrap().to_bytes();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        let message = problem["message"].as_str().unwrap();
        assert!(message.starts_with("10 stops in 600 s"), "{message}");
    });
    assert_eq!(signals(&world), 1);
}

#[test]
fn an_id_that_can_be_none_is_not_found() {
    let world = endless();
    let app = app(&world, &[]);
    for run in [
        "x",
        "0123456789ABCDEF0123456789ABCDEF",
        "%ff",
        &"0".repeat(33),
    ] {
        let response = world.run(app.handle(stop(run)));
        assert_eq!(response.status(), 404, "{run}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
    assert_eq!(world.store.dump().len(), 0);
}

#[test]
fn a_store_in_trouble_is_told_and_the_run_goes_on() {
    let world = endless();
    let there = app(&world, &[]);
    let (frames, _) = stopped(&world, &[], async |run| {
        world
            .store
            .fail_with(Some(StoreError::Unavailable("gone".into())));
        let response = there.handle(stop(run)).await;
        assert_eq!(response.status(), 503);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "store_unavailable");
        // The run has seen nothing but trouble meanwhile, and is there still.
        world.clock.sleep(Duration::from_secs(3)).await;
        world.store.fail_with(None);
        world.clock.sleep(Duration::from_secs(6)).await;
        assert_eq!(there.handle(stop(run)).await.status(), 204);
    });
    assert_eq!(last(&frames).1["reason"], "stopped");
}

#[test]
fn without_a_store_a_run_is_stopped_by_nobody() {
    let world = streaming(vec![Step::Write(delta("x") + &end("end_turn"))]);
    let mut ports = world.ports();
    ports.key_value = None;
    ports.counters = None;
    let app = App::new(ports, |name| {
        (name == "anthropic_api_key").then(|| KEY.to_owned())
    });
    let run = "0".repeat(32);
    assert_eq!(world.run(app.handle(stop(&run))).status(), 503);
    let frames = run_with(&world, &app, hello());
    assert_eq!(last(&frames), ("done", &Value::Null));
}
