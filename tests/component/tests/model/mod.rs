//! What other services and proxies send in place of the model's own stream.

mod ends;
mod shapes;
mod words;

use serde_json::{Value, json};
use spinlane_component_tests::Dj;
use spinlane_component_tests::chat::{Frame, last, prompt};
use spinlane_upstreams::anthropic::{Script, Step};

fn event(data: &Value) -> String {
    let name = data["type"].as_str().unwrap_or("message");
    format!("event: {name}\ndata: {data}\n\n")
}

fn start() -> String {
    let usage = json!({"input_tokens": 9, "output_tokens": 1});
    event(&json!({"type": "message_start", "message": {"usage": usage}}))
}

fn block(index: usize, start: &Value, deltas: &[Value]) -> String {
    let delta =
        |delta| event(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
    event(&json!({"type": "content_block_start", "index": index, "content_block": start}))
        + &deltas.iter().map(delta).collect::<String>()
        + &event(&json!({"type": "content_block_stop", "index": index}))
}

fn text(text: &str) -> String {
    block(
        0,
        &json!({"type": "text", "text": ""}),
        &[json!({"type": "text_delta", "text": text})],
    )
}

fn tool(index: usize, id: &str, query: &str) -> String {
    let input = json!({"query": query}).to_string();
    let delta = json!({"type": "input_json_delta", "partial_json": input});
    block(
        index,
        &json!({"type": "tool_use", "id": id, "name": "search_tracks", "input": {}}),
        &[delta],
    )
}

fn thinking(signature: &str) -> String {
    block(
        0,
        &json!({"type": "thinking", "thinking": "hm", "signature": signature}),
        &[],
    )
}

/// `message_delta` with that reason, without what follows it.
fn reason(reason: impl Into<Value>) -> String {
    let delta = json!({"stop_reason": reason.into()});
    event(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}))
}

fn stop() -> String {
    event(&json!({"type": "message_stop"}))
}

/// A stream of these bytes, which then closes.
fn bytes(text: impl Into<String>) -> Script {
    Script::wire([Step::Write(text.into())])
}

fn whole(events: impl AsRef<str>, why: &str) -> Script {
    bytes(start() + events.as_ref() + &reason(why) + &stop())
}

fn there() -> Script {
    whole(text("There."), "end_turn")
}

async fn hello(dj: &Dj) -> Vec<Frame> {
    prompt(&dj.origin()).await.rest().await
}

/// The frames of a run whose model says `scripts`, one after the other.
async fn run(dj: &Dj, scripts: impl IntoIterator<Item = Script>) -> Vec<Frame> {
    dj.upstreams.anthropic().reset();
    dj.upstreams.anthropic().converse(scripts);
    hello(dj).await
}

fn ran(frames: &[Frame]) -> usize {
    frames
        .iter()
        .filter(|frame| frame.kind == "tool_end")
        .count()
}

fn code(frames: &[Frame]) -> &str {
    let (kind, error) = last(frames);
    assert_eq!(kind, "error", "{error}");
    error["code"].as_str().expect("a code")
}

fn asked(dj: &Dj) -> Vec<Value> {
    let calls = dj.upstreams.anthropic().calls().into_iter();
    calls.map(|call| call.request).collect()
}

const WHOLE: (&str, &Value) = ("done", &Value::Null);
