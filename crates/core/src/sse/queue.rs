//! The state that the writers and the body of one stream share.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Waker;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::event::Event;
use super::recording::Kept;
use crate::waiters::Waiters;

/// Room for the `id` field of a numbered event.
const ID_BYTES: usize = "id: \n".len() + 20;

/// At most this many different keys of posted events wait out back-pressure.
const HELD_POSTS: usize = 16;

/// What a stream has carried so far.
///
/// ```
/// use http_body_util::BodyExt;
/// use spinlane_core::sse::{self, Event, WriterConfig};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let (writer, mut body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// world.run(writer.feed(Event::data("one")))?;
/// let queued = "data: one\n\n".len() as u64;
/// assert_eq!((writer.stats().queued, writer.stats().bytes), (queued, 0));
/// world.run(body.frame());
/// assert_eq!((writer.stats().frames, writer.stats().bytes), (1, queued));
/// # Ok::<(), spinlane_core::sse::Closed>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events and comments queued for writing, heartbeats left out.
    pub frames: u64,
    /// Their bytes, whether or not they were handed on by now.
    pub queued: u64,
    /// Bytes handed to the host.
    pub bytes: u64,
    /// Posted events that were dropped or gave way to a newer one.
    pub dropped: u64,
    /// Heartbeats.
    pub heartbeats: u64,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Open,
    /// Nothing more is taken; what is queued still leaves.
    Closing,
    /// The body has ended, or is gone.
    Ended,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) phase: Phase,
    buffer: BytesMut,
    capacity: usize,
    numbered: bool,
    next_id: u64,
    /// Posted events that wait for room, at most one for each key.
    held: VecDeque<(&'static str, Event)>,
    /// Frames queued, handed to the host, and known to be taken by it.
    queued: u64,
    handed: u64,
    pub(super) taken: u64,
    /// Writers that wait for room.
    pub(super) room: Waiters,
    /// Writers that wait until frames are taken.
    pub(super) acks: Waiters,
    /// The body, while it waits for frames.
    pub(super) reader: Option<Waker>,
    pub(super) stats: Stats,
    /// What a log wants of the stream, where one is kept.
    pub(super) kept: Option<Kept>,
}

/// What must be woken once the lock is released: a waker may poll at once.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Wake(Vec<Waker>);

impl Wake {
    pub(super) fn now(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}

impl Queue {
    pub(super) fn new(capacity: usize, numbered: bool) -> Self {
        Self {
            phase: Phase::Open,
            buffer: BytesMut::new(),
            capacity,
            numbered,
            next_id: 1,
            held: VecDeque::new(),
            queued: 0,
            handed: 0,
            taken: 0,
            room: Waiters::default(),
            acks: Waiters::default(),
            reader: None,
            stats: Stats::default(),
            kept: None,
        }
    }

    /// Whether `bytes` more may be queued. An event that is larger than the
    /// whole queue may be when the queue is empty: it would wait forever.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.buffer.is_empty() || self.buffer.len() + bytes + ID_BYTES <= self.capacity
    }

    /// Queues `event` and returns its number.
    pub(super) fn push(&mut self, event: &Event) -> u64 {
        let before = self.buffer.len();
        match (self.numbered && event.is_dispatched(), event.has_id()) {
            (true, false) => self.number(),
            // Its number is taken by its own id: who counts events counts it.
            (true, true) => self.next_id += 1,
            (false, _) => {}
        }
        self.buffer.put_slice(event.lines());
        self.buffer.put_u8(b'\n');
        self.count(before, event.is_dispatched())
    }

    /// Queues an event with `value` as JSON, written straight into the queue.
    /// `None` when it has no room (nothing is changed then).
    pub(super) fn push_json<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Option<Result<u64, serde_json::Error>> {
        let before = self.buffer.len();
        let id_before = self.next_id;
        if self.numbered {
            self.number();
        }
        self.buffer.put_slice(b"data: ");
        let written = serde_json::to_writer((&mut self.buffer).writer(), value);
        self.buffer.put_slice(b"\n\n");
        let too_much = before > 0 && self.buffer.len() > self.capacity;
        if written.is_err() || too_much {
            self.buffer.truncate(before);
            self.next_id = id_before;
        }
        match written {
            Err(error) => Some(Err(error)),
            Ok(()) if too_much => None,
            Ok(()) => Some(Ok(self.count(before, true))),
        }
    }

    fn number(&mut self) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = self.next_id;
        while rest > 0 {
            at -= 1;
            // A decimal digit fits.
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.buffer.put_slice(b"id: ");
        self.buffer.put_slice(&digits[at..]);
        self.buffer.put_u8(b'\n');
        self.next_id += 1;
    }

