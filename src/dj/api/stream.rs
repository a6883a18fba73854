//! The head of an answer that is a stream.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::RequestContext;
use super::caller::Allowance;
use crate::core::ports::Patience;
use crate::core::sse;
use crate::dj::AppState;
use crate::dj::run::{self, Run, Work};

/// The run's id, before the first frame says it.
pub(super) const X_RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// Answers with a stream at once, and starts the run that feeds it.
pub(super) fn start(
    app: &AppState,
    context: &RequestContext,
    run: Run,
    work: impl Work,
    allowance: Option<Allowance>,
) -> Response {
    let run_id = HeaderValue::from_str(&run.id).ok();
    let (body, last_words) = run::start(app, context, run, work);
    let mut response = sse::response(body).map(Body::new);
    let extensions = response.extensions_mut();
    extensions.insert(last_words);
    extensions.insert(Patience {
        stall: app.config.client_stall,
        ..Patience::default()
    });
    let head = response.headers_mut();
    head.extend(run_id.map(|id| (X_RUN_ID, id)));
    if let Some(allowance) = allowance {
        head.extend(allowance.headers());
    }
    response
}
