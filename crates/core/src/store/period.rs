//! Counters whose names hold the period of time that they count in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::ports::{COUNTER_PREFIX, StoreError};

/// So long after its period a counter may still be asked for: by a clock that is
/// late, or by who was held up.
const GRACE: Duration = Duration::from_secs(120);

/// So many periods ahead of the present nobody counts, except within an hour.
const FARTHEST: u32 = 100;
const FARTHEST_TIME: Duration = Duration::from_secs(3_600);

/// A counter for each period of time, in the store: the one thing that several
/// instances can change at once without losing each other's.
///
/// Its name holds the kind of counter, the length of a period, and the period's
/// number since the Unix epoch. So everybody finds it by the clock, and tells by
/// the name alone when it is over. Whoever is first to use one notes it, after
/// its response, in the index of what expires; a sweep removes it then.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::store::{PeriodCounter, Store};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let hours = PeriodCounter::new(&Store::open(&world.ports()), "visits", Duration::from_secs(3_600));
/// let hours = hours.expect("this host has counters");
/// assert_eq!(world.run(hours.add(hours.present(), 1))?, 1);
/// assert_eq!(world.run(hours.add(hours.present(), 2))?, 3);
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone)]
pub struct PeriodCounter {
    store: Store,
    /// What the names begin with: all but the period's number.
    name: Arc<str>,
    /// Nanoseconds, not 0.
    length: u64,
}

impl fmt::Debug for PeriodCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeriodCounter").field(&self.name).finish()
    }
}

impl PeriodCounter {
    /// Counters called `name`, one for each period of so much time (from 1 ns to
    /// 584 years). `None` where the host has no counters.
    pub fn new(store: &Store, name: &str, length: Duration) -> Option<Self> {
        let length = nanos(length).max(1);
        store.has_counters().then(|| Self {
            store: store.clone(),
            name: name_of(name, length).into(),
            length,
        })
    }

    /// The number of the period that `unix` (since the epoch) is in.
    pub fn period_at(&self, unix: Duration) -> u64 {
        nanos(unix) / self.length
    }

    /// The number of the present period.
    pub fn present(&self) -> u64 {
        self.period_at(self.store.unix())
    }

    /// When `period` begins, since the epoch.
    pub fn begin_of(&self, period: u64) -> Duration {
        Duration::from_nanos(period.saturating_mul(self.length))
    }

    /// How long a period is.
    pub const fn length(&self) -> Duration {
        Duration::from_nanos(self.length)
    }

    /// Adds to the counter of `period`, and returns what it is then: one
    /// increment.
    ///
    /// # Errors
    /// When the store fails or is left alone. What was added is added or not.
    pub async fn add(&self, period: u64, delta: i64) -> Result<i64, StoreError> {
        let name = self.name(period);
        let count = self.store.increment(&name, delta).await?;
        if count == delta {
            let end = self.begin_of(period.saturating_add(1)) + GRACE;
            self.store
                .note_later(format!("{COUNTER_PREFIX}{name}"), end);
        }
        Ok(count)
    }

    /// What the counter of `period` is, for who only wants to know: where nobody has
    /// counted nothing is written, which in a store costs a hundred times more.
    ///
    /// # Errors
    /// When the store fails or is left alone.
    pub async fn read(&self, period: u64) -> Result<i64, StoreError> {
        match self.store.has_counter(&self.name(period)).await? {
            true => self.add(period, 0).await,
            false => Ok(0),
        }
    }

    /// Removes the counter of `period`, which nobody needs any more.
    ///
    /// # Errors
    /// When the store fails or is left alone. It is removed when it is over.
    pub async fn remove(&self, period: u64) -> Result<(), StoreError> {
        self.store.remove(&self.name(period)).await
    }

    fn name(&self, period: u64) -> String {
        let Self { name, .. } = self;
        format!("{name}{period}")
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What counters of periods of `length` nanoseconds are called, all but the number.
fn name_of(series: &str, length: u64) -> String {
    format!("{series}@{length}:")
}

/// What the counter of a period is called.
pub(super) fn name(series: &str, length: Duration, period: u64) -> String {
    format!("{}{period}", name_of(series, nanos(length)))
}

/// What a counter is of, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period<'a> {
    pub(super) series: &'a str,
    pub(super) length: Duration,
    pub(super) period: u64,
}

/// `None` where it is no period's counter.
pub(super) fn parse(name: &str) -> Option<Period<'_>> {
    let (series, rest) = name.rsplit_once('@')?;
    let (length, period) = rest.split_once(':')?;
    Some(Period {
        series,
        length: Duration::from_nanos(length.parse().ok()?),
        period: period.parse().ok()?,
    })
}

impl Period<'_> {
    /// Whether nobody will use its counter any more, or it was made by a clock
    /// that was far ahead.
    pub(super) fn is_over(self, unix: Duration) -> bool {
        let begin = nanos(self.length).saturating_mul(self.period);
        let begin = Duration::from_nanos(begin);
        let ahead = FARTHEST_TIME.max(self.length.saturating_mul(FARTHEST));
        let end = begin.saturating_add(self.length);
        end.saturating_add(GRACE) <= unix || begin > unix.saturating_add(ahead)
    }
}
