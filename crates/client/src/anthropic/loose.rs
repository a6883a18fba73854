//! Reads events that are not quite what the interface describes.
//!
//! What carries no meaning cannot end an answer. A field of another type is
//! read for what it means, one that is missing is guessed by the others, what
//! says nothing is [`StreamEvent::Unknown`].

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::reported::ApiError;
use super::surrogates::{Edges, mend};
use super::wire::{Block, Delta, Lost, StopReason, StreamEvent, Usage};

type Fields = Map<String, Value>;

/// The events that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    MessageStart,
    BlockStart,
    BlockDelta,
    BlockStop,
    MessageDelta,
    MessageStop,
    Ping,
    Error,
}

/// The name of the event whose loss matters.
const DELTA: &str = "content_block_delta";

/// Reads the event `name` with `data`.
///
/// # Errors
/// When it was a delta, and what it brought cannot be told.
pub(super) fn read(name: &str, data: &str) -> Result<(StreamEvent<'static>, Edges), Lost> {
    let (document, edges) = match document(data) {
        Some((Value::Object(fields), edges)) => (fields, edges),
        // A keep-alive, or an event that its name alone tells.
        Some(_) => (Fields::new(), Edges::default()),
        None if name == "error" => {
            let error = StreamEvent::Error(ApiError::from_text(data));
            return Ok((error, Edges::default()));
        }
        None if data.trim() == "[DONE]" => return Ok((StreamEvent::Done, Edges::default())),
        None if is_delta(name, data) => return Err(Lost),
        None => (Fields::new(), Edges::default()),
    };
    let event = match kind(name, &document) {
        Some(kind) => event(kind, &document)?,
        None => StreamEvent::Unknown,
    };
    Ok((event, edges))
}

/// The data as JSON, with the halves of characters that it begins or ends with.
fn document(data: &str) -> Option<(Value, Edges)> {
    if let Ok(value) = serde_json::from_str(data) {
        return Some((value, Edges::default()));
    }
    let mended = mend(data)?;
    let value = serde_json::from_str(&mended.json).ok()?;
    Some((value, mended.edges))
}

/// Whether data that is no JSON was that of a delta.
fn is_delta(name: &str, data: &str) -> bool {
    !data.trim().is_empty() && (name == DELTA || data.contains(DELTA))
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "message_start" => Self::MessageStart,
            "content_block_start" => Self::BlockStart,
            DELTA => Self::BlockDelta,
            "content_block_stop" => Self::BlockStop,
            "message_delta" => Self::MessageDelta,
            "message_stop" => Self::MessageStop,
            "ping" => Self::Ping,
            "error" => Self::Error,
            _ => return None,
        })
    }

    /// By what it has, where nothing says what it is.
    fn shaped(fields: &Fields) -> Option<Self> {
        let object = |name: &str| fields.get(name).is_some_and(Value::is_object);
        let ends = |delta: &Value| delta.get("stop_reason").is_some();
        Some(match fields.get("delta") {
            Some(delta) if ends(delta) => Self::MessageDelta,
            Some(_) => Self::BlockDelta,
            None if object("content_block") => Self::BlockStart,
            None if object("message") => Self::MessageStart,
            None if fields.contains_key("stop_reason") || object("usage") => Self::MessageDelta,
            None if fields.contains_key("index") => Self::BlockStop,
            None if ApiError::read(fields).is_error() => Self::Error,
            None => return None,
        })
    }
}

/// What kind of event it is: by its name, else by the type in its data, else by
/// its shape. An error may stand under any name.
fn kind(name: &str, fields: &Fields) -> Option<Kind> {
    let typed = fields.get("type").and_then(Value::as_str);
    let by_type = typed.and_then(Kind::named);
    if by_type == Some(Kind::Error) {
        return by_type;
    }
    let known = Kind::named(name).or(by_type);
    let is_error = || {
        let names_one = typed.is_some_and(|kind| kind.ends_with("_error"));
        names_one || fields.get("error").is_some_and(|error| !error.is_null())
    };
    match known {
        Some(Kind::Ping) | None if is_error() => Some(Kind::Error),
        Some(kind) => Some(kind),
        // A type that is not known yet, or a name: of no use to who does not
        // know it.
        None if typed.is_some() || !matches!(name, "" | "message") => None,
        None => Kind::shaped(fields),
    }
}

