//! Reading a log while it is written, and knowing that somebody does.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::segment::{After, Segment};
use super::{FRAMES, LONGEST, LOST, Place, TOUCH, Unreadable, mark_of};
use crate::hex;
use crate::ports::{Clock, Instant};

/// Between two looks, at least; and at least for so many times what the last took.
const LOOK: Duration = Duration::from_millis(250);
const TIMES: u32 = 4;

/// Where nothing has come for a while, it is looked for after this part of that time, at
/// most so long.
const PART: u32 = 8;
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// What comes of a log.
///
/// ```
/// use spinlane_core::runlog::Piece;
///
/// // What a reader is sent.
/// let sent = |piece: Piece| match piece {
///     Piece::Frames(frames) => String::from_utf8_lossy(&frames).into_owned(),
///     Piece::Ended => String::new(),
///     Piece::Lost => "data: the run was lost\n\n".to_owned(),
/// };
/// assert_eq!(sent(Piece::Frames("id: 1\ndata: a\n\n".into())), "id: 1\ndata: a\n\n");
/// assert_eq!(sent(Piece::Ended), "");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Frames, as they were on the wire.
    Frames(Bytes),
    /// The run has ended.
    Ended,
    /// The run, or its log, has ended without saying so.
    Lost,
}

/// Reads a run's log, from a frame on.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::ports::Clock;
/// use spinlane_core::runlog::{Piece, RunLogs};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let logs = RunLogs::new(&Store::open(&world.ports()), "run").expect("there are counters");
/// world.run(async {
///     // An instance that dies at once: nobody keeps the log.
///     drop(logs.begin("its id", None).await.unwrap());
///     let begun = world.clock.now();
///     let mut reader = logs.open("its id", None, 0).await.unwrap();
///     assert_eq!(reader.next().await, Piece::Lost);
///     assert!(world.clock.now() - begun >= Duration::from_secs(20));
/// });
/// ```
pub struct LogReader {
    place: Place,
    /// The number of the newest frame that was given.
    after: u64,
    /// The segment that is read.
    number: u64,
    /// It, where it was read and not looked at.
    read: Option<Segment>,
    /// What was found, and not given yet.
    found: BytesMut,
    /// The touch number that was seen last, and since when.
    touch: Option<u64>,
    since: Instant,
    /// When frames came last.
    moved: Instant,
    noted: Option<Instant>,
    /// How long the last look took.
    took: Duration,
    ended: Option<Piece>,
    /// When to look next.
    due: Instant,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("after", &self.after)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The segment that a frame's number is in.
const fn segment_after(after: u64) -> u64 {
    after / FRAMES as u64
}

impl LogReader {
    pub(super) async fn open(
        place: Place,
        reader: Option<&str>,
        after: u64,
    ) -> Result<Self, Unreadable> {
        let first = place.read(0).await?.ok_or(Unreadable::Unknown)?;
        if first.owner.is_some() && first.owner != reader.map(mark_of) {
            return Err(Unreadable::Unknown);
        }
        if first.after == After::Nothing {
            return Err(Unreadable::Gone);
        }
        let mut number = segment_after(after);
        let mut read = match number {
            0 => Some(first),
            number => place.read(number).await?,
        };
        if read.is_none() {
            // Beyond the log: it is waited for where the log ends now.
            let newest = place.store.last_numbered(&place.prefix).await?;
            // It may have come further meanwhile: nothing is to be passed over.
            number = newest.ok_or(Unreadable::Unknown)?.min(number);
            read = place.read(number).await?;
        }
        if let Some(segment) = &read {
            let count = number * FRAMES as u64 + segment.count() as u64;
            match segment.after {
                After::End if after >= count => return Err(Unreadable::NothingLeft),
                After::Nothing => return Err(Unreadable::Gone),
                After::End | After::More => {}
            }
        }
        let now = place.store.clock().now();
        Ok(Self {
            place,
            after,
            number,
            read,
            found: BytesMut::new(),
            touch: None,
            since: now,
            moved: now,
            noted: None,
            took: Duration::ZERO,
            ended: None,
            due: now,
        })
    }

    fn clock(&self) -> &dyn Clock {
        &**self.place.store.clock()
    }

