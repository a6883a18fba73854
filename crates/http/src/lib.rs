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
//! Extractors and answers:
//!
//! - [`json`]: bodies, read with every fault named.
//! - [`problem`]: errors outside a stream (RFC 9457).
//! - [`quota`]: how often a caller may ask.
//! - [`run`]: work that is done while its answer is being streamed.

pub mod access_log;
pub mod context;
pub mod cors;
pub mod json;
pub mod methods;
pub mod panic;
pub mod problem;
pub mod quota;
pub mod run;
pub mod target;
