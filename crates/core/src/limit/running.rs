//! How many runs one caller may have at a time, over all instances.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::caller::hashed;
use crate::ports::StoreError;
use crate::store::{PeriodCounter, Store};

/// A run is counted in every period in which it goes on. One whose instance has
/// died is forgotten with the last of them.
const PERIOD: Duration = Duration::from_secs(20);

/// So long before the next one begins a run is counted in it as well: for clocks
/// that are ahead, and stores that are slow.
const OVERLAP: Duration = Duration::from_secs(5);

/// At most so many runs of one caller at a time.
///
/// No lane: nobody queues, and who is refused comes again by itself. Each period of
/// time has a counter for each caller that has runs in it, +1 when one begins and −1
/// when it ends or is refused. Callers are hashed.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use spinlane_core::limit::CallerRuns;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let runs = CallerRuns::new(&Store::open(&world.ports()), NonZeroU32::MIN);
/// let runs = runs.expect("this host has counters");
/// world.run(async {
///     let one = runs.begin("192.0.2.7").await?.expect("it is the first");
///     assert!(runs.begin("192.0.2.7").await?.is_none());
///     one.end().await;
///     assert!(runs.begin("192.0.2.7").await?.is_some());
///     Ok::<(), spinlane_core::ports::StoreError>(())
/// })?;
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CallerRuns {
    store: Store,
    most: NonZeroU32,
}

impl CallerRuns {
    /// `None` where the host has no counters: nobody is counted there.
    pub fn new(store: &Store, most: NonZeroU32) -> Option<Self> {
        store.has_counters().then(|| Self {
            store: store.clone(),
            most,
        })
    }

    /// How many are allowed.
    pub const fn most(&self) -> NonZeroU32 {
        self.most
    }

    /// Begins a run of `caller`. `None`: it has as many as it may. Costs one
    /// increment, and a second one where it is refused.
    ///
    /// # Errors
    /// When the store fails or is left alone: nobody knows then.
    pub async fn begin(&self, caller: &str) -> Result<Option<Running>, StoreError> {
        let (caller, _) = hashed(caller);
        let none = || StoreError::Unavailable("this host has no counters".into());
        let counter = PeriodCounter::new(&self.store, &format!("runs:{caller}"), PERIOD);
        let counter = counter.ok_or_else(none)?;
        let period = counter.present();
        if counter.add(period, 1).await? > i64::from(self.most.get()) {
            // Should this fail it is counted until the period ends.
            let _ = counter.add(period, -1).await;
            return Ok(None);
        }
        let (ended, end) = oneshot::channel();
        let (gone, is_gone) = oneshot::channel();
        let held = Held {
            store: self.store.clone(),
            counter,
            periods: vec![period],
        };
        self.store.spawner().spawn(Box::pin(async move {
            held.until(end).await;
            // Nobody may be waiting.
            let _ = gone.send(());
        }));
        Ok(Some(Running {
            _ended: ended,
            is_gone,
        }))
    }
}

