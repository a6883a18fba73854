//! What a streaming API on [`axum`] needs, on any host.
//!
//! Layers, outermost first; each is a function for
//! [`from_fn`](axum::middleware::from_fn) or
//! [`from_fn_with_state`](axum::middleware::from_fn_with_state):
//!
//! - [`context::begin`]: names the request, continues its trace, gives it a budget.
//! - [`access_log::write`]: one line when the answer has ended, and `Server-Timing`.
//! - [`panic::prepare`]: what the host answers should the program panic.
//! - [`methods::complete`]: `HEAD`, `OPTIONS`, `Allow`.
//! - [`cors::share`]: pages of other origins.
//! - [`target::bound`]: how long a path may be.
//!
//! [`stack::Stack`] is all of them, in that order, for an application that adds none.
//!
//! Extractors and answers:
//!
//! - [`json`], [`text`]: bodies, read in bounded time with every fault named.
//! - [`problem`]: errors outside a stream (RFC 9457).
//! - [`quota`]: how often a caller may ask.
//! - [`run`]: work that is done while its answer is being streamed.
//!
//! ```
//! use axum::Router;
//! use axum::body::Body;
//! use axum::middleware::from_fn_with_state;
//! use axum::routing::get;
//! use http::Request;
//! use spinlane_core::ports::Ports;
//! use spinlane_core::testing::World;
//! use spinlane_http::access_log::{self, AccessLog};
//! use spinlane_http::context::{self, Contexts};
//! use tower::ServiceExt;
//!
//! fn api(ports: &Ports) -> Router {
//!     let log = AccessLog::new(&ports.clock, |path| (path == "/").then_some("/"));
//!     let contexts = Contexts::new(&ports.entropy, 50);
//!     Router::new()
//!         .route("/", get(|| async { "hello" }))
//!         // The last one is the outermost.
//!         .layer(from_fn_with_state(log, access_log::write))
//!         .layer(from_fn_with_state(contexts, context::begin))
//! }
//!
//! let world = World::new();
//! let request = Request::get("/").body(Body::empty()).unwrap();
//! let answer = world.run(api(&world.ports()).oneshot(request)).unwrap();
//! assert!(answer.headers().contains_key("x-request-id"));
//! assert!(answer.headers().contains_key("server-timing"));
//! ```

pub mod access_log;
mod arrive;
pub mod context;
pub mod cors;
pub mod json;
pub mod methods;
pub mod panic;
pub mod problem;
pub mod quota;
pub mod run;
pub mod stack;
pub mod target;
pub mod text;

/// What routes and handlers are written in: the version that this crate's are.
pub use axum;
