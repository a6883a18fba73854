//! One answer of the model, put together from its pieces.
//!
//! What the model said goes to the user as it comes. Here it is kept as well,
//! since the next request of a conversation with tools gives it back: text,
//! reasoning with its signature, and the tools that were asked for.

use serde_json::{Map, Value};

use crate::dj::clients::anthropic::{Block, Delta, Part, StreamEvent};

/// The most that is kept of one answer, in bytes: far above what a model says
/// within its tokens, and a bound for an upstream that never ends.
const MAX_KEPT: usize = 1024 * 1024;

/// The longest input of one tool, in bytes.
const MAX_INPUT: usize = 64 * 1024;

/// What has come of an answer.
#[derive(Debug, Default)]
pub(super) struct Turn {
    blocks: Vec<Kept>,
    size: usize,
}

/// A content block.
#[derive(Debug)]
struct Kept {
    index: u32,
    content: Content,
    /// Whether its end has come.
    complete: bool,
}

#[derive(Debug)]
enum Content {
    Text(String),
    Thinking { thinking: String, signature: String },
    Redacted(String),
    Tool(Asked),
    Unknown,
}

#[derive(Debug)]
struct Asked {
    id: String,
    name: String,
    /// From the block's start: only where no delta came.
    input: Value,
    /// From its deltas.
    json: String,
}

/// The model asks for a tool.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    /// A JSON object; or why there is none, in words for the model.
    pub(super) input: Result<Map<String, Value>, String>,
}

/// What an answer has grown to is more than is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Turn {
    /// Keeps what `event` brings.
    pub(super) fn take(&mut self, event: &StreamEvent<'_>) {
        match event {
            StreamEvent::BlockStart { index, block } => self.start(*index, block),
            StreamEvent::BlockDelta { index, delta } => self.more(*index, delta),
            StreamEvent::BlockStop { index } => {
                if let Some(block) = self.block(*index) {
                    block.complete = true;
                }
            }
            _ => {}
        }
    }

    /// The newest block with `index`: nearly always the last of all.
    fn block(&mut self, index: u32) -> Option<&mut Kept> {
        let mut newest_first = self.blocks.iter_mut().rev();
        newest_first.find(|block| block.index == index)
    }

    fn start(&mut self, index: u32, block: &Block) {
        let content = match block {
            Block::Text(text) => Content::Text(text.clone()),
            Block::Thinking {
                thinking,
                signature,
            } => Content::Thinking {
                thinking: thinking.clone(),
                signature: signature.clone(),
            },
            Block::RedactedThinking { data } => Content::Redacted(data.clone()),
            Block::ToolUse { id, name, input } => Content::Tool(Asked {
                id: id.clone(),
                name: name.clone(),
                input: input.clone(),
                json: String::new(),
            }),
            Block::Unknown => Content::Unknown,
        };
        // Counted, so that blocks without content have a bound as well.
        self.size += size_of::<Kept>() + content.len();
        if self.size <= MAX_KEPT {
            self.blocks.push(Kept {
                index,
                content,
                complete: false,
            });
        }
    }

    fn more(&mut self, index: u32, delta: &Delta<'_>) {
        let more = match delta {
            Delta::Text(more)
            | Delta::InputJson(more)
            | Delta::Thinking(more)
            | Delta::Signature(more) => more,
            Delta::Unknown => return,
        };
        self.size += more.len();
        if self.size > MAX_KEPT {
            return;
        }
        let Some(block) = self.block(index) else {
            return;
        };
        match (&mut block.content, delta) {
            (Content::Text(text), Delta::Text(_)) => text.push_str(more),
            (Content::Tool(asked), Delta::InputJson(_)) => asked.json.push_str(more),
            (Content::Thinking { thinking, .. }, Delta::Thinking(_)) => thinking.push_str(more),
            (Content::Thinking { signature, .. }, Delta::Signature(_)) => signature.push_str(more),
            _ => {}
        }
    }

    /// The answer as the next request gives it back, and the tools that it asks
    /// for, in order.
    ///
    /// # Errors
    /// [`TooLong`] when parts of it were not kept.
    pub(super) fn finish(self) -> Result<(Vec<Part<'static>>, Vec<ToolCall>), TooLong> {
        if self.size > MAX_KEPT {
            return Err(TooLong);
        }
        let (mut parts, mut calls) = (Vec::new(), Vec::new());
        for Kept {
            content, complete, ..
        } in self.blocks
        {
            match content {
                // The service refuses text that is empty.
                Content::Text(text) if text.trim().is_empty() => {}
                Content::Text(text) => parts.push(Part::text(text)),
                Content::Thinking {
                    thinking,
                    signature,
                } => parts.push(Part::Thinking {
                    thinking,
                    signature,
                }),
                Content::Redacted(data) => parts.push(Part::RedactedThinking { data }),
                Content::Tool(asked) => {
                    let call = asked.call(complete);
                    parts.push(Part::ToolUse {
                        id: call.id.clone(),
                        name: call.name.clone(),
                        // Must be an object, whatever it was.
                        input: Value::Object(call.input.clone().unwrap_or_default()),
                    });
                    calls.push(call);
                }
                Content::Unknown => {}
            }
        }
        Ok((parts, calls))
    }
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Redacted(text) => text.len(),
            Self::Thinking {
                thinking,
                signature,
            } => thinking.len() + signature.len(),
            Self::Tool(asked) => asked.id.len() + asked.name.len(),
            Self::Unknown => 0,
        }
    }
}

