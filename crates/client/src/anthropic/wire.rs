//! What the Messages API answers, as far as it is read here.

use std::borrow::Cow;

use serde_json::Value;

use super::reported::ApiError;

/// One event of the answer's stream.
///
/// An index is `None` where the event does not say whose it is: then it is of
/// the newest block.
///
/// ```
/// use spinlane_client::anthropic::{StopReason, StreamEvent, Usage};
///
/// /// Why the model has stopped.
/// fn end(event: &StreamEvent<'_>) -> Option<StopReason> {
///     match event {
///         StreamEvent::MessageDelta { stop_reason, .. } => *stop_reason,
///         _ => None,
///     }
/// }
///
/// let (stop_reason, usage) = (Some(StopReason::EndTurn), Usage::default());
/// assert_eq!(end(&StreamEvent::MessageDelta { stop_reason, usage }), stop_reason);
/// assert_eq!(end(&StreamEvent::Ping), None);
/// ```
#[derive(Debug, PartialEq)]
pub enum StreamEvent<'a> {
    /// The answer begins.
    MessageStart {
        /// What the request came to.
        usage: Usage,
    },
    /// A content block begins.
    BlockStart {
        /// Its place among the blocks.
        index: Option<u32>,
        /// What it is.
        block: Block,
    },
    /// A content block goes on.
    BlockDelta {
        /// Whose part it is.
        index: Option<u32>,
        /// The part.
        delta: Delta<'a>,
    },
    /// A content block has ended.
    BlockStop {
        /// Its place among the blocks.
        index: Option<u32>,
    },
    /// Near the end. Usage is cumulative: what is given replaces what was.
    MessageDelta {
        /// Why the model stopped, once it has.
        stop_reason: Option<StopReason>,
        /// What the answer has come to by now.
        usage: Usage,
    },
    /// The answer is whole.
    MessageStop,
    /// `[DONE]`, with which other services end their streams.
    Done,
    /// The connection is alive.
    Ping,
    /// The service has failed, or refuses.
    Error(ApiError),
    /// Means nothing, or nothing yet.
    Unknown,
}

/// What a content block begins with.
///
/// ```
/// use serde_json::json;
/// use spinlane_client::anthropic::{Block, Part};
///
/// let (id, name) = ("toolu_1".to_owned(), "search".to_owned());
/// let begun = Block::ToolUse { id, name, input: json!({}) };
/// // Given back with the input that came in deltas.
/// let part = match begun {
///     Block::ToolUse { id, name, .. } => Part::ToolUse { id, name, input: json!({"q": "rain"}) },
///     Block::Text(text) => Part::text(text),
///     other => panic!("{other:?}"),
/// };
/// assert_eq!(serde_json::to_value(part)?["type"], "tool_use");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, PartialEq)]
pub enum Block {
    /// Text; what it begins with is nearly always empty.
    Text(String),
    /// The model's reasoning; what it begins with is nearly always empty.
    Thinking {
        /// What it begins with.
        thinking: String,
        /// What its proof begins with.
        signature: String,
    },
    /// Reasoning that is returned encrypted.
    RedactedThinking {
        /// What came.
        data: String,
    },
    /// The model asks for a tool. Its input follows in deltas; what it begins
    /// with is nearly always an empty object.
    ToolUse {
        /// Names the call for its result.
        id: String,
        /// The tool's name.
        name: String,
        /// What its input begins with.
        input: Value,
    },
    /// Something that is not known yet.
    Unknown,
}