/// A run that is counted. Dropping it ends that, a moment later.
pub struct Running {
    /// Dropped with this.
    _ended: oneshot::Sender<()>,
    is_gone: oneshot::Receiver<()>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Running {
    /// Ends it, and resolves when it is counted no more: who learns then that the
    /// run has ended may begin the next one. As slow as one or two calls of the
    /// store.
    pub async fn end(self) {
        let Self { _ended, is_gone } = self;
        drop(_ended);
        let _ = is_gone.await;
    }
}

/// The periods in which a run is counted.
struct Held {
    store: Store,
    counter: PeriodCounter,
    periods: Vec<u64>,
}

impl Held {
    /// Counts the run in each further period, until `end`, and then in none.
    async fn until(mut self, mut end: oneshot::Receiver<()>) {
        let mut newest = self.periods.last().copied().unwrap_or_default();
        loop {
            let next = newest.saturating_add(1);
            let due = self.counter.begin_of(next).saturating_sub(OVERLAP);
            let wait = due.saturating_sub(self.store.unix());
            match select(self.store.clock().sleep(wait), end).await {
                Either::Left((_, not_yet)) => end = not_yet,
                Either::Right(_) => break,
            }
            // Who was held up, by a store that blocks or a machine that slept, has
            // missed some: those are over.
            let next = next.max(self.counter.present());
            newest = next;
            // One that fails is not counted in this period: the store is in trouble,
            // and refuses newcomers anyway. Nor is it taken off there.
            if self.counter.add(next, 1).await.is_ok() {
                self.periods.push(next);
            }
            let present = self.counter.present();
            self.periods.retain(|period| *period >= present);
        }
        let present = self.counter.present();
        for period in self.periods.iter().filter(|period| **period >= present) {
            // What is left of it is forgotten with the period.
            let _ = self.counter.add(*period, -1).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Clock;
    use crate::testing::World;

    /// Another instance with the same store.
    fn runs(world: &World) -> CallerRuns {
        let two = NonZeroU32::new(2).unwrap();
        CallerRuns::new(&Store::open(&world.ports()), two).unwrap()
    }

    #[test]
    fn two_at_a_time_over_all_instances() {
        let world = World::new();
        world.run(async {
            let one = runs(&world).begin("a").await.unwrap().unwrap();
            let _two = runs(&world).begin("a").await.unwrap().unwrap();
            for _ in 0..10 {
                assert!(runs(&world).begin("a").await.unwrap().is_none());
            }
            assert!(runs(&world).begin("b").await.unwrap().is_some());
            // Who is told that one has ended may begin the next at once.
            one.end().await;
            assert!(runs(&world).begin("a").await.unwrap().is_some());
        });
        world.drain();
    }

    #[test]
    fn a_run_is_counted_for_as_long_as_it_goes_on() {
        let world = World::new();
        world.run(async {
            let _one = runs(&world).begin("a").await.unwrap().unwrap();
            let two = runs(&world).begin("a").await.unwrap().unwrap();
            for second in 0..120 {
                world.clock.sleep(Duration::from_secs(1)).await;
                assert!(runs(&world).begin("a").await.unwrap().is_none(), "{second}");
            }
            drop(two);
            world.clock.sleep(Duration::from_secs(1)).await;
            assert!(runs(&world).begin("a").await.unwrap().is_some());
        });
        world.drain();
    }

    /// A guest that was held up for longer than periods are, on a clock that has gone on,
    /// counts its run in the present one: once.
    #[test]
    fn a_run_that_was_held_up_is_counted_again() {
        let world = World::new();
        world.run(async {
            let _one = runs(&world).begin("a").await.unwrap().unwrap();
            let _two = runs(&world).begin("a").await.unwrap().unwrap();
            for held_up in [PERIOD, 3 * PERIOD, 100 * PERIOD] {
                let before = world.store.increments();
                world.clock.advance(held_up);
                world.clock.sleep(Duration::from_secs(1)).await;
                let increments = world.store.increments() - before;
                assert!(increments <= 4, "{increments} increments");
                assert!(runs(&world).begin("a").await.unwrap().is_none());
            }
        });
        world.drain();
    }

    /// A death leaves what it has counted, until the period is over that it was
    /// counted in last.
    #[test]
    fn a_run_whose_instance_has_died_is_forgotten() {
        let world = World::new();
        let other = world.instance();
        for _ in 0..2 {
            let run = other.run(runs(&other).begin("a")).unwrap();
            assert!(run.is_some());
            // Renewed, so that the next period knows of it as well.
            other.run(world.clock.sleep(PERIOD));
            std::mem::forget(run);
        }
        drop(other);
        world.run(async {
            assert!(runs(&world).begin("a").await.unwrap().is_none());
            world.clock.sleep(2 * PERIOD).await;
            assert!(runs(&world).begin("a").await.unwrap().is_some());
        });
        world.drain();
    }

    #[test]
    fn who_cannot_be_counted_is_not_waved_through() {
        let world = World::new();
        let fault = StoreError::Unavailable("gone".into());
        world.store.fail_with(Some(fault.clone()));
        let refused = world.run(runs(&world).begin("a"));
        assert_eq!(refused.map(drop), Err(fault));
    }
}
