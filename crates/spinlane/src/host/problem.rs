//! Answers that the host makes itself: problem documents (RFC 9457), as the
//! application's are.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use spinlane_core::request_id::X_REQUEST_ID;

/// An answer with `status`, for the request of that id. `headers` are what the
/// application gives to every answer.
pub(super) fn problem(
    status: StatusCode,
    code: &str,
    message: &str,
    request_id: &str,
    headers: HeaderMap,
) -> Response<Bytes> {
    let document = serde_json::json!({
        "type": format!("/problems/{code}"),
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": code,
        "message": message,
        "detail": message,
        "context": { "requestId": request_id },
    });
    let mut response = Response::new(Bytes::from(document.to_string()));
    *response.status_mut() = status;
    let length = HeaderValue::from(response.body().len());
    let request_id = HeaderValue::from_str(request_id).ok();
    let all = response.headers_mut();
    *all = headers;
    for (name, value) in [
        (CONTENT_TYPE, "application/problem+json"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        all.insert(name, HeaderValue::from_static(value));
    }
    all.insert(CONTENT_LENGTH, length);
    if let Some(request_id) = request_id {
        all.insert(X_REQUEST_ID, request_id);
    }
    response
}
