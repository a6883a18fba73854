//! What must hold on every host.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::{Anthropic, Counts};

use crate::PATIENCE;
use crate::chat::{last, prompt, said, send};
use crate::wire::Connection;

/// Within this a client that went must have ended the upstream call.
const DISCONNECT: Duration = Duration::from_secs(2);

/// With this variable set [`all`] is to be run: silence is filled every 200 ms.
pub const HEARTBEAT: (&str, &str) = ("heartbeat_ms", "200");

/// All of it, on the host at `origin` whose upstream is `anthropic`.
///
/// # Panics
/// When something does not hold.
pub async fn all(origin: &str, anthropic: &Anthropic) {
    streams_an_answer(origin, anthropic).await;
    burst_is_relayed_whole_and_in_order(origin, anthropic).await;
    silence_is_filled_with_heartbeats(origin, anthropic).await;
    head_requests_are_answered_without_a_body(origin).await;
    head_comes_before_the_upstream(origin, anthropic).await;
    client_that_goes_ends_the_call(origin, anthropic).await;
    bad_requests_are_answered(origin, anthropic).await;
    upstream_faults_end_well(origin, anthropic).await;
}

/// An answer arrives whole, delta by delta, in order.
///
/// # Panics
/// When it does not.
pub async fn streams_an_answer(origin: &str, anthropic: &Anthropic) {
    anthropic.reset();
    anthropic.script(
        Script::text(["Hel", "lo\n", "wörld"])
            .usage(5, 7)
            .ping_every(1),
    );
    let frames = prompt(origin).await.rest().await;
    assert_eq!(said(&frames), ["Hel", "lo\n", "wörld"]);
    assert_eq!(last(&frames), ("done", &Value::Null));
    let usage = &frames[frames.len() - 2];
    assert_eq!(usage.kind, "usage");
    assert_eq!(
        (&usage.data["inputTokens"], &usage.data["outputTokens"]),
        (&5.into(), &7.into())
    );
    let ended = anthropic
        .wait_for(PATIENCE, |counts| counts.open == 0)
        .await;
    assert_eq!(
        ended.map(|counts| (counts.finished, counts.cancelled)),
        Ok((1, 0))
    );
}

/// 10,000 deltas that come at once arrive, each, in their order.
///
/// # Panics
/// When they do not.
pub async fn burst_is_relayed_whole_and_in_order(origin: &str, anthropic: &Anthropic) {
    anthropic.reset();
    let words: Vec<String> = (0..10_000).map(|n| format!("{n} ")).collect();
    anthropic.script(Script::text(words.clone()));
    let frames = prompt(origin).await.rest().await;
    assert_eq!(said(&frames), words);
    assert_eq!(last(&frames), ("done", &Value::Null));
}

/// While the upstream says nothing the client is told that it is still there.
///
/// # Panics
/// When it is not.
pub async fn silence_is_filled_with_heartbeats(origin: &str, anthropic: &Anthropic) {
    anthropic.reset();
    let silence = Duration::from_millis(1_100);
    anthropic.script(Script::text(["a", "b"]).silence_after(1, silence));
    let mut chat = prompt(origin).await;
    let frames = chat.rest().await;
    assert_eq!(said(&frames), ["a", "b"]);
    let text = chat.text();
    let (_, silent) = text.split_once("\"a\"}\n\n").expect("the first delta");
    let (silent, _) = silent.split_once("id:").expect("the second");
    let heartbeats = silent.matches(": heartbeat\n\n").count();
    let all = heartbeats * ": heartbeat\n\n".len();
    assert_eq!(silent.len(), all, "{silent:?}");
    assert!((3..=5).contains(&heartbeats), "{heartbeats}");
}

/// HEAD is answered with the head that GET has, and nothing after it: the next
/// answer on the connection begins right there.
///
/// # Panics
/// When it is not.
pub async fn head_requests_are_answered_without_a_body(origin: &str) {
    let mut connection = Connection::open(origin).await;
    for path in ["/", "/health"] {
        let head = connection.ask("HEAD", path, "dj").await;
        let get = connection.ask("GET", path, "dj").await;
        let body = connection.body(&get).await;
        assert_eq!((head.status, get.status), (200, 200), "{path}");
        assert!(!body.is_empty(), "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control"] {
            assert_eq!(head.field(name), get.field(name), "{path}: {name}");
        }
    }
}

