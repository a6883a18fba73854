//! What routes that answer with a stream have in common: who may begin one, and
//! the answer's head.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::AppState;
use crate::error::{ErrorObject, code};
use crate::run::{self, Run, Work};
use spinlane_core::limit::Running;
use spinlane_core::ports::Patience;
use spinlane_core::sse;
use spinlane_http::context::RequestContext;
use spinlane_http::problem::Problem;
use spinlane_http::quota::Allowance;

/// The run's id, before the first frame says it.
pub(super) const X_RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// The last event that a client of streams has seen; it sends this by itself
/// when it connects again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A request that begins a run.
///
/// As an extractor, to be the first of a handler's, it answers 409 to one that
/// wants to go on with a run: to begin another would do everything twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRun;

impl FromRequestParts<AppState> for NewRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let mut seen = parts.headers.get_all(LAST_EVENT_ID).into_iter();
        // An empty one says that nothing was seen.
        if seen.all(|id| id.as_bytes().trim_ascii().is_empty()) {
            return Ok(Self);
        }
        let message = "this request has the header `Last-Event-ID`, as clients send it that have \
             lost a stream and connect again; to answer it would do everything twice: send it \
             without the header; runs cannot be resumed yet";
        let error = ErrorObject::new(code::NOT_RESUMABLE, message).with("header", "last-event-id");
        Err(Problem::new(StatusCode::CONFLICT, error))
    }
}

/// Answers with a stream at once, and starts the run that feeds it.
pub(super) fn start(
    app: &AppState,
    context: &RequestContext,
    run: Run,
    work: impl Work,
    allowance: Option<Allowance>,
    running: Option<Running>,
) -> Response {
    let run_id = HeaderValue::from_str(&run.id).ok();
    let (body, last_words) = run::start(app, context, run, work, running);
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
