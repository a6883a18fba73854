//! The run's end of the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use std::marker::PhantomData;

use super::frames::{Frames, Said};
use spinlane_core::log::{Record, Sink};
use spinlane_core::sse::{Event, EventError, FeedError, Writer};

pub use spinlane_core::sse::Closed;

/// The most that the frames of one run take, in bytes: an upstream that never ends
/// ends here.
pub const MAX_FRAMES: u64 = 8 * 1024 * 1024;

/// What of that is kept for the last two frames.
const RESERVED: u64 = 64 * 1024;

/// More than a content frame has around its text.
const AROUND: usize = 128;

/// The most bytes that one byte of text takes as JSON: `\u0001`.
const ESCAPED: usize = 6;

/// Writes the frames of one run, in the run's own terms.
///
/// Once they have taken [`MAX_FRAMES`] it answers [`Closed`], as it does when the
/// client has gone, and [`is_full`](Self::is_full) tells the one from the other.
///
/// ```
/// use http_body_util::BodyExt;
/// use spinlane_core::sse::{self, WriterConfig};
/// use spinlane_core::testing::World;
/// use spinlane_http::run::Output;
/// use spinlane_http::run::plain::Plain;
///
/// // A run has one; this is for a test of what a run does.
/// let world = World::new();
/// let (writer, body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// let output: Output<Plain> = Output::new(writer);
/// output.progress(1, 3, "songs");
/// world.run(output.say("Rain"))?;
/// drop(output);
/// let stream = world.run(body.collect()).unwrap().to_bytes();
/// assert!(stream.ends_with(b"data: {\"type\":\"content\",\"data\":\"Rain\"}\n\n"));
/// # Ok::<(), spinlane_http::run::Closed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Output<F> {
    writer: Writer,
    full: Arc<AtomicBool>,
    frames: PhantomData<F>,
}

/// Content of one upstream read that found the queue full, and its length in bytes.
///
/// ```
/// use http_body_util::BodyExt;
/// use spinlane_core::sse::{self, WriterConfig};
/// use spinlane_core::testing::World;
/// use spinlane_http::run::plain::Plain;
/// use spinlane_http::run::{Held, Output};
///
/// let world = World::new();
/// let (writer, mut body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// let output: Output<Plain> = Output::new(writer);
/// // What one read of an upstream has brought, and then the wait for room.
/// let mut held = Held::default();
/// for piece in ["Rain", " and ", "sun"] {
///     output.content(piece, &mut held)?;
/// }
/// world.run(output.release(held))?;
/// let frame = world.run(body.frame()).unwrap().unwrap().into_data().unwrap();
/// let pieces = frame.windows(6).filter(|window| window == b"data: ").count();
/// assert_eq!(pieces, 3, "all leave in one write");
/// # Ok::<(), spinlane_http::run::Closed>(())
/// ```
#[derive(Debug, Default)]
pub struct Held(Vec<Event>, usize);

impl<F: Frames> Output<F> {
    /// Frames into `writer`.
    pub fn new(writer: Writer) -> Self {
        Self {
            writer,
            full: Arc::default(),
            frames: PhantomData,
        }
    }

    /// Whether something could not be written for want of room: the run's frames
    /// are as many as they may be.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether a frame of so many bytes has room.
    fn has_room(&self, bytes: usize) -> bool {
        self.writer.stats().queued + bytes as u64 <= MAX_FRAMES - RESERVED
    }

