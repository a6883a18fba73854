//! Server-Sent Events, both ways, after the WHATWG HTML standard's section
//! "Server-sent events".
//!
//! - [`Event`]: one event, encoded so that no caller can inject a frame.
//! - [`Decoder`]: an incremental parser for upstream streams, total and
//!   bounded. [`events`] is a body read by it, as a `Stream`.
//! - [`channel`]: the queued [`Writer`] and the [`Body`] that it feeds. All
//!   writers of a stream go through one queue, bounded in bytes; the body gives
//!   everything that is queued at once, so that a lone token leaves at once and
//!   a burst leaves in few writes.
//! - [`response`]: the answer that carries the body through proxies.
//!
//! ```
//! use spinlane_core::sse::{Decoder, Event};
//!
//! let mut bytes = Vec::new();
//! Event::data("two\nlines").event("note")?.encode(&mut bytes);
//! assert_eq!(bytes, b"event: note\ndata: two\ndata: lines\n\n");
//!
//! let mut seen = Vec::new();
//! Decoder::new(1 << 20).push(&bytes, |event| {
//!     seen.push((event.event.to_string(), event.data.to_string()));
//! })?;
//! assert_eq!(seen, [("note".to_string(), "two\nlines".to_string())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod decoder;
mod event;
mod events;
mod queue;
mod recording;
mod response;
mod writer;

pub use body::Body;
pub use decoder::{DecodeError, Decoded, Decoder};
pub use event::{Event, EventError};
pub use events::{Events, EventsError, Received, events};
pub use queue::Stats;
pub use recording::{Recorded, Recording};
pub use response::response;
pub use writer::{Closed, FeedError, Writer, WriterConfig, channel};

/// Media type of an event stream.
pub const CONTENT_TYPE: &str = "text/event-stream";
