//! The stand-in as a client sees it.

mod dj;
mod tools;

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use super::Script;
use crate::{Options, Outcome, Upstreams};

const SOON: Duration = Duration::from_secs(5);

async fn upstreams() -> Upstreams {
    Upstreams::start(Options::default()).await.unwrap()
}

fn request(upstreams: &Upstreams, body: &Value) -> reqwest::RequestBuilder {
    let url = format!("{}/v1/messages", upstreams.anthropic().origin());
    reqwest::Client::new()
        .post(url)
        .header("x-api-key", "sk-test")
        .header("anthropic-version", "2023-06-01")
        .json(body)
}

fn prompt() -> Value {
    let messages = json!([{"role": "user", "content": "rain"}]);
    json!({"model": "m", "max_tokens": 9, "stream": true, "messages": messages})
}

/// The events of a stream that ended well, by name.
fn events(text: &str) -> Vec<(String, Value)> {
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (name.to_owned(), data)
    });
    events.collect()
}

async fn stream(upstreams: &Upstreams) -> Vec<(String, Value)> {
    let response = request(upstreams, &prompt()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    events(&response.text().await.unwrap())
}

fn text(events: &[(String, Value)]) -> String {
    let deltas = events
        .iter()
        .filter_map(|(_, data)| data["delta"]["text"].as_str());
    deltas.collect()
}

/// Sends `messages` with the tools of a DJ; gives the answer.
async fn converse(upstreams: &Upstreams, messages: &Value, more: &Value) -> (u16, Value) {
    let tool = |name: &str, properties: &[&str]| {
        let text = json!({"type": "string"});
        let properties: serde_json::Map<_, _> = properties
            .iter()
            .map(|name| ((*name).to_owned(), text.clone()))
            .collect();
        json!({"name": name, "input_schema": {"type": "object", "properties": properties}})
    };
    let mut body = json!({
        "model": "m",
        "max_tokens": 4096,
        "messages": messages,
        "tools": [
            tool("analyze_playlist", &["playlistId"]),
            tool("search_tracks", &["query", "limit"]),
            tool("get_recommendations", &["playlistId", "limit"]),
        ],
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let response = request(upstreams, &body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The tools that an answer asks for.
fn calls(answer: &Value) -> Vec<Value> {
    let blocks = answer["content"].as_array().unwrap().iter();
    blocks
        .filter(|block| block["type"] == "tool_use")
        .cloned()
        .collect()
}

/// The conversation with an answer, and the results of what it asked for.
fn go_on(messages: &mut Value, answer: &Value, result: impl Fn(&Value) -> Value) {
    let results: Vec<Value> = calls(answer)
        .iter()
        .map(|call| json!({
            "type": "tool_result", "tool_use_id": call["id"], "content": result(call).to_string(),
        }))
        .collect();
    let messages = messages.as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": answer["content"]}));
    messages.push(json!({"role": "user", "content": results}));
}

/// What the tools of the test find.
fn found(call: &Value) -> Value {
    let track = |n: usize, artist: &str| json!({"id": format!("t{n}"), "title": format!("Song {n}"), "artists": [artist], "bpm": 90 + n});
    match call["name"].as_str().unwrap() {
        "analyze_playlist" => json!({
            "summary": "Playlist of three",
            "bpm": {"median": 95},
            "tags": [{"name": "jazz", "tracks": 2}, {"name": "mellow", "tracks": 1}],
            "tracks": [track(1, "A"), track(2, "B")],
        }),
        "search_tracks" => json!({"tracks": [track(2, "B"), track(3, "C"), track(4, "D")]}),
        _ => json!({"tracks": [track(5, "E"), track(6, "F"), track(7, "G")]}),
    }
}

#[tokio::test]
async fn a_stream_has_the_events_of_the_interface() {
    let upstreams = upstreams().await;
    let script = Script::text(["a", "b"])
        .thinking("hm")
        .tool_use("search", "toolu_1", json!({"q": "Ærø blues"}))
        .usage(3, 4);
    upstreams.anthropic().script(script);
    let events = stream(&upstreams).await;
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names[..3],
        [
            "message_start",
            "content_block_start",
            "content_block_delta"
        ]
    );
    assert_eq!(names[names.len() - 2..], ["message_delta", "message_stop"]);
    assert_eq!(text(&events), "ab");
    let json: String = events
        .iter()
        .filter_map(|(_, data)| data["delta"]["partial_json"].as_str())
        .collect();
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        json!({"q": "Ærø blues"})
    );
    assert_eq!(
        events[names.len() - 2].1["delta"]["stop_reason"],
        "tool_use"
    );
    assert_eq!(events[0].1["message"]["usage"]["input_tokens"], 3);
    let counts = upstreams
        .anthropic()
        .wait_for(SOON, |counts| counts.finished == 1)
        .await;
    assert_eq!(counts.unwrap().cancelled, 0);
}

#[tokio::test]
async fn the_dj_says_the_same_to_the_same() {
    let upstreams = upstreams().await;
    let whole = |message: &'static str| {
        let mut body = prompt();
        body["stream"] = false.into();
        body["messages"][0]["content"] = message.into();
        let request = request(&upstreams, &body);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let (one, two, other) = (whole("rain").await, whole("rain").await, whole("sun").await);
    assert_eq!(one["content"], two["content"]);
    assert_ne!(one["content"], other["content"]);
    let said = one["content"][0]["text"].as_str().unwrap();
    assert!(
        (40..=110).contains(&said.split_whitespace().count()),
        "{said}"
    );
    // The same words when they are streamed.
    assert_eq!(text(&stream(&upstreams).await), said);
}

#[tokio::test]
async fn a_client_that_goes_is_noticed() {
    let upstreams = upstreams().await;
    let anthropic = upstreams.anthropic();
    // Before the head, in silence, and while streaming.
    let endless = Script::text(vec!["x"; 100_000]).pace(Duration::from_millis(1));
    let scripts = [Script::hang(), Script::text(["x"]).hang_after(1), endless];
    for (n, script) in scripts.into_iter().enumerate() {
        anthropic.push(script);
        let call = tokio::spawn(request(&upstreams, &prompt()).send());
        let begun = anthropic.wait_for(SOON, |counts| counts.started == n as u64 + 1);
        begun.await.unwrap();
        if n == 0 {
            call.abort();
        } else {
            let mut body = call.await.unwrap().unwrap().bytes_stream();
            body.next().await.unwrap().unwrap();
        }
        let gone = anthropic.wait_for(SOON, |counts| counts.cancelled == n as u64 + 1);
        assert_eq!(gone.await.unwrap().open, 0);
    }
    let calls = anthropic.calls();
    assert!(
        calls
            .iter()
            .all(|call| call.ended.unwrap().1 == Outcome::Cancelled)
    );
    assert_eq!(calls[0].request["messages"][0]["content"], "rain");
    assert!(calls[0].has_key);
}

#[tokio::test]
async fn faults_come_where_they_are_asked_for() {
    let upstreams = upstreams().await;
    let script = |script: Script| upstreams.anthropic().script(script);
    script(Script::text(["a", "b", "c"]).error_event_after(2, "overloaded_error", "Overloaded"));
    let events = stream(&upstreams).await;
    assert_eq!(text(&events), "ab");
    assert_eq!(
        events.last().unwrap().1["error"]["type"],
        "overloaded_error"
    );

    script(Script::text(["a", "b"]).cut_after(1));
    let response = request(&upstreams, &prompt()).send().await.unwrap();
    assert!(response.text().await.is_err());

    script(Script::status(429).retry_after(3));
    let response = request(&upstreams, &prompt()).send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["retry-after"]
        ),
        (429, &"3".parse().unwrap())
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["type"], "rate_limit_error");

    script(Script::raw("text/plain", "<html>"));
    let response = request(&upstreams, &prompt()).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(response.text().await.unwrap(), "<html>");
}

#[tokio::test]
async fn bad_requests_are_refused_as_the_service_does() {
    let upstreams = upstreams().await;
    let refused = async |change: fn(&mut Value), status: u16, words: &str| {
        let mut body = prompt();
        change(&mut body);
        let response = request(&upstreams, &body).send().await.unwrap();
        assert_eq!(response.status(), status, "{words}");
        let body: Value = response.json().await.unwrap();
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    };
    refused(
        |body| body["messages"] = json!([]),
        400,
        "at least one message",
    )
    .await;
    refused(|body| body["max_tokens"] = 0.into(), 400, "max_tokens").await;
    refused(|body| body["model"] = 1.into(), 400, "model").await;
    refused(
        |body| body["messages"][0]["role"] = "assistant".into(),
        400,
        "first message",
    )
    .await;
    refused(
        |body| body["messages"][0]["role"] = "x".into(),
        400,
        "messages.0.role",
    )
    .await;
    refused(|body| *body = json!([]), 400, "JSON").await;

    let url = format!("{}/v1/messages", upstreams.anthropic().origin());
    let response = reqwest::Client::new()
        .post(url)
        .json(&prompt())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn one_trace_has_its_own_conversation() {
    let upstreams = upstreams().await;
    let anthropic = upstreams.anthropic();
    let trace = "0".repeat(31) + "1";
    anthropic.script(Script::text(["others"]));
    anthropic.converse_in(&trace, [Script::reset(), Script::text(["x"])]);
    let call = || {
        let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
        request(&upstreams, &prompt()).header("traceparent", traceparent)
    };
    assert!(call().send().await.unwrap_err().is_request());
    assert_eq!(text(&stream(&upstreams).await), "others");
    for _ in 0..2 {
        let answer = call().send().await.unwrap().text().await.unwrap();
        assert_eq!(text(&events(&answer)), "x");
    }
    assert_eq!(anthropic.wait_for_end_of(&trace, SOON).await, Ok(()));
    anthropic.forget(&trace);
    let answer = call().send().await.unwrap().text().await.unwrap();
    assert_eq!(text(&events(&answer)), "others");
}

#[tokio::test]
async fn scripts_come_over_http_too() {
    let upstreams = upstreams().await;
    let anthropic = upstreams.anthropic();
    let control = |path: &str| format!("{}/__control/{path}", anthropic.origin());
    let client = reqwest::Client::new();
    let script = json!({"deltas": ["x"], "pace_ms": 0, "fault": {"error": [1, "api_error", "no"]}});
    let response = client
        .post(control("push"))
        .json(&script)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 204);
    let events = stream(&upstreams).await;
    assert_eq!(events.last().unwrap().0, "error");
    let counts: Value = client
        .get(control("counts"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(counts["started"], 1);
    client.post(control("reset")).send().await.unwrap();
    assert_eq!(anthropic.counts().started, 0);
    let unknown = client.post(control("script")).json(&json!({"typo": 1}));
    assert_eq!(unknown.send().await.unwrap().status(), 422);
    let nowhere = client.put(format!("{}/v1/nothing", anthropic.origin()));
    assert_eq!(nowhere.send().await.unwrap().status(), 404);
    assert_eq!(anthropic.calls()[0].method, "PUT");
}
