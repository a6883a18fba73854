//! Requests that begin a run.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderName, StatusCode};

use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};

/// The last event that a client of streams has seen; it sends this by itself
/// when it connects again.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A request that begins a run.
///
/// As an extractor, to be the first of a handler's, it answers 409 to one that
/// wants to go on with a run: to begin another would do everything twice. Where runs can
/// be read again, [`Attempt`](super::Attempt) takes its place.
///
/// ```
/// use axum::routing::post;
/// use spinlane_http::run::NewRun;
/// use spinlane_http::stack;
///
/// async fn begin(_: NewRun) -> &'static str {
///     "a run begins"
/// }
///
/// let routes = stack::routes::<()>().route("/", post(begin));
/// # let _ = routes;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NewRun;

impl<S: Sync> FromRequestParts<S> for NewRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut seen = parts.headers.get_all(LAST_EVENT_ID).into_iter();
        // An empty one says that nothing was seen.
        if seen.all(|id| id.as_bytes().trim_ascii().is_empty()) {
            return Ok(Self);
        }
        let message = "this request has the header `Last-Event-ID`, as clients send it that have \
             lost a stream and connect again; to answer it would do everything twice: send it \
             without the header";
        let error = ErrorObject::new(code::NOT_RESUMABLE, message).with("header", "last-event-id");
        Err(Problem::new(StatusCode::CONFLICT, error))
    }
}
