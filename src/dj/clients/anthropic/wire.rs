//! What the Messages API answers, as far as the DJ uses it.
//!
//! Readers are tolerant: fields that are not used are not read, and types that
//! are not known yet (of events, blocks, deltas, stop reasons) become
//! `Unknown`, as the interface asks of its clients.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// One event of the answer's stream.
#[derive(Debug, PartialEq)]
pub(crate) enum StreamEvent<'a> {
    MessageStart {
        usage: Usage,
    },
    BlockStart {
        index: u32,
        block: Block,
    },
    BlockDelta {
        index: u32,
        delta: Delta<'a>,
    },
    BlockStop {
        index: u32,
    },
    /// Near the end. Usage is cumulative: what is given replaces what was.
    MessageDelta {
        stop_reason: Option<StopReason>,
        usage: Usage,
    },
    MessageStop,
    Ping,
    Error(ApiError),
    Unknown,
}

/// What a content block begins with.
#[derive(Debug, PartialEq)]
pub(crate) enum Block {
    /// Text; what it begins with is nearly always empty.
    Text(String),
    /// The model's reasoning; what it begins with is nearly always empty.
    Thinking {
        thinking: String,
        signature: String,
    },
    /// Reasoning that is returned encrypted.
    RedactedThinking {
        data: String,
    },
    /// The model asks for a tool. Its input follows in deltas; what it begins
    /// with is nearly always an empty object.
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    Unknown,
}

/// More of a content block. Borrows from the event where it can.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delta<'a> {
    Text(Cow<'a, str>),
    /// A piece of a tool's input, not JSON by itself.
    InputJson(Cow<'a, str>),
    Thinking(Cow<'a, str>),
    /// Proves to the service that the reasoning is its own.
    Signature(Cow<'a, str>),
    /// Citations, and what is not known yet.
    Unknown,
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StopReason {
    EndTurn,
    MaxTokens,
    StopSequence,
    ToolUse,
    PauseTurn,
    Refusal,
    ModelContextWindowExceeded,
    #[serde(other)]
    Unknown,
}

/// Tokens. Absent is not zero: it means that the event says nothing about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Usage {
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) cache_creation_input_tokens: Option<u64>,
    pub(crate) cache_read_input_tokens: Option<u64>,
}

/// The service's own error, in a stream or as a whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ApiError {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) message: String,
}

/// An answer that is an error: `{"type":"error","error":{…}}`.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorAnswer {
    pub(crate) error: ApiError,
}

impl<'a> StreamEvent<'a> {
    /// Reads the event `name` with `data`. Without a name (a proxy that drops
    /// `event:` lines) the data's own `type` says what it is.
    ///
    /// # Errors
    /// When the data of a known event is not what it must be.
    pub(crate) fn parse(name: &str, data: &'a str) -> Result<Self, serde_json::Error> {
        match name {
            // By far the most frequent: no other way leads through it.
            "content_block_delta" => delta(data),
            "" | "message" => {
                let Typed { kind } = serde_json::from_str(data)?;
                Self::named(&kind, data)
            }
            name => Self::named(name, data),
        }
    }

    fn named(name: &str, data: &'a str) -> Result<Self, serde_json::Error> {
        Ok(match name {
            "content_block_delta" => return delta(data),
            "message_start" => {
                let MessageStart { message } = serde_json::from_str(data)?;
                Self::MessageStart {
                    usage: message.usage.unwrap_or_default(),
                }
            }
            "content_block_start" => {
                let BlockStart {
                    index,
                    content_block,
                } = serde_json::from_str(data)?;
                Self::BlockStart {
                    index,
                    block: content_block.into(),
                }
            }
            "content_block_stop" => {
                let Indexed { index } = serde_json::from_str(data)?;
                Self::BlockStop { index }
            }
            "message_delta" => {
                let MessageDelta { delta, usage } = serde_json::from_str(data)?;
                let stop_reason = delta.stop_reason;
                Self::MessageDelta {
                    stop_reason,
                    usage: usage.unwrap_or_default(),
                }
            }
            "message_stop" => Self::MessageStop,
            "ping" => Self::Ping,
            "error" => {
                let ErrorAnswer { error } = serde_json::from_str(data)?;
                Self::Error(error)
            }
            _ => Self::Unknown,
        })
    }
}

/// Reads a `content_block_delta` without copying the text, unless it holds
/// escapes. One flat struct: tagged enums would buffer every field first.
fn delta(data: &str) -> Result<StreamEvent<'_>, serde_json::Error> {
    let BlockDelta { index, delta } = serde_json::from_str(data)?;
    let delta = match &*delta.kind {
        "text_delta" => Delta::Text(delta.text),
        "input_json_delta" => Delta::InputJson(delta.partial_json),
        "thinking_delta" => Delta::Thinking(delta.thinking),
        "signature_delta" => Delta::Signature(delta.signature),
        _ => Delta::Unknown,
    };
    Ok(StreamEvent::BlockDelta { index, delta })
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct BlockDelta<'a> {
    index: u32,
    #[serde(borrow)]
    delta: AnyDelta<'a>,
}

#[derive(Deserialize)]
struct AnyDelta<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    partial_json: Cow<'a, str>,
    #[serde(borrow, default)]
    thinking: Cow<'a, str>,
    #[serde(borrow, default)]
    signature: Cow<'a, str>,
}

#[derive(Deserialize)]
struct MessageStart {
    message: StartedMessage,
}

