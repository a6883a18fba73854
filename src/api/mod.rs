//! HTTP: routes, what they take, and what is said when they cannot.
//!
//! The way of a request is `answer`: layers, in order, around the `routes`.

mod admin;
mod assets;
mod auth;
mod caller;
pub(crate) mod chat;
mod cors;
mod docs;
pub(crate) mod enrich;
mod enrichment;
pub(crate) mod notices;
mod operator;
mod playlist;
mod query;
mod read;
mod routes;
mod status;
mod stop;
mod stream;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, StatusCode, Uri};

use crate::AppState;
use crate::config::Variables;
use crate::error::{ErrorObject, code, misconfigured};
use spinlane_http::methods;
use spinlane_http::problem::Problem;
use spinlane_http::stack::Stack;

/// It holds for a year, and for this host alone: others of its domain, and the lists
/// that browsers come with, are not ours to decide.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Answers one request. See [`crate::App::handle`].
pub(crate) async fn answer(app: &AppState, request: Request) -> Response {
    let path = request.uri().path();
    let mut stack = Stack::new(&app.ports, budget(app, path), routes::template);
    if app.config.edge().public_url.is_https() {
        stack
            .contexts
            .fields
            .push((STRICT_TRANSPORT_SECURITY, HSTS));
    }
    stack.log.quiet = &["/health", "/ready"];
    stack.cors = cors::rules(&app.config, request.headers());
    let routes = router(app, path);
    stack.answer(routes, request).await
}

/// Upstream calls that a request for `path` may make: routes that call none have no use
/// for a budget.
fn budget(app: &AppState, path: &str) -> u32 {
    match routes::needs(path).contains(&Variables::Limits) {
        true => app.config.limits().subrequest_budget.get(),
        false => 0,
    }
}

/// The router for `path`.
fn router(app: &AppState, path: &str) -> Router {
    routes::at(path)
        .fallback(assets::fallback)
        // Before the layer: it looks at these requests as well.
        .method_not_allowed_fallback(methods::not_allowed)
        .with_state(app.clone())
        .layer(from_fn_with_state(app.clone(), admit))
}

/// The layer between those that every API has and the routes: what is asked of a
/// request before anything but its head is read.
async fn admit(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let admitted = match configured(&app, path) {
        Ok(()) => caller::admit(&app, method, path, request.headers()).await,
        Err(problem) => Err(problem),
    };
    match admitted {
        Ok(admitted) => request.extensions_mut().insert(admitted),
        Err(problem) => return problem.into_response(),
    };
    notices::look(&app, request.headers());
    next.run(request).await
}

/// Names the variables that are malformed, of those that the route of `path` needs:
/// before anything is done with what they count as meanwhile.
///
/// # Errors
/// 503, with their names.
fn configured(app: &AppState, path: &str) -> Result<(), Problem> {
    let checked = app.config.check(routes::needs(path));
    checked.map_err(|errors| Problem::new(StatusCode::SERVICE_UNAVAILABLE, misconfigured(&errors)))
}

/// Whether `path` is `prefix` or has it as its first segments.
fn is_beneath(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn not_found(uri: Uri) -> Problem {
    no_route(uri.path())
}

fn no_route(path: &str) -> Problem {
    let message = "there is no such route";
    let error = ErrorObject::new(code::NOT_FOUND, message).with("path", path);
    Problem::new(StatusCode::NOT_FOUND, error)
}
