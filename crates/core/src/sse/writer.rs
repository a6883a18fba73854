//! The queued writer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;

use super::body::Body;
use super::event::{Event, EventError};
use super::queue::{Phase, Queue, SharedQueue, Stats};
use super::recording::Recording;
use crate::abort::AbortHandle;
use crate::ports::Clock;
use crate::waiters::Waiters;

/// The stream takes nothing more: it was closed, or its peer has gone.
///
/// ```
/// use spinlane_core::sse::{self, Closed, Event, WriterConfig};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let (writer, body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// // What the host does when the client has gone.
/// drop(body);
/// // Time to stop working.
/// assert_eq!(world.run(writer.feed(Event::data("one"))), Err(Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event stream is closed")]
pub struct Closed;

/// How a stream behaves.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::sse::{self, WriterConfig};
/// use spinlane_core::testing::World;
///
/// let config = WriterConfig::default().heartbeat(Duration::from_secs(5)).capacity(16);
/// let (writer, _body) = sse::channel(World::new().ports().clock, config, None);
/// assert!(writer.try_feed_json("one")?);
/// assert!(!writer.try_feed_json("two")?, "there is no room for 13 more bytes");
/// # Ok::<(), sse::FeedError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterConfig {
    /// Bytes that may be queued before writers wait.
    pub capacity: usize,
    /// A comment is sent after this long without any other write.
    pub heartbeat: Duration,
    /// Give each event a decimal id, from 1, in the order of the wire.
    pub numbered: bool,
}

impl WriterConfig {
    /// The same, with room for so many bytes before writers wait.
    #[must_use]
    pub const fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// The same, with a comment after so long without any other write.
    #[must_use]
    pub const fn heartbeat(mut self, silence: Duration) -> Self {
        self.heartbeat = silence;
        self
    }

    /// The same, with or without ids.
    #[must_use]
    pub const fn numbered(mut self, numbered: bool) -> Self {
        self.numbered = numbered;
        self
    }
}

impl Default for WriterConfig {
    /// 256 KiB, 15 s, not numbered.
    fn default() -> Self {
        Self {
            capacity: 256 * 1024,
            heartbeat: Duration::from_secs(15),
            numbered: false,
        }
    }
}

/// A stream: what is written to the [`Writer`] comes out of the [`Body`].
///
/// When the body is dropped before its end the peer is taken to be gone, and
/// `abort` fires.
pub fn channel(
    clock: Arc<dyn Clock>,
    config: WriterConfig,
    abort: Option<AbortHandle>,
) -> (Writer, Body) {
    let queue = Queue::new(config.capacity, config.numbered);
    let shared = Arc::new(SharedQueue::new(queue));
    let body = Body::new(Arc::clone(&shared), clock, config.heartbeat, abort);
    let writer = Writer(Arc::new(LastWriter(shared)));
    (writer, body)
}

/// Closes the stream when the last writer is dropped.
#[derive(Debug)]
struct LastWriter(Arc<SharedQueue>);

impl Drop for LastWriter {
    fn drop(&mut self) {
        let wake = self.0.lock().close();
        wake.now();
    }
}

/// Writes to one event stream. Clones share its queue, which keeps the order.
///
/// After the peer has gone, or the stream was closed, every call answers
/// [`Closed`] at once. Dropping the last writer closes the stream.
///
/// ```
/// use http_body_util::BodyExt;
/// use spinlane_core::sse::{self, Event, WriterConfig};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let config = WriterConfig::default().numbered(true);
/// let (writer, body) = sse::channel(world.ports().clock, config, None);
/// world.run(writer.feed(Event::data("one")))?;
/// world.run(writer.feed(Event::data("two")))?;
/// // The last writer: the stream has its end.
/// drop(writer);
/// let bytes = world.run(body.collect()).unwrap().to_bytes();
/// assert_eq!(bytes, "id: 1\ndata: one\n\nid: 2\ndata: two\n\n");
/// # Ok::<(), spinlane_core::sse::Closed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Writer(Arc<LastWriter>);

