//! An answer of the Messages API: what its events come to does not depend on where its
//! reads end, whatever they are.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::json;
use spinlane_client::anthropic::{Client, Message, Request, StreamEvent};
use spinlane_client::{Failure, Origin, Secret, Transport};
use spinlane_core::limit::{LaneConfig, Limits};
use spinlane_core::resources::Resources;
use spinlane_core::testing::{ScriptedHttp, World};

use crate::input::Input;

/// Events as the service writes them, and as it, or something on the way, might.
const EVENTS: [(&str, &str); 20] = [
    (
        "message_start",
        r#"{"message":{"usage":{"input_tokens":9}}}"#,
    ),
    (
        "content_block_start",
        r#"{"index":0,"content_block":{"type":"text","text":""}}"#,
    ),
    (
        "content_block_start",
        r#"{"index":1,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}"#,
    ),
    (
        "content_block_start",
        r#"{"index":0,"content_block":{"type":"thinking","thinking":""}}"#,
    ),
    (
        "content_block_delta",
        r#"{"index":0,"delta":{"type":"text_delta","text":"a\ud83d"}}"#,
    ),
    (
        "content_block_delta",
        r#"{"index":0,"delta":{"type":"text_delta","text":"\udfa7b"}}"#,
    ),
    (
        "content_block_delta",
        r#"{"index":1,"delta":{"type":"text_delta","text":"\ud83d"}}"#,
    ),
    (
        "content_block_delta",
        r#"{"index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
    ),
    (
        "content_block_delta",
        r#"{"index":0,"delta":{"type":"thinking_delta","thinking":"x"}}"#,
    ),
    (
        "content_block_delta",
        r#"{"index":0.0,"delta":{"type":"text_delta","text":null}}"#,
    ),
    ("content_block_delta", r#"{"index":0,"delta":"#),
    ("content_block_stop", r#"{"index":0}"#),
    (
        "message_delta",
        r#"{"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":"7"}}"#,
    ),
    (
        "message_delta",
        r#"{"delta":{"stop_reason":null},"usage":null}"#,
    ),
    (
        "message_delta",
        r#"{"delta":{"stop_reason":"something_new"}}"#,
    ),
    ("message_stop", "{}"),
    ("ping", "{}"),
    ("message", "[DONE]"),
    (
        "error",
        r#"{"error":{"type":"overloaded_error","message":"m"}}"#,
    ),
    ("new_event", "what?"),
];

/// Any bytes, or events in any order, in any pieces.
///
/// # Panics
/// When an answer depends on how it was split, or says something after its end.
pub fn target(data: &[u8]) {
    let input = Input::new(data);
    let answer = match input.below(4) {
        0 => input.rest().to_vec(),
        _ => written(&input),
    };
    let whole = read(vec![Bytes::from(answer.clone())]);
    let pieces = input.pieces(&answer);
    let pieces = pieces.into_iter().map(Bytes::copy_from_slice).collect();
    assert_eq!(read(pieces), whole, "split otherwise");
    let stop = whole.0.iter().position(|event| event == "MessageStop");
    assert!(stop.is_none_or(|at| at + 1 == whole.0.len()), "{whole:?}");
    let ended = |event: &String| event == "MessageStop" || event.contains("stop_reason: Some");
    assert!(
        whole.1.is_some() || whole.0.iter().any(ended),
        "it is whole: {whole:?}"
    );
}

/// For each byte an event, or the bytes after it as text.
fn written(input: &Input<'_>) -> Vec<u8> {
    let mut input = Input::new(input.rest());
    let mut answer = String::new();
    while !input.rest().is_empty() {
        let (name, data) = match EVENTS.get(usize::from(input.byte() % 24)) {
            Some((name, data)) => (*name, (*data).to_owned()),
            None => {
                let delta = json!({"type": "text_delta", "text": input.text()});
                (
                    "content_block_delta",
                    json!({"index": 0, "delta": delta}).to_string(),
                )
            }
        };
        answer += match input.below(16) {
            0 => "",
            1 => "data: [DONE]\n\n",
            2 => ": comment\n\n",
            _ => "event: ",
        };
        answer += &format!("{name}\ndata: {data}\n\n");
    }
    // Its end may be cut off.
    let cut = input.below(8 * answer.len().max(1));
    let length = if cut < answer.len() {
        cut
    } else {
        answer.len()
    };
    answer.into_bytes().drain(..length).collect()
}

/// What the events of `pieces` are, and how they end where that is not well.
fn read(pieces: Vec<Bytes>) -> (Vec<String>, Option<Failure>) {
    let http = ScriptedHttp::new(move |_| {
        let body = stream::iter(pieces.clone().into_iter().map(Ok)).boxed();
        let response = http::Response::builder().header("content-type", "text/event-stream");
        let response = response.body(body).expect("a response");
        async move { Ok(response) }
    });
    let world = World::with_http(http);
    let ports = world.ports();
    let limits = Limits::default().with_other_lanes(LaneConfig::new(1));
    let transport = Transport::new(&ports, &Resources::open(&ports, limits).upstreams);
    let url = Origin::parse("https://model.example").expect("an origin");
    let client = Client::new(&transport, &url, Secret::new("k"), Arc::new(()));
    let mut events = Vec::new();
    let end = world.run(async {
        let messages = [Message::user("hello")];
        let mut answer = client.stream(&Request::new("m", 9, &messages)).await?;
        while answer.read(|event| events.push(said(&event))).await? {}
        Ok(())
    });
    (
        events,
        end.err()
            .map(|error: spinlane_client::UpstreamError| error.failure),
    )
}

fn said(event: &StreamEvent<'_>) -> String {
    format!("{event:?}")
}
