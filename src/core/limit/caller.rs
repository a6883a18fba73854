//! How often one caller may ask, over all instances.

use std::num::NonZeroU32;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::core::hex;
use crate::core::ports::StoreError;
use crate::core::store::{PeriodCounter, Store};

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
/// Callers are hashed, so the store names nobody.
#[derive(Clone, Debug)]
pub struct CallerLimit {
    store: Store,
    series: &'static str,
    quota: Quota,
}

impl CallerLimit {
    /// `series` tells quotas in one store apart. `None` where the host has no
    /// counters: nobody is counted there.
    pub fn new(store: &Store, series: &'static str, quota: Quota) -> Option<Self> {
        store.has_counters().then(|| Self {
            store: store.clone(),
            series,
            quota,
        })
    }

    /// Counts a request of `caller`.
    ///
    /// # Errors
    /// When the store fails or is left alone: nobody knows then. Refuse the
    /// request, or the operator is unprotected while the store is in trouble.
    pub async fn check(&self, caller: &str) -> Result<Decision, StoreError> {
        let digest = Sha256::digest(caller.as_bytes());
        let caller = hex::encode(&digest[..16]);
        let name = format!("caller:{}:{caller}", self.series);
        let none = || StoreError::Unavailable("this host has no counters".into());
        let counter = PeriodCounter::new(&self.store, &name, self.quota.window);
        let counter = counter.ok_or_else(none)?;
        let offset = u64::from_be_bytes(std::array::from_fn(|at| digest[at + 16]));
        let offset = u128::from(offset) % counter.length().as_nanos();
        let offset = Duration::from_nanos(u64::try_from(offset).unwrap_or(0));
        let now = self.store.unix() + offset;
        let period = counter.period_at(now);
        let count = counter.add(period, 1).await?;
        let limit = i64::from(self.quota.requests.get());
        Ok(Decision {
            allowed: count <= limit,
            remaining: u32::try_from((limit - count).max(0)).unwrap_or(0),
            reset: counter.begin_of(period + 1).saturating_sub(now),
        })
    }

    /// What is enforced.
    pub const fn quota(&self) -> Quota {
        self.quota
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::World;

    const WINDOW: Duration = Duration::from_secs(600);

    fn limit(world: &World) -> CallerLimit {
        let quota = Quota {
            requests: NonZeroU32::new(3).unwrap(),
            window: WINDOW,
        };
        CallerLimit::new(&Store::open(&world.ports()), "chat", quota).unwrap()
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
        });
    }

    #[test]
    fn counting_costs_one_increment_before_a_response_may_begin() {
        let world = World::new();
        world.run(limit(&world).check("a")).unwrap();
        assert_eq!(world.store.calls(), 1);
    }

    /// Ten times as many callers leave no more behind.
    #[test]
    fn those_who_never_return_are_removed_by_others() {
        let left = |callers: u64| {
            let world = World::new();
            for n in 0..callers {
                world.run(limit(&world).check(&n.to_string())).unwrap();
                world.drain();
                world.clock.advance(Duration::from_secs(5));
            }
            (world.store.counters_len(), world.store.len())
        };
        let (few, many) = (left(1_000), left(10_000));
        assert!(
            many.0 <= few.0 + 10 && many.1 <= few.1 + 10,
            "{few:?}, {many:?}"
        );
        // Those of two windows and of the time in which they may be removed.
        assert!(many.0 <= 1_000, "{many:?}");
    }

    /// A crowd is worked off by those who come when it is over.
    #[test]
    fn a_crowd_leaves_nothing_for_ever() {
        let world = World::new();
        let come = |names: std::ops::Range<u64>| {
            for n in names {
                world.run(limit(&world).check(&n.to_string())).unwrap();
                world.drain();
            }
        };
        come(0..4_000);
        assert!(world.store.counters_len() >= 4_000);
        world.clock.advance(3 * WINDOW);
        come(4_000..8_000);
        world.clock.advance(3 * WINDOW);
        come(8_000..12_000);
        let counters = world.store.counters_len();
        assert!(counters <= 4_010, "{counters}");
    }

    #[test]
    fn the_store_names_nobody() {
        let world = World::new();
        world.run(limit(&world).check("192.0.2.7")).unwrap();
        let names = format!("{:?}", world.store.counters());
        assert!(!names.contains("192.0.2.7"), "{names}");
    }

    #[test]
    fn who_cannot_be_counted_is_not_waved_through() {
        let world = World::new();
        let fault = StoreError::Unavailable("gone".into());
        world.store.fail_with(Some(fault.clone()));
        let limit = limit(&world);
        assert_eq!(world.run(limit.check("a")), Err(fault));
        let left_alone = world.run(limit.check("a")).unwrap_err();
        assert!(matches!(left_alone, StoreError::LeftAlone { .. }));
        assert!(left_alone.retry_after().is_some());
    }
}