fn event(kind: Kind, fields: &Fields) -> Result<StreamEvent<'static>, Lost> {
    let index = fields.get("index").and_then(number);
    let index = index.and_then(|index| u32::try_from(index).ok());
    Ok(match kind {
        Kind::MessageStart => {
            let message = fields
                .get("message")
                .and_then(|message| message.get("usage"));
            let usage = usage(message.or_else(|| fields.get("usage")));
            StreamEvent::MessageStart { usage }
        }
        Kind::BlockStart => match fields.get("content_block").and_then(block) {
            Some(block) => StreamEvent::BlockStart { index, block },
            // Its deltas tell what it is.
            None => StreamEvent::Unknown,
        },
        Kind::BlockDelta => {
            let delta = delta(fields.get("delta"))?;
            StreamEvent::BlockDelta { index, delta }
        }
        Kind::BlockStop => StreamEvent::BlockStop { index },
        Kind::MessageDelta => {
            let delta = fields
                .get("delta")
                .and_then(|delta| delta.get("stop_reason"));
            let stop_reason = delta.or_else(|| fields.get("stop_reason"));
            StreamEvent::MessageDelta {
                stop_reason: stop_reason
                    .and_then(Value::as_str)
                    .and_then(StopReason::named),
                usage: usage(fields.get("usage")),
            }
        }
        Kind::MessageStop => StreamEvent::MessageStop,
        Kind::Ping => StreamEvent::Ping,
        Kind::Error => StreamEvent::Error(ApiError::read(fields)),
    })
}

fn delta(value: Option<&Value>) -> Result<Delta<'static>, Lost> {
    let Some(Value::Object(fields)) = value else {
        return Ok(Delta::Unknown);
    };
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        _ => first_of(
            fields,
            &[
                ("partial_json", "input_json_delta"),
                ("thinking", "thinking_delta"),
                ("signature", "signature_delta"),
                ("text", "text_delta"),
            ],
        ),
    };
    Ok(match kind {
        "text_delta" => match fields.get("text") {
            Some(Value::Array(_) | Value::Object(_)) => return Err(Lost),
            text => Delta::Text(words(text)),
        },
        // Some proxies send what they have parsed.
        "input_json_delta" => match fields.get("partial_json") {
            Some(json @ (Value::Array(_) | Value::Object(_))) => {
                Delta::InputJson(json.to_string().into())
            }
            json => Delta::InputJson(words(json)),
        },
        "thinking_delta" => Delta::Thinking(words(fields.get("thinking"))),
        "signature_delta" => Delta::Signature(words(fields.get("signature"))),
        _ => Delta::Unknown,
    })
}

fn block(value: &Value) -> Option<Block> {
    let Value::Object(fields) = value else {
        return None;
    };
    let text = |name: &str| words(fields.get(name)).into_owned();
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        _ => first_of(
            fields,
            &[
                ("name", "tool_use"),
                ("input", "tool_use"),
                ("thinking", "thinking"),
                ("data", "redacted_thinking"),
                ("text", "text"),
            ],
        ),
    };
    Some(match kind {
        "" => return None,
        "text" => Block::Text(text("text")),
        "thinking" => Block::Thinking {
            thinking: text("thinking"),
            signature: text("signature"),
        },
        "redacted_thinking" => Block::RedactedThinking { data: text("data") },
        "tool_use" => Block::ToolUse {
            id: text("id"),
            name: text("name"),
            input: fields.get("input").cloned().unwrap_or_default(),
        },
        _ => Block::Unknown,
    })
}

/// The kind that goes with the first of these fields that is there.
fn first_of(fields: &Fields, kinds: &[(&str, &'static str)]) -> &'static str {
    let found = kinds.iter().find(|(name, _)| fields.contains_key(*name));
    found.map_or("", |(_, kind)| kind)
}

/// A text; another scalar as it is written, anything else as none.
fn words(value: Option<&Value>) -> Cow<'static, str> {
    match value {
        Some(Value::String(text)) => text.clone().into(),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar.to_string().into(),
        _ => Cow::default(),
    }
}

/// A count, which may be written as a float or a text.
fn number(value: &Value) -> Option<u64> {
    let float = match value {
        Value::Number(number) => match number.as_u64() {
            Some(number) => return Some(number),
            None => number.as_f64(),
        },
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let float = float.filter(|float: &f64| (0.0..MAX_COUNT).contains(float))?;
    // Within what a u64 holds: nothing is lost but the fraction.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(float.round() as u64)
}

/// More than anything that is counted here, and no more than a float is exact
/// for.
const MAX_COUNT: f64 = 9e15;

fn usage(value: Option<&Value>) -> Usage {
    let count = |name: &str| value?.get(name).and_then(number);
    Usage {
        input_tokens: count("input_tokens"),
        output_tokens: count("output_tokens"),
        cache_creation_input_tokens: count("cache_creation_input_tokens"),
        cache_read_input_tokens: count("cache_read_input_tokens"),
    }
}

impl StopReason {
    /// `None`: the text is empty, and says as little as no text.
    fn named(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "" => return None,
            "end_turn" => Self::EndTurn,
            "max_tokens" => Self::MaxTokens,
            "stop_sequence" => Self::StopSequence,
            "tool_use" => Self::ToolUse,
            "pause_turn" => Self::PauseTurn,
            "refusal" => Self::Refusal,
            "model_context_window_exceeded" => Self::ModelContextWindowExceeded,
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests;
