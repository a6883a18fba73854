//! What the model says in one turn, before it is put on the wire.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// One block of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Block {
    Thinking(String),
    Redacted(String),
    /// In deltas.
    Text(Vec<String>),
    Tool {
        id: String,
        name: String,
        input: Value,
    },
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turn {
    pub(super) blocks: Vec<Block>,
}

impl Turn {
    /// Why the model stops here, unless it is told another reason.
    pub(super) fn reason(&self) -> &'static str {
        let tools = |block: &Block| matches!(block, Block::Tool { .. });
        match self.blocks.iter().any(tools) {
            true => "tool_use",
            false => "end_turn",
        }
    }

    /// About as many as the service would count.
    pub(super) fn output_tokens(&self) -> u64 {
        let count = |block: &Block| match block {
            Block::Text(deltas) => deltas.len(),
            Block::Thinking(text) => text.len() / 4,
            Block::Redacted(data) => data.len() / 6,
            Block::Tool { input, .. } => 20 + input.to_string().len() / 4,
        };
        let count: usize = self.blocks.iter().map(count).sum();
        count as u64 + 1
    }

    /// The identifiers of the tools that it asks for.
    pub(super) fn tool_ids(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Tool { id, .. } => Some(id.as_str()),
            _ => None,
        })
    }

    /// Its reasoning as it has to be given back.
    pub(super) fn reasoning(&self) -> Vec<Value> {
        let reasoning = |block: &&Block| matches!(block, Block::Thinking(_) | Block::Redacted(_));
        self.blocks
            .iter()
            .filter(reasoning)
            .map(Block::whole)
            .collect()
    }
}

impl Block {
    /// The block in one piece.
    pub(super) fn whole(&self) -> Value {
        match self {
            Self::Thinking(text) => {
                json!({"type": "thinking", "thinking": text, "signature": signature(text)})
            }
            Self::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
            Self::Text(deltas) => json!({"type": "text", "text": deltas.concat()}),
            Self::Tool { id, name, input } => {
                json!({"type": "tool_use", "id": id, "name": name, "input": input})
            }
        }
    }
}

/// What the service signs its reasoning with: changed text has another.
pub(super) fn signature(thinking: &str) -> String {
    let mut hash = Sha256::new();
    hash.update("simulated signature of ");
    hash.update(thinking);
    BASE64_STANDARD.encode(hash.finalize())
}
