//! A request from its arrival to the last byte of its answer: what its log line
//! says, and `Server-Timing`.
//!
//! The line is written when the answer has ended, for a stream after its last
//! byte, so that it knows what the whole request has used. Names are those of
//! OpenTelemetry's semantic conventions where it has one. It has neither the
//! path nor the query, which may hold what only their sender should know, but
//! the route's template.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use http_body::{Frame, SizeHint};
use tracing::Span;

use super::{SERVER_TIMING, routes};
use crate::error::{Code, code};
use spinlane_core::ports::{Clock, Instant, Ports};
use spinlane_core::scope::Scope;

/// A request that was not answered yet.
#[derive(Clone)]
pub(super) struct Asked {
    clock: Arc<dyn Clock>,
    at: Instant,
    method: Method,
    route: Option<&'static str>,
    scope: Arc<Scope>,
    span: Span,
}

impl Asked {
    pub(super) fn new(ports: &Ports, scope: &Arc<Scope>, span: &Span, request: &Request) -> Self {
        Self {
            clock: Arc::clone(&ports.clock),
            at: ports.clock.now(),
            method: request.method().clone(),
            route: routes::template(request.uri().path()),
            scope: Arc::clone(scope),
            span: span.clone(),
        }
    }

    /// Tells the receiver how long the head took to make, and lets the log know
    /// when the body has ended.
    pub(super) fn answered(self, mut response: Response) -> Response {
        let head = self.seconds();
        let calls = self.scope.budget.used();
        let cache = self.scope.cache.report();
        // A name is there when there is something to say.
        let cache = [
            ("hits", cache.hits),
            ("stale-hits", cache.stale_hits),
            ("misses", cache.misses),
            ("negative-hits", cache.negative_hits),
            ("shared", cache.shared),
            ("store-errors", cache.store_errors),
        ];
        let mut timing = format!("head;dur={:.3}, calls;desc=\"{calls}\"", head * 1_000.0);
        for (name, count) in cache.into_iter().filter(|(_, count)| *count > 0) {
            timing += &format!(", cache-{name};desc=\"{count}\"");
        }
        if let Ok(value) = HeaderValue::from_str(&timing) {
            response.headers_mut().insert(SERVER_TIMING, value);
        }
        let answer = Answer {
            status: response.status(),
            error: response.extensions_mut().remove::<Code>(),
            head: Some(head),
            bytes: Some(0),
            asked: self,
        };
        response.map(|body| {
            Body::new(Watched {
                body,
                answer: Some(answer),
            })
        })
    }

    /// The program has panicked; the host has said so to the client.
    pub(super) fn panicked(&self, status: StatusCode, bytes: Option<u64>) {
        let answer = Answer {
            asked: self.clone(),
            status,
            error: Some(code::INTERNAL),
            head: None,
            bytes,
        };
        answer.ended("panicked");
    }

    pub(super) const fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    fn seconds(&self) -> f64 {
        (self.clock.now() - self.at).as_secs_f64()
    }
}

/// An answer whose head has gone.
struct Answer {
    asked: Asked,
    status: StatusCode,
    error: Option<Code>,
    /// Seconds to the head, where they are known.
    head: Option<f64>,
    /// Of the body so far, where they are known.
    bytes: Option<u64>,
}

impl Answer {
    /// Writes the line.
    fn ended(self, outcome: &str) {
        let Self { asked, status, .. } = self;
        if status == StatusCode::OK && matches!(asked.route, Some("/health" | "/ready")) {
            // Asked every few seconds by whoever watches over the host.
            return;
        }
        let scope = &asked.scope;
        let cache = scope.cache.report();
        let span_id = scope.trace.map(|trace| trace.span_id());
        asked.span.in_scope(|| {
            tracing::info!(
                http.request.method = asked.method.as_str(),
                http.route = asked.route,
                http.response.status_code = status.as_u16(),
                http.response.body.size = self.bytes,
                http.server.request.duration = asked.seconds(),
                "error.type" = self.error.map(Code::as_str),
                span_id,
                spinlane.head.duration = self.head,
                spinlane.outcome = outcome,
                spinlane.budget.used = scope.budget.used(),
                spinlane.budget.left = scope.budget.remaining(),
                spinlane.cache.hits = cache.hits,
                spinlane.cache.stale_hits = cache.stale_hits,
                spinlane.cache.negative_hits = cache.negative_hits,
                spinlane.cache.misses = cache.misses,
                spinlane.cache.shared = cache.shared,
                spinlane.cache.store_errors = cache.store_errors,
                spinlane.lane.wait = scope.waited.total().as_secs_f64(),
                "answered"
            );
        });
    }
}

/// A body that tells when it has ended.
struct Watched {
    body: Body,
    /// Until the line is written.
    answer: Option<Answer>,
}

impl Watched {
    /// `whole`: the client had all of it.
    fn ended(&mut self, whole: bool) {
        if let Some(answer) = self.answer.take() {
            answer.ended(if whole { "ended" } else { "cut" });
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = self
                    .answer
                    .as_mut()
                    .and_then(|answer| answer.bytes.as_mut());
                if let (Some(bytes), Some(data)) = (bytes, frame.data_ref()) {
                    *bytes += data.len() as u64;
                }
            }
            Some(Err(_)) => self.ended(false),
            None => self.ended(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whoever sends the body need not ask for its end, and may stop before it.
impl Drop for Watched {
    fn drop(&mut self) {
        let whole = self.body.is_end_stream();
        self.ended(whole);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::body::to_bytes;
    use futures::StreamExt;
    use http::Request;
    use serde_json::{Value, json};

    use super::*;
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
}
