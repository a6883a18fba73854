//! One answer of the model, put together from its pieces.
//!
//! What the model said goes to the user as it comes. Here it is kept as well,
//! since the next request of a conversation with tools gives it back: text,
//! reasoning with its signature, and the tools that were asked for.

use serde_json::{Map, Value};

use super::ids::{Ids, fits};
use super::prompt::is_blank;
use spinlane_client::anthropic::{Block, Delta, Part, StreamEvent, mend};

/// The most that is kept of one answer, in bytes: far above what a model says
/// within its tokens, and a bound for an upstream that never ends.
const MAX_KEPT: usize = 1024 * 1024;

/// The longest input of one tool, in bytes.
const MAX_INPUT: usize = 64 * 1024;

/// What has come of an answer.
#[derive(Debug, Default)]
pub(super) struct AnswerBuilder {
    blocks: Vec<Kept>,
    size: usize,
    /// Whether any block is a tool, kept or not.
    tools: bool,
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
    Tool(PartialCall),
    Unknown,
}

#[derive(Debug, Default)]
struct PartialCall {
    id: String,
    name: String,
    /// What the block's start has, used only where no delta came.
    input: Value,
    /// What its deltas make.
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

/// An answer that has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FinishedAnswer {
    /// The parts that the next request gives back.
    pub(super) parts: Vec<Part<'static>>,
    /// The tools that it asks for, in order.
    pub(super) calls: Vec<ToolCall>,
    /// Whether reasoning is missing from the parts: the service takes none that
    /// it has not signed.
    pub(super) unsigned: bool,
}

impl FinishedAnswer {
    /// Whether it says nothing, to the user or to a tool.
    pub(super) const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// What an answer has grown to is more than is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong {
    /// Whether it asks for tools.
    pub(super) tools: bool,
}

impl AnswerBuilder {
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

    /// The newest block with `index`, or of all: nearly always the same.
    fn block(&mut self, index: Option<u32>) -> Option<&mut Kept> {
        let mut newest_first = self.blocks.iter_mut().rev();
        newest_first.find(|block| index.is_none_or(|index| block.index == index))
    }

    /// What a block has that does not say: they are counted from 0.
    fn next_index(&self) -> u32 {
        self.blocks
            .last()
            .map_or(0, |last| last.index.saturating_add(1))
    }

    fn start(&mut self, index: Option<u32>, block: &Block) {
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
            Block::ToolUse { id, name, input } => Content::Tool(PartialCall {
                id: id.clone(),
                name: name.clone(),
                input: input.clone(),
                json: String::new(),
            }),
            Block::Unknown => Content::Unknown,
        };
        self.keep(index, content);
    }

    fn keep(&mut self, index: Option<u32>, content: Content) {
        // Counted, so that blocks without content have a bound as well.
        self.size += size_of::<Kept>() + content.len();
        self.tools |= matches!(content, Content::Tool(_));
        if self.size <= MAX_KEPT {
            self.blocks.push(Kept {
                index: index.unwrap_or_else(|| self.next_index()),
                content,
                complete: false,
            });
        }
    }

    fn more(&mut self, index: Option<u32>, delta: &Delta<'_>) {
        let Some(more) = delta.piece() else {
            return;
        };
        if self.block(index).is_none() {
            // Its start was lost: it is what its deltas are.
            self.keep(index, Content::begun_by(delta));
        }
        self.size += more.len();
        if self.size > MAX_KEPT {
            return;
        }
        let Some(block) = self.block(index) else {
            return;
        };
        if matches!((&block.content, delta), (Content::Unknown, Delta::Text(_))) {
            // The user has heard it.
            block.content = Content::begun_by(delta);
        }
        match (&mut block.content, delta) {
            (Content::Text(text), Delta::Text(_)) => text.push_str(more),
            (Content::Tool(asked), Delta::InputJson(_)) => asked.json.push_str(more),
            (Content::Thinking { thinking, .. }, Delta::Thinking(_)) => thinking.push_str(more),
            (Content::Thinking { signature, .. }, Delta::Signature(_)) => signature.push_str(more),
            _ => {}
        }
    }

    /// The answer now that it has ended. The tools' identifiers are such as the
    /// service takes, and no two of a run are the same: `ids` has those before.
    ///
    /// # Errors
    /// [`TooLong`] when parts of it were not kept.
    pub(super) fn finish(self, ids: &mut Ids) -> Result<FinishedAnswer, TooLong> {
        if self.size > MAX_KEPT {
            return Err(TooLong { tools: self.tools });
        }
        let mut said = FinishedAnswer::default();
        for Kept {
            content, complete, ..
        } in self.blocks
        {
            let part = match content {
                // The service refuses text that is empty.
                Content::Text(text) if is_blank(&text) => continue,
                Content::Text(text) => Part::text(text),
                Content::Thinking { signature, .. } if signature.is_empty() => {
                    said.unsigned = true;
                    continue;
                }
                Content::Thinking {
                    thinking,
                    signature,
                } => Part::Thinking {
                    thinking,
                    signature,
                },
                Content::Redacted(data) => Part::RedactedThinking { data },
                Content::Tool(asked) => {
                    let call = asked.call(complete, ids);
                    let part = call.part();
                    said.calls.push(call);
                    part
                }
                Content::Unknown => continue,
            };
            said.parts.push(part);
        }
        // The service takes no reasoning with nothing after it.
        while matches!(
            said.parts.last(),
            Some(Part::Thinking { .. } | Part::RedactedThinking { .. })
        ) {
            said.parts.pop();
        }
        Ok(said)
    }
}

impl ToolCall {
    /// The part that is given back.
    fn part(&self) -> Part<'static> {
        let Self { id, name, input } = self;
        Part::ToolUse {
            id: id.clone(),
            // No name of ours is of another form; the model is told that there
            // is no such tool.
            name: match fits(name) {
                true => name.clone(),
                false => "unknown".into(),
            },
            // Must be an object, whatever it was.
            input: Value::Object(input.clone().unwrap_or_default()),
        }
    }
}

impl Content {
    /// What a block is that such a delta belongs to.
    fn begun_by(delta: &Delta<'_>) -> Self {
        match delta {
            Delta::Text(_) => Self::Text(String::new()),
            Delta::Thinking(_) | Delta::Signature(_) => Self::Thinking {
                thinking: String::new(),
                signature: String::new(),
            },
            Delta::InputJson(_) => Self::Tool(PartialCall::default()),
            Delta::Unknown => Self::Unknown,
        }
    }

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

impl PartialCall {
    fn call(self, complete: bool, ids: &mut Ids) -> ToolCall {
        let input = self.object(complete);
        let Self { id, name, .. } = self;
        let id = ids.unique(id);
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
        let value = match (self.json.trim(), &self.input) {
            // Some proxies give it whole, and as text.
            ("", Value::String(json)) => parsed(json),
            ("", input) => Ok(input.clone()),
            (json, _) => parsed(json),
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

/// JSON, in which half a character is as good as none.
fn parsed(json: &str) -> Result<Value, serde_json::Error> {
    let value = serde_json::from_str(json);
    match (value, mend(json)) {
        (Err(_), Some(mended)) => serde_json::from_str(&mended.json),
        (value, _) => value,
    }
}

#[cfg(test)]
mod tests;
