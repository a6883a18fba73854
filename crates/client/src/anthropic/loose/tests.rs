use super::*;
use serde_json::json;

fn event(name: &str, data: &str) -> StreamEvent<'static> {
    read(name, data).unwrap().0
}

fn text(index: u32, text: &'static str) -> StreamEvent<'static> {
    StreamEvent::BlockDelta {
        index: Some(index),
        delta: Delta::Text(text.into()),
    }
}

#[test]
fn what_means_nothing_is_nothing() {
    for (name, data) in [
        ("message", ""),
        ("message", " "),
        ("message", "[]"),
        ("message", "heartbeat"),
        ("message", "null"),
        ("message", "{}"),
        ("message", "{\"type\":\"keepalive\"}"),
        (
            "message",
            "{\"status\":\"alive\",\"message\":\"still here\"}",
        ),
        (
            "message",
            "{\"type\":\"content_block_news\",\"index\":0,\"delta\":{\"text\":\"x\"}}",
        ),
        ("message_paused", "{\"type\":\"message_paused\"}"),
        ("message_paused", "not even JSON"),
        (
            "message_paused",
            "{\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}",
        ),
        ("content_block_start", "{"),
        ("content_block_start", "{\"index\":0}"),
    ] {
        assert_eq!(event(name, data), StreamEvent::Unknown, "{name} {data}");
    }
    assert_eq!(event("message", "[DONE]"), StreamEvent::Done);
    assert_eq!(event("ping", "whatever"), StreamEvent::Ping);
    assert_eq!(event("message_stop", "null"), StreamEvent::MessageStop);
    let stop = StreamEvent::BlockStop { index: None };
    assert_eq!(event("content_block_stop", ""), stop);
}

#[test]
fn only_the_loss_of_a_delta_matters() {
    for (name, data) in [
        (DELTA, "{"),
        (DELTA, "{\"type\": \u{fffd}]]"),
        (
            DELTA,
            r#"{"index":0,"delta":{"type":"text_delta","text":["a"]}}"#,
        ),
        (
            "message",
            r#"{"type":"content_block_delta","index":0,"delta":{"text":"Hel"#,
        ),
    ] {
        assert_eq!(read(name, data), Err(Lost), "{name} {data}");
    }
    for data in ["", "[]", "{}", r#"{"index":0,"delta":null}"#] {
        let delta = Delta::Unknown;
        let index = data.contains("index").then_some(0);
        assert_eq!(
            event(DELTA, data),
            StreamEvent::BlockDelta { index, delta },
            "{data}"
        );
    }
}

#[test]
fn deltas_are_read_for_what_they_mean() {
    for (data, expected) in [
        (
            json!({"index": 1.0, "delta": {"type": "text_delta", "text": "x"}}),
            text(1, "x"),
        ),
        (
            json!({"index": "1", "delta": {"type": null, "text": "x"}}),
            text(1, "x"),
        ),
        (json!({"index": 1, "delta": {"text": 5.5}}), text(1, "5.5")),
        (
            json!({"index": 1, "delta": {"type": "text_delta", "text": null}}),
            text(1, ""),
        ),
        (
            json!({"index": 1, "delta": {"type": "text_delta"}}),
            text(1, ""),
        ),
    ] {
        assert_eq!(event(DELTA, &data.to_string()), expected, "{data}");
        assert_eq!(event("", &data.to_string()), expected, "{data}");
    }
    let input = |delta: Value| match event(DELTA, &json!({"delta": delta}).to_string()) {
        StreamEvent::BlockDelta {
            index: None,
            delta: Delta::InputJson(json),
        } => json,
        other => panic!("{other:?}"),
    };
    assert_eq!(input(json!({"partial_json": "{\"a"})), "{\"a");
    assert_eq!(
        input(json!({"type": "input_json_delta", "partial_json": null})),
        ""
    );
    assert_eq!(input(json!({"partial_json": {"q": 1}})), "{\"q\":1}");
    let index = Some(0);
    let delta = Delta::Unknown;
    let citation = r#"{"index":0,"delta":{"type":"citations_delta","text":"a"},"x":{}}"#;
    assert_eq!(
        event(DELTA, citation),
        StreamEvent::BlockDelta { index, delta }
    );
    for index in [json!(-1), json!(1e300), json!([]), json!("x"), json!(null)] {
        let data = json!({"index": index, "delta": {"text": "x"}});
        let delta = Delta::Text("x".into());
        let expected = StreamEvent::BlockDelta { index: None, delta };
        assert_eq!(event(DELTA, &data.to_string()), expected, "{data}");
    }
}

#[test]
fn blocks_are_read_for_what_they_mean() {
    let tool = |input| Block::ToolUse {
        id: "7".into(),
        name: "search".into(),
        input,
    };
    for (data, block) in [
        (
            json!({"name": "search", "id": 7, "input": {}}),
            tool(json!({})),
        ),
        (
            json!({"type": "tool_use", "name": "search", "id": "7"}),
            tool(Value::Null),
        ),
        (json!({"type": 1, "text": null}), Block::Text(String::new())),
        (
            json!({"thinking": "", "signature": null}),
            Block::Thinking {
                thinking: String::new(),
                signature: String::new(),
            },
        ),
        (
            json!({"data": "x"}),
            Block::RedactedThinking { data: "x".into() },
        ),
        (
            json!({"type": "server_tool_use", "name": "x"}),
            Block::Unknown,
        ),
    ] {
        let data = json!({"content_block": data}).to_string();
        let expected = StreamEvent::BlockStart { index: None, block };
        assert_eq!(event("content_block_start", &data), expected, "{data}");
    }
}

#[test]
fn the_end_is_read_for_what_it_means() {
    for (data, stop_reason, output_tokens) in [
        (
            json!({"delta": {"stop_reason": "bored"}, "usage": null}),
            Some(StopReason::Unknown),
            None,
        ),
        (
            json!({"delta": {"stop_reason": ""}, "usage": {"output_tokens": 5.0}}),
            None,
            Some(5),
        ),
        (
            json!({"delta": {"stop_reason": 3}, "usage": {"output_tokens": "15"}}),
            None,
            Some(15),
        ),
        (
            json!({"stop_reason": "refusal"}),
            Some(StopReason::Refusal),
            None,
        ),
        (
            json!({"usage": {"output_tokens": 1234.4}}),
            None,
            Some(1234),
        ),
        (
            json!({"delta": null, "usage": {"output_tokens": -5}}),
            None,
            None,
        ),
        (
            json!({"delta": [], "usage": {"output_tokens": 1e300}}),
            None,
            None,
        ),
    ] {
        let usage = Usage {
            output_tokens,
            ..Usage::default()
        };
        let expected = StreamEvent::MessageDelta { stop_reason, usage };
        assert_eq!(
            event("message_delta", &data.to_string()),
            expected,
            "{data}"
        );
    }
}

#[test]
fn an_error_may_stand_anywhere() {
    for (name, data) in [
        ("error", "Overloaded"),
        ("error", r#"{"error":{"message":"Overloaded"}}"#),
        ("", r#"{"error":{"message":"Overloaded"}}"#),
        ("", r#"{"message":"Overloaded"}"#),
        ("ping", r#"{"type":"error","error":"Overloaded"}"#),
        ("message_delta", r#"{"type":"error","error":"Overloaded"}"#),
        (
            "message",
            r#"{"type":"overloaded_error","message":"Overloaded"}"#,
        ),
        ("proxy", r#"{"error":"Overloaded"}"#),
    ] {
        match event(name, data) {
            StreamEvent::Error(error) => assert_eq!(error.message, "Overloaded", "{data}"),
            other => panic!("{name} {data}: {other:?}"),
        }
    }
    assert_eq!(event("", r#"{"error":null}"#), StreamEvent::Unknown);
}