#[derive(Deserialize)]
struct StartedMessage {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct BlockStart {
    index: u32,
    content_block: AnyBlock,
}

#[derive(Deserialize)]
struct AnyBlock {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    data: String,
}

impl From<AnyBlock> for Block {
    fn from(block: AnyBlock) -> Self {
        match block.kind.as_str() {
            "text" => Self::Text(block.text),
            "thinking" => Self::Thinking {
                thinking: block.thinking,
                signature: block.signature,
            },
            "redacted_thinking" => Self::RedactedThinking { data: block.data },
            "tool_use" => Self::ToolUse {
                id: block.id,
                name: block.name,
                input: block.input,
            },
            _ => Self::Unknown,
        }
    }
}

#[derive(Deserialize)]
struct Indexed {
    index: u32,
}

#[derive(Deserialize)]
struct MessageDelta {
    delta: EndOfMessage,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct EndOfMessage {
    stop_reason: Option<StopReason>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse<'a>(name: &str, data: &'a str) -> StreamEvent<'a> {
        StreamEvent::parse(name, data).unwrap()
    }

    #[test]
    fn every_event_of_the_format() {
        let usage = |input, output| Usage {
            input_tokens: input,
            output_tokens: output,
            ..Usage::default()
        };
        for (name, data, expected) in [
            (
                "message_start",
                r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"m","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1,"cache_read_input_tokens":null,"service_tier":"standard"}}}"#,
                StreamEvent::MessageStart {
                    usage: usage(Some(25), Some(1)),
                },
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                StreamEvent::BlockStart {
                    index: 0,
                    block: Block::Text(String::new()),
                },
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"search","input":{}}}"#,
                StreamEvent::BlockStart {
                    index: 1,
                    block: Block::ToolUse {
                        id: "toolu_1".into(),
                        name: "search".into(),
                        input: json!({}),
                    },
                },
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
                StreamEvent::BlockStart {
                    index: 0,
                    block: Block::Thinking {
                        thinking: String::new(),
                        signature: String::new(),
                    },
                },
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"xyz"}}"#,
                StreamEvent::BlockStart {
                    index: 0,
                    block: Block::RedactedThinking { data: "xyz".into() },
                },
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"q\": \"a"}}"#,
                StreamEvent::BlockDelta {
                    index: 1,
                    delta: Delta::InputJson(r#"{"q": "a"#.into()),
                },
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
                StreamEvent::BlockDelta {
                    index: 0,
                    delta: Delta::Thinking("hm".into()),
                },
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s=="}}"#,
                StreamEvent::BlockDelta {
                    index: 0,
                    delta: Delta::Signature("s==".into()),
                },
            ),
            (
                "content_block_stop",
                r#"{"type":"content_block_stop","index":2}"#,
                StreamEvent::BlockStop { index: 2 },
            ),
            (
                "message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#,
                StreamEvent::MessageDelta {
                    stop_reason: Some(StopReason::EndTurn),
                    usage: usage(None, Some(15)),
                },
            ),
            (
                "message_stop",
                r#"{"type":"message_stop"}"#,
                StreamEvent::MessageStop,
            ),
            ("ping", r#"{"type":"ping"}"#, StreamEvent::Ping),
            (
                "error",
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                StreamEvent::Error(ApiError {
                    kind: "overloaded_error".into(),
                    message: "Overloaded".into(),
                }),
            ),
        ] {
            assert_eq!(parse(name, data), expected);
            assert_eq!(parse("", data), expected, "named by its data");
        }
    }

    #[test]
    fn text_is_borrowed_unless_it_has_escapes() {
        let text = |data| match parse("content_block_delta", data) {
            StreamEvent::BlockDelta {
                delta: Delta::Text(text),
                ..
            } => text,
            other => panic!("{other:?}"),
        };
        let plain = text(
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hé"}}"#,
        );
        assert!(matches!(plain, Cow::Borrowed("Hé")));
        let escaped = text(
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\nb"}}"#,
        );
        assert_eq!(escaped, "a\nb");
    }

    #[test]
    fn what_is_not_known_yet_is_tolerated() {
        for (name, data) in [
            ("message_paused", r#"{"type":"message_paused"}"#),
            ("message_paused", "not even JSON"),
        ] {
            assert_eq!(parse(name, data), StreamEvent::Unknown);
        }
        let block = r#"{"index":0,"content_block":{"type":"server_tool_use","id":"x","n":[1]}}"#;
        assert_eq!(
            parse("content_block_start", block),
            StreamEvent::BlockStart {
                index: 0,
                block: Block::Unknown
            }
        );
        let delta = r#"{"index":0,"delta":{"type":"citations_delta","citation":{"a":1}},"x":{}}"#;
        assert_eq!(
            parse("content_block_delta", delta),
            StreamEvent::BlockDelta {
                index: 0,
                delta: Delta::Unknown
            }
        );
        let reason = r#"{"delta":{"stop_reason":"bored"},"usage":null}"#;
        let stop_reason = Some(StopReason::Unknown);
        let usage = Usage::default();
        assert_eq!(
            parse("message_delta", reason),
            StreamEvent::MessageDelta { stop_reason, usage }
        );
    }

    #[test]
    fn garbage_in_a_known_event_is_an_error() {
        for (name, data) in [
            ("content_block_delta", "{"),
            ("content_block_delta", r#"{"index":0}"#),
            ("message_start", "[]"),
            ("", "hello"),
            ("error", "{}"),
        ] {
            assert!(StreamEvent::parse(name, data).is_err(), "{name} {data}");
        }
    }
}
