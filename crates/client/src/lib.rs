//! Typed calls of upstream APIs, through the limits of [`spinlane_core`].
//!
//! - [`Transport`]: what every call needs of the application that makes it.
//! - [`Api`], [`ApiSpec`]: one API, and how it is spoken to. Its calls pay budget, wait
//!   for their lane, are repeated where that is safe, and leave a line in the log.
//! - [`ApiRequest`], [`ApiAnswer`]: what is sent, and what came, as JSON that is read
//!   as services really write it.
//! - [`UpstreamError`]: why there is no answer, in words that a person can act on.
//! - [`Origin`], [`Secret`]: where a service is, and what must not be printed.
//! - `anthropic` (feature of that name): the Messages API, streaming.

#[cfg(feature = "anthropic")]
pub mod anthropic;
mod api;
mod error;
pub mod lenient;
mod origin;
mod request;
mod secret;
mod spec;
#[cfg(test)]
mod testing;
mod transport;
mod words;

pub use api::{Api, ApiAnswer, MAX_ANSWER};
pub use error::{Failure, Refusal, Service, UpstreamError};
pub use origin::{Origin, host};
pub use request::ApiRequest;
pub use secret::Secret;
pub use spec::{ApiSpec, Meaning, ServiceError};
pub use transport::Transport;
