//! What the stand-in is to say, and how it is to fail.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::request::Refusal;
use super::turn::{Block, Turn};
use crate::answer::{Piece, millis};

/// An answer. The default is the seeded DJ, a delta every 30 ms.
///
/// Made by its methods, or from JSON with the fields' names (times in
/// milliseconds).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    pub(super) status: u16,
    pub(super) retry_after: Option<u64>,
    pub(super) head_delay_ms: u64,
    pub(super) silent: bool,
    /// The connection breaks off in place of an answer.
    pub(super) reset: bool,
    /// `None`: the seeded DJ.
    pub(super) deltas: Option<Vec<String>>,
    pub(super) thinking: Option<String>,
    /// Reasoning that is sent encrypted.
    pub(super) redacted: Option<String>,
    pub(super) tools: Vec<Tool>,
    /// The fault comes after so many pieces of the first tool's input instead
    /// of after so many deltas.
    pub(super) inside_tool: bool,
    /// The last tool's input ends after so many pieces.
    pub(super) tool_ends: Option<usize>,
    pub(super) pace_ms: u64,
    /// After so many deltas, nothing for so long.
    pub(super) silence: Option<(usize, u64)>,
    pub(super) fault: Option<Fault>,
    pub(super) stop_reason: Option<String>,
    /// Tokens in and out.
    pub(super) usage: Option<(u64, u64)>,
    /// Tokens that were put into the cache, and read from it.
    pub(super) cache_usage: Option<(u64, u64)>,
    pub(super) ping_every: usize,
    pub(super) unknown_events: bool,
    /// A whole body instead of an answer, with its media type.
    pub(super) raw: Option<(String, String)>,
    /// A stream that is written as it stands here.
    pub(super) wire: Option<Vec<Step>>,
}

/// One step of a stream that is written as it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// These bytes, at once.
    Write(String),
    /// Nothing for so many milliseconds.
    Wait(u64),
    /// A `ping` every so many milliseconds, and nothing else, until the client
    /// goes.
    Pings(u64),
    /// Nothing any more, until the client goes.
    Hang,
    /// The connection breaks off.
    Cut,
}

impl Step {
    pub(super) fn piece(&self) -> Piece {
        match self {
            Self::Write(text) => Piece::Write(text.clone().into()),
            Self::Wait(millis) => Piece::Wait(Duration::from_millis(*millis)),
            Self::Pings(millis) => {
                let ping = Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n");
                Piece::Repeat(ping, Duration::from_millis(*millis))
            }
            Self::Hang => Piece::Hang,
            Self::Cut => Piece::Cut,
        }
    }
}

/// A tool that the model asks for.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tool {
    pub(super) name: String,
    /// Empty: a new one each time.
    #[serde(default)]
    pub(super) id: String,
    pub(super) input: Value,
}

/// What goes wrong after so many deltas.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    Hang(usize),
    Cut(usize),
    Garbage(usize),
    Error(usize, String, String),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            status: 200,
            retry_after: None,
            head_delay_ms: 0,
            silent: false,
            reset: false,
            deltas: None,
            thinking: None,
            redacted: None,
            tools: Vec::new(),
            inside_tool: false,
            tool_ends: None,
            pace_ms: 30,
            silence: None,
            fault: None,
            stop_reason: None,
            usage: None,
            cache_usage: None,
            ping_every: 0,
            unknown_events: false,
            raw: None,
            wire: None,
        }
    }
}

impl Script {
    /// These deltas, all at once.
    #[must_use]
    pub fn text<S: Into<String>>(deltas: impl IntoIterator<Item = S>) -> Self {
        Self {
            deltas: Some(deltas.into_iter().map(Into::into).collect()),
            pace_ms: 0,
            ..Self::default()
        }
    }

    /// No text, for a turn that only asks for tools: see
    /// [`use_tool`](Self::use_tool).
    #[must_use]
    pub fn tools() -> Self {
        Self::text::<String>([])
    }

