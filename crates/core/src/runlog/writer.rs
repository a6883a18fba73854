//! The run's end of its log.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::select;

use super::segment::{After, Segment};
use super::{FRAMES, KEPT, LONGEST, Place, Readers, TOUCH, mark_of};
use crate::ports::{Instant, StoreError};
use crate::sse::{Recorded, Recording};
use crate::store::Timestamp;
use crate::turn;

/// Between two write-outs, at least; and at least for so many times what the last took.
const PACE: Duration = Duration::from_millis(250);
const TIMES: u32 = 20;

/// Above so many bytes, at least.
const LARGE: usize = 64 * 1024;
const LARGE_PACE: Duration = Duration::from_secs(1);

/// And at most: readers have to see a touch before they take the run for lost.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Calls that take longer are slow; so many in a row end the log.
const SLOW: Duration = Duration::from_millis(500);
const SLOW_IN_A_ROW: u32 = 3;

/// What writes may take in all, whatever the run's time is, and of each second of it.
const FREE: Duration = Duration::from_millis(1_500);
const SHARE: u32 = 10;

/// How often it is tried to say that a log has ended early.
const TRIES: u32 = 3;

/// Keeps what a run says.
///
/// ```
/// use spinlane_core::runlog::RunLogs;
/// use spinlane_core::sse::{self, Event, WriterConfig};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let logs = RunLogs::new(&Store::open(&world.ports()), "run").expect("there are counters");
/// let numbered = WriterConfig::default().numbered(true);
/// let (writer, body) = sse::channel(world.ports().clock, numbered, None);
/// let recording = writer.record();
/// world.run(async {
///     let log = logs.begin("its id", None).await.unwrap();
///     writer.feed(Event::data("hello")).await.unwrap();
///     drop((writer, body));
///     // Beside the work, to the stream's end.
///     log.keep(recording).await;
/// });
/// let dump = world.store.dump();
/// let is_kept = |key: &str| key.starts_with("run:");
/// assert!(dump.keys().any(|key| is_kept(key)));
/// ```
pub struct LogWriter {
    place: Place,
    owner: Option<String>,
    /// When the log may be removed at the latest.
    until: Timestamp,
    begun: Instant,
    /// The newest segment, and its frames.
    number: u64,
    frames: BytesMut,
    count: usize,
    /// The frames of the first one, where it is not the newest.
    first: Bytes,
    touch: u64,
    cost: Cost,
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter")
            .field("number", &self.number)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// Why a log ends before its run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum GaveUp {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the key-value store is too slow for it")]
    TooSlow,
    #[error("the run goes on for longer than a log is kept")]
    TooLong,
}

/// What writes have taken.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    slow_in_a_row: u32,
    all: Duration,
}

impl Cost {
    /// Counts a call that took so long, so far into the run.
    fn add(&mut self, took: Duration, run: Duration) -> Result<(), GaveUp> {
        self.all += took;
        self.slow_in_a_row = match took > SLOW {
            true => self.slow_in_a_row + 1,
            false => 0,
        };
        let too_much = self.all > FREE && self.all * SHARE > run;
        match too_much || self.slow_in_a_row >= SLOW_IN_A_ROW {
            true => Err(GaveUp::TooSlow),
            false => Ok(()),
        }
    }
}

/// How long to wait after a write-out that took so long, of a segment of so many bytes.
fn pause(took: Duration, bytes: usize) -> Duration {
    let least = match bytes > LARGE {
        true => LARGE_PACE,
        false => PACE,
    };
    (took * TIMES).clamp(least, LONGEST_PAUSE)
}

impl LogWriter {
    pub(super) async fn begin(place: Place, owner: Option<&str>) -> Result<Self, StoreError> {
        let until = place.now().plus(LONGEST);
        let mut log = Self {
            begun: place.store.clock().now(),
            place,
            owner: owner.map(mark_of),
            until,
            number: 0,
            frames: BytesMut::new(),
            count: 0,
            first: Bytes::new(),
            touch: 0,
            cost: Cost::default(),
        };
        match log.write(After::More).await {
            Err(GaveUp::Store(error)) => return Err(error),
            // Slow as it was, it is there.
            Ok(()) | Err(GaveUp::TooSlow | GaveUp::TooLong) => {}
        }
        // With the counters that the request has begun: that is no call more. Should the
        // instance die before, the log is for the full sweep, as they are.
        let Place(run) = &log.place;
        run.store.note_family_later(&run.prefix, until.unix());
        Ok(log)
    }

    /// Whether somebody else reads the run.
    pub fn readers(&self) -> Readers {
        Readers::new(self.place.clone())
    }

    /// Writes what `recording` has, until its stream is over; then for how long it is
    /// kept. Gives up early where the store does not do: the stream goes on then, and
    /// the recording [stops](Recording::stop). To be run beside the work: dropping the
    /// future breaks the log off, as the instance's death does.
    pub async fn keep(mut self, recording: Recording) {
        let Err(why) = self.keep_up(&recording).await else {
            return;
        };
        tracing::warn!(%why, "a run's log has ended before the run");
        recording.stop();
        self.give_up().await;
    }