impl Writer {
    fn shared(&self) -> &SharedQueue {
        &self.0.0
    }

    /// Queues `event`, in order, never to be dropped. Waits only while the
    /// queue is full. Dropping the future before it resolves leaves the event
    /// unqueued.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn feed(&self, event: Event) -> Result<(), Closed> {
        self.queue(&event).await.map(drop)
    }

    /// [`feed`](Self::feed) for an event with `value` as JSON, written straight
    /// into the queue.
    ///
    /// # Errors
    /// As [`try_feed_json`](Self::try_feed_json).
    pub async fn feed_json<T>(&self, value: &T) -> Result<(), FeedError>
    where
        T: Serialize + ?Sized + Sync,
    {
        match self.try_feed_json(value)? {
            true => Ok(()),
            false => Ok(self.feed(Event::json(value)?).await?),
        }
    }

    /// Queues an event with `value` as JSON if there is room for it now, and
    /// returns whether there was. For many events in a row, without waiting.
    ///
    /// # Errors
    /// [`FeedError::Closed`]; [`FeedError::Event`] when `value` has no JSON
    /// form.
    pub fn try_feed_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<bool, FeedError> {
        let wake = {
            let mut queue = self.shared().lock();
            if queue.phase != Phase::Open {
                return Err(Closed.into());
            }
            if !queue.room.is_first(None) {
                return Ok(false);
            }
            match queue.push_json(value) {
                None => return Ok(false),
                Some(queued) => queued.map_err(EventError::from)?,
            };
            queue.wake_reader()
        };
        wake.now();
        Ok(true)
    }

    /// [`feed`](Self::feed), then waits until the host has taken the event:
    /// for messages of which the writer must know that they left.
    ///
    /// # Errors
    /// [`Closed`], also when the peer went before the event was taken.
    pub async fn send(&self, event: Event) -> Result<(), Closed> {
        let number = self.queue(&event).await?;
        self.taken(number).await
    }

    /// Queues `event` if there is plenty of room. Under back-pressure it waits
    /// aside if it has a [coalesce key](Event::coalesce), where a newer one
    /// with that key takes its place, and is dropped otherwise. Never blocks,
    /// never fails: for progress, which nobody misses. Returns whether the
    /// event may still leave.
    pub fn post(&self, event: Event) -> bool {
        let (posted, wake) = {
            let mut queue = self.shared().lock();
            if queue.phase != Phase::Open {
                return false;
            }
            (queue.post(event), queue.wake_reader())
        };
        wake.now();
        posted
    }

    /// Waits until the host has taken all that was queued before this call.
    ///
    /// # Errors
    /// [`Closed`] when the peer went first.
    pub async fn flush(&self) -> Result<(), Closed> {
        let newest = self.shared().lock().newest();
        self.taken(newest).await
    }

    /// Ends the stream with `event`: nothing that was posted and held back
    /// follows it, and no later call is taken. Resolves when the host has taken
    /// everything. Dropping the future after `event` was queued does not take
    /// it back.
    ///
    /// # Errors
    /// [`Closed`] when the stream had ended already, or the peer went first.
    pub async fn end(&self, event: Event) -> Result<(), Closed> {
        let number = Feed {
            shared: self.shared(),
            event: &event,
            last: true,
            ticket: None,
        }
        .await?;
        self.taken(number).await
    }

    /// Ends the stream. Resolves when the host has taken everything.
    ///
    /// # Errors
    /// [`Closed`] when the peer went first.
    pub async fn close(&self) -> Result<(), Closed> {
        let wake = self.shared().lock().close();
        wake.now();
        self.flush().await
    }

    /// Keeps the stream for a log as well, from here on. It then goes on when its body
    /// is dropped, which aborts nothing: writers learn of it by the [`Recording`] alone.
    /// Events are kept, comments are not: nobody who reads them again would see them.
    pub fn record(&self) -> Recording {
        Recording::of(&self.0.0)
    }

    /// Queues frames that another stream has written, as they are.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn feed_recorded(&self, frames: &[u8]) -> Result<(), Closed> {
        self.feed(Event::recorded(frames)).await
    }

    /// Whether further calls would answer [`Closed`].
    pub fn is_closed(&self) -> bool {
        self.shared().lock().phase != Phase::Open
    }

    /// What the stream has carried so far.
    pub fn stats(&self) -> Stats {
        self.shared().lock().stats
    }

    fn queue<'a>(&'a self, event: &'a Event) -> Feed<'a> {
        Feed {
            shared: self.shared(),
            event,
            last: false,
            ticket: None,
        }
    }

    fn taken(&self, number: u64) -> Taken<'_> {
        Taken {
            shared: self.shared(),
            number,
            ticket: None,
        }
    }
}

