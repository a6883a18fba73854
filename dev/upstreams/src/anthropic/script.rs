//! What the stand-in is to say, and how it is to fail.

use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;

use super::request::Refusal;

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
    /// `None`: the seeded DJ.
    pub(super) deltas: Option<Vec<String>>,
    pub(super) thinking: Option<String>,
    pub(super) tools: Vec<Tool>,
    pub(super) pace_ms: u64,
    /// After so many deltas, nothing for so long.
    pub(super) silence: Option<(usize, u64)>,
    pub(super) fault: Option<Fault>,
    pub(super) stop_reason: Option<String>,
    /// Tokens in and out.
    pub(super) usage: Option<(u64, u64)>,
    pub(super) ping_every: usize,
    pub(super) unknown_events: bool,
    /// A whole body instead of an answer, with its media type.
    pub(super) raw: Option<(String, String)>,
}

/// A tool that the model asks for.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tool {
    pub(super) name: String,
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
            deltas: None,
            thinking: None,
            tools: Vec::new(),
            pace_ms: 30,
            silence: None,
            fault: None,
            stop_reason: None,
            usage: None,
            ping_every: 0,
            unknown_events: false,
            raw: None,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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

    /// A 200 with `body` as it is.
    #[must_use]
    pub fn raw(media_type: &str, body: &str) -> Self {
        Self {
            raw: Some((media_type.into(), body.into())),
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

    pub(super) fn media_type(&self) -> Option<&'static str> {
        let (media_type, _) = self.raw.as_ref()?;
        Some(match media_type.as_str() {
            "text/html" => "text/html",
            "application/json" => "application/json",
            _ => "text/event-stream",
        })
    }

    pub(super) fn retry_after_header(&self) -> Option<HeaderValue> {
        self.retry_after.map(HeaderValue::from)
    }

    pub(super) fn reason(&self) -> &str {
        match &self.stop_reason {
            Some(reason) => reason,
            None if self.tools.is_empty() => "end_turn",
            None => "tool_use",
        }
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
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