    async fn keep_up(&mut self, recording: &Recording) -> Result<(), GaveUp> {
        let clock = self.place.store.clock().clone();
        let mut wait = pause(self.cost.all, 0);
        loop {
            let touched = clock.now();
            let pace = clock.sleep_until(touched + wait);
            select(Box::pin(recording.over()), pace).await;
            let touch = clock.sleep_until(touched + TOUCH.max(wait));
            select(Box::pin(recording.changed()), touch).await;
            if clock.now() - self.begun > LONGEST {
                return Err(GaveUp::TooLong);
            }
            let recorded = recording.take();
            let before = self.cost.all;
            self.write_out(&recorded).await?;
            if recorded.is_last {
                return Ok(());
            }
            wait = pause(self.cost.all - before, self.frames.len());
        }
    }

    /// Writes all that has come: the newest segment, and those that became full before.
    async fn write_out(&mut self, recorded: &Recorded) -> Result<(), GaveUp> {
        let mut at = 0;
        for length in &recorded.lengths {
            self.frames
                .extend_from_slice(&recorded.frames[at..at + length]);
            self.count += 1;
            at += length;
            // A reader goes on to the next one when this one is full, and the touch
            // number is there.
            if self.count == FRAMES && !(recorded.is_last && at == recorded.frames.len()) {
                self.write(After::More).await?;
                self.next_segment();
            }
        }
        if !recorded.is_last {
            return self.write(After::More).await;
        }
        self.until = self.until.min(self.place.now().plus(KEPT));
        if let Err(GaveUp::Store(error)) = self.write(After::End).await {
            return Err(error.into());
        }
        // It is whole, however slow that was.
        if self.number > 0 {
            // Who begins at the beginning is not to find half of it when it is over. Where
            // this fails it does, later.
            self.frames = BytesMut::from(&self.first[..]);
            self.number = 0;
            let _ = self.write(After::More).await;
        }
        Ok(())
    }

    fn next_segment(&mut self) {
        let full = self.frames.split().freeze();
        if self.number == 0 {
            self.first = full;
        }
        self.number += 1;
        self.count = 0;
    }

    /// Writes the newest segment: one call of the store, in whose time others in the
    /// guest wait.
    async fn write(&mut self, after: After) -> Result<(), GaveUp> {
        self.touch += 1;
        let segment = Segment {
            touch: self.touch,
            after,
            owner: self.owner.clone(),
            frames: Bytes::copy_from_slice(&self.frames),
        };
        let Some(bytes) = self.place.encoded(self.number, &segment, self.until) else {
            return Err(StoreError::Refused("the segment is too long".into()).into());
        };
        let store = &self.place.store;
        // What has come meanwhile leaves first: the store may hold the guest up.
        turn::when_idle(&**store.spawner(), &**store.clock(), PACE).await;
        let took = store
            .set_timed(&self.place.key(self.number), &bytes)
            .await?;
        self.cost.add(took, store.clock().now() - self.begun)
    }

    /// Says that there is no more to read, when the store is asked again; or else
    /// removes what there is, which takes no room.
    async fn give_up(mut self) {
        self.frames.clear();
        let newest = self.number;
        for _ in 0..TRIES {
            self.until_asked_again().await;
            if self.say_nothing_follows(newest).await.is_ok() {
                return;
            }
            self.until_asked_again().await;
            if self.remove(newest).await.is_ok() {
                return;
            }
        }
    }

    async fn until_asked_again(&self) {
        let store = &self.place.store;
        if let Some(wait) = store.left_alone() {
            store.clock().sleep(wait).await;
        }
    }

    /// Who reads the log looks at the newest segment, who begins at the first.
    async fn say_nothing_follows(&mut self, newest: u64) -> Result<(), StoreError> {
        for number in [newest, 0].into_iter().skip(usize::from(newest == 0)) {
            self.number = number;
            if let Err(GaveUp::Store(error)) = self.write(After::Nothing).await {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn remove(&self, newest: u64) -> Result<(), StoreError> {
        for number in (0..=newest).rev() {
            self.place.store.delete(&self.place.key(number)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_pause_follows_the_cost_within_its_bounds() {
        for (took, bytes, expected) in [
            (MS, 100, PACE),
            (12 * MS, 100, PACE),
            (13 * MS, 100, 260 * MS),
            (MS, LARGE + 1, LARGE_PACE),
            (200 * MS, LARGE + 1, 4_000 * MS),
            (5_000 * MS, 100, LONGEST_PAUSE),
        ] {
            assert_eq!(pause(took, bytes), expected, "{took:?}, {bytes}");
        }
    }

    #[test]
    fn what_is_slow_too_often_or_takes_too_much_is_given_up() {
        let hour = LONGEST;
        let mut cost = Cost::default();
        for took in [501, 501, 500, 501, 501] {
            assert_eq!(cost.add(took * MS, hour), Ok(()));
        }
        assert_eq!(cost.add(501 * MS, hour), Err(GaveUp::TooSlow));
        let mut cost = Cost::default();
        assert_eq!(cost.add(1_500 * MS, 1_500 * MS), Ok(()));
        assert_eq!(cost.add(500 * MS, 20_000 * MS), Ok(()));
        assert_eq!(cost.add(MS, 20_000 * MS), Err(GaveUp::TooSlow));
    }
}
