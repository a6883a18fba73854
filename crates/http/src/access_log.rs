//! A request from its arrival to the last byte of its answer: what its log line
//! says, and `Server-Timing`.
//!
//! The line is written when the answer has ended, for a stream after its last
//! byte, so that it knows what the whole request has used. Names are those of
//! OpenTelemetry's semantic conventions where it has one. It has neither the
//! path nor the query, which may hold what only their sender should know, but
//! the route's template.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body::{Frame, SizeHint};
use tracing::Span;

use crate::context::RequestContext;
use spinlane_core::error::{Code, code};
use spinlane_core::ports::{Clock, Instant};
use spinlane_core::scope::Scope;

/// How long the head took, and how many upstream calls were made for it.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What the log of an application goes by.
///
/// ```
/// use spinlane_core::testing::World;
/// use spinlane_http::access_log::AccessLog;
///
/// let ports = World::new().ports();
/// let mut log = AccessLog::new(&ports.clock, |path| (path == "/health").then_some("/health"));
/// log.quiet = &["/health"];
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct AccessLog {
    /// Tells time.
    pub clock: Arc<dyn Clock>,
    /// The template of the route that a path belongs to; `None` where there is none.
    pub route: fn(&str) -> Option<&'static str>,
    /// Routes that leave no line when their answer is a 200: they are asked every few
    /// seconds by whoever watches over the host.
    pub quiet: &'static [&'static str],
}

impl AccessLog {
    /// A log in which routes are named by `route`.
    pub fn new(clock: &Arc<dyn Clock>, route: fn(&str) -> Option<&'static str>) -> Self {
        Self {
            clock: Arc::clone(clock),
            route,
            quiet: &[],
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("quiet", &self.quiet)
            .finish_non_exhaustive()
    }
}

/// The layer (by [`from_fn_with_state`](axum::middleware::from_fn_with_state)), beneath
/// [`context::begin`](crate::context::begin): it tells the client how long the head
/// took, and leaves the line when the body has ended.
pub async fn write(State(log): State<AccessLog>, mut request: Request, next: Next) -> Response {
    let Some(context) = request.extensions().get::<RequestContext>() else {
        return next.run(request).await;
    };
    let line = Line::new(&log, context, &request);
    request.extensions_mut().insert(line.clone());
    line.answered(next.run(request).await)
}

/// The line of a request that was not answered yet, in its extensions.
#[derive(Clone)]
pub(crate) struct Line {
    clock: Arc<dyn Clock>,
    at: Instant,
    method: Method,
    route: Option<&'static str>,
    quiet: &'static [&'static str],
    scope: Arc<Scope>,
    span: Span,
}

impl Line {
    fn new(log: &AccessLog, context: &RequestContext, request: &Request) -> Self {
        Self {
            clock: Arc::clone(&log.clock),
            at: log.clock.now(),
            method: request.method().clone(),
            route: (log.route)(request.uri().path()),
            quiet: log.quiet,
            scope: Arc::clone(&context.scope),
            span: Span::current(),
        }
    }

    /// Tells the receiver how long the head took to make, and lets the log know
    /// when the body has ended.
    fn answered(self, mut response: Response) -> Response {
        let head = self.seconds();
        let calls = self.scope.budget.used();
        let mut timing = format!("head;dur={:.3}, calls;desc=\"{calls}\"", head * 1_000.0);
        // A name is there when there is something to say.
        let cache = self.scope.cache.report().named().into_iter();
        for (name, count) in cache.filter(|(_, count)| *count > 0) {
            let name = name.replace('_', "-");
            timing += &format!(", cache-{name};desc=\"{count}\"");
        }
        if let Ok(value) = HeaderValue::from_str(&timing) {
            response.headers_mut().insert(SERVER_TIMING, value);
        }
        let answer = Answered {
            status: response.status(),
            error: response.extensions_mut().remove::<Code>(),
            head: Some(head),
            bytes: Some(0),
            line: self,
        };
        response.map(|body| {
            Body::new(Watched {
                body,
                answer: Some(answer),
            })
        })
    }

    /// The program has panicked; the host has said so to the client.
    pub(crate) fn panicked(&self, status: StatusCode, bytes: Option<u64>) {
        let answer = Answered {
            line: self.clone(),
            status,
            error: Some(code::INTERNAL),
            head: None,
            bytes,
        };
        answer.ended("panicked");
    }

    pub(crate) const fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    fn seconds(&self) -> f64 {
        (self.clock.now() - self.at).as_secs_f64()
    }
}

/// An answer whose head has gone.
struct Answered {
    line: Line,
    status: StatusCode,
    error: Option<Code>,
    /// Seconds to the head, where they are known.
    head: Option<f64>,
    /// Of the body so far, where they are known.
    bytes: Option<u64>,
}

impl Answered {
    /// Writes the line.
    fn ended(self, outcome: &str) {
        let Self { line, status, .. } = self;
        let quiet = line.route.is_some_and(|route| line.quiet.contains(&route));
        if status == StatusCode::OK && quiet {
            return;
        }
        let scope = &line.scope;
        let cache = scope.cache.report();
        let span_id = scope.trace.map(|trace| trace.span_id());
        line.span.in_scope(|| {
            tracing::info!(
                http.request.method = line.method.as_str(),
                http.route = line.route,
                http.response.status_code = status.as_u16(),
                http.response.body.size = self.bytes,
                http.server.request.duration = line.seconds(),
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
    answer: Option<Answered>,
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
