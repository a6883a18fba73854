//! What the log says, and what it never says.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use spinlane_component_tests::chat::Chat;
use spinlane_component_tests::{Dj, KEY, PATIENCE, settled};
use spinlane_upstreams::anthropic::Script;

/// Things that only their sender should know. Each is one of a kind, so that
/// finding it says where it came from.
const PROMPT: &str = "canary-prompt-7f3a";
const HISTORY: &str = "canary-history-91c2";
const ANSWER: &str = "canary-answer-5d0e";
const COOKIE: &str = "canary-cookie-c44b";
const BEARER: &str = "canary-bearer-a8f1";
const QUERY: &str = "canary-query-3e77";
const PATH: &str = "canary-path-b19d";
const ADMIN: &str = "canary-admin-60aa";
const FORGED: &str = "canary-forged-2c5e";
const SPOTIFY: &str = "canary-spotify-e013";
const LASTFM: &str = "canary-lastfm-d9b6";

const CANARIES: [&str; 12] = [
    PROMPT, HISTORY, ANSWER, COOKIE, BEARER, QUERY, PATH, ADMIN, FORGED, SPOTIFY, LASTFM, KEY,
];

/// The DJ at its most talkative, with a secret in every variable that takes one.
async fn start() -> Dj {
    Dj::start(&[
        ("log_level", "trace"),
        ("environment", "production"),
        ("admin_token", ADMIN),
        ("spotify_client_id", "client"),
        ("spotify_client_secret", SPOTIFY),
        ("lastfm_api_key", LASTFM),
        ("request_deadline_ms", "5000"),
    ])
    .await
}

fn secrets(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let cookie =
        format!("__Host-spinlane-session={COOKIE}; __Host-spinlane-login={COOKIE}; other={COOKIE}");
    headers.insert("cookie", cookie.parse().expect("a header"));
    headers.insert("x-admin-token", token.parse().expect("a header"));
    headers
}

async fn send(request: reqwest::RequestBuilder) -> reqwest::Response {
    let sent = tokio::time::timeout(PATIENCE, request.send()).await;
    sent.expect("an answer in time").expect("an answer")
}

/// All that a user can do wrong or right, with a canary in every place.
async fn use_everything(dj: &Dj) {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let url = |path: &str| format!("{}{path}?token={QUERY}", dj.origin());
    for path in [
        "/",
        "/api/status",
        "/api/docs",
        "/api/openapi.json",
        "/api/auth/login",
        "/api/auth/callback",
        "/api/auth/session",
        &format!("/api/{PATH}"),
        &format!("/problems/{PATH}"),
        &format!("/assets/{PATH}.js"),
        &format!("/{PATH}"),
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::POST] {
            let request = client.request(method, url(path)).headers(secrets(FORGED));
            // A Bearer wins over the cookie, which is read without one.
            let with_bearer = request.try_clone().expect("it has no body");
            drop(send(with_bearer.bearer_auth(BEARER)).await);
            drop(send(request).await);
        }
    }
    let stop = format!("/api/chat-stream/{PATH}/stop");
    drop(send(client.post(url(&stop)).headers(secrets(ADMIN))).await);
    let sweep = client.post(url("/api/admin/sweep"));
    drop(send(sweep.headers(secrets(ADMIN))).await);
    let chat = |body: &Value| client.post(url("/api/chat-stream/message")).json(body);
    for body in [
        json!({ "message": PROMPT, "mode": PROMPT }),
        json!({ "message": [PROMPT], "conversationHistory": HISTORY }),
        json!({ "message": PROMPT, "mode": "create" }),
    ] {
        drop(send(chat(&body).headers(secrets(FORGED)).bearer_auth(BEARER)).await);
        drop(send(chat(&body).headers(secrets(FORGED))).await);
    }
    let broken = client.post(url("/api/chat-stream/message"));
    let broken = broken.header("content-type", "application/json");
    drop(send(broken.body(format!("{{\"message\": \"{PROMPT}"))).await);
    let tracks = json!({ "tracks": [{ "title": PROMPT, "artist": HISTORY, "id": ANSWER }] });
    let enrich = client.post(url("/api/enrich")).json(&tracks);
    let enriched = send(enrich.headers(secrets(FORGED))).await;
    drop(tokio::time::timeout(PATIENCE, enriched.bytes()).await);
}