/// The head and the first frame do not wait for an upstream that takes 5 s.
///
/// # Panics
/// When they do.
pub async fn head_comes_before_the_upstream(origin: &str, anthropic: &Anthropic) {
    anthropic.reset();
    anthropic.script(Script::text(["x"]).head_delay(Duration::from_secs(5)));
    let begin = Instant::now();
    let mut chat = prompt(origin).await;
    let frame = chat.next().await.expect("a frame");
    let took = begin.elapsed();
    assert_eq!(frame.kind, "run");
    assert_eq!(
        frame.data["id"].as_str(),
        chat.headers["x-run-id"].to_str().ok()
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
    let begun = anthropic
        .wait_for(PATIENCE, |counts| counts.open == 1)
        .await;
    begun.expect("the upstream is called");
    drop(chat);
    let ended = anthropic
        .wait_for(PATIENCE, |counts| counts.open == 0)
        .await;
    ended.expect("the call ends");
}

/// A client that goes ends the upstream call: before its head, in silence, and
/// while streaming.
///
/// # Panics
/// When it does not.
pub async fn client_that_goes_ends_the_call(origin: &str, anthropic: &Anthropic) {
    let endless = Script::text(vec!["x"; 100_000]).pace(Duration::from_millis(10));
    let silent = Script::text(["x"]).hang_after(1);
    for (what, script) in [
        ("headless", Script::hang()),
        ("silent", silent),
        ("moving", endless),
    ] {
        anthropic.reset();
        anthropic.script(script);
        let mut chat = prompt(origin).await;
        if what == "headless" {
            let begun = anthropic
                .wait_for(PATIENCE, |counts| counts.open == 1)
                .await;
            begun.unwrap_or_else(|counts| panic!("{what}: {counts:?}"));
        } else {
            chat.next_of("content").await;
        }
        drop(chat);
        let gone = |counts: &Counts| counts.cancelled == 1 && counts.open == 0;
        let noticed = anthropic.wait_for(DISCONNECT, gone).await;
        noticed.unwrap_or_else(|counts| panic!("{what}: {counts:?}"));
    }
}

/// Bad requests each get their own answer, which names the field, and nothing
/// is sent upstream.
///
/// # Panics
/// When it is not so.
pub async fn bad_requests_are_answered(origin: &str, anthropic: &Anthropic) {
    anthropic.reset();
    let history = vec![json!({"role": "user", "content": "x"}); 21];
    let cases = [
        (json!({"message": ""}), 422, "/message"),
        (json!({"message": "x".repeat(2001)}), 422, "/message"),
        (json!({"message": 7}), 422, "/message"),
        (json!({}), 422, "/message"),
        (json!({"message": "x", "mode": "x"}), 422, "/mode"),
        (
            json!({"message": "x", "conversationHistory": history}),
            422,
            "/conversationHistory",
        ),
        (json!({"message": "x".repeat(600_000)}), 413, ""),
    ];
    for (body, status, pointer) in cases {
        let response = send(origin, &body).await;
        let problem = problem(response, status).await;
        let named = &problem["errors"][0]["pointer"];
        assert_eq!(named.as_str().unwrap_or_default(), pointer, "{problem}");
    }
    let client = reqwest::Client::new();
    let url = format!("{origin}/api/chat-stream/message");
    let json = |body: &'static str| {
        client
            .post(&url)
            .header("content-type", "application/json")
            .body(body)
    };
    let cases = [
        (json("{\"message\""), 400, "invalid_json"),
        (json(""), 400, "invalid_json"),
        (
            client.post(&url).body("hello"),
            415,
            "unsupported_media_type",
        ),
        (client.get(&url), 405, "method_not_allowed"),
        (
            client.get(format!("{origin}/api/nothing")),
            404,
            "not_found",
        ),
    ];
    for (request, status, code) in cases {
        let response = request.send().await.expect("an answer");
        if status == 405 {
            assert_eq!(response.headers()["allow"], "POST, OPTIONS");
        }
        assert_eq!(problem(response, status).await["code"], code);
    }
    assert_eq!(anthropic.counts().started, 0);
}

async fn problem(response: reqwest::Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem: Value = response.json().await.expect("JSON");
    assert_eq!(problem["status"], status);
    assert!(
        problem["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    problem
}

/// Whatever the upstream does, the stream ends in one terminal frame that a
/// person can act on.
///
/// # Panics
/// When it does not.
pub async fn upstream_faults_end_well(origin: &str, anthropic: &Anthropic) {
    let words = || Script::text(["a", "b", "c"]);
    let overloaded = |after| words().error_event_after(after, "overloaded_error", "Overloaded");
    let cases = [
        (Script::status(400), "error", "upstream_rejected"),
        (Script::status(401), "error", "upstream_auth"),
        (Script::status(403), "error", "upstream_auth"),
        (Script::status(404), "error", "upstream_rejected"),
        (Script::status(429).retry_after(1), "error", "rate_limited"),
        (Script::status(500), "error", "upstream_error"),
        (Script::status(529), "error", "overloaded"),
        (
            Script::raw("text/html", "<html>"),
            "error",
            "upstream_protocol",
        ),
        (
            Script::raw("text/event-stream", ""),
            "error",
            "upstream_cut",
        ),
        (words().garbage_after(0), "error", "upstream_protocol"),
        (words().garbage_after(2), "done", "upstream_cut"),
        (overloaded(0), "error", "overloaded"),
        (overloaded(2), "done", "upstream_cut"),
        (words().cut_after(0), "error", "upstream_cut"),
        (words().cut_after(2), "done", "upstream_cut"),
        (words().stop_reason("max_tokens"), "done", "max_tokens"),
        (words().stop_reason("refusal"), "done", "refusal"),
    ];
    for (script, kind, why) in cases {
        anthropic.reset();
        anthropic.script(script);
        let frames = prompt(origin).await.rest().await;
        let (ended, data) = last(&frames);
        assert_eq!(ended, kind, "{why}: {data}");
        if kind == "done" {
            assert_eq!(
                (&data["incomplete"], &data["reason"]),
                (&true.into(), &why.into())
            );
        } else {
            assert_eq!(data["code"], why, "{data}");
            let message = data["message"].as_str().expect("a message");
            assert!(message.contains("Anthropic"), "{message}");
        }
        if why == "rate_limited" {
            assert_eq!(
                (&data["status"], &data["retryAfterMs"]),
                (&429.into(), &1000.into())
            );
        }
    }
}
