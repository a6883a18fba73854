//! Who may call an API from a page of another origin.
//!
//! Everybody, without credentials; or one origin alone, with credentials; or nobody:
//! pages of other origins then learn nothing.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

/// How long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(7_200);

/// Whose pages may ask.
///
/// ```
/// use axum::body::Body;
/// use http::{HeaderValue, Request};
/// use spinlane_core::testing::World;
/// use spinlane_http::cors::{Cors, Pages};
/// use spinlane_http::stack::{self, Stack};
///
/// let world = World::new();
/// let answer = |origin: &'static str| {
///     let mut stack = Stack::new(&world.ports(), 50, |_| None);
///     let ours = HeaderValue::from_static("https://app.example");
///     stack.cors = Cors::new(Pages::Of(ours), |_| true);
///     let request = Request::get("/").header("origin", origin).body(Body::empty()).unwrap();
///     world.run(stack.answer(stack::routes(), request))
/// };
/// let allows = |origin| answer(origin).headers().contains_key("access-control-allow-origin");
/// assert!(allows("https://app.example"));
/// assert!(!allows("https://another.example"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pages {
    /// Those of every origin, without credentials.
    Any,
    /// Those of this origin alone, with credentials.
    Of(HeaderValue),
    /// The application's own alone.
    Own,
}

/// What an application lets pages of other origins do.
///
/// ```
/// use spinlane_core::testing::World;
/// use spinlane_http::cors::{Cors, Pages};
/// use spinlane_http::stack::Stack;
///
/// let mut stack = Stack::new(&World::new().ports(), 50, |_| None);
/// // Every page may ask the API, and read nothing else.
/// stack.cors = Cors::new(Pages::Any, |path| path.starts_with("/api/"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cors {
    /// Whose pages.
    pub pages: Pages,
    /// Whether they may ask for a path at all.
    pub concerns: fn(&str) -> bool,
    /// What they may read beyond what every page may.
    pub read: &'static [HeaderName],
}

impl Cors {
    /// `pages` may ask for the paths that `concerns` says.
    pub const fn new(pages: Pages, concerns: fn(&str) -> bool) -> Self {
        Self {
            pages,
            concerns,
            read: &[],
        }
    }

    /// The same, where pages may read these header fields as well.
    #[must_use]
    pub const fn read(mut self, fields: &'static [HeaderName]) -> Self {
        self.read = fields;
        self
    }
}

/// Pages of other origins learn nothing.
impl Default for Cors {
    fn default() -> Self {
        Self::new(Pages::Own, |_| false)
    }
}

/// The layer: it lets pages of other origins read every answer, refusals included.
pub async fn share(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    if !(cors.concerns)(request.uri().path()) {
        return next.run(request).await;
    }
    // `OPTIONS` without this is somebody who wants to know what a route has.
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    match preflight || request.method() != Method::OPTIONS {
        true => {
            let answered = cors.layer().layer(next).oneshot(request).await;
            answered.unwrap_or_else(|never| match never {})
        }
        false => next.run(request).await,
    }
}

/// What an answer to a request has for pages of other origins, whoever makes it.
pub(crate) struct Fields {
    cors: Cors,
    origin: Option<HeaderValue>,
}

impl Fields {
    /// `None` where there is nothing for them.
    pub(crate) fn for_request(request: &Request, cors: &Cors) -> Option<Self> {
        (cors.concerns)(request.uri().path()).then(|| Self {
            cors: cors.clone(),
            origin: request.headers().get(ORIGIN).cloned(),
        })
    }

    /// Header fields: those that the layer gives to an empty answer.
    pub(crate) fn headers(&self) -> HeaderMap {
        let empty = |_| ready(Ok::<_, Infallible>(http::Response::new(())));
        let mut request = http::Request::new(());
        let origin = self.origin.clone().map(|origin| (ORIGIN, origin));
        request.headers_mut().extend(origin);
        let answered = self.cors.layer().layer(service_fn(empty));
        match answered.oneshot(request).now_or_never() {
            Some(Ok(answer)) => answer.into_parts().0.headers,
            // It waits for nothing.
            None => HeaderMap::new(),
        }
    }
}

impl Cors {
    fn layer(&self) -> CorsLayer {
        let layer = CorsLayer::new()
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            // What a page asks for: browsers, proxies and tracing libraries add
            // fields that no list here would know, and `*` would leave
            // `Authorization` out.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(self.read.to_vec())
            .max_age(MAX_AGE);
        match &self.pages {
            Pages::Any => layer.allow_origin(Any),
            Pages::Of(origin) => layer
                .allow_origin(AllowOrigin::list([origin.clone()]))
                .allow_credentials(true),
            Pages::Own => layer,
        }
    }
}
