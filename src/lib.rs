//! Spinlane: streaming HTTP APIs as one WebAssembly component.
//!
//! The map of the crate, and the direction of its arrows:
//!
//! - [`core`]: pure rules. SSE, limits, TTL cache. No I/O, no host types, no
//!   clock reads; it reaches the world through [`core::ports`] and imports
//!   nothing of the rest, so it serves native programs as well.
//! - `host` (wasm only): the ports on Spin and on plain WASI.
//! - `dj` (feature `app`): the application. It imports `core` only.
//!
//! Only `component`, which exports the application, knows both `host` and `dj`.

pub mod core;
#[cfg(feature = "app")]
pub mod dj;
#[cfg(target_family = "wasm")]
pub mod host;

#[cfg(all(target_family = "wasm", feature = "app"))]
mod component;
