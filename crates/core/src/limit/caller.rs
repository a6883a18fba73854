//! How often one caller may ask, over all instances.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::decision::{Decision, Quota};
use crate::cache::Signals;
use crate::hex;
use crate::ports::StoreError;
use crate::store::{PeriodCounter, Store};

/// A quota for each caller, counted in the store: one read and one increment a
/// request.
///
/// Windows are fixed, so that one increment is enough before a response may
/// begin; each caller's begin at another moment, so that not everybody comes
/// back at once. Over the border of two windows a caller can use both quotas.
/// A refused request counts: who keeps asking is not let in sooner. Once the quota
/// is used up a plain value says so until the window ends, and is looked at first:
/// a flood that is refused costs reads, and no increments.
///
/// Callers are counted under a hash of what they are called. That keeps names out of
/// sight and of one length; where there are few names, such as addresses, who reads
/// the store finds them by trying all. It is gone with its window.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::{CallerLimit, Quota};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let one_a_minute = Quota::new(NonZeroU32::MIN, Duration::from_secs(60));
/// let limit = CallerLimit::new(&Store::open(&world.ports()), "asks", one_a_minute);
/// let limit = limit.expect("this host has counters");
/// let check = |caller| world.run(limit.check(caller, 1));
/// assert!(check("192.0.2.7")?.allowed);
/// assert!(!check("192.0.2.7")?.allowed);
/// assert!(check("192.0.2.8")?.allowed, "each caller has its own");
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CallerLimit {
    store: Store,
    series: &'static str,
    quota: Quota,
    used_up: Signals,
    /// The same, to look at: who is refused by it costs a read, and nothing after
    /// the response.
    looks: Signals,
}

/// The present window of a caller.
struct Window {
    counter: PeriodCounter,
    period: u64,
    /// What the signal is called that says that it is used up.
    signal: String,
    reset: Duration,
    quota: Quota,
}

/// Where a caller is over by so many of these, the signal is raised again: who was
/// first to be over may have died before.
const RAISED_AGAIN: i64 = 16;

impl CallerLimit {
    /// The namespace of the plain values. For the [full sweep](Store::full_sweep).
    pub const NAMESPACE: &'static str = "used-up";

    /// `series` tells quotas in one store apart. `None` where the host has no
    /// counters: nobody is counted there.
    pub fn new(store: &Store, series: &'static str, quota: Quota) -> Option<Self> {
        store.has_counters().then(|| Self {
            store: store.clone(),
            series,
            quota,
            used_up: Signals::new(store, Self::NAMESPACE, quota.window),
            looks: Signals::new(&store.urgently(), Self::NAMESPACE, quota.window),
        })
    }

    /// Counts a request of `caller` that is worth `units` (at least one; more than the
    /// quota counts as the whole of it). One for which less is left than it is worth
    /// is refused, and not counted where there is something left.
    ///
    /// # Errors
    /// When the store fails or is left alone: nobody knows then. Refuse the
    /// request, or the operator is unprotected while the store is in trouble.
    pub async fn check(&self, caller: &str, units: u32) -> Result<Decision, StoreError> {
        let window = self.window(caller)?;
        if self.looks.is_raised(&window.signal).await? {
            return Ok(window.refused(0));
        }
        let limit = i64::from(self.quota.requests.get());
        let units = i64::from(units).clamp(1, limit);
        let count = window.counter.add(window.period, units).await?;
        let before = count - units;
        if count <= limit {
            return Ok(Decision {
                allowed: true,
                ..window.refused(limit - count)
            });
        }
        if before < limit {
            window.counter.add(window.period, -units).await?;
            return Ok(window.refused(limit - before));
        }
        if (before - limit) % RAISED_AGAIN == 0 {
            // Without it the next one is refused by its count.
            let _ = self.used_up.raise(&window.signal).await;
        }
        Ok(window.refused(0))
    }

    /// Whether `caller` has used up its quota, where that has shown by now. Counts
    /// nothing, and costs a read.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn is_used_up(&self, caller: &str) -> Result<Option<Decision>, StoreError> {
        let window = self.window(caller)?;
        let used_up = self.looks.is_raised(&window.signal).await?;
        Ok(used_up.then(|| window.refused(0)))
    }

    fn window(&self, caller: &str) -> Result<Window, StoreError> {
        let (caller, number) = hashed(caller);
        let name = format!("caller:{}:{caller}", self.series);
        let none = || StoreError::Unavailable("this host has no counters".into());
        let counter = PeriodCounter::new(&self.store, &name, self.quota.window);
        let counter = counter.ok_or_else(none)?;
        let offset = u128::from(number) % counter.length().as_nanos();
        let offset = Duration::from_nanos(u64::try_from(offset).unwrap_or(0));
        let now = self.store.unix() + offset;
        let period = counter.period_at(now);
        Ok(Window {
            period,
            signal: format!("{}:{caller}:{period}", self.series),
            reset: counter.begin_of(period + 1).saturating_sub(now),
            quota: self.quota,
            counter,
        })
    }

    /// What is enforced.
    pub const fn quota(&self) -> Quota {
        self.quota
    }
}

impl Window {
    fn refused(&self, left: i64) -> Decision {
        Decision {
            allowed: false,
            remaining: u32::try_from(left.max(0)).unwrap_or(0),
            reset: self.reset,
            quota: self.quota,
        }
    }
}

