//! Limits that hold over all instances of a component, and over machines that
//! share a store: built on [`Counters::increment`] alone.
//!
//! - [`SharedRate`]: calls per second, by tickets of time windows. One
//!   increment for a call that does not wait.
//! - [`SharedLane`]: concurrent calls, by leases of a lane. One increment to
//!   take one, one to give it back, one for each renewal.
//! - [`SharedPause`]: an upstream's `Retry-After`. One plain read.
//!
//! So a call that does not wait and ends within its first lease costs three
//! increments: one for the global rate, two for the lane. It costs five where it
//! begins in the last 2 s of the 10 s of a lease period ([`OVERLAP`], [`LEASE`]):
//! there it takes, and gives back, a lease of the next period too. A lane with a
//! rate of its own costs one more.
//!
//! All assume that clocks of machines differ by no more than [`SKEW`], and that a
//! call of the store takes up to 0.9 s. Within that nobody calls during a pause,
//! lanes hold, and so do rates whose burst is at least a second's worth; one of a
//! smaller burst is passed by what comes in the difference of the clocks
//! ([`SharedRate`]).
//!
//! While the store is left alone, because a call has failed, all of these fail
//! open: limits then hold within an instance only. A store that is no more than
//! slow, as a crowd makes it, goes on being used: overload does not open what is
//! there for it.
//!
//! [`Counters::increment`]: crate::ports::Counters::increment

mod lane;
mod lease;
mod pause;
mod rate;

pub use lane::{NoSlot, SharedLane};
pub use lease::{LEASE, Lease, OVERLAP};
pub use pause::SharedPause;
pub use rate::{NoTicket, SharedRate, Tickets, Window};

use std::time::Duration;

/// How much the clocks of two machines may differ.
pub const SKEW: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
