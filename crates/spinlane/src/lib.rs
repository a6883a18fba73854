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
//!
//! `host` and `export!` belong in a module behind `#[cfg(target_family = "wasm")]`:
//! everything else then compiles and is tested natively.

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
