//! How often one caller may ask, over all instances.

use std::num::NonZeroU32;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::shared::Shared;
use crate::core::hex;

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub requests: NonZeroU32,
    /// In how much time.
    pub window: Duration,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may go on.
    pub allowed: bool,
    /// Requests that the caller has left in this window.
    pub remaining: u32,
    /// When the next window begins.
    pub reset: Duration,
}

/// A quota for each caller, counted in the store: one increment a request.
///
/// Windows are fixed, so that one increment is enough before a response may
/// begin; each caller's begin at another moment, so that not everybody comes
/// back at once. Over the border of two windows a caller can use both quotas.
/// A refused request counts: who keeps asking is not let in sooner.
///
/// Callers are hashed, so the store names nobody. A caller's old counter is
/// removed at its next visit; those who never return are for the operator's
/// sweep. Where the store fails, everybody is let in.
#[derive(Clone, Debug)]
pub struct CallerLimit {
    shared: Shared,
    series: &'static str,
    quota: Quota,
}

impl CallerLimit {
    /// `series` tells quotas in one store apart.
    pub fn new(shared: Shared, series: &'static str, quota: Quota) -> Self {
        Self {
            shared,
            series,
            quota,
        }
    }

    /// Counts a request of `caller`. `None` while the store is left alone.
    pub async fn check(&self, caller: &str) -> Option<Decision> {
        let digest = Sha256::digest(caller.as_bytes());
        let offset = u64::from_be_bytes(std::array::from_fn(|at| digest[at + 16]));
        let window = self.quota.window.as_nanos().max(1);
        let now = self.shared.unix().as_nanos() + u128::from(offset) % window;
        let (period, into) = (now / window, now % window);
        let caller = hex::encode(&digest[..16]);
        let name = |period: u128| format!("caller:{}:{caller}:{period}", self.series);
        let count = self.shared.increment(&name(period), 1).await?;
        if count == 1 {
            self.shared.remove(&name(period.saturating_sub(1))).await;
        }
        let limit = i64::from(self.quota.requests.get());
        let reset = u64::try_from(window - into).unwrap_or(u64::MAX);
        Some(Decision {
            allowed: count <= limit,
            remaining: u32::try_from((limit - count).max(0)).unwrap_or(0),
            reset: Duration::from_nanos(reset),
        })
    }

    /// Whether `counter`, by its name in the store, is that of a window of this
    /// quota that is over for whomever it counts.
    pub fn is_over(&self, counter: &str) -> bool {
        let period = counter
            .strip_prefix("caller:")
            .and_then(|rest| rest.strip_prefix(self.series)?.strip_prefix(':'))
            .and_then(|rest| rest.split_once(':')?.1.parse::<u128>().ok());
        // Windows of callers begin up to one window before those of time.
        let present = self.shared.unix().as_nanos() / self.quota.window.as_nanos().max(1);
        period.is_some_and(|period| period < present)
    }

    /// What is enforced.
    pub const fn quota(&self) -> Quota {
        self.quota
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::limit::shared::Health;
    use crate::core::ports::StoreError;
    use crate::core::testing::World;

    fn limit(world: &World) -> CallerLimit {
        let shared = Shared::new(&world.ports(), Arc::new(Health::new())).unwrap();
        let quota = Quota {
            requests: NonZeroU32::new(3).unwrap(),
            window: Duration::from_secs(600),
        };
        CallerLimit::new(shared, "chat", quota)
    }

    #[test]
    fn each_caller_has_a_quota_of_its_own_over_all_instances() {
        let world = World::new();
        world.run(async {
            for left in [2, 1, 0] {
                let decision = limit(&world).check("a").await.unwrap();
                assert_eq!((decision.allowed, decision.remaining), (true, left));
            }
            let refused = limit(&world).check("a").await.unwrap();
            assert_eq!((refused.allowed, refused.remaining), (false, 0));
            assert!(limit(&world).check("b").await.unwrap().allowed);
            // To the instant at which it was said to begin anew.
            world.clock.advance(refused.reset - Duration::from_nanos(1));
            assert!(!limit(&world).check("a").await.unwrap().allowed);
            world.clock.advance(Duration::from_nanos(1));
            assert!(limit(&world).check("a").await.unwrap().allowed);
            // The earlier window's counter is gone.
            assert_eq!(world.store.counters_len(), 2);
        });
    }

    #[test]
    fn the_store_names_nobody() {
        let world = World::new();
        world.run(limit(&world).check("192.0.2.7")).unwrap();
        let names = format!("{:?}", world.store.counters());
        assert!(!names.contains("192.0.2.7"), "{names}");
    }

    #[test]
    fn a_store_in_trouble_lets_everybody_in() {
        let world = World::new();
        let fault = StoreError::Unavailable("gone".into());
        world.store.fail_with(Some(fault));
        assert_eq!(world.run(limit(&world).check("a")), None);
    }
}
