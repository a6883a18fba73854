//! `GET /health`, `GET /ready` and `GET /api/status`.

use std::collections::BTreeMap;

use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Admitted;
use super::docs::answers::{NotReady, OverQuota};
use super::{notices, operator};
use crate::AppState;
use crate::config::{Config, Origin, Variable};
use spinlane_core::limit::LaneStatus;
use spinlane_core::log::millis;
use spinlane_http::json::Json;
use spinlane_http::problem::Problem;

/// Liveness.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(examples("ok"))]
    status: &'static str,
}

/// Answers as long as the component can answer at all.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "operation",
    responses((status = 200, description = "It can.", body = Health))
)]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// A key that has no value: reading it shows whether the store answers.
const NOTHING: &str = "ready:nothing";

/// Readiness: reads the store once, without which sessions, quotas and limits over all
/// instances are not to be had. On a host that has no store nothing is missing.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "getReadiness",
    tag = "operation",
    responses(
        (status = 200, description = "The store answers.", body = Health),
        NotReady,
    )
)]
pub(super) async fn ready(State(app): State<AppState>) -> Result<Json<Health>, Problem> {
    if app.store.is_there()
        && let Err(error) = app.store.get(NOTHING).await
    {
        tracing::warn!(%error, "not ready");
        return Err(Problem::store_unavailable(
            "the key-value store does not answer: send requests to another instance, or try again \
             in a moment",
        ));
    }
    Ok(Json(Health { status: "ok" }))
}

