//! Conversations with tools: what is refused, and what goes wrong within them.

use serde_json::{Value, json};

use super::{SOON, calls, converse, found, go_on, prompt, request, stream, text, upstreams};
use crate::anthropic::{Script, Step};

#[tokio::test]
async fn tools_and_results_go_together() {
    let upstreams = upstreams().await;
    let anthropic = upstreams.anthropic();
    anthropic.script(Script::tools().use_tool("search_tracks", json!({"query": "x"})));
    let begin = json!([{"role": "user", "content": "x"}]);
    let (_, answer) = converse(&upstreams, &begin, &json!({})).await;
    assert_eq!(answer["content"].as_array().unwrap().len(), 1);
    let mut good = begin;
    go_on(&mut good, &answer, found);
    let (status, again) = converse(&upstreams, &good, &json!({})).await;
    assert_eq!(status, 200);
    assert_ne!(calls(&again)[0]["id"], calls(&answer)[0]["id"]);
    let refused = async |change: fn(&mut Value), words: &str| {
        let mut messages = good.clone();
        change(&mut messages);
        let (status, answer) = converse(&upstreams, &messages, &json!({})).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(
            status == 400 && message.contains(words),
            "{status} {message}"
        );
    };
    refused(
        |messages| messages[2]["content"] = json!("no result"),
        "without `tool_result`",
    )
    .await;
    refused(
        |messages| messages[2]["content"][0]["tool_use_id"] = json!("toolu_x"),
        "without `tool_result`",
    )
    .await;
    refused(
        |messages| {
            let text = json!({"type": "text", "text": "first"});
            messages[2]["content"]
                .as_array_mut()
                .unwrap()
                .insert(0, text);
        },
        "without `tool_result`",
    )
    .await;
    refused(
        |messages| {
            let result = messages[2]["content"][0].clone();
            messages[2]["content"].as_array_mut().unwrap().push(result);
        },
        "single result",
    )
    .await;
    refused(
        |messages| messages[1]["content"] = json!("I will"),
        "unexpected `tool_use_id`",
    )
    .await;
    refused(
        |messages| {
            let call = messages[1]["content"][0].clone();
            messages[1]["content"].as_array_mut().unwrap().push(call);
        },
        "ids must be unique",
    )
    .await;
    refused(
        |messages| messages[1]["role"] = json!("user"),
        "only be in `assistant`",
    )
    .await;
    refused(
        |messages| messages[0]["content"] = json!([{"type": "text", "text": ""}]),
        "non-empty",
    )
    .await;
}

#[tokio::test]
async fn reasoning_comes_back_as_it_was() {
    let upstreams = upstreams().await;
    let script = Script::tools()
        .thinking("hm")
        .redacted_thinking("c2VjcmV0")
        .use_tool("search_tracks", json!({"query": "x"}));
    upstreams.anthropic().script(script);
    let mut messages = json!([{"role": "user", "content": "x"}]);
    let (_, answer) = converse(&upstreams, &messages, &json!({})).await;
    assert_eq!(
        answer["content"][1],
        json!({"type": "redacted_thinking", "data": "c2VjcmV0"})
    );
    go_on(&mut messages, &answer, found);
    assert_eq!(converse(&upstreams, &messages, &json!({})).await.0, 200);
    for (change, words) in [
        (
            (|said| said[0]["thinking"] = json!("hmm")) as fn(&mut Value),
            "Invalid `signature`",
        ),
        (
            |said| said[1]["data"] = json!("b3RoZXI="),
            "cannot be modified",
        ),
        (
            |said| drop(said.as_array_mut().unwrap().remove(1)),
            "cannot be modified",
        ),
        (
            |said| drop(said.as_array_mut().unwrap().drain(..2)),
            "Expected `thinking`",
        ),
    ] {
        let mut messages = messages.clone();
        change(&mut messages[1]["content"]);
        let (status, answer) = converse(&upstreams, &messages, &json!({})).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(words), "{message}");
    }
    // A tool's identifier in a block that is no result asks for no reasoning.
    let text = json!({"type": "text", "text": "x", "tool_use_id": messages[1]["content"][2]["id"]});
    let messages = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y"},
        {"role": "user", "content": [text]},
    ]);
    assert_eq!(converse(&upstreams, &messages, &json!({})).await.0, 200);
}

#[tokio::test]
async fn what_surrounds_the_messages_is_checked_too() {
    let upstreams = upstreams().await;
    let messages = json!([{"role": "user", "content": "x"}]);
    let mark = json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}});
    let object = json!({"type": "object"});
    for (more, words) in [
        (json!({"tools": {}}), "valid list"),
        (
            json!({"tools": [{"name": "a b", "input_schema": object}]}),
            "pattern",
        ),
        (
            json!({"tools": [{"name": "a"}]}),
            "input_schema: Field required",
        ),
        (
            json!({"tools": [{"name": "a", "input_schema": {}}]}),
            "'object'",
        ),
        (
            json!({"tools": [{"name": "a", "input_schema": object}, {"name": "a", "input_schema": object}]}),
            "unique",
        ),
        (
            json!({"tool_choice": {"type": "tool", "name": "nope"}}),
            "not found",
        ),
        (json!({"tool_choice": {"type": "some"}}), "expected tags"),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 9}}),
            "1024",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 4096}}),
            "max_tokens",
        ),
        (json!({"system": [mark, mark, mark, mark, mark]}), "Found 5"),
        (
            json!({"model": "claude-opus-4-7", "thinking": {"type": "enabled", "budget_tokens": 1024}}),
            "not supported for this model",
        ),
        (
            json!({"model": "claude-sonnet-5", "thinking": {"type": "enabled", "budget_tokens": 1024}}),
            "not supported for this model",
        ),
        (
            json!({"model": "claude-sonnet-4-5", "thinking": {"type": "adaptive"}}),
            "adaptive thinking is not supported",
        ),
        (
            json!({"model": "claude-sonnet-4-5", "output_config": {"effort": "low"}}),
            "effort",
        ),
        (
            json!({"model": "claude-fable-5", "thinking": {"type": "disabled"}}),
            "not supported for this model",
        ),
        (
            json!({"thinking": {"type": "adaptive", "budget_tokens": 1024}}),
            "Extra inputs",
        ),
        (json!({"output_config": {"effort": "most"}}), "effort"),
    ] {
        let (status, answer) = converse(&upstreams, &messages, &more).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(
            status == 400 && message.contains(words),
            "{more}: {message}"
        );
    }
}

