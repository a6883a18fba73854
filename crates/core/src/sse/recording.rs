//! A stream that is kept for a log while it is written.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::queue::{Phase, SharedQueue};

/// What of a stream its log has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Kept {
    frames: BytesMut,
    lengths: Vec<usize>,
    /// The body is gone.
    pub(super) is_unread: bool,
    /// Who waits for frames.
    pub(super) log: Option<Waker>,
    /// Who waits for the end, and who waits for the body to go.
    end: Option<Waker>,
    watch: Option<Waker>,
}

impl Kept {
    /// Whoever waits for anything.
    pub(super) fn wakers(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let all = [self.log.take(), self.end.take(), self.watch.take()];
        all.into_iter().flatten()
    }

    /// Takes a frame, as it is on the wire.
    pub(super) fn add(&mut self, frame: &[u8]) {
        self.frames.extend_from_slice(frame);
        self.lengths.push(frame.len());
    }
}

/// The log's end of a stream: every event, in the order and the very bytes of the wire
/// (heartbeats and other comments left out). What the log has not taken is held in memory.
///
/// ```
/// use spinlane_core::sse::{self, Event, WriterConfig};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let (writer, body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// let recording = writer.record();
/// // Its client goes, and it goes on.
/// drop(body);
/// world.run(writer.feed(Event::data("hello")))?;
/// assert_eq!(recording.take().frames, "data: hello\n\n");
/// // Nobody keeps it any more.
/// recording.stop();
/// assert!(writer.is_closed());
/// # Ok::<(), spinlane_core::sse::Closed>(())
/// ```
#[derive(Debug)]
pub struct Recording(Arc<SharedQueue>);

/// Frames of a stream.
///
/// ```
/// use spinlane_core::sse::{self, Event, WriterConfig};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let (writer, _body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// let recording = writer.record();
/// world.run(writer.feed(Event::data("a")))?;
/// world.run(writer.feed(Event::data("bc")))?;
/// let recorded = recording.take();
/// assert_eq!(recorded.lengths, ["data: a\n\n".len(), "data: bc\n\n".len()]);
/// assert!(!recorded.is_last);
/// # Ok::<(), spinlane_core::sse::Closed>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// One after the other.
    pub frames: Bytes,
    /// How long each is, in bytes.
    pub lengths: Vec<usize>,
    /// Whether these are the last.
    pub is_last: bool,
}

impl Recording {
    pub(super) fn of(shared: &Arc<SharedQueue>) -> Self {
        shared.lock().kept = Some(Kept::default());
        Self(Arc::clone(shared))
    }

