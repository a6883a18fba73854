//! The Messages API (`POST /v1/messages`), streaming and whole.
//!
//! Beside it, under `/__control/`, what tests in other languages need:
//! `POST script` and `POST push` (a [`Script`] as JSON), `POST reset`,
//! `GET counts`, `GET calls`.

mod dj;
mod request;
mod script;
mod stream;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde_json::{Value, json};

use crate::answer::{Piece, body};
use crate::calls::{Call, Calls, Counts, Guard, Request};
use request::Refusal;
pub use script::Script;

/// The largest request of the real service: 32 MB.
const MAX_REQUEST: usize = 32 << 20;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// A handle to the stand-in. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Anthropic {
    addr: SocketAddr,
    seed: u64,
    calls: Calls,
    scripts: Arc<Mutex<Scripts>>,
}

#[derive(Debug, Default)]
struct Scripts {
    /// Each for one call, in this order.
    next: VecDeque<Script>,
    /// For every other call.
    standing: Script,
}

impl Anthropic {
    pub(crate) fn new(addr: SocketAddr, seed: u64) -> Self {
        Self {
            addr,
            seed,
            calls: Calls::new(),
            scripts: Arc::default(),
        }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/v1/messages", post(messages))
            .route("/__control/script", post(control_script))
            .route("/__control/push", post(control_push))
            .route("/__control/reset", post(control_reset))
            .route("/__control/counts", get(control_counts))
            .route("/__control/calls", get(control_calls))
            .fallback(not_found)
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
            .with_state(self.clone())
    }

    /// The base URL.
    pub fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Answers every later call with `script`.
    pub fn script(&self, script: Script) {
        self.scripts().standing = script;
    }

    /// Answers the next call with `script`, and only that one. Several are used
    /// in order.
    pub fn push(&self, script: Script) {
        self.scripts().next.push_back(script);
    }

    /// Back to the seeded answers, with nothing counted.
    pub fn reset(&self) {
        *self.scripts() = Scripts::default();
        self.calls.reset();
    }

    /// How many calls there are and have been.
    pub fn counts(&self) -> Counts {
        self.calls.counts()
    }

    /// Waits until the counts are as `condition` says.
    ///
    /// # Errors
    /// The counts when that took too long.
    pub async fn wait_for(
        &self,
        within: Duration,
        condition: impl FnMut(&Counts) -> bool,
    ) -> Result<Counts, Counts> {
        self.calls.wait_for(within, condition).await
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.log()
    }

    fn scripts(&self) -> MutexGuard<'_, Scripts> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_script(&self) -> Script {
        let mut scripts = self.scripts();
        let next = scripts.next.pop_front();
        next.unwrap_or_else(|| scripts.standing.clone())
    }
}

async fn messages(State(this): State<Anthropic>, headers: HeaderMap, body: Bytes) -> Response {
    let document: Result<Value, _> = serde_json::from_slice(&body);
    let has_key = request::key(&headers).is_some();
    let guard = this.calls.begin(Request {
        method: "POST".into(),
        path: "/v1/messages".into(),
        body: document.as_ref().cloned().unwrap_or_default(),
        has_key,
        ..Request::default()
    });
    let parsed = request::check(&headers, document.as_ref().map_err(|_| ()));
    let request = match parsed {
        Ok(request) => request,
        Err(refusal) => return refuse(&refusal, None, guard),
    };
    let script = this.next_script();
    tokio::time::sleep(script.delay()).await;
    if script.is_silent() {
        futures::future::pending::<()>().await;
    }
    if let Some(refusal) = script.refusal() {
        return refuse(&refusal, script.retry_after_header(), guard);
    }
    let seed = this.seed;
    let pieces = match request.stream {
        true => stream::pieces(&script, &request, seed, guard.number()),
        false => VecDeque::from([Piece::Write(stream::whole(&script, &request, seed).into())]),
    };
    let media_type = match (script.media_type(), request.stream) {
        (Some(media_type), _) => media_type,
        (None, true) => "text/event-stream; charset=utf-8",
        (None, false) => "application/json",
    };
    respond(StatusCode::OK, media_type, pieces, guard)
}

fn respond(
    status: StatusCode,
    media_type: &'static str,
    pieces: VecDeque<Piece>,
    guard: Guard,
) -> Response {
    let id = request_id(&guard);
    let mut response = Response::new(body(pieces, guard));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.extend(HeaderValue::from_str(&id).ok().map(|id| (REQUEST_ID, id)));
    response
}

fn refuse(refusal: &Refusal, retry_after: Option<HeaderValue>, guard: Guard) -> Response {
    let body = json!({
        "type": "error",
        "error": {"type": refusal.kind, "message": refusal.message},
        "request_id": request_id(&guard),
    });
    let pieces = VecDeque::from([Piece::Write(body.to_string().into())]);
    let mut response = respond(refusal.status, "application/json", pieces, guard);
    let retry_after = retry_after.map(|value| (RETRY_AFTER, value));
    response.headers_mut().extend(retry_after);
    response
}

fn request_id(guard: &Guard) -> String {
    format!("req_{:024}", guard.number())
}

async fn not_found(State(this): State<Anthropic>, uri: Uri) -> Response {
    let guard = this.calls.begin(Request {
        path: uri.path().to_owned(),
        ..Request::default()
    });
    refuse(&Refusal::new(404, "Not found"), None, guard)
}

async fn control_script(State(this): State<Anthropic>, Json(script): Json<Script>) -> StatusCode {
    this.script(script);
    StatusCode::NO_CONTENT
}

async fn control_push(State(this): State<Anthropic>, Json(script): Json<Script>) -> StatusCode {
    this.push(script);
    StatusCode::NO_CONTENT
}

async fn control_reset(State(this): State<Anthropic>) -> StatusCode {
    this.reset();
    StatusCode::NO_CONTENT
}

async fn control_counts(State(this): State<Anthropic>) -> impl IntoResponse {
    Json(this.counts())
}

async fn control_calls(State(this): State<Anthropic>) -> impl IntoResponse {
    Json(this.calls())
}

#[cfg(test)]
mod tests;
