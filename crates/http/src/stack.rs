//! The layers that every API has, in one call.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use tower::{BoxError, ServiceBuilder, ServiceExt};

use crate::access_log::{self, AccessLog};
use crate::context::{self, Contexts};
use crate::cors::{self, Cors};
use crate::problem::Problem;
use crate::text::BodyClock;
use crate::{methods, panic, target};
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::ports::Ports;

/// The layers of an API, outermost first: name, trace and budget; the line in the log;
/// the panic's answer; `HEAD`, `OPTIONS` and `Allow`; pages of other origins; the
/// length of the target.
///
/// Handlers have a [`RequestContext`](context::RequestContext) in the request's
/// extensions. An application with layers of its own puts them between these by
/// [`ServiceBuilder`], as the functions of this crate are layers by themselves.
///
/// ```
/// use axum::body::Body;
/// use axum::routing::get;
/// use http::Request;
/// use spinlane_core::testing::World;
/// use spinlane_http::stack::{self, Stack};
///
/// let world = World::new();
/// let routes = stack::routes().route("/", get(|| async { "hello" }));
/// let stack = Stack::new(&world.ports(), 50, |path| (path == "/").then_some("/"));
///
/// let request = Request::get("/nowhere").body(Body::empty()).unwrap();
/// let answer = world.run(stack.answer(routes, request));
/// assert_eq!(answer.status(), 404);
/// assert_eq!(answer.headers()["content-type"], "application/problem+json");
/// assert!(answer.headers().contains_key("x-request-id"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stack {
    /// What a request may use, and what every answer has.
    pub contexts: Contexts,
    /// How the log names routes, and which it leaves out.
    pub log: AccessLog,
    /// What pages of other origins may do: nothing at first.
    pub cors: Cors,
}

impl Stack {
    /// Layers for requests that may make `budget` upstream calls each. `route` names
    /// the template of a path for the log, which never has the path itself.
    pub fn new(ports: &Ports, budget: u32, route: fn(&str) -> Option<&'static str>) -> Self {
        Self {
            contexts: Contexts::new(&ports.entropy, budget),
            log: AccessLog::new(&ports.clock, route),
            cors: Cors::default(),
        }
    }

    /// Answers `request` by `routes`. Resolves with the head; what a handler has
    /// spawned goes on. Dropping the future abandons the request.
    pub async fn answer<B>(self, routes: Router, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let mut request = request.map(Body::new);
        let clock = BodyClock(Arc::clone(&self.log.clock));
        request.extensions_mut().insert(clock);
        let layers = ServiceBuilder::new()
            .layer(from_fn_with_state(self.contexts, context::begin))
            .layer(from_fn_with_state(self.log, access_log::write))
            .layer(from_fn_with_state(self.cors.clone(), panic::prepare))
            .layer(from_fn(methods::complete))
            .layer(from_fn_with_state(self.cors, cors::share))
            .layer(from_fn(target::bound))
            .service(routes.method_not_allowed_fallback(methods::not_allowed));
        let answer = layers.oneshot(request).await;
        answer.unwrap_or_else(|never| match never {})
    }
}

/// A router that answers to a path that it does not have with a [`Problem`], 404. A
/// method that a route does not have, and says nothing about, is a 405 by
/// [`Stack::answer`]: axum can tell that of routes only when they are there.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().fallback(not_found)
}

async fn not_found(uri: Uri) -> Problem {
    let message = "there is no such route";
    let error = ErrorObject::new(code::NOT_FOUND, message).with("path", uri.path());
    Problem::new(StatusCode::NOT_FOUND, error)
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::routing::post;
    use http::Method;
    use spinlane_core::ports::PanicSlot;
    use spinlane_core::testing::World;

    use super::*;
    use crate::context::RequestContext;

    /// What a route is answered that says how many calls it may make.
    fn answer(method: Method, path: &str, slot: &PanicSlot) -> Response {
        let handler = |Extension(context): Extension<RequestContext>| async move {
            context.scope.budget.remaining().to_string()
        };
        let world = World::new();
        let routes = routes().route("/", post(handler));
        let stack = Stack::new(&world.ports(), 7, |path| (path == "/").then_some("/"));
        let request = Request::builder().method(method).uri(path);
        let request = request.extension(slot.clone()).body(Body::empty());
        world.run(stack.answer(routes, request.unwrap()))
    }

    #[test]
    fn whatever_the_answer_it_has_what_every_answer_has() {
        for (method, path, status, kind) in [
            (Method::POST, "/", 200, "text/plain; charset=utf-8"),
            (Method::GET, "/", 405, "application/problem+json"),
            (Method::POST, "/x", 404, "application/problem+json"),
        ] {
            let slot = PanicSlot::default();
            let answer = answer(method, path, &slot);
            let head = answer.headers();
            assert_eq!(
                (answer.status().as_u16(), &head["content-type"]),
                (status, &kind.parse().unwrap())
            );
            for name in [
                "x-request-id",
                "traceparent",
                "server-timing",
                "x-content-type-options",
            ] {
                assert!(head.contains_key(name), "{name}");
            }
            assert!(!head.contains_key("access-control-allow-origin"));
            // A panic would be answered in the name of the same request.
            let panicked = slot.get().expect("it is filled");
            assert_eq!(panicked.request_id(), head["x-request-id"]);
        }
        let options = answer(Method::OPTIONS, "/", &PanicSlot::default());
        assert_eq!(
            (options.status().as_u16(), &options.headers()["allow"]),
            (204, &"POST, OPTIONS".parse().unwrap())
        );
    }
}