impl Asked {
    fn call(self, complete: bool) -> ToolCall {
        let input = self.object(complete);
        let Self { id, name, .. } = self;
        ToolCall { id, name, input }
    }

    /// The input, only if it is all there: a part of it is never run.
    fn object(&self, complete: bool) -> Result<Map<String, Value>, String> {
        if !complete {
            return Err("the input was cut off: send the call again".into());
        }
        if self.json.len() > MAX_INPUT {
            return Err(format!("the input is longer than {MAX_INPUT} bytes"));
        }
        let value = match self.json.trim().is_empty() {
            true => Ok(self.input.clone()),
            false => serde_json::from_str(&self.json),
        };
        match value {
            Ok(Value::Object(object)) => Ok(object),
            // A tool without input, from a proxy that leaves it out.
            Ok(Value::Null) if self.json.is_empty() => Ok(Map::new()),
            Ok(_) => Err("the input must be a JSON object".into()),
            Err(error) => Err(format!("the input is not valid JSON: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn start(index: u32, block: Block) -> StreamEvent<'static> {
        StreamEvent::BlockStart { index, block }
    }

    fn delta(index: u32, delta: Delta<'_>) -> StreamEvent<'_> {
        StreamEvent::BlockDelta { index, delta }
    }

    fn stop(index: u32) -> StreamEvent<'static> {
        StreamEvent::BlockStop { index }
    }

    fn tool(index: u32, input: Value) -> StreamEvent<'static> {
        let (id, name) = (format!("t{index}"), "search".to_owned());
        start(index, Block::ToolUse { id, name, input })
    }

    fn turn(events: &[StreamEvent<'_>]) -> Turn {
        let mut turn = Turn::default();
        events.iter().for_each(|event| turn.take(event));
        turn
    }

    fn input(events: &[StreamEvent<'_>]) -> Result<Value, String> {
        let (parts, calls) = turn(events).finish().unwrap();
        let Some(Part::ToolUse { input, .. }) = parts.last() else {
            panic!("{parts:?}");
        };
        assert!(input.is_object(), "{input}");
        calls[0].input.clone().map(Value::Object)
    }

    #[test]
    fn everything_is_given_back_as_it_came() {
        let thinking = Block::Thinking {
            thinking: "h".into(),
            signature: String::new(),
        };
        let redacted = Block::RedactedThinking { data: "xyz".into() };
        let (parts, calls) = turn(&[
            StreamEvent::Ping,
            start(0, thinking),
            delta(0, Delta::Thinking("m".into())),
            delta(0, Delta::Signature("s=".into())),
            delta(0, Delta::Signature("=".into())),
            stop(0),
            start(1, redacted),
            stop(1),
            start(2, Block::Text(String::new())),
            delta(2, Delta::Text("Let ".into())),
            delta(2, Delta::Text("me".into())),
            stop(2),
            start(3, Block::Text(" ".into())),
            stop(3),
            tool(4, json!({})),
            delta(4, Delta::InputJson("{\"q\": \"a".into())),
            delta(4, Delta::InputJson("b\"}".into())),
            stop(4),
            tool(5, json!({})),
            stop(5),
        ])
        .finish()
        .unwrap();
        let tool_use = |id: &str, input| Part::ToolUse {
            id: id.into(),
            name: "search".into(),
            input,
        };
        assert_eq!(
            parts,
            [
                Part::Thinking {
                    thinking: "hm".into(),
                    signature: "s==".into()
                },
                Part::RedactedThinking { data: "xyz".into() },
                Part::text("Let me"),
                tool_use("t4", json!({"q": "ab"})),
                tool_use("t5", json!({})),
            ]
        );
        let ids: Vec<_> = calls.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(ids, ["t4", "t5"]);
        assert_eq!(calls[1].input, Ok(Map::new()));
    }

    #[test]
    fn an_input_that_is_cut_or_no_object_is_none() {
        let json = |text: &'static str| {
            let piece = delta(0, Delta::InputJson(text.into()));
            input(&[tool(0, json!({})), piece, stop(0)])
        };
        assert_eq!(json("{\"a\": [1]}"), Ok(json!({"a": [1]})));
        for (text, words) in [
            ("{\"a\": [1", "not valid JSON"),
            ("{\"a\": 1} {", "not valid JSON"),
            ("[1]", "must be a JSON object"),
            ("null", "must be a JSON object"),
        ] {
            let error = json(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let piece = delta(0, Delta::InputJson("{\"a\": 1}".into()));
        let unfinished = input(&[tool(0, json!({})), piece]);
        assert!(unfinished.unwrap_err().contains("cut off"));
        let deep = "[".repeat(100_000);
        let piece = delta(0, Delta::InputJson(deep[..MAX_INPUT].into()));
        let error = input(&[tool(0, json!({})), piece, stop(0)]);
        assert!(error.unwrap_err().contains("not valid JSON"));
        let piece = delta(0, Delta::InputJson(deep.into()));
        let error = input(&[tool(0, json!({})), piece, stop(0)]);
        assert!(error.unwrap_err().contains("longer"));
    }

    #[test]
    fn an_input_may_come_whole_at_the_start() {
        assert_eq!(
            input(&[tool(0, json!({"a": 1})), stop(0)]),
            Ok(json!({"a": 1}))
        );
        assert_eq!(input(&[tool(0, Value::Null), stop(0)]), Ok(json!({})));
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let long = "x".repeat(1000);
        let mut turn = turn(&[start(0, Block::Text(String::new()))]);
        for _ in 0..1100 {
            turn.take(&delta(0, Delta::Text(long.as_str().into())));
        }
        assert!(turn.blocks[0].content.len() <= MAX_KEPT);
        assert_eq!(turn.finish(), Err(TooLong));
        let mut blocks = Turn::default();
        for index in 0..1_000_000 {
            blocks.take(&start(index, Block::Unknown));
        }
        assert!(blocks.blocks.len() * size_of::<Kept>() <= MAX_KEPT);
        assert_eq!(blocks.finish(), Err(TooLong));
    }

    proptest! {
        /// However a tool's input is cut into pieces, it is what was meant; and
        /// any proper beginning of it is none at all.
        #[test]
        fn pieces_of_an_input_are_put_together(
            text in "\\PC{0,20}",
            number in any::<i64>(),
            at in any::<proptest::sample::Index>(),
            size in 1..9usize,
        ) {
            let meant = json!({"text": text, "n": [number, null, true]});
            let json = meant.to_string();
            let chars: Vec<char> = json.chars().collect();
            let mut events = vec![tool(0, json!({}))];
            let pieces = chars.chunks(size).map(|piece| piece.iter().collect::<String>());
            events.extend(pieces.map(|piece| delta(0, Delta::InputJson(piece.into()))));
            events.push(stop(0));
            prop_assert_eq!(input(&events), Ok(meant));
            let cut: String = chars[..1 + at.index(chars.len() - 1)].iter().collect();
            let events = [tool(0, json!({})), delta(0, Delta::InputJson(cut.into())), stop(0)];
            prop_assert!(input(&events).is_err());
        }
    }
}
