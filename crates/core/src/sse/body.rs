//! The body that a writer feeds.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use super::event::Event;
use super::queue::{Phase, SharedQueue};
use crate::abort::{AbortHandle, AbortReason};
use crate::ports::{BoxFuture, Clock, Instant, PanicTail};

const HEARTBEAT: &[u8] = b": heartbeat\n\n";

/// The reading end of a stream, as an [`http_body::Body`].
///
/// Each frame is everything that is queued at that moment. Asking for the next
/// one says that the host has taken the one before. Dropping the body before
/// its end tells the writers that the peer has gone, unless the stream is
/// [recorded](super::Writer::record).
///
/// ```
/// use http_body_util::BodyExt;
/// use spinlane_core::sse::{self, Event, WriterConfig};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let (writer, mut body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// world.run(writer.feed(Event::data("one")))?;
/// world.run(writer.feed(Event::data("two")))?;
/// let mut frame = || world.run(body.frame()).unwrap().unwrap().into_data().unwrap();
/// assert_eq!(frame(), "data: one\n\ndata: two\n\n", "all that is there");
/// // Nothing more comes for 15 s.
/// assert_eq!(frame(), ": heartbeat\n\n");
/// drop(body);
/// assert!(writer.is_closed());
/// # Ok::<(), spinlane_core::sse::Closed>(())
/// ```
pub struct Body {
    shared: Arc<SharedQueue>,
    clock: Arc<dyn Clock>,
    heartbeat: Duration,
    /// When something was last handed to the host.
    last_write: Instant,
    /// Runs on while writes go by, and is set anew only when it is due: most
    /// frames then cost no timer. The mutex makes the body `Sync`; nobody else
    /// has it.
    timer: Mutex<Option<BoxFuture<'static, ()>>>,
    abort: Option<AbortHandle>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

impl Body {
    pub(super) fn new(
        shared: Arc<SharedQueue>,
        clock: Arc<dyn Clock>,
        heartbeat: Duration,
        abort: Option<AbortHandle>,
    ) -> Self {
        Self {
            last_write: clock.now(),
            shared,
            clock,
            heartbeat,
            timer: Mutex::new(None),
            abort,
        }
    }

    /// What the stream still says when its component panics: what is queued,
    /// then the event that `last` makes of the request id, unless the stream
    /// has ended already.
    pub fn panic_tail(
        &self,
        last: impl Fn(&str) -> Option<Event> + Send + Sync + 'static,
    ) -> PanicTail {
        let shared = Arc::clone(&self.shared);
        PanicTail::new(move |request_id| {
            let Some(last) = last(request_id) else {
                return Vec::new();
            };
            // Where the lock is held, the queue itself is what panicked.
            let queue = shared.try_lock();
            queue.map_or_else(Vec::new, |mut queue| queue.panic_tail(&last))
        })
    }

    /// Resolves when a heartbeat is due.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_mut();
        let timer = timer.unwrap_or_else(PoisonError::into_inner);
        loop {
            let due = self.last_write + self.heartbeat;
            let sleep = match timer {
                Some(sleep) => sleep,
                None if self.clock.now() >= due => return Poll::Ready(()),
                None => timer.insert(self.clock.sleep_until(due)),
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *timer = None;
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let (acks, writer, chunk) = {
            let mut queue = this.shared.lock();
            if queue.phase == Phase::Ended {
                return Poll::Ready(None);
            }
            let acks = queue.acknowledge();
            let chunk = queue.take();
            if chunk.is_none() && queue.phase == Phase::Closing {
                let end = queue.end();
                drop(queue);
                acks.now();
                end.now();
                return Poll::Ready(None);
            }
            if chunk.is_none() {
                match &mut queue.reader {
                    Some(known) => known.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
            }
            (acks, queue.wake_writer(), chunk)
        };
        acks.now();
        let chunk = match chunk {
            Some(chunk) => {
                writer.now();
                chunk
            }
            None => {
                std::task::ready!(this.poll_heartbeat(cx));
                this.shared.lock().stats.heartbeats += 1;
                Bytes::from_static(HEARTBEAT)
            }
        };
        this.last_write = this.clock.now();
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.shared.lock().phase == Phase::Ended
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let (abandoned, wake) = {
            let mut queue = self.shared.lock();
            match queue.go_on_unread() {
                Some(wake) => (false, wake),
                None => (queue.phase != Phase::Ended, queue.end()),
            }
        };
        wake.now();
        if let (true, Some(abort)) = (abandoned, &self.abort) {
            abort.abort(AbortReason::ClientGone);
        }
    }
}
