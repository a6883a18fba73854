//! What a request costs: tokens, and those that were kept from before.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

/// A shorter beginning than this is not kept.
const LEAST: u64 = 1024;

/// Beginnings that are remembered; then it starts anew.
const KEPT: usize = 10_000;

/// Tokens that go in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) fresh: u64,
    pub(super) cache_creation: u64,
    pub(super) cache_read: u64,
}

impl Input {
    pub(super) fn document(self, output: u64) -> Value {
        json!({
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": self.cache_creation,
            "cache_read_input_tokens": self.cache_read,
            "output_tokens": output,
        })
    }
}

/// What the service keeps of requests, up to their breakpoints.
#[derive(Debug, Default)]
pub(super) struct PromptCache(HashSet<u64>);

/// The beginning of a request so far.
#[derive(Default)]
struct Prefix {
    hash: DefaultHasher,
    bytes: u64,
    /// After each block: its hash, its tokens, whether it is a breakpoint.
    ends: Vec<(u64, u64, bool)>,
}

impl PromptCache {
    /// Counts a request, and keeps what it marks.
    pub(super) fn count(&mut self, request: &Map<String, Value>) -> Input {
        let mut prefix = Prefix::default();
        for part in ["tools", "system", "messages"] {
            prefix.part(request.get(part).unwrap_or(&Value::Null));
        }
        let total = prefix.bytes / 4 + 1;
        let last = prefix.ends.iter().rposition(|(.., mark)| *mark);
        let marked = last.map_or(&[][..], |last| &prefix.ends[..=last]);
        let kept = marked.last().map_or(0, |(_, tokens, _)| *tokens);
        if kept < LEAST {
            return Input {
                fresh: total,
                ..Input::default()
            };
        }
        let known = marked.iter().filter(|(hash, ..)| self.0.contains(hash));
        let read = known.map(|(_, tokens, _)| *tokens).max().unwrap_or(0);
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        let marks = marked
            .iter()
            .filter(|(_, tokens, mark)| *mark && *tokens >= LEAST);
        self.0.extend(marks.map(|(hash, ..)| *hash));
        Input {
            fresh: total - kept,
            cache_creation: kept - read,
            cache_read: read,
        }
    }
}

impl Prefix {
    /// Tools, system or messages; a message's content is blocks of its own.
    fn part(&mut self, value: &Value) {
        let Value::Array(items) = value else {
            self.block(value);
            return;
        };
        for item in items {
            match &item["content"] {
                Value::Array(blocks) if item["role"].is_string() => {
                    self.feed(&item["role"]);
                    blocks.iter().for_each(|block| self.block(block));
                }
                _ => self.block(item),
            }
        }
    }

    fn block(&mut self, block: &Value) {
        self.feed(block);
        let is_mark = block["cache_control"].is_object();
        self.ends
            .push((self.hash.finish(), self.bytes / 4, is_mark));
    }

    /// Breakpoints themselves are no part of what is kept.
    fn feed(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members.iter().filter(|(name, _)| *name != "cache_control") {
                    self.text(name);
                    self.feed(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.feed(item)),
            Value::String(text) => self.text(text),
            Value::Null => self.text(""),
            other => self.text(&other.to_string()),
        }
    }

    fn text(&mut self, text: &str) {
        text.hash(&mut self.hash);
        self.bytes += text.len() as u64 + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(turns: &[&str], mark: bool) -> Map<String, Value> {
        let mut messages: Vec<Value> = turns
            .iter()
            .map(|text| json!({"role": "user", "content": [{"type": "text", "text": text}]}))
            .collect();
        if mark {
            let last = messages.len() - 1;
            messages[last]["content"][0]["cache_control"] = json!({"type": "ephemeral"});
        }
        let request = json!({"system": "x".repeat(5_000), "messages": messages});
        request.as_object().unwrap().clone()
    }

    #[test]
    fn what_was_marked_is_read_the_next_time() {
        let mut cache = PromptCache::default();
        let plain = cache.count(&request(&["a"], false));
        assert_eq!((plain.cache_creation, plain.cache_read), (0, 0));
        let first = cache.count(&request(&["a"], true));
        assert!(
            first.cache_creation > 1200 && first.cache_read == 0,
            "{first:?}"
        );
        let again = cache.count(&request(&["a"], true));
        assert_eq!(
            (again.cache_creation, again.cache_read),
            (0, first.cache_creation)
        );
        let more = cache.count(&request(&["a", &"y".repeat(400)], true));
        assert_eq!(more.cache_read, first.cache_creation);
        assert!((100..120).contains(&more.cache_creation), "{more:?}");
        let other = cache.count(&request(&["b"], true));
        assert_eq!(other.cache_read, 0);
    }
}