/// How the application is set up. No secrets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    name: &'static str,
    version: &'static str,
    environment: &'static str,
    limits: Limits,
    store: Store,
    /// Shown to the operator alone in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<Configuration>,
    upstreams: Upstreams,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Limits {
    /// `shared`: over all instances; `instance`: in each of them.
    scope: &'static str,
    global_rps: u32,
    /// Each lane by its name.
    lanes: BTreeMap<String, Lane>,
    /// The launches of all instances; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    launches: Option<Launches>,
    subrequest_budget: u32,
    caller: Option<Caller>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Lane {
    /// Calls that may be under way at a time.
    limit: u32,
    /// Calls that are, in all instances; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
    /// What is left of the pause that the upstream asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_for_ms: Option<u64>,
}

/// Upstream calls of all lanes in the present window of the global rate.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Launches {
    made: u64,
    allowed: u32,
    window_ms: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Caller {
    requests: u32,
    window_ms: u64,
    /// Chats and enrichments at a time.
    runs: u32,
}

/// What the host gave.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Store {
    key_value: bool,
    counters: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    model: String,
    public_url: String,
    frontend_url: String,
    heartbeat_ms: u64,
    client_stall_ms: u64,
    queue_deadline_ms: u64,
    request_deadline_ms: Option<u64>,
    abandon_ms: Option<u64>,
    upstream_timeouts_ms: [u64; 3],
    client_ip_header: Option<String>,
    /// Whether there is an operator's token that is long enough to open anything.
    admin: bool,
    /// What requests of the last day have shown that should be set.
    warnings: Vec<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Upstreams {
    anthropic: Upstream,
    spotify: Upstream,
    deezer: Upstream,
    lastfm: Upstream,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Upstream {
    kind: Kind,
    /// Shown to the operator alone in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    /// Whether all keys that it needs are set.
    configured: bool,
}

/// Whom the application really talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The service itself.
    Real,
    /// A stand-in on this machine.
    Simulated,
    /// Somewhere else: a proxy, a gateway.
    Custom,
}

/// Reports how the application is set up, and what the store knows of its
/// limits. Touches no upstream. In production the configuration and the upstreams'
/// addresses are shown to the operator alone.
#[utoipa::path(
    get,
    path = "/api/status",
    operation_id = "getStatus",
    tag = "operation",
    security((), ("adminToken" = [])),
    responses(
        (status = 200, description = "No secrets.", body = Status),
        OverQuota,
        NotReady,
    )
)]
pub(super) async fn status(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<Json<Status>, Problem> {
    let (config, ports) = (&app.config, &app.ports);
    let full = operator::may_look(&app, &headers, Admitted::Freely).await?;
    let configuration = match full {
        true => Some(configuration(config, notices::all(&app, &headers).await)),
        false => None,
    };
    Ok(Json(Status {
        name: "spinlane",
        version: env!("CARGO_PKG_VERSION"),
        environment: config.operator().environment.as_str(),
        limits: limits(&app).await,
        store: Store {
            key_value: ports.key_value.is_some(),
            counters: ports.counters.is_some(),
        },
        configuration,
        upstreams: upstreams(config, full),
    }))
}

async fn limits(app: &AppState) -> Limits {
    let (config, callers) = (app.config.limits(), app.config.callers());
    let shared = app.upstreams().is_shared();
    let launches = app.upstreams().launches().await;
    // Where the store has nothing to say, an instance knows only itself: that
    // it asks.
    let known = launches.is_some();
    let lane = |lane: LaneStatus| {
        let paused = !lane.paused_for.is_zero();
        let status = Lane {
            limit: lane.limit,
            held: known.then_some(lane.held),
            paused_for_ms: paused.then(|| millis(lane.paused_for)),
        };
        (lane.lane.into_owned(), status)
    };
    Limits {
        scope: if shared { "shared" } else { "instance" },
        global_rps: config.global_rps.get(),
        lanes: app
            .upstreams()
            .status()
            .await
            .into_iter()
            .map(lane)
            .collect(),
        launches: launches.map(|window| Launches {
            made: window.taken,
            allowed: window.tickets,
            window_ms: millis(window.length),
        }),
        subrequest_budget: config.subrequest_budget.get(),
        caller: callers.limit.map(|caller| Caller {
            requests: caller.requests.get(),
            window_ms: millis(caller.window),
            runs: callers.runs.get(),
        }),
    }
}

fn configuration(config: &Config, warnings: Vec<&'static str>) -> Configuration {
    let timeouts = &config.limits().upstream_timeouts;
    Configuration {
        model: config.anthropic().model.clone(),
        public_url: config.edge().public_url.to_string(),
        frontend_url: config.pages().frontend_url.to_string(),
        heartbeat_ms: millis(config.streams().heartbeat),
        client_stall_ms: millis(config.streams().client_stall),
        queue_deadline_ms: millis(config.limits().queue_deadline),
        request_deadline_ms: config.streams().request_deadline.map(millis),
        abandon_ms: config.streams().abandon.map(millis),
        upstream_timeouts_ms: [timeouts.connect, timeouts.first_byte, timeouts.idle].map(millis),
        client_ip_header: config
            .callers()
            .client_ip_header
            .as_ref()
            .map(ToString::to_string),
        admin: config.operator().admin_token.secret().is_some(),
        warnings,
    }
}

/// `full`: with their addresses.
fn upstreams(config: &Config, full: bool) -> Upstreams {
    let is_real = |base_url: &Origin, variable| {
        Variable::named(variable).is_some_and(|variable| variable.default == base_url.as_str())
    };
    let upstream = |base_url: &Origin, variable, configured| Upstream {
        kind: if is_real(base_url, variable) {
            Kind::Real
        } else if base_url.is_loopback() {
            Kind::Simulated
        } else {
            Kind::Custom
        },
        base_url: full.then(|| base_url.to_string()),
        configured,
    };
    let (anthropic, spotify, lastfm) = (config.anthropic(), config.spotify(), config.lastfm());
    let spotify_keys = spotify.client_id.is_some() && spotify.client_secret.is_some();
    Upstreams {
        anthropic: upstream(
            &anthropic.base_url,
            "anthropic_base_url",
            anthropic.api_key.is_some(),
        ),
        spotify: upstream(&spotify.api_url, "spotify_api_url", spotify_keys),
        deezer: upstream(&config.deezer().base_url, "deezer_base_url", true),
        lastfm: upstream(
            &lastfm.base_url,
            "lastfm_base_url",
            lastfm.api_key.is_some(),
        ),
    }
}
