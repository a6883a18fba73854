//! What routes that answer with a stream have in common.

use axum::response::Response;

use crate::AppState;
use crate::frames::{self, Dj};
use spinlane_core::limit::Running;
use spinlane_http::context::RequestContext;
use spinlane_http::quota::Allowance;
use spinlane_http::run::{self, Run, Work};

/// Answers with a stream at once, and starts the run that feeds it.
pub(super) fn start(
    app: &AppState,
    context: &RequestContext,
    run: Run,
    work: impl Work<Dj>,
    allowance: Option<Allowance>,
    running: Option<Running>,
) -> Response {
    let mut response = run::start(&frames::runs(app), context, run, work, running);
    if let Some(allowance) = allowance {
        response.headers_mut().extend(allowance.headers());
    }
    response
}
