//! One fetch over all instances.
//!
//! Who misses a value counts on a counter of its key and of the present period,
//! and the number that comes back is its place in a line. The first holds the
//! fetch lease and asks; the others look now and then for the value, and for a
//! *mark*: the holder leaves one when its fetch has failed, or was dropped. A
//! mark says how many had come by then. Those learn at once that it has failed
//! (or stand in line anew, where it was dropped), and whoever came right after
//! them holds the next lease: a failure is shared with who waited for it, and
//! remembered for nobody else.
//!
//! A lease ends when what it was for is in the store. One whose holder has died
//! ends with its period. So a stampede makes one fetch for each [`PERIOD`] that
//! it lasts, and one more where it begins at the end of one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::envelope;
use super::policy::Kind;
use crate::ports::{Instant, StoreError};
use crate::store::{PeriodCounter, Store, Times, Timestamp};

/// For how long one lease keeps the others waiting.
pub(super) const PERIOD: Duration = Duration::from_secs(10);

/// Who has waited for so long asks for itself.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The first wait between two looks, which is doubled up to the last.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(25);
pub(super) const LAST_LOOK: Duration = Duration::from_millis(200);

/// Begins the names of the counters, and the keys of the marks.
pub(super) static MARKS: Kind = Kind::new("fetch", 1);

/// How a lease has ended that brought no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Who had come by then: the places in line up to this one.
    upto: i64,
    /// Whether it was asked in vain, or not asked to the end.
    failed: bool,
}

/// The line of one key in one period.
#[derive(Clone)]
struct Line {
    store: Store,
    counter: PeriodCounter,
    period: u64,
    /// Where the mark lies.
    mark: String,
    /// When nobody stands in it any more.
    over: Duration,
}

/// The right to ask.
pub(super) struct Lease {
    line: Option<Line>,
    place: i64,
}

/// A place in line behind the holder of a lease.
pub(super) struct Place {
    line: Line,
    number: i64,
    /// When the period ends, and with it a lease without a holder.
    pub(super) until: Instant,
}

/// Whose turn it is.
pub(super) enum Standing {
    /// Ours.
    Ours(Lease),
    /// Another's.
    Theirs(Place),
    /// Everybody's: there are no counters, or they are left alone.
    Alone,
}

/// What one look has told.
pub(super) enum Seen {
    /// The holder is still at it.
    Nothing(Place),
    /// It has failed.
    Failed,
    /// It was dropped: stand in line anew.
    Dropped,
    /// The lease is ours now.
    Ours(Lease),
}

/// Stands in line for the fetch of what lies under `key`.
pub(super) async fn line_up(store: &Store, key: &str) -> Standing {
    let name = format!("{}:{key}", MARKS.namespace());
    let Some(counter) = PeriodCounter::new(store, &name, PERIOD) else {
        return Standing::Alone;
    };
    let unix = store.unix();
    let period = counter.period_at(unix);
    let Ok(number) = counter.add(period, 1).await else {
        return Standing::Alone;
    };
    let end = counter.begin_of(period + 1);
    let line = Line {
        store: store.clone(),
        mark: format!("{name}:{period}"),
        over: end + PERIOD,
        counter,
        period,
    };
    match number {
        1 => Standing::Ours(Lease::new(line, number)),
        _ => Standing::Theirs(Place {
            until: store.clock().now() + end.saturating_sub(unix),
            line,
            number,
        }),
    }
}

impl Place {
    /// Looks how the lease before us stands.
    pub(super) async fn look(self) -> Seen {
        match self.line.mark().await {
            Some(mark) if mark.upto + 1 == self.number => {
                Seen::Ours(Lease::new(self.line, self.number))
            }
            Some(mark) if self.number <= mark.upto && mark.failed => Seen::Failed,
            Some(mark) if self.number <= mark.upto => Seen::Dropped,
            _ => Seen::Nothing(self),
        }
    }
}

impl Lease {
    fn new(line: Line, place: i64) -> Self {
        Self {
            line: Some(line),
            place,
        }
    }

    /// The fetch has failed: tells those who wait for it.
    pub(super) fn failed(mut self) {
        self.leave_mark(true);
    }

    /// The value is on its way into the store: what this gives is to be dropped
    /// when it is there.
    pub(super) fn fulfilled(mut self) -> Fulfilled {
        Fulfilled {
            line: self.line.take(),
            has_mark: self.place > 1,
        }
    }

    fn leave_mark(&mut self, failed: bool) {
        if let Some(line) = self.line.take() {
            let spawner = line.store.spawner().clone();
            spawner.spawn(Box::pin(async move {
                // Should it not work, those who wait do so to the period's end.
                let _ = line.leave_mark(failed).await;
            }));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leave_mark(false);
    }
}

/// A lease whose value was found. Ends it when it is dropped.
pub(super) struct Fulfilled {
    line: Option<Line>,
    /// Whether others have held the lease before, and left a mark.
    has_mark: bool,
}

impl Drop for Fulfilled {
    fn drop(&mut self) {
        let Some(line) = self.line.take() else {
            return;
        };
        let has_mark = self.has_mark;
        let spawner = line.store.spawner().clone();
        spawner.spawn(Box::pin(async move {
            // The mark goes first: who begins to count anew must not find it.
            let gone = match has_mark {
                true => line.store.delete(&line.mark).await,
                false => Ok(()),
            };
            if gone.is_ok() {
                // Should it fail, the name is not used for long.
                let _ = line.counter.remove(line.period).await;
            }
        }));
    }
}

impl Line {
    async fn leave_mark(&self, failed: bool) -> Result<(), StoreError> {
        let upto = self.counter.add(self.period, 0).await?;
        let over = Timestamp::new(self.over);
        let times = Times {
            stored: Timestamp::new(self.store.unix()).min(over),
            fresh_until: over,
            stale_until: over,
        };
        let mark = Mark { upto, failed };
        match envelope::encode(&MARKS, &[], Some(&mark), times) {
            Some(bytes) => self.store.put(&self.mark, &bytes, self.over).await,
            None => Ok(()),
        }
    }

    /// The newest mark, if there is one.
    async fn mark(&self) -> Option<Mark> {
        let bytes = self.store.get(&self.mark).await.ok()??;
        envelope::decode::<Mark>(&MARKS, &[], &bytes)?.value
    }
}
