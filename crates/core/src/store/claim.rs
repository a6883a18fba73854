//! Who may do something alone, over all instances.

use std::fmt;
use std::time::Duration;

use super::{PeriodCounter, Store};
use crate::ports::{Instant, StoreError};

/// A claim takes the counters of so many periods besides the present one: it
/// holds for at least as long as those are, and for at most a period longer.
const AHEAD: u32 = 3;

/// The right to do something alone, until it is released or its time is over.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::store::{Claimed, Store};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let claim = || async { Store::open(&world.ports()).claim("renewal", Duration::from_secs(9)).await };
/// let Some(Claimed::Ours(ours)) = world.run(claim())? else { panic!("nobody else has it") };
/// assert!(matches!(world.run(claim())?, Some(Claimed::Theirs)));
/// world.run(ours.release())?;
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
pub struct Claim {
    counter: PeriodCounter,
    first: u64,
    /// Periods that it has besides the first.
    ahead: u32,
    until: Instant,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.counter).finish()
    }
}

/// Who has it.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::store::{Claimed, Store};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let store = Store::open(&world.ports());
/// let claim = || store.claim("renewal", Duration::from_secs(9));
/// assert!(matches!(world.run(claim())?, Some(Claimed::Ours(_))));
/// // Who has it may die. Others wait for what it was to do, and then do it.
/// assert!(matches!(world.run(claim())?, Some(Claimed::Theirs)));
/// world.clock.advance(Duration::from_secs(12));
/// assert!(matches!(world.run(claim())?, Some(Claimed::Ours(_))));
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Debug)]
pub enum Claimed {
    /// Who has asked.
    Ours(Claim),
    /// Another, whose claim has neither been released nor ended.
    Theirs,
}

impl Store {
    /// Claims what is called `name`, for at least `time` and at most a third
    /// longer, should it not be released: four increments, or fewer where another
    /// has it. `None` where the host has no counters.
    ///
    /// # Errors
    /// When the store fails or is left alone. Nobody else can claim it for as
    /// long then.
    pub async fn claim(&self, name: &str, time: Duration) -> Result<Option<Claimed>, StoreError> {
        self.claim_periods(name, time / AHEAD, AHEAD).await
    }

    /// Claims what is called `name`, for at least `period` and at most twice as long,
    /// should it not be released: two increments, or fewer where another has it. For
    /// long claims, of which it does not matter when they end. `None` where the host
    /// has no counters.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn claim_once(
        &self,
        name: &str,
        period: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        self.claim_periods(name, period, 1).await
    }

    async fn claim_periods(
        &self,
        name: &str,
        period: Duration,
        ahead: u32,
    ) -> Result<Option<Claimed>, StoreError> {
        let Some(counter) = PeriodCounter::new(self, name, period) else {
            return Ok(None);
        };
        let until = self.clock().now() + period * ahead;
        let first = counter.present();
        // In their order. Whoever begins later meets ours in the first that it
        // takes, or has taken it before us: of two, one has all of its own.
        for period in first..=first + u64::from(ahead) {
            if counter.add(period, 1).await? != 1 {
                return Ok(Some(Claimed::Theirs));
            }
        }
        let claim = Claim {
            counter,
            first,
            ahead,
            until,
        };
        Ok(Some(Claimed::Ours(claim)))
    }
}

impl Claim {
    /// Whether nobody else can have it yet, by this clock.
    pub fn holds(&self, now: Instant) -> bool {
        now < self.until
    }

    /// When its last period is over, since the Unix epoch: nobody meets it after that.
    pub fn end(&self) -> Duration {
        let last = self.first + u64::from(self.ahead);
        self.counter.begin_of(last + 1)
    }

    /// Lets others have it at once.
    ///
    /// # Errors
    /// When the store fails or is left alone: they wait for its time to end.
    pub async fn release(self) -> Result<(), StoreError> {
        // From the last, or another could begin at the first and meet the rest.
        for period in (self.first..=self.first + u64::from(self.ahead)).rev() {
            self.counter.remove(period).await?;
        }
        Ok(())
    }
}
