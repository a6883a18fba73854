//! How long a request's target may be.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};

/// The longest path with query, in bytes. No route needs a tenth of it; what
/// hosts let through differs, and ends at 64 KiB.
const MAX_TARGET: usize = 8 * 1024;

/// The layer: a longer target is a 414.
pub async fn bound(request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query();
    if target.is_some_and(|target| target.as_str().len() > MAX_TARGET) {
        return too_long().into_response();
    }
    next.run(request).await
}

fn too_long() -> Problem {
    let message = format!("path and query may have at most {MAX_TARGET} bytes");
    let error = ErrorObject::new(code::URI_TOO_LONG, message).with("maxBytes", MAX_TARGET);
    Problem::new(StatusCode::URI_TOO_LONG, error)
}
