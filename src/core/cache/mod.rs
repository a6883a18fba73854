//! A cache with an end for every value, and sessions, over a key-value store
//! that has no expiry.

mod claim;
mod envelope;
mod flag;
mod flights;
mod index;
mod key;
mod policy;
mod queue;
pub mod session;
mod stamp;
mod stats;
mod store;
mod sweep;
mod typed;
mod whole;

pub use flag::Flags;
pub use key::Key;
pub use policy::{Kind, Policy};
pub use stats::{Report, Stats};
pub use typed::{Cache, Typed};
pub use whole::Swept;

#[cfg(test)]
mod tests;
