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
mod routes;
mod status;
mod stop;
mod stream;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, StatusCode, Uri};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::AppState;
use crate::config::ConfigErrors;
use crate::error::{ErrorObject, code};
use spinlane_core::ports::Ports;
use spinlane_http::access_log::{self, AccessLog};
use spinlane_http::context::{self, Contexts};
use spinlane_http::problem::Problem;
use spinlane_http::{cors as cross_origin, methods, panic, target};

/// For a year, this host alone: others of its domain, and the lists that browsers
/// come with, are not ours to decide.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Answers one request. See [`crate::App::handle`].
pub(crate) async fn answer(
    ports: &Ports,
    state: Result<&AppState, &ConfigErrors>,
    routes: &Arc<OnceLock<Router>>,
    request: Request,
) -> Response {
    let cors = cors::rules(state);
    let template: caller::Template = routes::template;
    let around = ServiceBuilder::new()
        .layer(from_fn_with_state(contexts(ports, state), context::begin))
        .layer(from_fn_with_state(log(ports), access_log::write))
        .layer(from_fn_with_state(cors.clone(), panic::prepare))
        .layer(from_fn(methods::complete))
        .layer(from_fn_with_state(cors, cross_origin::share));
    match state {
        Ok(app) => {
            let admitted = ServiceBuilder::new()
                .layer(from_fn(target::bound))
                .layer(from_fn_with_state(
                    (app.clone(), template),
                    caller::count_first,
                ))
                .layer(from_fn_with_state(app.clone(), notices::note))
                .service(routed(app, routes));
            run(around.service(admitted), request).await
        }
        Err(errors) => run(around.service(misconfigured(errors)), request).await,
    }
}

/// What requests may use, and what every answer has.
fn contexts(ports: &Ports, state: Result<&AppState, &ConfigErrors>) -> Contexts {
    let budget = state.map_or(0, |app| app.config.limits.subrequest_budget);
    let mut contexts = Contexts::new(&ports.entropy, budget);
    if state.is_ok_and(|app| app.config.public_url.is_https()) {
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

/// What is answered while variables are malformed: their names.
fn misconfigured(
    errors: &ConfigErrors,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    let names: Vec<&str> = errors.variables.iter().map(|error| error.name).collect();
    let message = format!("the configuration is not valid: {errors}");
    let error = ErrorObject::new(code::MISCONFIGURED, message).with("variables", names);
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, error);
    service_fn(move |request: Request| {
        let problem = problem.clone();
        async move {
            Ok(match request.uri().path() {
                "/health" => status::health().await.into_response(),
                _ => problem.into_response(),
            })
        }
    })
}

async fn run<S>(service: S, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let answer = service.oneshot(request).await;
    answer.unwrap_or_else(|never| match never {})
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
