//! Spinlane: streaming HTTP APIs as one WebAssembly component.
//!
//! What an application on Spin or on plain WASI depends on:
//!
//! - [`core`]: the rules, pure and native: SSE, limits, TTL cache, and the ports
//!   through which they reach the world.
//! - `client` (feature `client`): typed calls of upstream APIs; with the feature
//!   `anthropic` the Messages API, streaming.
//! - `http` (feature `http`): what a streaming API on axum needs, as layers and
//!   extractors.
//! - `host` (wasm only): the ports on Spin (feature `spin`) and on plain WASI
//!   (feature `wasi`).
//! - `export!` (wasm only): makes a handler the component's.
//! - [`application!`] (feature `http`): the same for one of axum, on all targets.
//! - [`prelude`] (feature `http`): what nearly every such application names.
//!
//! `host` and `export!` belong behind `#[cfg(target_family = "wasm")]`: everything else
//! then compiles and is tested natively. [`application!`] sees to that itself.

#[cfg(feature = "client")]
pub use spinlane_client as client;
pub use spinlane_core as core;
#[cfg(feature = "http")]
pub use spinlane_http as http;
/// What an application logs goes by its macros where this crate's own goes: the host
/// writes events as lines of JSON, from the level on that the variable `log_level` says.
pub use tracing;

#[cfg(target_family = "wasm")]
pub mod host;
#[cfg(feature = "http")]
pub mod prelude;

/// Makes `$answer` the component's: an `async fn` that answers a
/// `Request<Body>` of axum, given the [`Ports`](core::ports::Ports) of the host and its
/// variables as `fn(&str) -> Option<String>`. Natively it makes nothing, so that the
/// application compiles and is tested without a host.
///
/// ```
/// use spinlane::prelude::*;
///
/// async fn answer(
///     request: Request<Body>,
///     ports: Ports,
///     variable: impl Fn(&str) -> Option<String>,
/// ) -> Response {
///     let greeting = variable("greeting").unwrap_or_default();
///     let routes = stack::routes().route("/", get(|| async { greeting }));
///     Stack::new(&ports, 0, |_| None).answer(routes, request).await
/// }
///
/// spinlane::application!(answer);
/// ```
#[cfg(feature = "http")]
#[macro_export]
macro_rules! application {
    ($answer:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            async fn handle(
                request: $crate::http::axum::http::Request<$crate::host::IncomingBody>,
                ports: $crate::core::ports::Ports,
            ) -> $crate::http::axum::response::Response {
                let request = request.map($crate::http::axum::body::Body::new);
                $answer(request, ports, $crate::host::variable).await
            }

            $crate::export!(handle);
        };
    };
}