    /// What comes next: as much as there is, soon after it was written. Dropping the
    /// future loses nothing. After the end there is nothing but the end.
    pub async fn next(&mut self) -> Piece {
        loop {
            if !self.found.is_empty() {
                self.moved = self.clock().now();
                return Piece::Frames(self.found.split().freeze());
            }
            if let Some(ended) = &self.ended {
                return ended.clone();
            }
            self.clock().sleep_until(self.due).await;
            self.note().await;
            self.look().await;
            self.due = self.clock().now() + self.pause();
        }
    }

    fn pause(&self) -> Duration {
        let still = self.clock().now() - self.moved;
        let pause = (still / PART).clamp(LOOK, LONGEST_LOOK);
        pause.max(self.took * TIMES)
    }

    /// Takes what there is, of all segments that are there.
    async fn look(&mut self) {
        loop {
            let read = match self.read.take() {
                Some(read) => Ok(Some(read)),
                None => {
                    let begin = self.clock().now();
                    let read = self.place.read(self.number).await;
                    self.took = self.clock().now() - begin;
                    read
                }
            };
            let now = self.clock().now();
            let Ok(segment) = read else {
                // Who cannot look cannot say that nothing has happened.
                self.since = now;
                return;
            };
            let Some(segment) = segment else {
                return self.unchanged(now);
            };
            self.give(&segment);
            match segment.after {
                After::End => self.ended = Some(Piece::Ended),
                After::Nothing => self.ended = Some(Piece::Lost),
                After::More => {
                    let is_full = segment.is_full();
                    if self.touch != Some(segment.touch) {
                        (self.touch, self.since) = (Some(segment.touch), now);
                    } else if !is_full {
                        return self.unchanged(now);
                    }
                    if is_full {
                        self.number += 1;
                        continue;
                    }
                }
            }
            return;
        }
    }

    /// Nothing has happened, by now for so long.
    fn unchanged(&mut self, now: Instant) {
        if now - self.since >= LOST {
            self.ended = Some(Piece::Lost);
        }
    }

    /// Adds the frames of `segment` that come after what was given.
    fn give(&mut self, segment: &Segment) {
        let begin = self.number * FRAMES as u64;
        let count = segment.count() as u64;
        // A reader may be ahead of the log.
        let skip = self.after.saturating_sub(begin).min(count);
        let skip = usize::try_from(skip).unwrap_or(FRAMES);
        self.found.extend_from_slice(&segment.without(skip));
        self.after = self.after.max(begin + count);
    }

    /// Notes every 5 s that somebody reads the run.
    async fn note(&mut self) {
        let now = self.clock().now();
        if self.noted.is_some_and(|noted| now - noted < TOUCH) {
            return;
        }
        self.noted = Some(now);
        let until = self.place.now().plus(LONGEST);
        let mut bytes = self.place.header(crate::store::READER, until);
        // Another one each time: by which the run sees it, whatever the clocks say.
        let mut note = [0; 16];
        self.place.store.entropy().fill(&mut note);
        bytes.extend_from_slice(hex::encode(&note).as_bytes());
        // Where it fails the next one may do.
        let _ = self.place.store.set(&self.place.reader_key(), &bytes).await;
    }
}

/// Whether anybody reads a run.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::ports::Clock;
/// use spinlane_core::runlog::RunLogs;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let logs = RunLogs::new(&Store::open(&world.ports()), "run").expect("there are counters");
/// world.run(async {
///     let log = logs.begin("its id", None).await.unwrap();
///     let begun = world.clock.now();
///     log.readers().none_for(Duration::from_secs(60)).await;
///     assert_eq!(world.clock.now() - begun, Duration::from_secs(60));
/// });
/// ```
pub struct Readers {
    place: Place,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

impl Readers {
    pub(super) const fn new(place: Place) -> Self {
        Self { place }
    }

    /// Resolves when nobody has read the run for `time`, from now on. Costs a read every
    /// 5 s. While the store fails nobody can read it.
    pub async fn none_for(&self, time: Duration) {
        let clock = self.place.store.clock();
        let key = self.place.reader_key();
        let (mut seen, mut since) = (None, clock.now());
        loop {
            if let Ok(Some(note)) = self.place.store.get(&key).await
                && seen.as_ref() != Some(&note)
            {
                (seen, since) = (Some(note), clock.now());
            }
            let still = clock.now() - since;
            if still >= time {
                return;
            }
            clock.sleep(TOUCH.min(time - still)).await;
        }
    }
}