/// Answers of every kind, each of which repeats what it was given.
async fn talk(dj: &Dj) {
    let echo = format!("{ANSWER} {KEY} {PROMPT}");
    let words = || Script::text([ANSWER, &echo]);
    let body = json!({
        "message": PROMPT,
        "conversationHistory": [{ "role": "user", "content": HISTORY }],
        "debug": true,
    });
    for script in [
        words(),
        words().thinking(&echo),
        words().cut_after(1),
        words().garbage_after(0),
        words().error_event_after(1, "api_error", &echo),
        words().error_event_after(0, "invalid_request_error", &echo),
        words().tool_use("search_tracks", "t1", json!({ "query": echo })),
        words().tool_use("no_such_tool", "t2", json!({ "query": echo })),
        Script::raw("text/html", &echo),
        Script::raw("application/json", &format!("{{\"error\":\"{echo}\"}}")),
        Script::raw(
            "text/event-stream",
            &format!("event: {echo}\ndata: {echo}\n\n"),
        ),
        Script::status(400),
        Script::status(401),
        words().silence_after(1, Duration::from_secs(6)),
    ] {
        dj.upstreams.anthropic().reset();
        dj.upstreams.anthropic().script(script);
        let url = format!("{}/api/chat-stream/message?token={QUERY}", dj.origin());
        let request = reqwest::Client::new().post(url).json(&body);
        // The operator sees the request's log: at any level, as ever.
        let response = send(request.headers(secrets(ADMIN))).await;
        let mut chat = Chat::read(response);
        // The model itself says the key here, and is relayed as it is.
        let frames = chat.remaining().await;
        for frame in frames.iter().filter(|frame| frame.kind == "log") {
            let text = frame.data.to_string();
            for canary in CANARIES {
                assert!(!text.contains(canary), "{canary} in a log frame: {text}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_that_is_secret_is_logged_at_any_level() {
    let dj = start().await;
    use_everything(&dj).await;
    talk(&dj).await;
    settled(&dj.host).await;
    let lines = dj.host.logs();
    // It did listen: to every level that there is anything to say at.
    for level in ["INFO", "WARN", "DEBUG"] {
        let level = format!("\"level\":\"{level}\"");
        assert!(lines.iter().any(|line| line.contains(&level)), "{level}");
    }
    for line in &lines {
        for canary in CANARIES {
            assert!(!line.contains(canary), "{canary} in the log: {line}");
        }
        let parsed: Result<Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|line| line.is_object()), "no JSON: {line}");
    }
}

/// A host's own text may say where its store is, and how to get in.
#[tokio::test]
async fn a_store_in_trouble_does_not_tell_its_password() {
    let dj = start().await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    let fault = format!("cannot reach redis://user:{FORGED}@redis.internal:6379/0: refused");
    dj.host.store().fail(Some(fault));
    let client = reqwest::Client::new();
    let post = |path: &str| client.post(dj.host.url(path)).headers(secrets(ADMIN));
    let run = "0".repeat(32);
    let stop = send(post(&format!("/api/chat-stream/{run}/stop"))).await;
    assert_eq!(stop.status(), 503);
    assert_eq!(send(post("/api/admin/sweep")).await.status(), 503);
    let body = json!({ "message": PROMPT, "debug": true });
    let chat = send(post("/api/chat-stream/message").json(&body)).await;
    let mut chat = Chat::read(chat);
    chat.rest().await;
    settled(&dj.host).await;
    // It is told that the store fails, and where it is.
    for text in [chat.text(), dj.host.logs().join("\n")] {
        assert!(!text.contains(FORGED), "{text}");
        assert!(text.contains("redis://***@redis.internal:6379/0"), "{text}");
    }
}

#[tokio::test]
async fn an_answer_has_one_line_with_what_it_used() {
    let dj = Dj::start(&[]).await;
    dj.upstreams.anthropic().script(Script::text(["a", "b"]));
    let url = format!("{}/api/chat-stream/message", dj.origin());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = reqwest::Client::new()
        .post(url)
        .json(&json!({ "message": "hello" }))
        .header("x-request-id", "one-of-a-kind")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let mut chat = Chat::read(send(request).await);
    let sent = chat.headers["traceparent"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(sent.starts_with(&format!("00-{trace}-")), "{sent}");
    chat.rest().await;
    let line = dj.host.wait_for_log(PATIENCE, "\"answered\"").await;
    let line: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
    for (name, expected) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/api/chat-stream/message")),
        ("http.response.status_code", json!(200)),
        ("http.response.body.size", json!(chat.raw.len())),
        ("spinlane.outcome", json!("ended")),
        ("spinlane.budget.used", json!(1)),
        ("spinlane.budget.left", json!(939)),
    ] {
        assert_eq!(line[name], expected, "{name}: {line}");
    }
    let span = &line["span"];
    assert_eq!(span["request_id"], "one-of-a-kind");
    assert_eq!(span["trace_id"], trace);
    let call = dj.upstreams.anthropic().calls().pop().expect("a call");
    let told = call.traceparent.expect("it is told");
    assert!(told.starts_with(&format!("00-{trace}-")), "{told}");
    assert_ne!(told, sent, "the call has a span of its own");
}
