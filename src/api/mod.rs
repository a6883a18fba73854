//! HTTP: routes, what they take, and what is said when they cannot.

mod admin;
mod asked;
mod assets;
mod auth;
mod caller;
pub(crate) mod chat;
mod cors;
mod docs;
pub(crate) mod enrich;
pub mod json;
pub(crate) mod notices;
mod operator;
mod panicked;
mod playlist;
pub mod problem;
mod query;
mod routes;
mod status;
mod stop;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use tower::{ServiceExt, service_fn};
use tracing::Instrument;

use super::AppState;
use super::config::Variables;
use super::error::{ErrorObject, code};
use asked::Asked;
use panicked::Panicked;
use problem::Problem;
use spinlane_core::abort::AbortHandle;
use spinlane_core::limit::Budget;
use spinlane_core::ports::Fallback;
use spinlane_core::request_id::{self, X_REQUEST_ID};
use spinlane_core::scope::{self, Scope};
use spinlane_core::trace::TraceContext;

/// The longest path with query, in bytes. No route needs a tenth of it; what
/// hosts let through differs, and ends at 64 KiB.
const MAX_TARGET: usize = 8 * 1024;

/// How long the head took, and how many upstream calls were made for it.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// For a year, this host alone: others of its domain, and the lists that browsers
/// come with, are not ours to decide.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What handlers learn about their request beside the request itself.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// For work that goes on after the response has begun.
    pub(crate) scope: Arc<Scope>,
    /// Fires the scope's abort signal.
    pub(crate) abort: AbortHandle,
    /// What the answer's head has besides its own.
    pub(crate) answer: AnswerHead,
}

/// Header fields that an answer gets, whatever it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerHead(Arc<Mutex<HeaderMap>>);

impl AnswerHead {
    /// Adds a field.
    pub(crate) fn append(&self, name: HeaderName, value: HeaderValue) {
        self.fields().append(name, value);
    }

    fn apply(&self, head: &mut HeaderMap) {
        append(head, &self.fields());
    }

    /// The same where whoever holds the lock may never come to release it.
    fn try_apply(&self, head: &mut HeaderMap) {
        if let Ok(fields) = self.0.try_lock() {
            append(head, &fields);
        }
    }

    fn fields(&self) -> MutexGuard<'_, HeaderMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(head: &mut HeaderMap, fields: &HeaderMap) {
    for (name, value) in fields {
        head.append(name.clone(), value.clone());
    }
}

fn router(state: AppState) -> Router {
    routes::add(Router::new())
        .fallback(assets::fallback)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

/// See [`super::App::handle`].
pub(super) async fn handle(
    state: &AppState,
    routes: &OnceLock<Router>,
    request: Request,
) -> Response {
    let (ports, config) = (&state.ports, &state.config);
    let head = request.method() == Method::HEAD;
    let options = request.method() == Method::OPTIONS;
    let request_id = request_id::of_request(request.headers(), &*ports.entropy);
    let trace = TraceContext::of_request(request.headers(), &*ports.entropy);
    let abort = AbortHandle::new();
    // Routes that call no upstream have no use for it.
    let budget = match routes::needs(request.uri().path()).contains(&Variables::Limits) {
        true => config.limits().subrequest_budget,
        false => 0,
    };
    let scope = Scope::new(request_id.as_str(), Budget::new(budget), abort.signal());
    let scope = Arc::new(Scope {
        trace: Some(trace),
        ..scope
    });
    let span = tracing::info_span!("request", request_id, trace_id = trace.trace_id());
    let asked = Asked::new(ports, &scope, &span, &request);
    let context = RequestContext {
        scope: Arc::clone(&scope),
        abort,
        answer: AnswerHead::default(),
    };
    let added = context.answer.clone();
    if config.edge().public_url.is_https() {
        added.append(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    if let Some(fallback) = request.extensions().get::<Fallback>() {
        let cors = cors::Fields::of(&request, &config.edge().frontend_url);
        fallback.fill(Panicked::new(cors, added.clone(), asked.clone()));
    }
    let answer = share(state, routes, request, context);
    let mut response = scope::run(scope, answer).instrument(span).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        allow(&mut response, options);
    }
    if head {
        *response.body_mut() = Body::empty();
    }
    let headers = response.headers_mut();
    added.apply(headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
    trace.insert_into(headers);
    asked.answered(response)
}

/// Answers, also to pages of other origins where they may ask.
async fn share(
    state: &AppState,
    routes: &OnceLock<Router>,
    request: Request,
    context: RequestContext,
) -> Response {
    if !cors::concerns(request.uri().path()) {
        return route(state, routes, request, context).await;
    }
    // All of it, so that a page can read every refusal.
    let inner = service_fn(|request| {
        let context = context.clone();
        async move { Ok(route(state, routes, request, context).await) }
    });
    cors::answer(inner, request, &state.config.edge().frontend_url).await
}

/// Lets the router answer, which is made when it is first needed.
async fn route(
    state: &AppState,
    routes: &OnceLock<Router>,
    mut request: Request,
    context: RequestContext,
) -> Response {
    if let Err(errors) = state.config.check(routes::needs(request.uri().path())) {
        tracing::error!(%errors, "the configuration is not valid");
        return Problem::misconfigured(&errors).into_response();
    }
    let target = request.uri().path_and_query();
    if target.is_some_and(|target| target.as_str().len() > MAX_TARGET) {
        return too_long().into_response();
    }
    // Before anything else of the request is read.
    let (method, path) = (request.method(), request.uri().path());
    match caller::admit(state, method, path, request.headers()).await {
        Ok(admitted) => request.extensions_mut().insert(admitted),
        Err(problem) => return problem.into_response(),
    };
    notices::look(state, request.headers());
    request.extensions_mut().insert(context);
    let router = routes.get_or_init(|| router(state.clone())).clone();
    let answer = router.oneshot(request).await;
    answer.unwrap_or_else(|never| match never {})
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

/// Whether `path` is `prefix` or has it as its first segments.
fn is_beneath(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn too_long() -> Problem {
    let message = format!("path and query may have at most {MAX_TARGET} bytes");
    let error = ErrorObject::new(code::URI_TOO_LONG, message).with("maxBytes", MAX_TARGET);
    Problem::new(StatusCode::URI_TOO_LONG, error)
}

async fn not_found(uri: Uri) -> Problem {
    no_route(uri.path())
}

fn no_route(path: &str) -> Problem {
    let message = "there is no such route";
    let error = ErrorObject::new(code::NOT_FOUND, message).with("path", path);
    Problem::new(StatusCode::NOT_FOUND, error)
}

async fn method_not_allowed(method: Method) -> Problem {
    let message = format!("this route has no {method}; the header `Allow` names what it has");
    let error = ErrorObject::new(code::METHOD_NOT_ALLOWED, message);
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, error)
}
