//! `POST /api/chat-stream/message`.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use garde::Validate;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;

use super::RequestContext;
use super::caller;
use super::json::Valid;
use super::problem::Problem;
use super::stream;
use crate::dj::chat::Chat;
use crate::dj::config::{Config, Environment};
use crate::dj::run::Run;
use crate::dj::{AppState, random_hex};

/// Carries the operator's token.
const X_ADMIN_TOKEN: HeaderName = HeaderName::from_static("x-admin-token");

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
    let run = Run {
        id: random_hex::<16>(&app.ports),
        debug: request.debug && may_debug(&app.config, &headers),
    };
    let work = Chat::new(&app, request, api_key);
    Ok(stream::start(&app, &context, run, work, allowance))
}

/// The log may name what users should not see, so before real users it takes
/// the operator's token.
pub(super) fn may_debug(config: &Config, headers: &HeaderMap) -> bool {
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
