//! Reads an event of the answer.
//!
//! The format as it is described is read here, and fast. What is not quite that
//! is read by [`loose`](super::loose): an answer passes through proxies, and not
//! all of them are careful.

use std::borrow::Cow;

use serde::Deserialize;

use super::loose;
use super::surrogates::Edges;
use super::wire::{Delta, Lost, StreamEvent};

impl<'a> StreamEvent<'a> {
    /// Reads the event `name` with `data`. Without a name (a proxy that drops
    /// `event:` lines) the data's own `type` says what it is. With it come the
    /// halves of characters at the ends of its text.
    ///
    /// # Errors
    /// When the data is that of a delta, and cannot be read: a part of the
    /// answer would be missing. Nothing else can be lost that matters.
    pub(super) fn parse(name: &str, data: &'a str) -> Result<(Self, Edges), Lost> {
        // By far the most frequent: no other way leads through it.
        if name == "content_block_delta"
            && let Ok(event) = delta(data)
        {
            return Ok((event, Edges::default()));
        }
        loose::read(name, data)
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
    let index = Some(index);
    Ok(StreamEvent::BlockDelta { index, delta })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anthropic::reported::ApiError;
    use crate::anthropic::wire::{Block, StopReason, Usage};
    use serde_json::json;

    fn parse<'a>(name: &str, data: &'a str) -> StreamEvent<'a> {
        StreamEvent::parse(name, data).unwrap().0
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
                    index: Some(0),
                    block: Block::Text(String::new()),
                },
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"search","input":{}}}"#,
                StreamEvent::BlockStart {
                    index: Some(1),
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
                    index: Some(0),
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
                    index: Some(0),
                    block: Block::RedactedThinking { data: "xyz".into() },
                },
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"q\": \"a"}}"#,
                StreamEvent::BlockDelta {
                    index: Some(1),
                    delta: Delta::InputJson(r#"{"q": "a"#.into()),
                },
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
                StreamEvent::BlockDelta {
                    index: Some(0),
                    delta: Delta::Thinking("hm".into()),
                },
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s=="}}"#,
                StreamEvent::BlockDelta {
                    index: Some(0),
                    delta: Delta::Signature("s==".into()),
                },
            ),
            (
                "content_block_stop",
                r#"{"type":"content_block_stop","index":2}"#,
                StreamEvent::BlockStop { index: Some(2) },
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
}
