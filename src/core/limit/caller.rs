//! How often one caller may ask, over all instances.

use std::num::NonZeroU32;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::shared::{Shared, trail};
use crate::core::hex;

/// Notes of the counters in use, by the first byte of a caller's hash: a bounded
/// number of them, however many callers there are.
type Shard = u8;

/// So many windows ahead of the present no clock counts.
const FARTHEST: u128 = 100;

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
/// Callers are hashed, so the store names nobody. Old counters are removed after
/// the response of whoever comes later, that caller or another whose hash begins
/// with the same byte. What more than 64 of these in a window leave, or a race,
/// is for the operator's sweep. Where the store fails, everybody is let in.
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
        let window = self.window();
        let now = self.shared.unix().as_nanos() + u128::from(offset) % window;
        let (period, into) = (now / window, now % window);
        let caller = hex::encode(&digest[..16]);
        let counter = format!("{caller}:{period}");
        let name = format!("{}:{counter}", self.series());
        let count = self.shared.increment(&name, 1).await?;
        if count == 1 {
            self.clean_up(digest[0], counter);
        }
        let limit = i64::from(self.quota.requests.get());
        let reset = u64::try_from(window - into).unwrap_or(u64::MAX);
        Some(Decision {
            allowed: count <= limit,
            remaining: u32::try_from((limit - count).max(0)).unwrap_or(0),
            reset: Duration::from_nanos(reset),
        })
    }

    /// Notes a new counter and removes old ones, after the response.
    fn clean_up(&self, shard: Shard, counter: String) {
        let this = self.clone();
        self.shared.after_response(async move {
            let series = this.series();
            let note = format!("{series}:{shard:02x}");
            let own = parse(&counter);
            let is_past = |noted: &str| match (parse(noted), own) {
                (Some((caller, period)), Some((own, present))) if caller == own => period < present,
                (Some((_, period)), _) => this.is_unused(period),
                (None, _) => false,
            };
            trail::note(&this.shared, &note, &series, &counter, 0, is_past).await;
        });
    }

    /// Whether `counter`, by its name in the store, is that of a window of this
    /// quota that is over for whomever it counts, or that will not come before
    /// windows had another length.
    pub fn is_over(&self, counter: &str) -> bool {
        let rest = counter.strip_prefix(&self.series());
        let period = rest.and_then(|rest| parse(rest.strip_prefix(':')?));
        period.is_some_and(|(_, period)| self.is_unused(period))
    }

    fn is_unused(&self, period: u128) -> bool {
        // Windows of callers begin up to one window before those of time.
        let present = self.shared.unix().as_nanos() / self.window();
        period < present || period > present + FARTHEST
    }

    fn series(&self) -> String {
        format!("caller:{}", self.series)
    }

    /// Nanoseconds, not 0.
    fn window(&self) -> u128 {
        self.quota.window.as_nanos().max(1)
    }

    /// What is enforced.
    pub const fn quota(&self) -> Quota {
        self.quota
    }
}

/// Whose counter it is and of which window.
fn parse(counter: &str) -> Option<(&str, u128)> {
    let (caller, period) = counter.split_once(':')?;
    Some((caller, period.parse().ok()?))
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
        });
        // The earlier window's counter is gone.
        world.drain();
        assert_eq!(world.store.counters_len(), 2);
    }

    #[test]
    fn who_returns_after_many_windows_leaves_one_counter() {
        let world = World::new();
        for _ in 0..20 {
            let before = world.store.calls();
            world.run(limit(&world).check("a")).unwrap();
            // Nothing else before a response may begin.
            assert_eq!(world.store.calls() - before, 1);
            world.drain();
            world.clock.advance(3 * limit(&world).quota().window);
        }
        assert_eq!(world.store.counters_len(), 1);
    }

    #[test]
    fn those_who_never_return_are_removed_by_others() {
        let world = World::new();
        for n in 0..3_000 {
            world.run(limit(&world).check(&n.to_string())).unwrap();
            world.drain();
            world.clock.advance(Duration::from_secs(10));
        }
        // About those of two windows and of the shards' last visitors, and notes.
        let (counters, notes) = (world.store.counters_len(), world.store.len());
        assert!(counters <= 500 && notes <= 256, "{counters}, {notes} notes");
    }

    /// Also when windows had another length: none of those that may be in use,
    /// by clocks and callers that differ, and all others.
    #[test]
    fn counters_of_other_windows_are_over() {
        let world = World::new();
        world.run(limit(&world).check("a")).unwrap();
        let counters = world.store.counters();
        let name = counters.keys().next().unwrap().clone();
        let with_window = |secs| {
            let quota = Quota {
                window: Duration::from_secs(secs),
                ..limit(&world).quota()
            };
            CallerLimit {
                quota,
                ..limit(&world)
            }
        };
        assert!(!with_window(600).is_over(&name));
        assert!(with_window(60).is_over(&name));
        assert!(with_window(3_600).is_over(&name));
        world.clock.advance(Duration::from_secs(1_200));
        assert!(with_window(600).is_over(&name));
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