    /// Counts the frame that has come after so many bytes of the buffer. A log keeps
    /// events alone: it finds a frame by its number, and a comment has none.
    fn count(&mut self, before: usize, is_event: bool) -> u64 {
        self.queued += 1;
        self.stats.frames += 1;
        self.stats.queued += (self.buffer.len() - before) as u64;
        if let Some(kept) = &mut self.kept {
            if is_event {
                kept.add(&self.buffer[before..]);
            }
            if kept.is_unread {
                // It has gone as far as it ever will.
                self.buffer.truncate(before);
                (self.handed, self.taken) = (self.queued, self.queued);
            }
        }
        self.queued
    }

    /// The number of the newest frame.
    pub(super) const fn newest(&self) -> u64 {
        self.queued
    }

    /// Queues `event` when there is plenty of room, else holds it back or drops
    /// it. Returns whether it was queued or held.
    pub(super) fn post(&mut self, event: Event) -> bool {
        // Half of the queue is for what must not be lost.
        let is_unread = self.kept.as_ref().is_some_and(|kept| kept.is_unread);
        let plenty = self.buffer.len() + event.size() + ID_BYTES <= self.capacity / 2 || is_unread;
        if plenty && self.held.is_empty() {
            self.push(&event);
            return true;
        }
        let Some(key) = event.coalesce_key() else {
            self.stats.dropped += 1;
            return false;
        };
        if let Some((_, older)) = self.held.iter_mut().find(|(held, _)| *held == key) {
            *older = event;
            self.stats.dropped += 1;
            return true;
        }
        if self.held.len() >= HELD_POSTS {
            self.stats.dropped += 1;
            return false;
        }
        self.held.push_back((key, event));
        true
    }

    /// Everything that is queued, for one write.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        // What was held back follows what was queued before it, and precedes
        // what comes now.
        while let Some((_, event)) = self.held.pop_front() {
            self.push(&event);
        }
        if self.buffer.is_empty() {
            return None;
        }
        self.handed = self.queued;
        self.stats.bytes += self.buffer.len() as u64;
        Some(self.buffer.split().freeze())
    }

    /// The host has taken all that was handed to it.
    pub(super) fn acknowledge(&mut self) -> Wake {
        if self.taken == self.handed {
            return Wake::default();
        }
        self.taken = self.handed;
        Wake(self.acks.wakers().collect())
    }

    /// No more events are taken.
    pub(super) fn close(&mut self) -> Wake {
        self.stats.dropped += self.held.len() as u64;
        self.held.clear();
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
        let mut wake: Vec<_> = self.room.wakers().collect();
        wake.extend(self.reader.take());
        wake.extend(self.kept.iter_mut().flat_map(Kept::wakers));
        Wake(wake)
    }

    /// The body is gone or has ended: everybody who waits learns so.
    pub(super) fn end(&mut self) -> Wake {
        self.phase = Phase::Ended;
        self.buffer = BytesMut::new();
        self.held.clear();
        Wake(self.everybody())
    }

    /// The body is gone, and the stream goes on without it, for its log. `None` where
    /// none is kept, and where the stream has ended.
    pub(super) fn go_on_unread(&mut self) -> Option<Wake> {
        let kept = self.kept.as_mut().filter(|_| self.phase != Phase::Ended)?;
        kept.is_unread = true;
        self.buffer = BytesMut::new();
        (self.handed, self.taken) = (self.queued, self.queued);
        while let Some((_, event)) = self.held.pop_front() {
            self.push(&event);
        }
        Some(Wake(self.everybody()))
    }

    fn everybody(&mut self) -> Vec<Waker> {
        let mut wake: Vec<_> = self.room.wakers().collect();
        wake.extend(self.acks.wakers());
        wake.extend(self.reader.take());
        wake.extend(self.kept.iter_mut().flat_map(Kept::wakers));
        wake
    }

    /// Whoever waits for frames may look: the body, and the log.
    pub(super) fn wake_reader(&mut self) -> Wake {
        let log = self.kept.as_mut().and_then(|kept| kept.log.take());
        Wake(self.reader.take().into_iter().chain(log).collect())
    }

    /// The first writer that waits may try again. So may the log, which wants what was
    /// held back until now.
    pub(super) fn wake_writer(&mut self) -> Wake {
        let log = self.kept.as_mut().and_then(|kept| kept.log.take());
        Wake(self.room.first_waker().into_iter().chain(log).collect())
    }

    /// What is queued, then `last` unless the stream has its end already.
    pub(super) fn panic_tail(&mut self, last: &Event) -> Vec<u8> {
        if self.phase == Phase::Ended {
            return Vec::new();
        }
        if self.phase == Phase::Open {
            self.push(last);
        }
        self.phase = Phase::Ended;
        std::mem::take(&mut self.buffer).to_vec()
    }
}

/// The queue behind its lock, which is never held across a wait or a wake.
#[derive(Debug)]
pub(super) struct SharedQueue(Mutex<Queue>);

impl SharedQueue {
    pub(super) fn new(queue: Queue) -> Self {
        Self(Mutex::new(queue))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a panic hook, whose thread may hold the lock.
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Queue>> {
        match self.0.try_lock() {
            Ok(queue) => Some(queue),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