/// What a caller is called in the store, and a number of its own.
pub(super) fn hashed(caller: &str) -> (String, u64) {
    let digest = Sha256::digest(caller.as_bytes());
    let number = u64::from_be_bytes(std::array::from_fn(|at| digest[at + 16]));
    (hex::encode(&digest[..16]), number)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::testing::World;

    const WINDOW: Duration = Duration::from_secs(600);

    fn limit(world: &World) -> CallerLimit {
        let quota = Quota::new(NonZeroU32::new(3).unwrap(), WINDOW);
        CallerLimit::new(&Store::open(&world.ports()), "chat", quota).unwrap()
    }

    #[test]
    fn each_caller_has_a_quota_of_its_own_over_all_instances() {
        let world = World::new();
        world.run(async {
            for left in [2, 1, 0] {
                let decision = limit(&world).check("a", 1).await.unwrap();
                assert_eq!((decision.allowed, decision.remaining), (true, left));
            }
            let refused = limit(&world).check("a", 1).await.unwrap();
            assert_eq!((refused.allowed, refused.remaining), (false, 0));
            assert!(limit(&world).check("b", 1).await.unwrap().allowed);
            // To the instant at which it was said to begin anew.
            world.clock.advance(refused.reset - Duration::from_nanos(1));
            assert!(!limit(&world).check("a", 1).await.unwrap().allowed);
            world.clock.advance(Duration::from_nanos(1));
            assert!(limit(&world).check("a", 1).await.unwrap().allowed);
        });
    }

    #[test]
    fn counting_costs_a_read_and_an_increment_before_a_response_may_begin() {
        let world = World::new();
        world.run(limit(&world).check("a", 1)).unwrap();
        assert_eq!((world.store.calls(), world.store.counters_len()), (2, 1));
    }

    /// Also that of another instance, and of who was over at the same time.
    #[test]
    fn a_flood_that_is_refused_costs_reads() {
        let world = World::new();
        for _ in 0..4 {
            world.run(limit(&world).check("a", 1)).unwrap();
            world.drain();
        }
        let (calls, counters) = (world.store.calls(), world.store.counters());
        for _ in 0..100 {
            let refused = world.run(limit(&world).check("a", 1)).unwrap();
            assert_eq!((refused.allowed, refused.remaining), (false, 0));
            let used_up = world.run(limit(&world).is_used_up("a")).unwrap();
            assert_eq!(used_up, Some(refused));
        }
        assert_eq!(world.store.calls() - calls, 200);
        assert_eq!(world.store.counters(), counters);
        assert_eq!(world.run(limit(&world).is_used_up("b")), Ok(None));
        // Until the window ends, and no longer.
        let refused = world.run(limit(&world).check("a", 1)).unwrap();
        world.clock.advance(refused.reset);
        assert!(world.run(limit(&world).check("a", 1)).unwrap().allowed);
    }

    /// Where the instance has died that was the first to be over.
    #[test]
    fn the_word_that_a_quota_is_used_up_is_said_again() {
        let world = World::new();
        let window = limit(&world).window("a").unwrap();
        world.run(window.counter.add(window.period, 4)).unwrap();
        for _ in 0..16 {
            world.run(limit(&world).check("a", 1)).unwrap();
        }
        let calls = world.store.calls();
        world.run(limit(&world).check("a", 1)).unwrap();
        assert_eq!(world.store.calls() - calls, 1);
    }

    #[test]
    fn what_is_worth_more_counts_more() {
        let world = World::new();
        let check = |units| world.run(limit(&world).check("a", units)).unwrap();
        assert_eq!((check(2).allowed, check(2).remaining), (true, 1));
        // What did not fit was given back.
        let one = check(1);
        assert_eq!((one.allowed, one.remaining), (true, 0));
        assert!(!check(1).allowed);
        // More than there ever is counts as all of it.
        let other = world.run(limit(&world).check("b", 1_000)).unwrap();
        assert_eq!((other.allowed, other.remaining), (true, 0));
    }

    /// Ten times as many callers leave no more behind.
    #[test]
    fn those_who_never_return_are_removed_by_others() {
        let left = |callers: u64| {
            let world = World::new();
            for n in 0..callers {
                world.run(limit(&world).check(&n.to_string(), 1)).unwrap();
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
                world.run(limit(&world).check(&n.to_string(), 1)).unwrap();
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

    /// Not in plain text. A hash of one of few names is found by trying all: nobody
    /// is promised more than that it is out of sight, and gone with its window.
    #[test]
    fn callers_are_counted_under_a_hash() {
        let world = World::new();
        world.run(limit(&world).check("192.0.2.7", 1)).unwrap();
        let names = format!("{:?}", world.store.counters());
        assert!(!names.contains("192.0.2.7"), "{names}");
    }

    #[test]
    fn who_cannot_be_counted_is_not_waved_through() {
        let world = World::new();
        let fault = StoreError::Unavailable("gone".into());
        world.store.fail_with(Some(fault.clone()));
        let limit = limit(&world);
        assert_eq!(world.run(limit.check("a", 1)), Err(fault));
        let left_alone = world.run(limit.check("a", 1)).unwrap_err();
        assert!(matches!(left_alone, StoreError::LeftAlone { .. }));
        assert!(left_alone.retry_after().is_some());
    }
}
