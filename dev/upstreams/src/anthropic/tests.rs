//! The stand-in as a client sees it.

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
async fn the_dj_listens_searches_and_answers_with_what_it_found() {
    let upstreams = upstreams().await;
    let prompt = "Analyse this playlist and find five tracks that fit\n\n(Playlist: \
        37i9dQZF1DXsimulated01)";
    let mut messages = json!([{"role": "user", "content": prompt}]);
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 1024}});
    let (status, first) = converse(&upstreams, &messages, &thinking).await;
    assert_eq!((status, &first["stop_reason"]), (200, &json!("tool_use")));
    assert_eq!(first["content"][0]["type"], "thinking");
    assert_eq!(calls(&first)[0]["name"], "analyze_playlist");
    assert_eq!(
        calls(&first)[0]["input"],
        json!({"playlistId": "37i9dQZF1DXsimulated01"})
    );
    go_on(&mut messages, &first, found);
    let (_, second) = converse(&upstreams, &messages, &thinking).await;
    let names: Vec<_> = calls(&second)
        .iter()
        .map(|call| call["name"].clone())
        .collect();
    assert!(
        names.len() >= 3 && names.contains(&json!("get_recommendations")),
        "{names:?}"
    );
    assert_eq!(calls(&second)[0]["input"]["query"], "jazz mellow");
    go_on(&mut messages, &second, found);
    let (_, last) = converse(&upstreams, &messages, &thinking).await;
    assert_eq!(last["stop_reason"], "end_turn");
    let text = last["content"][1]["text"].as_str().unwrap();
    for n in 3..=7 {
        assert!(text.contains(&format!("\"Song {n}\"")), "{text}");
    }
    assert!(
        !text.contains("\"Song 2\"") && text.starts_with("I listened"),
        "{text}"
    );
}

#[tokio::test]
async fn the_dj_asks_for_no_tool_that_it_is_not_offered() {
    let upstreams = upstreams().await;
    let messages = json!([{"role": "user", "content": "dance music please"}]);
    let (_, none) = converse(&upstreams, &messages, &json!({"tools": []})).await;
    assert_eq!(none["stop_reason"], "end_turn");
    let (_, none) = converse(
        &upstreams,
        &messages,
        &json!({"tool_choice": {"type": "none"}}),
    )
    .await;
    assert!(calls(&none).is_empty());
    let (_, some) = converse(&upstreams, &messages, &json!({})).await;
    assert!(
        calls(&some)
            .iter()
            .all(|call| call["name"] == "search_tracks")
    );
    let create = json!({"tools": [
        {"name": "search_tracks", "input_schema": {"type": "object", "properties": {"query": {}}}},
        {"name": "create_playlist", "input_schema": {"type": "object", "properties": {
            "name": {}, "trackIds": {},
        }}},
    ]});
    let mut messages = messages;
    let (_, search) = converse(&upstreams, &messages, &create).await;
    go_on(&mut messages, &search, found);
    let (_, made) = converse(&upstreams, &messages, &create).await;
    let call = &calls(&made)[0];
    assert_eq!(call["name"], "create_playlist");
    assert_eq!(call["input"]["trackIds"].as_array().unwrap().len(), 3);
    go_on(&mut messages, &made, |_| json!({"summary": "made"}));
    let (_, done) = converse(&upstreams, &messages, &create).await;
    assert_eq!(done["stop_reason"], "end_turn");
}

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

#[tokio::test]
async fn the_dj_changes_a_playlist_as_it_was_asked() {
    let upstreams = upstreams().await;
    let names = [
        "playlistId",
        "action",
        "trackIds",
        "rangeStart",
        "insertBefore",
        "name",
    ];
    let properties: serde_json::Map<_, _> = names
        .map(|name| (name.to_owned(), json!({})))
        .into_iter()
        .collect();
    let tools = json!({"tools": [
        {"name": "analyze_playlist", "input_schema": {"type": "object", "properties": {
            "playlistId": {},
        }}},
        {"name": "search_tracks", "input_schema": {"type": "object", "properties": {"query": {}}}},
        {"name": "modify_playlist", "input_schema": {
            "type": "object", "properties": properties,
        }},
    ]});
    for (wish, action, member) in [
        ("Add something like it", "add", "trackIds"),
        ("Remove the last one", "remove", "trackIds"),
        ("Please reorder it", "reorder", "insertBefore"),
        ("Rename it to \"Dusk\"", "rename", "name"),
    ] {
        let prompt = format!("{wish}\n\n(Playlist: 37i9dQZF1DXsimulated05)");
        let mut messages = json!([{"role": "user", "content": prompt}]);
        let change = loop {
            let (status, answer) = converse(&upstreams, &messages, &tools).await;
            assert_eq!(
                (status, &answer["stop_reason"]),
                (200, &json!("tool_use")),
                "{wish}"
            );
            let call = calls(&answer)[0].clone();
            go_on(&mut messages, &answer, found);
            if call["name"] == "modify_playlist" {
                break call;
            }
        };
        assert_eq!(change["input"]["action"], action);
        assert_eq!(change["input"]["playlistId"], "37i9dQZF1DXsimulated05");
        assert!(change["input"].get(member).is_some(), "{change}");
        if action == "rename" {
            assert_eq!(change["input"]["name"], "Dusk");
        }
        let (_, done) = converse(&upstreams, &messages, &tools).await;
        assert_eq!(done["stop_reason"], "end_turn");
    }
}

#[tokio::test]
async fn the_dj_says_what_failed_and_goes_on() {
    let upstreams = upstreams().await;
    let prompt = "What fits?\n\n(Playlist: 37i9dQZF1DXsimulated01)";
    let mut messages = json!([{"role": "user", "content": prompt}]);
    let mut said = String::new();
    for _ in 0..5 {
        let (status, answer) = converse(&upstreams, &messages, &json!({})).await;
        assert_eq!(status, 200);
        if answer["stop_reason"] == "end_turn" {
            said = answer["content"][0]["text"].as_str().unwrap().to_owned();
            break;
        }
        go_on(&mut messages, &answer, |_| json!("Spotify is busy"));
        let last = messages.as_array_mut().unwrap().last_mut().unwrap();
        for result in last["content"].as_array_mut().unwrap() {
            result["is_error"] = true.into();
        }
    }
    assert!(said.contains("Spotify is busy"), "{said}");
}
