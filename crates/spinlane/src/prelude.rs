//! What nearly every application names that answers with streams: `use
//! spinlane::prelude::*`. Each is at its own place as well.

#[cfg(feature = "anthropic")]
pub use spinlane_client::anthropic;
#[cfg(feature = "client")]
pub use spinlane_client::{Api, ApiRequest, ApiSpec, Service, Transport, UpstreamError};
pub use spinlane_core::cache::{Cached, Key, Kind, Policy, Typed};
pub use spinlane_core::error::{ErrorObject, code};
pub use spinlane_core::limit::{LaneConfig, Limits, Rate};
pub use spinlane_core::ports::{Ports, Timeouts};
pub use spinlane_core::resources::Resources;
pub use spinlane_http::axum::Extension;
pub use spinlane_http::axum::body::Body;
pub use spinlane_http::axum::extract::{Path, State};
pub use spinlane_http::axum::http::{HeaderMap, Request, StatusCode};
pub use spinlane_http::axum::response::Response;
pub use spinlane_http::axum::routing::{get, post};
pub use spinlane_http::context::RequestContext;
pub use spinlane_http::problem::Problem;
pub use spinlane_http::quota::{SPIN_CLIENT_ADDR, caller_of};
pub use spinlane_http::run::plain::{Plain, Reason};
pub use spinlane_http::run::resume::Attempted;
pub use spinlane_http::run::{
    self, After, Attempt, NewRun, Output, Run, RunEnd, Runs, Waits, stop,
};
pub use spinlane_http::stack::{self, Stack};
pub use spinlane_http::text::Text;
