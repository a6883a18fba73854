//! What answers to methods that routes are not written for: `HEAD`, `OPTIONS`, others.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};

/// The layer: `HEAD` is answered as `GET` without its body, `OPTIONS` by what the route
/// has, and `Allow` names that in a 405 as well.
pub async fn complete(request: Request, next: Next) -> Response {
    let head = request.method() == Method::HEAD;
    let options = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        allow(&mut response, options);
    }
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Completes `Allow`, and turns the answer to `OPTIONS` into what it asked for.
fn allow(response: &mut Response, options: bool) {
    let methods = response
        .headers()
        .get(ALLOW)
        .and_then(|value| value.to_str().ok());
    let methods = methods.unwrap_or_default().split(',').map(str::trim);
    let methods = methods
        .filter(|method| !method.is_empty())
        .chain(["OPTIONS"]);
    let methods = methods.collect::<Vec<_>>().join(", ");
    if options {
        *response = StatusCode::NO_CONTENT.into_response();
    }
    if let Ok(methods) = HeaderValue::from_str(&methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
}

/// What a router answers to a method that the route does not have.
pub async fn not_allowed(method: Method) -> Problem {
    let message = format!("this route has no {method}; the header `Allow` names what it has");
    let error = ErrorObject::new(code::METHOD_NOT_ALLOWED, message);
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, error)
}
