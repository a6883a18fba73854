//! The limit over all lanes: a rate of calls, and so many launches at a time.

use std::sync::Arc;

use super::bucket::Rate;
use super::lane::{Acquire, Ask, Lane, LaneLimits, LaneSnapshot};
use crate::ports::Clock;

/// The global token bucket, with a queue in the order of asking, and the bound
/// on launches.
///
/// A launch lasts from the token to the response head; its
/// [`Permit`](super::Permit) is held that long. So this is a lane whose slots
/// are launches: the first in the queue sleeps exactly until its token is due,
/// the others until they are first. No timer ticks.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::{Ask, Global, Rate};
/// use spinlane_core::ports::Clock;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let ten = Rate::per_second(NonZeroU32::new(10).unwrap());
/// let global = Global::new(ten, 1, 4, 100, world.ports().clock);
/// let begin = world.clock.now();
/// for _ in 0..3 {
///     // Whose request leaves, and has its head at once.
///     world.run(global.acquire(Ask::default()))?.launch();
/// }
/// assert_eq!(world.clock.now() - begin, Duration::from_millis(200));
/// # Ok::<(), spinlane_core::limit::LaneError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Global(Lane);

/// What the global limit is called in errors and in the log.
pub const GLOBAL: &str = "global";

impl Global {
    /// `rate` with `burst` over all lanes, `launches` at a time, and a queue
    /// of `queue` waiters beyond which callers are turned away.
    pub fn new(rate: Rate, burst: u32, launches: u32, queue: usize, clock: Arc<dyn Clock>) -> Self {
        let limits = LaneLimits {
            concurrency: launches,
            rate: Some((rate, burst)),
            queue,
        };
        Self(Lane::new(GLOBAL, limits, clock))
    }

    /// Waits for a launch. Call [`launch`](super::Permit::launch) on the permit
    /// when the request leaves, and drop it when the head is there.
    ///
    /// # Errors
    /// As [`Lane::acquire`].
    pub fn acquire(&self, ask: Ask) -> Acquire {
        self.0.acquire(ask)
    }

    /// Changes rate and burst while it runs. Tokens that are there stay.
    pub fn set_rate(&self, rate: Rate, burst: u32) {
        self.0.set_rate(Some((rate, burst)));
    }

    /// Changes how many launches there may be at a time (0 counts as 1).
    pub fn set_launches(&self, launches: u32) {
        self.0.set_limit(launches);
    }

    /// Launches under way, and callers waiting for one.
    pub fn snapshot(&self) -> LaneSnapshot {
        self.0.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Instant;
    use crate::testing::World;
    use futures::future::join_all;
    use std::num::NonZeroU32;
    use std::sync::Mutex;
    use std::time::Duration;

    /// Starts 200 calls at once, each `took` long, and returns their starts.
    fn starts(launches: u32, took: Duration) -> Vec<u64> {
        let world = World::new();
        let clock = Arc::new(world.clock.clone());
        let rate = Rate::per_second(NonZeroU32::new(40).unwrap());
        let global = Global::new(rate, 40, launches, 1_000, clock.clone());
        let starts: Mutex<Vec<u64>> = Mutex::default();
        let begun: Instant = clock.now();
        world.run(join_all((0..200).map(|_| async {
            let mut permit = global.acquire(Ask::default()).await.unwrap();
            permit.launch();
            let start = (clock.now() - begun).as_millis();
            starts.lock().unwrap().push(u64::try_from(start).unwrap());
            clock.sleep(took).await;
            drop(permit);
        })));
        assert_eq!(global.snapshot().in_flight, 0);
        starts.into_inner().unwrap()
    }

    #[test]
    fn a_burst_and_then_a_token_each_25_ms() {
        let starts = starts(1_000, Duration::from_secs(1));
        assert!(starts[..40].iter().all(|start| *start == 0));
        let due: Vec<u64> = (1..=160).map(|n| n * 25).collect();
        assert_eq!(starts[40..], due);
    }

    #[test]
    fn launches_are_bounded() {
        let starts = starts(10, Duration::from_millis(500));
        for (n, start) in (0u64..).zip(&starts) {
            assert_eq!(*start, n / 10 * 500);
        }
    }
}
