//! A cache with an end for every value, and sessions, over a key-value store
//! that has no expiry.

mod envelope;
mod flights;
mod key;
mod policy;
mod queue;
mod stamp;
mod stats;
mod store;
mod typed;

pub use key::Key;
pub use policy::{Kind, Policy};
pub use stats::{Report, Stats};
pub use typed::{Cache, Typed};