/// Why [`Writer::feed_json`] did not queue.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use spinlane_core::sse::{self, FeedError, WriterConfig};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let (writer, body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// // JSON has no such keys. The stream goes on.
/// let no_json = BTreeMap::from([((1, 2), "three")]);
/// let refused = world.run(writer.feed_json(&no_json));
/// assert!(matches!(refused, Err(FeedError::Event(_))));
/// world.run(writer.feed_json("one"))?;
/// drop(body);
/// assert!(matches!(world.run(writer.feed_json("two")), Err(FeedError::Closed(_))));
/// # Ok::<(), FeedError>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The stream takes nothing more.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The event cannot be made.
    #[error(transparent)]
    Event(#[from] EventError),
}

/// Gives up the place of `ticket`, where it has one.
fn leave(waiters: &mut Waiters, ticket: &mut Option<u64>) {
    if let Some(ticket) = ticket.take() {
        waiters.leave(ticket);
    }
}

/// Queues an event as soon as it is first in line and has room.
struct Feed<'a> {
    shared: &'a SharedQueue,
    event: &'a Event,
    /// Whether the stream ends with it.
    last: bool,
    ticket: Option<u64>,
}

impl Future for Feed<'_> {
    type Output = Result<u64, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut queue = this.shared.lock();
        if queue.phase != Phase::Open {
            leave(&mut queue.room, &mut this.ticket);
            return Poll::Ready(Err(Closed));
        }
        if !queue.room.is_first(this.ticket) || !queue.has_room(this.event.size()) {
            queue.room.wait(&mut this.ticket, cx.waker());
            return Poll::Pending;
        }
        leave(&mut queue.room, &mut this.ticket);
        let number = queue.push(this.event);
        let reader = if this.last {
            queue.close()
        } else {
            queue.wake_reader()
        };
        let next = queue.wake_writer();
        drop(queue);
        reader.now();
        next.now();
        Poll::Ready(Ok(number))
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        // The next in line may have room where this one had none.
        let next = {
            let mut queue = self.shared.lock();
            leave(&mut queue.room, &mut self.ticket);
            queue.wake_writer()
        };
        next.now();
    }
}

/// Resolves when frame `number` has been taken by the host.
struct Taken<'a> {
    shared: &'a SharedQueue,
    number: u64,
    ticket: Option<u64>,
}

impl Future for Taken<'_> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut queue = this.shared.lock();
        if queue.taken >= this.number {
            leave(&mut queue.acks, &mut this.ticket);
            return Poll::Ready(Ok(()));
        }
        if queue.phase == Phase::Ended {
            leave(&mut queue.acks, &mut this.ticket);
            return Poll::Ready(Err(Closed));
        }
        queue.acks.wait(&mut this.ticket, cx.waker());
        Poll::Pending
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            leave(&mut self.shared.lock().acks, &mut self.ticket);
        }
    }
}

#[cfg(test)]
mod tests;
