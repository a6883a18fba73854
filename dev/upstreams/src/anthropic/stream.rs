//! Answers on the wire: the stream's events, and the whole message.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::dj;
use super::request::Taken;
use super::script::{Fault, Script};
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

    /// A content block: its start, its deltas, its stop.
    fn block(&mut self, index: usize, start: &Value, deltas: &[Value]) {
        let start = json!({"type": "content_block_start", "index": index, "content_block": start});
        self.event("content_block_start", &start);
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

fn deltas(script: &Script, request: &Taken, seed: u64) -> Vec<String> {
    let given = script.deltas.clone();
    given.unwrap_or_else(|| dj::answer(seed, &request.prompt))
}

fn usage(script: &Script, request: &Taken, deltas: usize) -> (u64, u64) {
    script
        .usage
        .unwrap_or((request.input_tokens, deltas as u64 + 1))
}

fn message(script: &Script, request: &Taken, number: u64, content: &Value) -> Value {
    let (input, _) = usage(script, request, 0);
    json!({
        "id": format!("msg_{number:024}"),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 1,
        },
    })
}

/// The streamed answer to `request`.
pub(super) fn pieces(script: &Script, request: &Taken, seed: u64, number: u64) -> VecDeque<Piece> {
    let mut out = Out::default();
    if let Some((_, body)) = &script.raw {
        out.then(Piece::Write(body.clone().into()));
        return out.pieces;
    }
    let deltas = deltas(script, request, seed);
    let start = message(script, request, number, &json!([]));
    let start = json!({"type": "message_start", "message": start});
    out.event("message_start", &start);
    let mut index = 0;
    if let Some(thinking) = &script.thinking {
        let start = json!({"type": "thinking", "thinking": "", "signature": ""});
        let thought = json!({"type": "thinking_delta", "thinking": thinking});
        let signature = json!({"type": "signature_delta", "signature": "c2lnbmVk"});
        out.block(index, &start, &[thought, signature]);
        index += 1;
    }
    if !text_block(&mut out, script, &deltas, index) {
        return out.pieces;
    }
    for tool in &script.tools {
        index += 1;
        let start = json!({"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}});
        let input = tool.input.to_string();
        let pieces: Vec<Value> = split(&input, 7)
            .map(|part| json!({"type": "input_json_delta", "partial_json": part}))
            .collect();
        out.block(index, &start, &pieces);
    }
    let (_, output) = usage(script, request, deltas.len());
    let end = json!({
        "type": "message_delta",
        "delta": {"stop_reason": script.reason(), "stop_sequence": null},
        "usage": {"output_tokens": output},
    });
    out.event("message_delta", &end);
    out.event("message_stop", &json!({"type": "message_stop"}));
    out.flush();
    out.pieces
}

/// The text, with its pace and its faults. Returns whether anything follows.
fn text_block(out: &mut Out, script: &Script, deltas: &[String], index: usize) -> bool {
    let start = json!({"type": "text", "text": ""});
    let start = json!({"type": "content_block_start", "index": index, "content_block": start});
    out.event("content_block_start", &start);
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

/// The answer in one document.
pub(super) fn whole(script: &Script, request: &Taken, seed: u64) -> String {
    if let Some((_, body)) = &script.raw {
        return body.clone();
    }
    let deltas = deltas(script, request, seed);
    let mut content = Vec::new();
    if let Some(thinking) = &script.thinking {
        let signature = "c2lnbmVk";
        content.push(json!({"type": "thinking", "thinking": thinking, "signature": signature}));
    }
    content.push(json!({"type": "text", "text": deltas.concat()}));
    for tool in &script.tools {
        let (id, name, input) = (&tool.id, &tool.name, &tool.input);
        content.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    }
    let mut message = message(script, request, 0, &Value::Array(content));
    let (_, output) = usage(script, request, deltas.len());
    message["stop_reason"] = script.reason().into();
    message["usage"]["output_tokens"] = output.into();
    message.to_string()
}
