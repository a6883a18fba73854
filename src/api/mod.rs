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

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, StatusCode, Uri};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::AppState;
use crate::config::Variables;
use crate::error::{ErrorObject, code};
use spinlane_core::ports::Ports;
use spinlane_http::access_log::{self, AccessLog};
use spinlane_http::context::{self, Contexts};
use spinlane_http::problem::Problem;
use spinlane_http::{cors as cross_origin, methods, panic, target};

/// It holds for a year, and for this host alone: others of its domain, and the lists
/// that browsers come with, are not ours to decide.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Answers one request. See [`crate::App::handle`].
pub(crate) async fn answer(
    app: &AppState,
    routes: &Arc<OnceLock<Router>>,
    request: Request,
) -> Response {
    let cors = cors::rules(&app.config);
    let contexts = contexts(app, request.uri().path());
    let template: caller::Template = routes::template;
    let stack = ServiceBuilder::new()
        .layer(from_fn_with_state(contexts, context::begin))
        .layer(from_fn_with_state(log(&app.ports), access_log::write))
        .layer(from_fn_with_state(cors.clone(), panic::prepare))
        .layer(from_fn(methods::complete))
        .layer(from_fn_with_state(cors, cross_origin::share))
        .layer(from_fn_with_state(app.clone(), configured))
        .layer(from_fn(target::bound))
        .layer(from_fn_with_state(
            (app.clone(), template),
            caller::count_first,
        ))
        .layer(from_fn_with_state(app.clone(), notices::note))
        .service(routed(app, routes));
    let answer = stack.oneshot(request).await;
    answer.unwrap_or_else(|never| match never {})
}

/// What a request for `path` may use, and what every answer has.
fn contexts(app: &AppState, path: &str) -> Contexts {
    let config = &app.config;
    // Routes that call no upstream have no use for a budget.
    let budget = match routes::needs(path).contains(&Variables::Limits) {
        true => config.limits().subrequest_budget.get(),
        false => 0,
    };
    let mut contexts = Contexts::new(&app.ports.entropy, budget);
    if config.edge().public_url.is_https() {
        contexts.fields.push((STRICT_TRANSPORT_SECURITY, HSTS));
    }
    contexts
}

fn log(ports: &Ports) -> AccessLog {
    let mut log = AccessLog::new(&ports.clock, routes::template);
    log.quiet = &["/health", "/ready"];
    log
}

/// The routes. Their router is made when it is first needed.
fn routed(
    app: &AppState,
    routes: &Arc<OnceLock<Router>>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    let (app, routes) = (app.clone(), Arc::clone(routes));
    service_fn(move |request| {
        let router = routes.get_or_init(|| router(app.clone())).clone();
        router.oneshot(request)
    })
}

fn router(app: AppState) -> Router {
    routes::add(Router::new())
        .fallback(assets::fallback)
        .method_not_allowed_fallback(methods::not_allowed)
        .with_state(app)
}

/// Names the variables that are malformed, of those that the route needs: before
/// anything is done with what they count as meanwhile.
async fn configured(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let needs = routes::needs(request.uri().path());
    let Err(errors) = app.config.check(needs) else {
        return next.run(request).await;
    };
    tracing::error!(%errors, "the configuration is not valid");
    let names: Vec<&str> = errors.variables.iter().map(|error| error.name).collect();
    let message = format!("the configuration is not valid: {errors}");
    let error = ErrorObject::new(code::MISCONFIGURED, message).with("variables", names);
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error).into_response()
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
