//! Runs from request to last frame, in virtual time.

mod agent;
mod bounds;
mod ends;
mod faults;
mod mutations;
mod stalls;
mod stop;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::App;
use spinlane_core::ports::{BodyStream, Clock, HttpError, TimeoutPhase};
use spinlane_core::sse::{Decoder, WriterConfig};
use spinlane_core::testing::{ScriptedHttp, VirtualClock, World};

const KEY: &str = "sk-secret-of-the-test";

const START: &str =
    r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn sse(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn delta(text: &str) -> String {
    let delta = json!({"index": 0, "delta": {"type": "text_delta", "text": text}});
    sse("content_block_delta", &delta.to_string())
}

fn end(stop_reason: &str) -> String {
    let end = json!({"delta": {"stop_reason": stop_reason}, "usage": {"output_tokens": 7}});
    sse("message_delta", &end.to_string()) + &sse("message_stop", STOP)
}

/// One step of an upstream's answer.
#[derive(Clone)]
enum Step {
    Write(String),
    Bytes(Bytes),
    Wait(Duration),
    Fail(HttpError),
    Hang,
}

fn body(clock: VirtualClock, steps: Vec<Step>) -> BodyStream {
    stream::iter(steps)
        .filter_map(move |step| {
            let clock = clock.clone();
            async move {
                match step {
                    Step::Write(text) => Some(Ok(Bytes::from(text))),
                    Step::Bytes(bytes) => Some(Ok(bytes)),
                    Step::Fail(error) => Some(Err(error)),
                    Step::Wait(time) => {
                        clock.sleep(time).await;
                        None
                    }
                    Step::Hang => futures::future::pending().await,
                }
            }
        })
        .boxed()
}

/// An upstream that answers every call with `steps`, and a world round it.
fn streaming(steps: Vec<Step>) -> World {
    in_turn(vec![steps])
}

/// The same, which answers with each of `answers`, the last again and again.
fn in_turn(answers: Vec<Vec<Step>>) -> World {
    let clock = VirtualClock::new();
    let asked = Mutex::new(0);
    let mut world = World::with_http({
        let clock = clock.clone();
        ScriptedHttp::new(move |_| {
            let mut asked = asked.lock().unwrap();
            let steps = answers.get(*asked).or(answers.last()).unwrap().clone();
            *asked += 1;
            let body = body(clock.clone(), steps);
            let response = Response::builder().header("content-type", "text/event-stream");
            async move { Ok(response.body(body).unwrap()) }
        })
    });
    world.clock = clock;
    world
}

fn answering(status: u16, headers: &'static [(&str, &str)], text: &'static str) -> World {
    World::with_http(ScriptedHttp::new(move |_| {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let body = stream::iter([Ok(Bytes::from_static(text.as_bytes()))]).boxed();
        async move { Ok(response.body(body).unwrap()) }
    }))
}

fn failing(error: HttpError) -> World {
    World::with_http(ScriptedHttp::new(move |_| {
        let error = error.clone();
        async move { Err(error) }
    }))
}

fn app(world: &World, variables: &[(&'static str, &'static str)]) -> App {
    let variables = variables.to_vec();
    App::new(world.ports(), move |name| {
        let set = variables.iter().find(|(known, _)| *known == name);
        let key = (name == "anthropic_api_key").then_some(KEY);
        set.map(|(_, value)| *value).or(key).map(str::to_owned)
    })
}

fn prompt(body: &Value) -> Request<Body> {
    Request::post("/api/chat-stream/message")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn hello() -> Request<Body> {
    prompt(&json!({"message": "hello"}))
}

/// The frames in `bytes`, after a look at their ids.
fn frames(bytes: &[u8]) -> Vec<(String, Value)> {
    let mut frames = Vec::new();
    let mut ids = Vec::new();
    let mut decoder = Decoder::new(1 << 20);
    decoder
        .push(bytes, |event| {
            ids.push(event.id.parse::<usize>().unwrap());
            let frame: Value = serde_json::from_str(&event.data).unwrap();
            frames.push((
                frame["type"].as_str().unwrap().into(),
                frame["data"].clone(),
            ));
        })
        .unwrap();
    assert!(!decoder.has_partial(), "half a frame at the end");
    assert_eq!(ids, (1..=frames.len()).collect::<Vec<_>>());
    frames
}

/// All frames of one run, after a look at what every stream must have.
fn run_with(world: &World, app: &App, request: Request<Body>) -> Vec<(String, Value)> {
    let bytes = world.run(async {
        let response = app.handle(request).await;
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap().to_bytes()
    });
    world.drain();
    assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "the key");
    let frames = frames(&bytes);
    let terminal = |(kind, _): &&(String, Value)| matches!(kind.as_str(), "done" | "error");
    assert_eq!(frames.iter().filter(terminal).count(), 1, "{frames:?}");
    assert!(frames.last().as_ref().is_some_and(terminal), "{frames:?}");
    assert_eq!(frames[0].0, "run");
    assert_eq!(frames[frames.len() - 2].0, "usage");
    frames
}

fn run(world: &World) -> Vec<(String, Value)> {
    run_with(world, &app(world, &[]), hello())
}

fn said(frames: &[(String, Value)]) -> Vec<&str> {
    let content = frames.iter().filter(|(kind, _)| kind == "content");
    content.map(|(_, data)| data.as_str().unwrap()).collect()
}

fn last(frames: &[(String, Value)]) -> (&str, &Value) {
    frames
        .last()
        .map(|(kind, data)| (kind.as_str(), data))
        .unwrap()
}

#[test]
fn every_delta_is_one_frame() {
    let world = streaming(vec![
        Step::Write(sse("message_start", START) + &sse("ping", r#"{"type":"ping"}"#)),
        Step::Write(delta("Hel") + &delta("lo\n") + &delta("…")),
        Step::Write(sse("news", "{}") + &end("end_turn")),
    ]);
    let frames = run(&world);
    assert_eq!(said(&frames), ["Hel", "lo\n", "…"]);
    assert_eq!(last(&frames), ("done", &Value::Null));
    let usage = &frames[frames.len() - 2].1;
    let expected = json!({
        "inputTokens": 9, "outputTokens": 7, "cacheReadTokens": 0, "cacheWriteTokens": 0,
        "partial": false, "turns": 1, "toolCalls": 0, "upstreamCalls": 1, "budgetLeft": 939, "laneWaitMs": 0,
        "cache": {"hits": 0, "staleHits": 0, "misses": 0, "negativeHits": 0, "shared": 0,
            "storeErrors": 0},
    });
    assert_eq!(*usage, expected);
    assert_eq!(frames[0].1["id"].as_str().map(str::len), Some(32));
}

#[test]
fn the_head_says_what_the_stream_is() {
    let world = streaming(vec![Step::Hang]);
    let app = app(&world, &[]);
    let response = world.run(app.handle(hello()));
    let header = |name| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    };
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(header("content-encoding"), Some("identity"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("x-run-id").map(str::len), Some(32));
    assert_eq!(header("connection"), None);
    assert_eq!(
        world.http.calls(),
        0,
        "the upstream was called before the head"
    );
}

#[test]
fn silence_is_filled_with_heartbeats() {
    let world = streaming(vec![
        Step::Wait(Duration::from_secs(40)),
        Step::Write(delta("x") + &end("end_turn")),
    ]);
    let app = app(&world, &[]);
    let clock = world.clock.clone();
    let seen = world.run(async {
        let mut body = app.handle(hello()).await.into_body();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            let bytes = frame.unwrap().into_data().unwrap();
            if bytes == ": heartbeat\n\n" {
                seen.push(clock.now().as_nanos() / 1_000_000_000);
            }
        }
        seen
    });
    assert_eq!(seen, [15, 30]);
}

#[test]
fn errors_before_content_end_in_one_error_frame() {
    let broken =
        r#"{"type":"error","error":{"type":"x","message":"sk-secret-of-the-test is bad"}}"#;
    let html = &[("content-type", "text/html")];
    let sse_type = &[("content-type", "text/event-stream")];
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for (world, code, words) in [
        (
            answering(400, &[], broken),
            "upstream_rejected",
            "did not accept",
        ),
        (
            answering(401, &[], broken),
            "upstream_auth",
            "`anthropic_api_key`",
        ),
        (
            answering(404, &[], broken),
            "upstream_rejected",
            "`anthropic_model`",
        ),
        (
            answering(429, &[("retry-after", "3")], broken),
            "rate_limited",
            "3 s",
        ),
        (answering(500, &[], "<html>"), "upstream_error", "try again"),
        (answering(529, &[], broken), "overloaded", "overloaded"),
        (answering(302, &[], ""), "upstream_protocol", "HTTP 302"),
        (
            answering(200, html, "<html>"),
            "upstream_protocol",
            "`anthropic_base_url`",
        ),
        (answering(200, sse_type, ""), "upstream_cut", "cut off"),
        (
            answering(200, sse_type, "event: message_start\ndata: {\n\n"),
            "upstream_cut",
            "cut off",
        ),
        (
            answering(200, sse_type, "event: content_block_delta\ndata: {\n\n"),
            "upstream_protocol",
            "broken `content_block_delta`",
        ),
        (
            failing(HttpError::Connect("refused".into())),
            "upstream_unreachable",
            "`anthropic_base_url`",
        ),
        (
            failing(HttpError::Timeout(TimeoutPhase::FirstByte)),
            "upstream_timeout",
            "too long",
        ),
        (
            failing(HttpError::Denied),
            "upstream_denied",
            "allowed_outbound_hosts",
        ),
        (
            streaming(vec![Step::Write(sse("error", overloaded))]),
            "overloaded",
            "overloaded",
        ),
        (
            streaming(vec![Step::Fail(HttpError::Timeout(TimeoutPhase::Idle))]),
            "upstream_timeout",
            "",
        ),
        (
            streaming(vec![Step::Write("data: \u{1}garbage\n\n".into())]),
            "upstream_cut",
            "cut off",
        ),
    ] {
        let frames = run(&world);
        let (kind, error) = last(&frames);
        assert_eq!(
            (kind, error["code"].as_str()),
            ("error", Some(code)),
            "{error}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert!(message.contains("Anthropic"), "{message}");
        assert_eq!(said(&frames), [""; 0]);
    }
}

/// An overloaded service answers 200 first. Before anything was said it is
/// asked again.
#[test]
fn an_answer_that_fails_before_content_is_asked_for_again() {
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let failing = sse("message_start", START) + &sse("error", overloaded);
    for trouble in [
        Step::Write(failing),
        Step::Write(String::new()),
        Step::Fail(HttpError::Broken("cut".into())),
    ] {
        let good = vec![Step::Write(delta("Hi") + &end("end_turn"))];
        let world = in_turn(vec![vec![trouble.clone()], vec![trouble], good]);
        let frames = run(&world);
        assert_eq!(said(&frames), ["Hi"]);
        assert_eq!(last(&frames), ("done", &Value::Null));
        assert_eq!(frames[frames.len() - 2].1["upstreamCalls"], 3);
    }
}

#[test]
fn what_was_said_is_kept() {
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for trouble in [
        Step::Write(String::new()),
        Step::Write(sse("error", overloaded)),
        Step::Write("event: content_block_delta\ndata: {{\n\n".into()),
        Step::Fail(HttpError::Broken("reset".into())),
        Step::Fail(HttpError::Timeout(TimeoutPhase::Idle)),
    ] {
        let frames = run(&streaming(vec![Step::Write(delta("Hi")), trouble]));
        assert_eq!(said(&frames), ["Hi"]);
        let cut = json!({"incomplete": true, "reason": "upstream_cut"});
        assert_eq!(last(&frames), ("done", &cut));
        assert_eq!(frames[frames.len() - 2].1["partial"], true);
    }
}

#[test]
fn the_model_says_why_it_stopped() {
    for (stop_reason, reason) in [("max_tokens", "max_tokens"), ("refusal", "refusal")] {
        let frames = run(&streaming(vec![Step::Write(
            delta("x") + &end(stop_reason),
        )]));
        let incomplete = json!({"incomplete": true, "reason": reason});
        assert_eq!(last(&frames), ("done", &incomplete));
    }
}

#[test]
fn a_deadline_ends_the_run_in_time() {
    let world = streaming(vec![Step::Write(delta("x")), Step::Hang]);
    let app = app(&world, &[("request_deadline_ms", "28000")]);
    let frames = run_with(&world, &app, hello());
    let incomplete = json!({"incomplete": true, "reason": "deadline"});
    assert_eq!(last(&frames), ("done", &incomplete));
    assert_eq!(world.clock.now().as_nanos(), 28_000_000_000);
}

/// Says when it is dropped.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn the_upstream_call_ends_with_the_client() {
    let dropped = Arc::new(AtomicBool::new(false));
    let world = World::with_http({
        let dropped = Arc::clone(&dropped);
        ScriptedHttp::new(move |_| {
            let guard = OnDrop(Arc::clone(&dropped));
            let body = stream::iter([Ok(Bytes::from(delta("x")))])
                .chain(stream::pending())
                .inspect(move |_| {
                    let _ = &guard;
                })
                .boxed();
            let response = Response::builder().header("content-type", "text/event-stream");
            async move { Ok(response.body(body).unwrap()) }
        })
    });
    let app = app(&world, &[]);
    world.run(async {
        let mut body = app.handle(hello()).await.into_body();
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains("content") {
            bytes.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert!(!dropped.load(Ordering::SeqCst));
    });
    world.drain();
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn a_reader_that_stops_holds_the_upstream_back() {
    let reads = Arc::new(Mutex::new(0_usize));
    let chunk: String = (0..100).map(|_| delta(&"x".repeat(100))).collect();
    let world = World::with_http({
        let reads = Arc::clone(&reads);
        ScriptedHttp::new(move |_| {
            let (chunk, reads) = (chunk.clone(), Arc::clone(&reads));
            let body = stream::repeat_with(move || {
                *reads.lock().unwrap() += 1;
                Ok(Bytes::from(chunk.clone()))
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            async move { Ok(response.body(body.boxed()).unwrap()) }
        })
    });
    let app = app(&world, &[]);
    let clock = world.clock.clone();
    let body = world.run(async {
        let mut body = app.handle(hello()).await.into_body();
        for _ in 0..3 {
            body.frame().await.unwrap().unwrap();
        }
        // Whatever can move, moves.
        clock.sleep(Duration::from_secs(60)).await;
        body
    });
    // 100 frames of some 140 bytes a read: the queue of 256 KiB is full soon.
    let reads = *reads.lock().unwrap();
    assert!((2..100).contains(&reads), "{reads}");
    drop(body);
    world.drain();
}

/// The writes of a run's body that have content: how much of it, and their
/// length in bytes.
fn content_writes(world: &World) -> Vec<(usize, usize)> {
    let app = app(world, &[]);
    let writes = world.run(async {
        let mut body = app.handle(hello()).await.into_body();
        let mut writes = Vec::new();
        while let Some(frame) = body.frame().await {
            let write = frame.unwrap().into_data().unwrap();
            let text = std::str::from_utf8(&write).unwrap();
            writes.push((text.matches(r#""type":"content""#).count(), write.len()));
        }
        writes
    });
    world.drain();
    let with_content = writes.into_iter().filter(|(content, _)| *content > 0);
    with_content.collect()
}

#[test]
fn what_one_read_brings_leaves_in_one_write() {
    let burst = |deltas, text: &str| {
        streaming(vec![
            Step::Write(sse("message_start", START)),
            Step::Wait(Duration::from_secs(1)),
            Step::Write(delta(text).repeat(deltas)),
            Step::Wait(Duration::from_secs(1)),
            Step::Write(end("end_turn")),
        ])
    };
    let writes = content_writes(&burst(500, "word "));
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(writes[0].0, 500);
    // More than the queue holds leaves a full queue at a time.
    let text = "x".repeat(200);
    let writes = content_writes(&burst(4_000, &text));
    assert_eq!(writes.iter().map(|write| write.0).sum::<usize>(), 4_000);
    let (_, full) = writes.split_last().unwrap();
    let room = WriterConfig::default().capacity - 2 * text.len();
    assert!(full.iter().all(|write| write.1 >= room), "{writes:?}");
}

#[test]
fn the_log_is_shown_where_that_is_allowed() {
    const OPERATOR: &str = "the-operators-own-token";
    spinlane_core::log::install_for_tests();
    let world = streaming(vec![Step::Write(delta("x") + &end("end_turn"))]);
    let production = [("environment", "production"), ("admin_token", OPERATOR)];
    let ask = |variables: &[_], token: Option<&str>| {
        let mut request = prompt(&json!({"message": "hello", "debug": true}));
        if let Some(token) = token {
            let token = token.parse().unwrap();
            request.headers_mut().insert("x-admin-token", token);
        }
        let frames = run_with(&world, &app(&world, variables), request);
        frames
            .iter()
            .any(|(kind, data)| kind == "log" && data["level"] == "info")
    };
    assert!(ask(&[("environment", "development")], None));
    assert!(!ask(&[], None));
    assert!(!ask(&production, None));
    assert!(!ask(&production, Some("guess")));
    assert!(ask(&production, Some(OPERATOR)));
}
