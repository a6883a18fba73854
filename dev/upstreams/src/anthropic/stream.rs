//! Answers on the wire: the stream's events, and the whole message.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::script::{Fault, Script};
use super::turn::{Block, Turn, signature};
use super::usage::Input;
use crate::answer::Piece;

/// Events that are due at once leave in writes of about this size.
const WRITE: usize = 64 * 1024;

/// Collects events into as few writes as their times allow.
#[derive(Default)]
struct Out {
    pieces: VecDeque<Piece>,
    buffer: Vec<u8>,
}

impl Out {
    fn event(&mut self, name: &str, data: &Value) {
        let event = format!("event: {name}\ndata: {data}\n\n");
        self.buffer.extend_from_slice(event.as_bytes());
        if self.buffer.len() >= WRITE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            let bytes = Bytes::from(std::mem::take(&mut self.buffer));
            self.pieces.push_back(Piece::Write(bytes));
        }
    }

    fn then(&mut self, piece: Piece) {
        self.flush();
        self.pieces.push_back(piece);
    }

    fn wait(&mut self, millis: u64) {
        if millis > 0 {
            self.then(Piece::Wait(Duration::from_millis(millis)));
        }
    }

    fn block_start(&mut self, index: usize, start: &Value) {
        let start = json!({"type": "content_block_start", "index": index, "content_block": start});
        self.event("content_block_start", &start);
    }

    /// A content block: its start, its deltas, its stop.
    fn block(&mut self, index: usize, start: &Value, deltas: &[Value]) {
        self.block_start(index, start);
        for delta in deltas {
            self.delta(index, delta);
        }
        self.block_stop(index);
    }

    fn delta(&mut self, index: usize, delta: &Value) {
        let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
        self.event("content_block_delta", &delta);
    }

    fn block_stop(&mut self, index: usize) {
        let stop = json!({"type": "content_block_stop", "index": index});
        self.event("content_block_stop", &stop);
    }
}

/// An answer, and all that it is written with.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) script: &'a Script,
    pub(super) turn: &'a Turn,
    pub(super) model: &'a str,
    pub(super) input: Input,
    pub(super) number: u64,
}

impl Answer<'_> {
    fn usage(&self, output: u64) -> Value {
        let mut input = self.input;
        if let Some((fresh, _)) = self.script.usage {
            input.fresh = fresh;
        }
        if let Some((creation, read)) = self.script.cache_usage {
            (input.cache_creation, input.cache_read) = (creation, read);
        }
        input.document(output)
    }

    fn output_tokens(&self) -> u64 {
        let given = self.script.usage.map(|(_, output)| output);
        given.unwrap_or_else(|| self.turn.output_tokens())
    }

    fn stop_reason(&self) -> &str {
        let given = self.script.stop_reason.as_deref();
        given.unwrap_or_else(|| self.turn.reason())
    }

    fn message(&self, content: &[Value], output: u64) -> Value {
        json!({
            "id": format!("msg_{:024}", self.number),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": null,
            "stop_sequence": null,
            "usage": self.usage(output),
        })
    }

    /// The answer in one document.
    pub(super) fn whole(&self) -> String {
        let content: Vec<Value> = self.turn.blocks.iter().map(Block::whole).collect();
        let mut message = self.message(&content, self.output_tokens());
        message["stop_reason"] = self.stop_reason().into();
        message.to_string()
    }

    /// The answer as a stream.
    pub(super) fn pieces(&self) -> VecDeque<Piece> {
        let mut out = Out::default();
        let start = self.message(&[], 1);
        let start = json!({"type": "message_start", "message": start});
        out.event("message_start", &start);
        let tool = |block: &Block| matches!(block, Block::Tool { .. });
        let first_tool = self.turn.blocks.iter().position(tool);
        for (index, block) in self.turn.blocks.iter().enumerate() {
            let goes_on = match block {
                Block::Text(deltas) => text_block(&mut out, self.script, deltas, index),
                Block::Tool { .. } => {
                    let is_first = first_tool == Some(index);
                    let is_last = index + 1 == self.turn.blocks.len();
                    tool_block(&mut out, self.script, block, index, (is_first, is_last))
                }
                Block::Thinking(text) => {
                    thinking_block(&mut out, self.script, text, index);
                    true
                }
                Block::Redacted(_) => {
                    out.block(index, &block.whole(), &[]);
                    true
                }
            };
            if !goes_on {
                return out.pieces;
            }
        }
        let end = json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.stop_reason(), "stop_sequence": null},
            "usage": self.usage(self.output_tokens()),
        });
        out.event("message_delta", &end);
        out.event("message_stop", &json!({"type": "message_stop"}));
        out.flush();
        out.pieces
    }
}