#[tokio::test]
async fn newer_models_think_as_they_find_right() {
    let upstreams = upstreams().await;
    let messages = json!([{"role": "user", "content": "rain"}]);
    let first = |model: &'static str, thinking: Value| {
        let (upstreams, messages) = (&upstreams, &messages);
        async move {
            let mut more = json!({"model": model, "output_config": {"effort": "high"}});
            if !thinking.is_null() {
                more["thinking"] = thinking;
            }
            let (status, answer) = converse(upstreams, messages, &more).await;
            assert_eq!(status, 200, "{answer}");
            answer["content"][0]["type"].clone()
        }
    };
    assert_eq!(first("claude-opus-4-7", Value::Null).await, "tool_use");
    let adaptive = json!({"type": "adaptive"});
    assert_eq!(first("claude-opus-4-7", adaptive).await, "thinking");
    assert_eq!(first("claude-sonnet-5", Value::Null).await, "thinking");
    let disabled = json!({"type": "disabled"});
    assert_eq!(first("claude-sonnet-5", disabled).await, "tool_use");
}

#[tokio::test]
async fn names_are_names_and_reasoning_is_not_the_end() {
    let upstreams = upstreams().await;
    let call = |id: &str, name: &str| {
        json!([
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": id, "name": name, "input": {}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id}]},
        ])
    };
    let thought = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
        {"role": "user", "content": "y"},
    ]);
    for (messages, words) in [
        (call("", "search"), "id: String should match"),
        (call("a:0", "search"), "id: String should match"),
        (call("a", ""), "name: String should match"),
        (thought, "final block"),
    ] {
        let (status, answer) = converse(&upstreams, &messages, &json!({})).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(words), "{message}");
    }
}

/// Bytes as they are: what no careful service sends.
#[tokio::test]
async fn a_stream_is_written_as_it_stands() {
    let upstreams = upstreams().await;
    let start = "data: {\n\n".to_owned();
    let steps = [
        Step::Write(start),
        Step::Wait(20),
        Step::Write("data".into()),
    ];
    upstreams.anthropic().push(Script::wire(steps));
    let response = request(&upstreams, &prompt()).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "data: {\n\ndata");
    upstreams.anthropic().push(Script::wire([Step::Pings(10)]));
    let mut response = request(&upstreams, &prompt()).send().await.unwrap();
    for _ in 0..3 {
        let ping = response.chunk().await.unwrap().unwrap();
        assert!(ping.starts_with(b"event: ping\n"), "{ping:?}");
    }
    drop(response);
    let closed = upstreams
        .anthropic()
        .wait_for(SOON, |counts| counts.open == 0);
    closed.await.unwrap();
    let script = Script::answer(403, "text/html", "<h1>Blocked</h1>");
    upstreams.anthropic().push(script);
    let response = request(&upstreams, &prompt()).send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.text().await.unwrap(), "<h1>Blocked</h1>");
}

#[tokio::test]
async fn faults_reach_into_a_tools_input() {
    let upstreams = upstreams().await;
    let script = || Script::tools().use_tool("search_tracks", json!({"query": "a long one"}));
    let input = |events: &[(String, Value)]| -> String {
        let parts = events
            .iter()
            .filter_map(|(_, data)| data["delta"]["partial_json"].as_str());
        parts.collect()
    };
    upstreams
        .anthropic()
        .push(script().tool_input_ends_after(2).stop_reason("max_tokens"));
    let events = stream(&upstreams).await;
    assert_eq!(input(&events), "{\"query\":\"a lo");
    assert_eq!(
        events[events.len() - 2].1["delta"]["stop_reason"],
        "max_tokens"
    );
    upstreams.anthropic().push(
        script()
            .error_event_after(1, "api_error", "no")
            .inside_tool(),
    );
    let events = stream(&upstreams).await;
    assert_eq!(
        (input(&events).len(), events.last().unwrap().0.as_str()),
        (7, "error")
    );
    upstreams
        .anthropic()
        .push(script().cut_after(1).inside_tool());
    let response = request(&upstreams, &prompt()).send().await.unwrap();
    assert!(response.text().await.is_err());
    upstreams.anthropic().converse([
        Script::text(["one"]).cache_usage(5, 6),
        Script::text(["two"]),
    ]);
    let events = stream(&upstreams).await;
    assert_eq!(
        events[0].1["message"]["usage"]["cache_read_input_tokens"],
        6
    );
    assert_eq!(text(&stream(&upstreams).await), "two");
}