    /// The service's error answer for `status`.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Takes the request and never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self {
            silent: true,
            ..Self::default()
        }
    }

    /// Takes the request and closes the connection.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            reset: true,
            ..Self::default()
        }
    }

    /// A 200 with `body` as it is.
    #[must_use]
    pub fn raw(media_type: &str, body: &str) -> Self {
        Self {
            raw: Some((media_type.into(), body.into())),
            ..Self::default()
        }
    }

    /// An answer of something in between: its own status, media type and body.
    #[must_use]
    pub fn answer(status: u16, media_type: &str, body: &str) -> Self {
        Self {
            status,
            ..Self::raw(media_type, body)
        }
    }

    /// A stream that is written step by step, byte for byte: what other services
    /// and proxies send in place of this one's.
    #[must_use]
    pub fn wire(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            wire: Some(steps.into_iter().collect()),
            ..Self::default()
        }
    }

    /// Waits before the head.
    #[must_use]
    pub fn head_delay(mut self, time: Duration) -> Self {
        self.head_delay_ms = millis(time);
        self
    }

    /// Waits before each delta; zero gives all of them in few writes.
    #[must_use]
    pub fn pace(mut self, time: Duration) -> Self {
        self.pace_ms = millis(time);
        self
    }

    /// Says nothing for so long after `deltas` deltas.
    #[must_use]
    pub fn silence_after(mut self, deltas: usize, time: Duration) -> Self {
        self.silence = Some((deltas, millis(time)));
        self
    }

    /// Says nothing more after `deltas` deltas, until the client goes.
    #[must_use]
    pub fn hang_after(mut self, deltas: usize) -> Self {
        self.fault = Some(Fault::Hang(deltas));
        self
    }

    /// Breaks the connection after `deltas` deltas.
    #[must_use]
    pub fn cut_after(mut self, deltas: usize) -> Self {
        self.fault = Some(Fault::Cut(deltas));
        self
    }

    /// Sends what is neither JSON nor known after `deltas` deltas.
    #[must_use]
    pub fn garbage_after(mut self, deltas: usize) -> Self {
        self.fault = Some(Fault::Garbage(deltas));
        self
    }

    /// Sends an `error` event after `deltas` deltas.
    #[must_use]
    pub fn error_event_after(mut self, deltas: usize, kind: &str, message: &str) -> Self {
        self.fault = Some(Fault::Error(deltas, kind.into(), message.into()));
        self
    }

    /// Adds `Retry-After`, in seconds, to an error answer.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Why the model stops; by default it has finished, or asks for tools.
    #[must_use]
    pub fn stop_reason(mut self, reason: &str) -> Self {
        self.stop_reason = Some(reason.into());
        self
    }

    /// The tokens that are reported.
    #[must_use]
    pub fn usage(mut self, input: u64, output: u64) -> Self {
        self.usage = Some((input, output));
        self
    }

    /// A `ping` after each so many deltas.
    #[must_use]
    pub fn ping_every(mut self, deltas: usize) -> Self {
        self.ping_every = deltas;
        self
    }

    /// Events of types that nobody knows yet, among the others.
    #[must_use]
    pub fn unknown_events(mut self) -> Self {
        self.unknown_events = true;
        self
    }

    /// Thinks first.
    #[must_use]
    pub fn thinking(mut self, text: &str) -> Self {
        self.thinking = Some(text.into());
        self
    }

    /// Reasons where nobody can read it, first.
    #[must_use]
    pub fn redacted_thinking(mut self, data: &str) -> Self {
        self.redacted = Some(data.into());
        self
    }

    /// Asks for a tool, after the text, with an identifier of its own each
    /// time that this script is used.
    #[must_use]
    pub fn use_tool(self, name: &str, input: Value) -> Self {
        self.tool_use(name, "", input)
    }

    /// The fault comes inside the first tool's input: what was a number of
    /// deltas is then one of the input's pieces, of about 7 bytes each.
    #[must_use]
    pub fn inside_tool(mut self) -> Self {
        self.inside_tool = true;
        self
    }

    /// The last tool's input ends after so many pieces, as when the tokens run
    /// out: the block and the message end as if that were all.
    #[must_use]
    pub fn tool_input_ends_after(mut self, pieces: usize) -> Self {
        self.tool_ends = Some(pieces);
        self
    }

    /// The tokens that are reported as put into the cache, and as read from it.
    #[must_use]
    pub fn cache_usage(mut self, creation: u64, read: u64) -> Self {
        self.cache_usage = Some((creation, read));
        self
    }

    /// Asks for a tool, after the text.
    #[must_use]
    pub fn tool_use(mut self, name: &str, id: &str, input: Value) -> Self {
        self.tools.push(Tool {
            name: name.into(),
            id: id.into(),
            input,
        });
        self
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.head_delay_ms)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    pub(super) fn is_reset(&self) -> bool {
        self.reset
    }

    pub(super) fn retry_after_header(&self) -> Option<HeaderValue> {
        self.retry_after.map(HeaderValue::from)
    }

    /// Whether nothing of the answer was scripted.
    pub(super) fn is_seeded(&self) -> bool {
        self.deltas.is_none()
            && self.thinking.is_none()
            && self.redacted.is_none()
            && self.tools.is_empty()
    }

    /// What the scripted model says in call `number`; `seeded` is what it says
    /// where nothing was scripted.
    pub(super) fn turn(&self, number: u64, seeded: impl FnOnce() -> Vec<String>) -> Turn {
        let mut blocks = Vec::new();
        blocks.extend(self.thinking.clone().map(Block::Thinking));
        blocks.extend(self.redacted.clone().map(Block::Redacted));
        let deltas = self.deltas.clone().unwrap_or_else(seeded);
        if !deltas.is_empty() || self.tools.is_empty() {
            blocks.push(Block::Text(deltas));
        }
        blocks.extend(self.tools.iter().enumerate().map(|(at, tool)| Block::Tool {
            id: match tool.id.as_str() {
                "" => format!("toolu_{number:020}{at:02}"),
                id => id.to_owned(),
            },
            name: tool.name.clone(),
            input: tool.input.clone(),
        }));
        Turn { blocks }
    }

    pub(super) fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        if self.raw.is_some() {
            return None;
        }
        let message = match self.status {
            200 => return None,
            401 => "invalid x-api-key",
            429 => "This request would exceed your organization's rate limit",
            529 => "Overloaded",
            _ => "Internal server error",
        };
        Some(Refusal::new(self.status, message))
    }
}
