//! Limits that hold over all instances of a component, and over machines that
//! share a store: built on [`Counters::increment`] alone.
//!
//! - [`SharedRate`]: calls per second, by tickets of time windows. One
//!   increment for a call that does not wait.
//! - [`SharedLane`]: concurrent calls, by leases of a lane. One increment to
//!   take one, one to give it back, one for each renewal.
//! - [`SharedPause`]: an upstream's `Retry-After`. One plain read.
//! - [`SharedLimit`]: what an adaptive lane has learned. One plain read.
//!
//! So a call that does not wait and ends within its first lease costs three
//! increments: one for the global rate, two for the lane. It costs five where it
//! begins in the last 2 s of the 10 s of a lease period ([`LeaseTimes`]): there
//! it takes, and gives back, a lease of the next period too. A lane with a rate
//! of its own costs one more. A heavy call's tickets are taken together.
//!
//! All assume that clocks of machines differ, and guests are held up, by no more
//! than [`SKEW`] in sum. Within it nobody calls during a pause, lanes hold, and
//! so do rates whose burst is at least a second's worth. Lanes bear four times
//! as much ([`LeaseTimes::overlap`] / 2); a rate of a smaller burst, or with more
//! skew, is passed by what comes in that time ([`SharedRate`]).
//!
//! Where the store fails, or takes a second, [`Health`] leaves it alone for a
//! while and all of these fail open: limits then hold within an instance only,
//! and callers are not counted. A store that is no more than slow, as a crowd
//! makes it, goes on being used: overload does not open what is there for it.
//!
//! [`Counters::increment`]: crate::core::ports::Counters::increment

mod adapted;
mod health;
mod lane;
mod pause;
mod rate;
pub(super) mod trail;

pub use adapted::SharedLimit;
pub use health::Health;
pub use lane::{Lease, LeaseTimes, NoSlot, SharedLane};
pub use pause::SharedPause;
pub use rate::{NoTicket, SharedRate, Tickets, Window};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::core::ports::{BoxFuture, Clock, Counters, KeyValue, Ports, Spawner, StoreError};

/// How much the clocks of two machines may differ, and how long a guest may be
/// held up, in sum.
pub const SKEW: Duration = Duration::from_millis(250);

/// The caller's own deadline comes before its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no free slot within the time that the caller has")]
pub struct TooLate {
    /// How long the wait would have been, as far as it can be told.
    pub wait: Duration,
}

/// The store that limits are shared in, and what else they reach the world by.
/// One value for all limits of an instance, so that they learn of the store's
/// trouble together.
#[derive(Clone)]
pub struct Shared {
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    counters: Arc<dyn Counters>,
    key_value: Option<Arc<dyn KeyValue>>,
    health: Arc<Health>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// `None` where the host has no counters.
    pub fn new(ports: &Ports, health: Arc<Health>) -> Option<Self> {
        Some(Self {
            clock: Arc::clone(&ports.clock),
            spawner: Arc::clone(&ports.spawner),
            counters: ports.counters.clone()?,
            key_value: ports.key_value.clone(),
            health,
        })
    }

    /// Adds to a counter. `None` while the store is left alone, and when the
    /// call fails.
    pub(super) async fn increment(&self, name: &str, delta: i64) -> Option<i64> {
        self.watched(self.counters.increment(name, delta)).await
    }

    pub(super) async fn remove(&self, name: &str) {
        self.watched(self.counters.remove(name)).await;
    }

    /// Does what no response has to wait for.
    pub(super) fn after_response(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.after_response(Box::pin(task));
    }

    /// Whether the store is used, and not left alone.
    pub(super) fn is_used(&self) -> bool {
        self.health.may_use_even_slow(self.clock.now())
    }

    pub(super) fn unix(&self) -> Duration {
        self.clock.unix()
    }

    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let key_value = self.key_value.as_ref()?;
        self.watched(key_value.get(key)).await.flatten()
    }

    async fn delete(&self, key: &str) {
        if let Some(key_value) = &self.key_value {
            self.watched(key_value.delete(key)).await;
        }
    }

    async fn set(&self, key: &str, value: &[u8]) {
        if let Some(key_value) = &self.key_value {
            self.watched(key_value.set(key, value)).await;
        }
    }

    async fn watched<T>(&self, call: BoxFuture<'_, Result<T, StoreError>>) -> Option<T> {
        let begin = self.clock.now();
        if !self.health.may_use_even_slow(begin) {
            return None;
        }
        let result = call.await;
        let now = self.clock.now();
        self.health.report(now, now - begin, result.as_ref().err());
        result.ok()
    }
}

#[cfg(test)]
mod tests;