    /// Another look at the same stream.
    #[must_use]
    pub fn watch(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// What has come since it was asked last.
    pub fn take(&self) -> Recorded {
        let mut queue = self.0.lock();
        let is_last = queue.phase != Phase::Open;
        let Some(kept) = &mut queue.kept else {
            return Recorded::default();
        };
        Recorded {
            frames: kept.frames.split().freeze(),
            lengths: std::mem::take(&mut kept.lengths),
            is_last,
        }
    }

    /// Resolves when there is something to take, or the stream is over. One at a time
    /// waits here.
    pub async fn changed(&self) {
        self.until(|kept, waker| {
            let come = !kept.lengths.is_empty();
            kept.log = Some(waker.clone());
            come
        })
        .await;
    }

    /// Resolves when the stream takes no more frames. One at a time waits here, whom
    /// frames do not wake.
    pub async fn over(&self) {
        self.until(|kept, waker| {
            kept.end = Some(waker.clone());
            false
        })
        .await;
    }

    /// Resolves when `come`, or when the stream is over.
    async fn until(&self, come: impl Fn(&mut Kept, &Waker) -> bool) {
        poll_fn(|cx| {
            let mut queue = self.0.lock();
            let is_over = queue.phase != Phase::Open;
            let kept = queue.kept.as_mut().filter(|_| !is_over);
            match kept.is_none_or(|kept| come(kept, cx.waker())) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Resolves when the body has gone while the stream was kept; never, where it is
    /// read to its end. One at a time waits here.
    pub async fn unread(&self) {
        poll_fn(|cx| {
            let mut queue = self.0.lock();
            match &mut queue.kept {
                Some(kept) if kept.is_unread => Poll::Ready(()),
                Some(kept) => {
                    kept.watch = Some(cx.waker().clone());
                    Poll::Pending
                }
                // Nobody waits for its body any more.
                None => Poll::Pending,
            }
        })
        .await;
    }

    /// Whether the stream is still kept.
    pub fn is_kept(&self) -> bool {
        self.0.lock().kept.is_some()
    }

    /// Resolves when the stream is kept no more. One at a time waits here, or in
    /// [`unread`](Self::unread).
    pub async fn stopped(&self) {
        poll_fn(|cx| match &mut self.0.lock().kept {
            Some(kept) => {
                kept.watch = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }

    /// Keeps no more of it. Where nobody reads it either, it ends: writers are told
    /// that it is closed.
    pub fn stop(&self) {
        let (waiting, ended) = {
            let mut queue = self.0.lock();
            let Some(mut kept) = queue.kept.take() else {
                return;
            };
            let ended = kept.is_unread.then(|| queue.end());
            (kept.wakers(), ended)
        };
        waiting.for_each(Waker::wake);
        if let Some(ended) = ended {
            ended.now();
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::abort::AbortHandle;
    use crate::sse::{Body, Event, Writer, WriterConfig, channel};
    use crate::testing::World;

    fn recorded(world: &World, capacity: usize) -> (Writer, Body, Recording, AbortHandle) {
        let config = WriterConfig::default().numbered(true).capacity(capacity);
        let abort = AbortHandle::new();
        let (writer, body) = channel(world.ports().clock, config, Some(abort.clone()));
        let recording = writer.record();
        (writer, body, recording, abort)
    }

    const ONE: &str = "id: 1\ndata: one\n\n";
    const TWO: &str = "id: 2\ndata: two\n\n";

    #[test]
    fn what_is_kept_is_what_is_read() {
        let world = World::new();
        let (writer, body, recording, _) = recorded(&world, 1 << 10);
        world.run(async {
            writer.feed(Event::data("one")).await.unwrap();
            let first = recording.take();
            assert_eq!((&first.frames[..], first.is_last), (ONE.as_bytes(), false));
            writer.feed(Event::data("two")).await.unwrap();
            drop(writer);
            let last = recording.take();
            assert_eq!((&last.frames[..], last.is_last), (TWO.as_bytes(), true));
            assert_eq!(last.lengths, [TWO.len()]);
            let read = body.collect().await.unwrap().to_bytes();
            assert_eq!(read, format!("{ONE}{TWO}"));
        });
    }

    /// A log finds a frame by its number, which is its place among those that were kept.
    #[test]
    fn each_frame_that_is_kept_has_its_number_as_its_place() {
        let world = World::new();
        let (writer, body, recording, _) = recorded(&world, 1 << 10);
        world.run(async {
            writer.feed(Event::data("one")).await.unwrap();
            writer.feed(Event::comment("not an event")).await.unwrap();
            let own = Event::data("two").id("its own").unwrap();
            writer.feed(own).await.unwrap();
            writer.feed(Event::data("three")).await.unwrap();
            drop(writer);
            let kept = recording.take();
            let two = "id: its own\ndata: two\n\n";
            let three = "id: 3\ndata: three\n\n";
            assert_eq!(kept.frames, format!("{ONE}{two}{three}"));
            assert_eq!(kept.lengths, [ONE.len(), two.len(), three.len()]);
            let read = body.collect().await.unwrap().to_bytes();
            assert_eq!(read, format!("{ONE}: not an event\n\n{two}{three}"));
        });
    }

    /// The writer of a stream that is kept learns of its reader's end by nothing: not
    /// even what it waits for at that moment keeps it.
    #[test]
    fn the_stream_goes_on_when_its_reader_goes() {
        let world = World::new();
        let (writer, body, recording, abort) = recorded(&world, 8);
        world.run(async {
            writer.feed(Event::data("one")).await.unwrap();
            let full = async {
                writer.feed(Event::data("two")).await.unwrap();
                writer.flush().await.unwrap();
            };
            futures::join!(full, async { drop(body) }, recording.unread());
            writer.post(Event::data("three"));
            writer.end(Event::data("four")).await.unwrap();
            assert!(!abort.signal().is_aborted());
            recording.over().await;
            let all = recording.take();
            assert!(all.frames.starts_with(format!("{ONE}{TWO}").as_bytes()));
            assert!(all.frames.ends_with(b"id: 4\ndata: four\n\n"));
            assert_eq!((all.lengths.len(), all.is_last), (4, true));
        });
    }

    #[test]
    fn who_is_not_kept_any_more_is_as_any_other() {
        let world = World::new();
        let (writer, body, recording, abort) = recorded(&world, 1 << 10);
        recording.stop();
        drop(body);
        assert!(writer.is_closed() && abort.signal().is_aborted());
        let (writer, body, recording, _) = recorded(&world, 1 << 10);
        drop(body);
        assert!(!writer.is_closed());
        recording.stop();
        assert!(writer.is_closed(), "nobody is left to read it");
    }

    #[test]
    fn recorded_frames_are_written_as_they_are() {
        let world = World::new();
        let (writer, body) = channel(world.ports().clock, WriterConfig::default(), None);
        world.run(async {
            let frames = format!("{ONE}{TWO}");
            writer.feed_recorded(frames.as_bytes()).await.unwrap();
            drop(writer);
            assert_eq!(body.collect().await.unwrap().to_bytes(), frames);
        });
    }
}
