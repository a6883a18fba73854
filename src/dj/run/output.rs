//! The run's end of the stream.

use std::sync::Arc;

use serde_json::Value;

use super::frame::{Frame, UsageReport};
use crate::core::log::{Record, Sink};
use crate::core::sse::{Event, EventError, FeedError, Writer};
use crate::dj::enrich::Report;

pub(crate) use crate::core::sse::Closed;

/// Writes the frames of one run, in the run's own terms.
#[derive(Clone, Debug)]
pub(crate) struct Output(Writer);

/// Content of one upstream read that found the queue full.
#[derive(Debug, Default)]
pub(crate) struct Held(Vec<Event>);

impl Output {
    pub(crate) fn new(writer: Writer) -> Self {
        Self(writer)
    }

    /// The first frame. Resolves when the host has taken it, and so the head:
    /// what comes after cannot delay it.
    pub(crate) async fn run(&self, id: &str) -> Result<(), Closed> {
        match Event::json(&Frame::Run { id }) {
            Ok(event) => self.0.send(event).await,
            Err(error) => give_up(&error),
        }
    }

    /// A piece of the answer. Never waits: with the queue full it is held, in
    /// order, until [`release`](Self::release). A reader's callback uses it, so
    /// that all pieces of one upstream read leave in one write.
    pub(crate) fn content(&self, text: &str, held: &mut Held) -> Result<(), Closed> {
        let frame = Frame::Content(text);
        let queued = held.0.is_empty()
            && self.0.try_feed_json(&frame).or_else(|error| match error {
                FeedError::Closed(closed) => Err(closed),
                FeedError::Event(error) => give_up(&error),
            })?;
        if !queued {
            held.0
                .push(Event::json(&frame).or_else(|error| give_up(&error))?);
        }
        Ok(())
    }

    /// Queues what was held, as room comes. Whoever reads an upstream waits
    /// here: this is where its back-pressure comes from.
    pub(crate) async fn release(&self, held: Held) -> Result<(), Closed> {
        for event in held.0 {
            self.0.feed(event).await?;
        }
        Ok(())
    }

    /// A line of progress. Under back-pressure the newest one waits, and the
    /// others are dropped.
    pub(crate) fn thinking(&self, line: &str) {
        if let Ok(event) = Event::json(&Frame::Thinking(line)) {
            self.0.post(event.coalesce("thinking"));
        }
    }

    /// How far a long piece of work has come. Under back-pressure the newest
    /// one waits, and the others are dropped.
    pub(crate) fn progress(&self, done: usize, total: usize, label: &str) {
        if let Ok(event) = Event::json(&Frame::Progress { done, total, label }) {
            self.0.post(event.coalesce("progress"));
        }
    }

    /// All that an enrichment has found out.
    pub(crate) async fn result(&self, report: &Report) -> Result<(), Closed> {
        self.feed(&Frame::Result(report)).await
    }

    /// A tool begins.
    pub(crate) async fn tool_start(
        &self,
        tool: &str,
        args: &Value,
        id: &str,
    ) -> Result<(), Closed> {
        self.feed(&Frame::ToolStart { tool, args, id }).await
    }

    /// A tool has ended.
    pub(crate) async fn tool_end(
        &self,
        tool: &str,
        result: &Value,
        id: &str,
        ms: u64,
        error: bool,
    ) -> Result<(), Closed> {
        let frame = Frame::ToolEnd {
            tool,
            result,
            id,
            ms,
            error,
        };
        self.feed(&frame).await
    }

    async fn feed(&self, frame: &Frame<'_>) -> Result<(), Closed> {
        let event = Event::json(frame).or_else(|error| give_up(&error))?;
        self.0.feed(event).await
    }

    /// Where the request's log goes.
    pub(crate) fn log_sink(&self) -> Sink {
        let writer = self.0.clone();
        Arc::new(move |record: &Record| {
            if let Ok(event) = Event::json(&Frame::Log(record.into())) {
                writer.post(event);
            }
        })
    }

    /// The end: what was used, then the terminal frame, then nothing more.
    pub(crate) async fn end(
        &self,
        usage: &UsageReport,
        terminal: &Frame<'_>,
    ) -> Result<(), Closed> {
        let frame = |frame| Event::json(&frame).or_else(|error| give_up(&error));
        self.0.feed(frame(Frame::Usage(usage))?).await?;
        self.0.end(frame(*terminal)?).await
    }
}

/// A frame without a JSON form cannot be (string keys, finite numbers); should
/// it be, the stream ends, and the log says why.
fn give_up<T>(error: &EventError) -> Result<T, Closed> {
    tracing::error!(%error, "a frame cannot be written");
    Err(Closed)
}