    /// # Errors
    /// [`Closed`] where it has none, which ends the run.
    fn take_room(&self, bytes: usize) -> Result<(), Closed> {
        if self.has_room(bytes) {
            return Ok(());
        }
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                bytes = MAX_FRAMES,
                "a run's frames are as many as they may be"
            );
        }
        Err(Closed)
    }

    /// The first frames, which leave with the head. Resolves when the host has
    /// taken them: what comes after cannot delay the head.
    pub(super) async fn begin(&self, id: &str, opening: Option<&str>) -> Result<(), Closed> {
        let first = self.feed(&frame::<F>(Said::Run(id)));
        first.await?;
        if let Some(line) = opening {
            self.thinking(line);
        }
        self.writer.flush().await
    }

    /// A piece of the answer. Never waits: with the queue full it is held, in
    /// order, until [`release`](Self::release). A reader's callback uses it, so
    /// that all pieces of one upstream read leave in one write.
    pub fn content(&self, text: &str, held: &mut Held) -> Result<(), Closed> {
        let frame = frame::<F>(Said::Content(text));
        // To know the very length costs more than to write it, so only where it
        // matters.
        if !self.has_room(AROUND + ESCAPED * text.len() + held.1) {
            let event = Event::json(&frame).or_else(|error| give_up(&error))?;
            self.take_room(AROUND + event.size() + held.1)?;
        }
        let queued = held.0.is_empty()
            && self
                .writer
                .try_feed_json(&frame)
                .or_else(|error| match error {
                    FeedError::Event(error) => give_up(&error),
                    _ => Err(Closed),
                })?;
        if !queued {
            let event = Event::json(&frame).or_else(|error| give_up(&error))?;
            held.1 += AROUND + event.size();
            held.0.push(event);
        }
        Ok(())
    }

    /// Queues what was held, as room comes. Whoever reads an upstream waits
    /// here: this is where its back-pressure comes from.
    pub async fn release(&self, held: Held) -> Result<(), Closed> {
        for event in held.0 {
            self.writer.feed(event).await?;
        }
        Ok(())
    }

    /// A piece of the answer, in order. Waits while the queue is full, which holds
    /// back the upstream that is being read; pieces that are said without waiting
    /// for anything else in between leave in one write.
    ///
    /// # Errors
    /// [`Closed`] when the client has gone, or there is no room for more.
    pub async fn say(&self, text: &str) -> Result<(), Closed> {
        let fed = self.feed(&frame::<F>(Said::Content(text)));
        fed.await
    }

    /// A line of progress. Under back-pressure the newest one waits, and the
    /// others are dropped.
    pub fn thinking(&self, line: &str) {
        if let Ok(event) = Event::json(&frame::<F>(Said::Thinking(line))) {
            self.post(event.coalesce("thinking"));
        }
    }

    /// How far a long piece of work has come. Under back-pressure the newest
    /// one waits, and the others are dropped.
    pub fn progress(&self, done: usize, total: usize, label: &str) {
        if let Ok(event) = Event::json(&frame::<F>(Said::Progress { done, total, label })) {
            self.post(event.coalesce("progress"));
        }
    }

    /// A frame of the application's own. Waits while the queue is full.
    ///
    /// # Errors
    /// [`Closed`] when the client has gone, or there is no room for more.
    pub fn feed<'a>(
        &'a self,
        frame: &F::Frame<'_>,
    ) -> impl Future<Output = Result<(), Closed>> + Send + use<'a, F> {
        let event = Event::json(frame).or_else(|error| give_up(&error));
        async move {
            let event = event?;
            self.take_room(AROUND + event.size())?;
            self.writer.feed(event).await
        }
    }

    /// What nobody misses is left out where there is no room for it.
    fn post(&self, event: Event) {
        if self.has_room(AROUND + event.size()) {
            self.writer.post(event);
        }
    }

    /// Where the request's log goes.
    pub fn log_sink(&self) -> Sink {
        let this = self.clone();
        Arc::new(move |record: &Record| {
            if let Ok(event) = Event::json(&frame::<F>(Said::Log(record))) {
                this.post(event);
            }
        })
    }

    /// The end: what was used, then the terminal frame, then nothing more.
    pub(super) async fn end(&self, usage: &F::Usage, terminal: Said<'_, F>) -> Result<(), Closed> {
        let event = |said| Event::json(&frame::<F>(said)).or_else(|error| give_up(&error));
        self.writer.feed(event(Said::Usage(usage))?).await?;
        self.writer.end(event(terminal)?).await
    }
}

fn frame<F: Frames>(said: Said<'_, F>) -> F::Frame<'_> {
    said.into()
}

/// A frame without a JSON form cannot be (string keys, finite numbers); should
/// it be, the stream ends, and the log says why.
fn give_up<T>(error: &EventError) -> Result<T, Closed> {
    tracing::error!(%error, "a frame cannot be written");
    Err(Closed)
}
