//! The DJ: an AI that talks about music over Server-Sent Events, as one component.
//!
//! It stands on [`spinlane_core`] and reaches the world through
//! [`Ports`](spinlane_core::ports::Ports), so the whole API runs natively in tests. A
//! host makes an [`App`] and hands it requests. The map:
//!
//! - `api`: the routes, what they take and answer, and the page.
//! - `chat`: the agent, its turns with the model, and its tools.
//! - `enrich`: tempo and tags of many tracks.
//! - `auth`: logins, sessions and what a session may do.
//! - `frames`: what a stream says.
//! - `clients`: the upstream services, as typed calls.
//! - [`config`]: the typed environment.
//!
//! Only `component`, which exports the application, knows a host as well.

mod aead;
mod api;
mod app;
mod auth;
mod chat;
mod clients;
#[cfg(target_family = "wasm")]
mod component;
pub mod config;
mod enrich;
pub mod error;
mod frames;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod limits;
mod music;
mod stored;
#[cfg(test)]
mod testing;

pub use app::App;
pub(crate) use app::AppState;
