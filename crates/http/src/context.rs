//! A request's context: what it is called, what it may use, when it is over.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Instrument;

use spinlane_core::abort::AbortHandle;
use spinlane_core::limit::Budget;
use spinlane_core::ports::Entropy;
use spinlane_core::request_id::{self, X_REQUEST_ID};
use spinlane_core::scope::{self, Scope};
use spinlane_core::trace::TraceContext;

/// What handlers learn about their request beside the request itself.
///
/// ```
/// use axum::Extension;
/// use spinlane_http::context::RequestContext;
///
/// async fn handler(Extension(context): Extension<RequestContext>) -> String {
///     format!("{} calls are left", context.scope.budget.remaining())
/// }
/// # let _ = handler;
/// ```
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// For work that goes on after the response has begun.
    pub scope: Arc<Scope>,
    /// Fires the scope's abort signal.
    pub abort: AbortHandle,
    /// What the answer's head has besides its own.
    pub answer: AnswerHead,
}

/// Header fields that an answer gets, whatever it is.
///
/// ```
/// use axum::Extension;
/// use axum::body::Body;
/// use axum::routing::get;
/// use http::{HeaderName, HeaderValue, Request};
/// use spinlane_core::testing::World;
/// use spinlane_http::context::RequestContext;
/// use spinlane_http::stack::{self, Stack};
///
/// async fn handler(Extension(context): Extension<RequestContext>) {
///     let field = HeaderName::from_static("x-songs");
///     context.answer.append(field, HeaderValue::from_static("3"));
/// }
///
/// let world = World::new();
/// let routes = stack::routes().route("/", get(handler));
/// let request = Request::get("/").body(Body::empty()).unwrap();
/// let answer = world.run(Stack::new(&world.ports(), 50, |_| None).answer(routes, request));
/// assert_eq!(answer.headers()["x-songs"], "3");
/// ```
#[derive(Clone, Debug, Default)]
pub struct AnswerHead(Arc<Mutex<HeaderMap>>);

impl AnswerHead {
    /// Adds a field.
    pub fn append(&self, name: HeaderName, value: HeaderValue) {
        self.fields().append(name, value);
    }

    pub(crate) fn apply(&self, head: &mut HeaderMap) {
        append(head, &self.fields());
    }

    /// The same where whoever holds the lock may never come to release it.
    pub(crate) fn try_apply(&self, head: &mut HeaderMap) {
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

/// What contexts are made of.
///
/// ```
/// use http::{HeaderName, HeaderValue};
/// use spinlane_core::testing::World;
/// use spinlane_http::stack::Stack;
///
/// let mut stack = Stack::new(&World::new().ports(), 50, |_| None);
/// let field = (HeaderName::from_static("x-version"), HeaderValue::from_static("7"));
/// stack.contexts.fields.push(field);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Contexts {
    /// Names what has no name yet.
    pub entropy: Arc<dyn Entropy>,
    /// Upstream calls that one request may make.
    pub budget: u32,
    /// Fields that every answer has, also in a panic.
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

impl Contexts {
    /// Contexts of requests that may make `budget` upstream calls each.
    pub fn new(entropy: &Arc<dyn Entropy>, budget: u32) -> Self {
        Self {
            entropy: Arc::clone(entropy),
            budget,
            fields: Vec::new(),
        }
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts")
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// The outermost layer (by [`from_fn_with_state`](axum::middleware::from_fn_with_state)):
/// it gives the request a [`RequestContext`], in its extensions and as the scope that
/// everything beneath runs in, and names it in the answer.
pub async fn begin(State(contexts): State<Contexts>, mut request: Request, next: Next) -> Response {
    let entropy = &*contexts.entropy;
    let request_id = request_id::of_request(request.headers(), entropy);
    let trace = TraceContext::of_request(request.headers(), entropy);
    let abort = AbortHandle::new();
    let budget = Budget::new(contexts.budget);
    let scope = Arc::new(Scope {
        trace: Some(trace),
        ..Scope::new(request_id.as_str(), budget, abort.signal())
    });
    let added = AnswerHead::default();
    for (name, value) in contexts.fields {
        added.append(name, value);
    }
    request.extensions_mut().insert(RequestContext {
        scope: Arc::clone(&scope),
        abort,
        answer: added.clone(),
    });
    let span = tracing::info_span!("request", request_id, trace_id = trace.trace_id());
    let answer = next.run(request);
    let mut response = scope::run(scope, answer).instrument(span).await;
    let headers = response.headers_mut();
    added.apply(headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
    trace.insert_into(headers);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_before_is_kept_unless_it_is_being_changed() {
        let added = AnswerHead::default();
        added.append(
            HeaderName::from_static("x-added"),
            HeaderValue::from_static("1"),
        );
        let mut headers = HeaderMap::new();
        added.try_apply(&mut headers);
        assert_eq!(headers["x-added"], "1");
        let held = added.fields();
        let mut headers = HeaderMap::new();
        added.try_apply(&mut headers);
        assert!(headers.is_empty());
        drop(held);
    }
}