/// Reasoning, with its signature at the end.
fn thinking_block(out: &mut Out, script: &Script, text: &str, index: usize) {
    let start = json!({"type": "thinking", "thinking": "", "signature": ""});
    out.block_start(index, &start);
    for part in split(text, 40) {
        out.wait(script.pace_ms);
        out.delta(index, &json!({"type": "thinking_delta", "thinking": part}));
    }
    let signature = json!({"type": "signature_delta", "signature": signature(text)});
    out.delta(index, &signature);
    out.block_stop(index);
}

/// A tool's name, and its input in pieces. Returns whether anything follows.
fn tool_block(
    out: &mut Out,
    script: &Script,
    block: &Block,
    index: usize,
    (is_first, is_last): (bool, bool),
) -> bool {
    let Block::Tool { id, name, input } = block else {
        return true;
    };
    let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    out.block_start(index, &start);
    // The service begins with an empty piece.
    out.delta(
        index,
        &json!({"type": "input_json_delta", "partial_json": ""}),
    );
    let input = input.to_string();
    let ends = script.tool_ends.filter(|_| is_last).unwrap_or(usize::MAX);
    let faulty = script.inside_tool && is_first;
    for (count, part) in split(&input, 7).take(ends).enumerate() {
        if faulty && !fault(out, script, count) {
            return false;
        }
        out.delta(
            index,
            &json!({"type": "input_json_delta", "partial_json": part}),
        );
    }
    out.block_stop(index);
    true
}

/// The text, with its pace and its faults. Returns whether anything follows.
fn text_block(out: &mut Out, script: &Script, deltas: &[String], index: usize) -> bool {
    out.block_start(index, &json!({"type": "text", "text": ""}));
    out.event("ping", &json!({"type": "ping"}));
    for (count, delta) in deltas.iter().enumerate() {
        if !between(out, script, count) {
            return false;
        }
        out.wait(script.pace_ms);
        out.delta(index, &json!({"type": "text_delta", "text": delta}));
    }
    if !between(out, script, deltas.len()) {
        return false;
    }
    out.block_stop(index);
    true
}

/// What comes after `count` deltas. Returns whether the answer goes on.
fn between(out: &mut Out, script: &Script, count: usize) -> bool {
    if count > 0 && script.ping_every > 0 && count.is_multiple_of(script.ping_every) {
        out.event("ping", &json!({"type": "ping"}));
    }
    if script.unknown_events {
        let news = json!({"type": "content_block_news", "index": 0, "novelty": {"of": [count]}});
        out.event("content_block_news", &news);
    }
    if let Some((after, millis)) = script.silence
        && after == count
    {
        out.wait(millis);
    }
    script.inside_tool || fault(out, script, count)
}

/// What goes wrong after `count` pieces. Returns whether the answer goes on.
fn fault(out: &mut Out, script: &Script, count: usize) -> bool {
    match &script.fault {
        Some(Fault::Hang(after)) if *after == count => out.then(Piece::Hang),
        Some(Fault::Cut(after)) if *after == count => out.then(Piece::Cut),
        Some(Fault::Garbage(after)) if *after == count => {
            let garbage: &[u8] = b"event: content_block_delta\ndata: {\"type\": \xff\xfe\x00]]\n\n";
            out.then(Piece::Write(Bytes::from_static(garbage)));
            out.then(Piece::Hang);
        }
        Some(Fault::Error(after, kind, message)) if *after == count => {
            let error = json!({"type": "error", "error": {"type": kind, "message": message}});
            out.event("error", &error);
            out.flush();
        }
        _ => return true,
    }
    false
}

/// `text` in parts of at most `size` bytes, more where a character needs it.
fn split(text: &str, size: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let at = (size..=rest.len()).find(|at| rest.is_char_boundary(*at));
        let (part, after) = rest.split_at(at.unwrap_or(rest.len()));
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}
