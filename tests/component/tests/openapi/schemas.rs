//! What is really sent, held against the document's schemas: frames of every
//! type, which no program that knows OpenAPI looks into, and whole answers.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use spinlane_component_tests::chat::{Chat, send};
use spinlane_component_tests::{Dj, OPERATOR, repository, settled};
use spinlane_core::sse::Decoder;
use spinlane_upstreams::Fault;
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::catalogue::DEMO_PLAYLIST;

use super::{document, python, succeeds, tools};

/// A schema's name, and what should be as it says.
type Example = (&'static str, Value);

/// What the schemas of `document` refuse: a line for each, which begins with its
/// number.
async fn refused(tools: &Path, document: &Value, examples: &[Example]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut validate = python(
        tools,
        repository("tests/component/tests/openapi/validate.py"),
    );
    for (name, value) in [("document", document), ("examples", &json!(examples))] {
        let file = folder.path().join(name);
        std::fs::write(&file, value.to_string()).expect("a file");
        validate.arg(file);
    }
    let lines = succeeds(validate).await;
    lines.lines().map(str::to_owned).collect()
}

/// The stream of `response`, event by event.
async fn events(response: reqwest::Response) -> Vec<Example> {
    let mut stream = Chat::read(response);
    stream.rest().await;
    let mut examples = Vec::new();
    let decoded = Decoder::new(1 << 20).push(&stream.raw, |event| {
        let frame = serde_json::from_str(&event.data).expect("JSON");
        examples.push(("Frame", frame));
        examples.push(("StreamEvent", json!({"id": event.id, "data": event.data})));
    });
    decoded.expect("events of moderate size");
    examples
}

/// Streams of chats, so that each type of frame is in one of them.
async fn chats(dj: &Dj) -> Vec<Example> {
    let anthropic = dj.upstreams.anthropic();
    let hello = json!({"message": "hello"});
    let analyse = json!({
        "message": "analyse this playlist and find five tracks that fit",
        "playlistId": DEMO_PLAYLIST,
        "debug": true,
    });
    let mut examples = events(send(&dj.origin(), &analyse).await).await;
    for script in [
        Script::text(["Well."]).use_tool("no_such_tool", json!({})),
        Script::text(["Well.", "And"]).cut_after(1),
        Script::status(429).retry_after(600),
    ] {
        anthropic.reset();
        anthropic.converse([script, Script::text(["There."])]);
        examples.extend(events(send(&dj.origin(), &hello).await).await);
    }
    examples
}

async fn request(
    dj: &Dj,
    method: &str,
    path: &str,
    accept: &str,
    body: &Value,
) -> reqwest::Response {
    let method = method.parse().expect("a method");
    let request = reqwest::Client::new()
        .request(method, dj.host.url(path))
        .header("accept", accept)
        .header("x-admin-token", OPERATOR)
        .json(body);
    request.send().await.expect("an answer")
}

/// Answers that are one document, and the stream of an enrichment.
async fn answers(dj: &Dj) -> Vec<Example> {
    const JSON: &str = "application/json";
    let tracks = dj.upstreams.catalogue().tracks.iter().take(3);
    let tracks = tracks.map(|track| json!({"id": track.id, "title": track.title, "artist": "x"}));
    let known = json!({"tracks": tracks.collect::<Vec<_>>()});
    let unknown = json!({"tracks": [{"title": "Nothing", "artist": "Nobody"}]});
    let none = json!({});
    let mut examples = events(request(dj, "POST", "/api/enrich", "*/*", &known).await).await;
    // So that something is skipped, with a note.
    dj.upstreams.lastfm().fault(Fault::status(500));
    for (schema, method, path, body) in [
        ("EnrichAnswer", "POST", "/api/enrich", &known),
        ("EnrichAnswer", "POST", "/api/enrich", &unknown),
        ("SweepReport", "POST", "/api/admin/sweep", &none),
        ("Problem", "POST", "/api/enrich", &none),
        ("Problem", "GET", "/api/nothing", &none),
        ("Status", "GET", "/api/status", &none),
        ("SessionInfo", "GET", "/api/auth/session", &none),
        ("Health", "GET", "/health", &none),
    ] {
        let answer = request(dj, method, path, JSON, body).await;
        examples.push((schema, answer.json().await.expect("JSON")));
    }
    examples
}

/// The types of frames that `document` names.
fn kinds(document: &Value) -> BTreeSet<&str> {
    let frames = document["components"]["schemas"]["Frame"]["oneOf"].as_array();
    let kinds = frames.expect("frames").iter();
    kinds
        .map(|frame| {
            frame["properties"]["type"]["enum"][0]
                .as_str()
                .expect("a type")
        })
        .collect()
}

#[tokio::test]
async fn what_is_sent_is_what_the_schemas_say() {
    let Some(tools) = tools() else {
        return;
    };
    let dj = Dj::start(&[("admin_token", OPERATOR), ("environment", "development")]).await;
    let document = document(&dj).await;
    let mut examples = chats(&dj).await;
    examples.extend(answers(&dj).await);
    settled(&dj.host).await;
    let frames = examples.iter().filter(|(schema, _)| *schema == "Frame");
    let seen: BTreeSet<_> = frames
        .filter_map(|(_, frame)| frame["type"].as_str())
        .collect();
    assert_eq!(seen, kinds(&document));
    let refused = refused(&tools, &document, &examples).await;
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// What would not be noticed if the validator took everything.
#[tokio::test]
async fn what_is_not_sent_is_not_what_the_schemas_say() {
    let Some(tools) = tools() else {
        return;
    };
    let dj = Dj::start(&[]).await;
    let frame = |kind: &str, data: Value| ("Frame", json!({"type": kind, "data": data}));
    let report = json!({"keys": 1, "removed": 1, "live": 1, "foreign": 1, "counters": 1});
    let forged = [
        frame("run", json!({"id": 7})),
        frame("content", json!(["a"])),
        frame("thinking", Value::Null),
        frame("tool_start", json!({"tool": "search_tracks", "args": {}})),
        frame(
            "tool_end",
            json!({"tool": "x", "result": {}, "id": "t", "ms": "7"}),
        ),
        frame("progress", json!({"done": 1, "total": "2", "label": "x"})),
        frame(
            "result",
            json!({"tracks": [], "skipped": [], "notes": [{"code": "x"}]}),
        ),
        frame("usage", json!({"inputTokens": 1})),
        frame(
            "log",
            json!({"level": "info", "message": "x", "fields": []}),
        ),
        frame("done", json!({"incomplete": true, "reason": "bored"})),
        frame(
            "error",
            json!({"code": "busy", "message": "x", "stack": "main.rs"}),
        ),
        frame("rumour", json!("x")),
        ("StreamEvent", json!({"id": "0", "data": "{}"})),
        ("SweepReport", report),
        (
            "EnrichAnswer",
            json!({"tracks": [], "skipped": [], "notes": []}),
        ),
    ];
    let refused = refused(&tools, &document(&dj).await, &forged).await;
    for (number, example) in forged.iter().enumerate() {
        let begin = format!("{number} ");
        let named = refused.iter().any(|line| line.starts_with(&begin));
        assert!(named, "{example:?} is let in: {}", refused.join("\n"));
    }
}