/// More of a content block. Borrows from the event where it can.
///
/// ```
/// use spinlane_client::anthropic::Delta;
///
/// let deltas = [r#"{"q":"#, r#""rain"}"#].map(|piece| Delta::InputJson(piece.into()));
/// let input: String = deltas.iter().filter_map(Delta::piece).map(|piece| &**piece).collect();
/// let input: serde_json::Value = serde_json::from_str(&input)?;
/// assert_eq!(input["q"], "rain");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Delta<'a> {
    /// More of the text.
    Text(Cow<'a, str>),
    /// A piece of a tool's input, not JSON by itself.
    InputJson(Cow<'a, str>),
    /// More of the reasoning.
    Thinking(Cow<'a, str>),
    /// Proves to the service that the reasoning is its own.
    Signature(Cow<'a, str>),
    /// Citations, and what is not known yet.
    Unknown,
}

/// Why the model stopped.
///
/// ```
/// use spinlane_client::anthropic::StopReason;
///
/// assert_eq!(StopReason::EndTurn.cut_short(), None);
/// // For who reads the answer.
/// assert_eq!(StopReason::MaxTokens.cut_short(), Some("max_tokens"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It has said all that it wanted to.
    EndTurn,
    /// It has said as much as it may.
    MaxTokens,
    /// It has said what ends its turn.
    StopSequence,
    /// It waits for the results of tools.
    ToolUse,
    /// It goes on when it is asked to.
    PauseTurn,
    /// It will not answer this.
    Refusal,
    /// The conversation has grown longer than it can read.
    ModelContextWindowExceeded,
    /// A reason that is not known yet.
    Unknown,
}

impl StopReason {
    /// Why an answer that ended so is not all that the model had to say, as the
    /// interface names it; `None` where it is.
    pub const fn cut_short(self) -> Option<&'static str> {
        match self {
            Self::EndTurn | Self::StopSequence | Self::Unknown => None,
            Self::MaxTokens => Some("max_tokens"),
            Self::ToolUse => Some("tool_use"),
            Self::PauseTurn => Some("pause_turn"),
            Self::Refusal => Some("refusal"),
            Self::ModelContextWindowExceeded => Some("model_context_window_exceeded"),
        }
    }
}

/// Tokens. Absent is not zero: it means that the event says nothing about it.
///
/// ```
/// use spinlane_client::anthropic::Usage;
///
/// let begin = Usage { input_tokens: Some(40), output_tokens: Some(1), ..Usage::default() };
/// let later = Usage { output_tokens: Some(12), ..Usage::default() };
/// // What an event says nothing about stays.
/// let read = later.input_tokens.or(begin.input_tokens);
/// let written = later.output_tokens.or(begin.output_tokens);
/// assert_eq!((read, written), (Some(40), Some(12)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens that were read, those of the cache left out.
    pub input_tokens: Option<u64>,
    /// Tokens that were written.
    pub output_tokens: Option<u64>,
    /// Tokens that were put into the service's cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// Tokens that came out of it.
    pub cache_read_input_tokens: Option<u64>,
}

/// A part of the answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl<'a> Delta<'a> {
    /// What it brings; `None` where that is unknown.
    pub const fn piece(&self) -> Option<&Cow<'a, str>> {
        match self {
            Self::Text(piece)
            | Self::InputJson(piece)
            | Self::Thinking(piece)
            | Self::Signature(piece) => Some(piece),
            Self::Unknown => None,
        }
    }

    /// Another piece of the same kind.
    pub(super) fn with<'b>(&self, piece: Cow<'b, str>) -> Delta<'b> {
        match self {
            Self::Text(_) => Delta::Text(piece),
            Self::InputJson(_) => Delta::InputJson(piece),
            Self::Thinking(_) => Delta::Thinking(piece),
            Self::Signature(_) => Delta::Signature(piece),
            Self::Unknown => Delta::Unknown,
        }
    }
}

impl StreamEvent<'_> {
    /// Whether it brings the answer on. Pings do not, nor does a delta that is
    /// empty: some proxies keep connections alive with those.
    pub(super) fn is_progress(&self) -> bool {
        match self {
            Self::BlockStart { .. } | Self::BlockStop { .. } => true,
            Self::BlockDelta { delta, .. } => delta.piece().is_none_or(|piece| !piece.is_empty()),
            _ => false,
        }
    }
}
