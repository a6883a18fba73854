//! `POST /api/chat-stream/message`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use garde::Validate;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::RequestContext;
use super::caller;
use super::json::Valid;
use super::problem::Problem;
use crate::core::sse;
use crate::dj::config::{Config, Environment};
use crate::dj::{AppState, chat, random_hex};

/// Carries the operator's token.
const X_ADMIN_TOKEN: HeaderName = HeaderName::from_static("x-admin-token");
/// The run's id, before the first frame says it.
const X_RUN_ID: HeaderName = HeaderName::from_static("x-run-id");
/// Tells nginx and its kind not to collect the stream first.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A prompt, and what led to it. Unknown fields are ignored.
#[derive(Clone, Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatRequest {
    /// What the user says; lengths are in Unicode code points.
    #[garde(length(chars, min = 1, max = 2000))]
    pub(crate) message: String,
    /// Earlier turns, oldest first.
    #[serde(default)]
    #[garde(length(max = 20), dive)]
    pub(crate) conversation_history: Vec<HistoryEntry>,
    /// What the user wants done.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) mode: Mode,
    /// The playlist that is talked about.
    #[serde(default)]
    #[garde(length(chars, max = 200))]
    pub(crate) playlist_id: Option<String>,
    /// Send the request's log as frames, where that is allowed.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) debug: bool,
}

/// One earlier turn.
#[derive(Clone, Debug, Deserialize, Validate)]
pub(crate) struct HistoryEntry {
    /// Who said it.
    #[garde(skip)]
    pub(crate) role: HistoryRole,
    /// What was said.
    #[garde(length(chars, max = 20_000))]
    pub(crate) content: String,
}

/// Who said an earlier turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HistoryRole {
    User,
    Assistant,
}

/// What the user wants done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    Analyze,
    Create,
    Edit,
}

/// Answers with a stream at once, and starts the run that feeds it.
pub(super) async fn message(
    State(app): State<AppState>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    Valid(request): Valid<ChatRequest>,
) -> Result<Response, Problem> {
    let Some(api_key) = app.config.anthropic.api_key.clone() else {
        return Err(Problem::not_configured("anthropic_api_key"));
    };
    let allowance = caller::count(&app, &headers).await?;
    let id = random_hex::<16>(&app.ports);
    let debug = request.debug && may_debug(&app.config, &headers);
    let run_id = HeaderValue::from_str(&id).ok();
    let run = chat::Run {
        id,
        request,
        debug,
        api_key,
    };
    let (body, last_words) = chat::start(&app, &context, run);
    let mut response = Response::new(Body::new(body));
    response.extensions_mut().insert(last_words);
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static(sse::CONTENT_TYPE));
    head.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    head.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    head.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    head.extend(run_id.map(|id| (X_RUN_ID, id)));
    if let Some(allowance) = allowance {
        head.extend(allowance.headers());
    }
    Ok(response)
}

/// The log may name what users should not see, so before real users it takes
/// the operator's token.
fn may_debug(config: &Config, headers: &HeaderMap) -> bool {
    if config.environment != Environment::Production {
        return true;
    }
    let given = headers
        .get(X_ADMIN_TOKEN)
        .and_then(|value| value.to_str().ok());
    match (&config.admin_token, given) {
        (Some(token), Some(given)) => token.matches(given),
        _ => false,
    }
}
