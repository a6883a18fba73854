//! The line that each answer leaves in the log.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::response::Response;
use futures::StreamExt;
use http::Request;
use serde_json::{Value, json};

use crate::App;
use spinlane_core::log::{self, Record, Sink};
use spinlane_core::ports::HttpError;
use spinlane_core::testing::{ScriptedHttp, World};
use spinlane_core::trace::TraceContext;

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

fn empty(request: http::request::Builder) -> Request<Body> {
    request.body(Body::empty()).unwrap()
}

/// What is logged at any level while `world` answers and `read` takes the
/// body.
fn logged(world: &World, request: Request<Body>, take: usize) -> (Response, Vec<Record>) {
    log::install_for_tests();
    let records: Arc<Mutex<Vec<Record>>> = Arc::default();
    let sink: Sink = {
        let records = Arc::clone(&records);
        Arc::new(move |record| records.lock().unwrap().push(record.clone()))
    };
    let app = App::new(world.ports(), |name| {
        (name == "anthropic_api_key").then(|| "sk-test".into())
    });
    let answer = async {
        let (head, body) = app.handle(request).await.into_parts();
        if take == usize::MAX {
            to_bytes(body, take).await.unwrap();
        } else {
            let mut chunks = body.into_data_stream();
            for _ in 0..take {
                chunks.next().await.unwrap().unwrap();
            }
        }
        Response::from_parts(head, Body::empty())
    };
    let response = world.run(log::with_sink(Some(sink), answer));
    world.drain();
    let records = records.lock().unwrap().clone();
    (response, records)
}

fn line(records: &[Record]) -> Value {
    let lines = records.iter().filter(|record| record.message == "answered");
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 1, "{records:?}");
    Value::Object(lines[0].fields.clone())
}

#[test]
fn an_answer_has_one_line() {
    let world = World::new();
    let (_, records) = logged(
        &world,
        empty(request("GET", "/api/status?secret=1")),
        usize::MAX,
    );
    let line = line(&records);
    for (name, expected) in [
        ("http.request.method", json!("GET")),
        ("http.route", json!("/api/status")),
        ("http.response.status_code", json!(200)),
        ("spinlane.outcome", json!("ended")),
        ("spinlane.budget.used", json!(0)),
        ("spinlane.budget.left", json!(940)),
        ("spinlane.cache.hits", json!(0)),
        ("spinlane.lane.wait", json!(0.0)),
    ] {
        assert_eq!(line[name], expected, "{name}: {line}");
    }
    assert!(
        line["http.response.body.size"].as_u64() > Some(100),
        "{line}"
    );
    assert!(line["http.server.request.duration"].is_f64(), "{line}");
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[test]
fn what_goes_wrong_is_named_and_paths_are_not() {
    let world = World::new();
    for (method, path, status, error) in [
        ("GET", "/api/some-token", 404, "not_found"),
        ("GET", "/api/chat-stream/message", 405, "method_not_allowed"),
        (
            "POST",
            "/api/chat-stream/message",
            415,
            "unsupported_media_type",
        ),
    ] {
        let (_, records) = logged(&world, empty(request(method, path)), usize::MAX);
        let line = line(&records);
        assert_eq!(line["http.response.status_code"], status);
        assert_eq!(line["error.type"], error);
        assert!(!line.to_string().contains("some-token"), "{line}");
    }
    let (_, records) = logged(&world, empty(request("GET", "/health")), usize::MAX);
    assert!(records.is_empty(), "{records:?}");
}

fn chat() -> Request<Body> {
    let request = request("POST", "/api/chat-stream/message");
    let request = request.header("content-type", "application/json");
    request.body(Body::from(r#"{"message":"hello"}"#)).unwrap()
}

#[test]
fn a_stream_has_its_line_after_the_last_byte() {
    // Refused by the upstream: the stream says so, and ends.
    let world = World::with_http(ScriptedHttp::refusing());
    let (_, records) = logged(&world, chat(), usize::MAX);
    let whole = line(&records);
    assert_eq!(whole["spinlane.outcome"], "ended");
    assert_eq!(whole["spinlane.budget.used"], 3, "{whole}");
    let last = records
        .iter()
        .rposition(|record| record.message == "answered");
    let run = records
        .iter()
        .rposition(|record| record.message == "the run has ended");
    assert!(last > run, "{records:?}");

    let world = World::with_http(ScriptedHttp::refusing());
    let (_, records) = logged(&world, chat(), 1);
    assert_eq!(line(&records)["spinlane.outcome"], "cut");
}

#[test]
fn a_trace_goes_through() {
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let world = World::with_http(ScriptedHttp::new({
        let calls = Arc::clone(&calls);
        move |call| {
            let header = call.headers()["traceparent"].to_str().unwrap();
            calls.lock().unwrap().push(header.to_owned());
            async { Err(HttpError::Connect("refused".into())) }
        }
    }));
    let mut request = chat();
    let header = GIVEN.parse().unwrap();
    request.headers_mut().insert("traceparent", header);
    let (response, _) = logged(&world, request, usize::MAX);
    let own = response.headers()["traceparent"].to_str().unwrap();
    let own = TraceContext::parse(own).unwrap();
    assert_eq!(own.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 3);
    let mut spans = vec![own.span_id(), "00f067aa0ba902b7".into()];
    for call in calls {
        let sent = TraceContext::parse(&call).unwrap();
        assert_eq!(sent.trace_id(), own.trace_id());
        spans.push(sent.span_id());
    }
    spans.sort();
    spans.dedup();
    assert_eq!(spans.len(), 5, "each call has a span of its own");
}
