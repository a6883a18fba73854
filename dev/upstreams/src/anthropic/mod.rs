//! The Messages API (`POST /v1/messages`), streaming and whole.
//!
//! Requests are checked as the service checks them, the going together of tools
//! and results included; what is marked for the cache is counted. Where no
//! script says otherwise, a seeded DJ answers, who uses the tools that it is
//! offered.
//!
//! Beside it, under `/__control/`, what tests in other languages need:
//! `POST script` and `POST push` (a [`Script`] as JSON), `POST reset`,
//! `GET counts`, `GET calls`.

mod check;
mod dj;
mod models;
mod request;
mod script;
mod stream;
mod turn;
mod usage;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::answer::{Piece, body};
use crate::calls::{self, Call, Calls, Counts, Guard, Request};
use request::{Refusal, Taken};
pub use script::{Script, Step};
use stream::Answer;
use turn::Turn;
use usage::{Input, PromptCache};

/// The largest request of the real service: 32 MB.
const MAX_REQUEST: usize = 32 << 20;

const EVENTS: &str = "text/event-stream; charset=utf-8";

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// A handle to the stand-in. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Anthropic {
    addr: SocketAddr,
    seed: u64,
    calls: Calls,
    scripts: Arc<Mutex<Scripts>>,
    memory: Arc<Mutex<Memory>>,
}

/// What the service knows of earlier calls.
#[derive(Debug, Default)]
struct Memory {
    cache: PromptCache,
    /// The reasoning before a tool, by the tool's identifier.
    reasoning: HashMap<String, Vec<Value>>,
}

/// Tools whose reasoning is remembered; then it starts anew.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
struct Scripts {
    /// Each for one call, in this order.
    next: VecDeque<Script>,
    /// The same for calls of one trace, whose last script stays.
    of_traces: HashMap<String, VecDeque<Script>>,
    /// For every other call.
    standing: Script,
}

impl Scripts {
    fn take(&mut self, trace: Option<&str>) -> Script {
        let of_trace = trace.and_then(|trace| self.of_traces.get_mut(trace));
        let next = match of_trace {
            Some(scripts) if scripts.len() == 1 => scripts.front().cloned(),
            Some(scripts) => scripts.pop_front(),
            None => self.next.pop_front(),
        };
        next.unwrap_or_else(|| self.standing.clone())
    }
}

impl Anthropic {
    pub(crate) fn new(addr: SocketAddr, seed: u64) -> Self {
        Self {
            addr,
            seed,
            calls: Calls::new(),
            scripts: Arc::default(),
            memory: Arc::default(),
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

    /// Answers the next calls with `scripts`, one after the other: a
    /// conversation with tools.
    pub fn converse(&self, scripts: impl IntoIterator<Item = Script>) {
        self.scripts().next.extend(scripts);
    }

    /// Answers the calls of one trace (32 hexadecimal digits, as their `traceparent` says)
    /// with `scripts`, one after the other, and then always with the last. So many clients
    /// at once may each have their own conversation.
    pub fn converse_in(&self, trace: &str, scripts: impl IntoIterator<Item = Script>) {
        let scripts = scripts.into_iter().collect();
        self.scripts().of_traces.insert(trace.into(), scripts);
    }

    /// Ends what was said to one trace alone.
    pub fn forget(&self, trace: &str) {
        self.scripts().of_traces.remove(trace);
    }

    /// Waits until no call of one trace is under way.
    ///
    /// # Errors
    /// How many are when that took too long.
    pub async fn wait_for_end_of(&self, trace: &str, within: Duration) -> Result<(), usize> {
        self.calls.wait_for_end_of(trace, within).await
    }

    /// Back to the seeded answers, with nothing counted.
    pub fn reset(&self) {
        *self.scripts() = Scripts::default();
        *self.memory() = Memory::default();
        self.calls.reset();
    }

    /// The time, as that of [calls](Call) is told.
    pub fn now(&self) -> Duration {
        self.calls.now()
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

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a request against what came before it, and counts it.
    fn admit(&self, taken: &Taken, request: &Map<String, Value>) -> Result<Input, Refusal> {
        let mut memory = self.memory();
        let issued = |id: &str| memory.reasoning.get(id).cloned();
        check::reasoning(&taken.messages, issued)?;
        Ok(memory.cache.count(request))
    }

    /// Remembers the reasoning that has to come back with the tools' results.
    fn remember(&self, turn: &Turn) {
        let reasoning = turn.reasoning();
        let mut memory = self.memory();
        if memory.reasoning.len() >= REMEMBERED {
            memory.reasoning.clear();
        }
        for id in turn.tool_ids() {
            memory.reasoning.insert(id.to_owned(), reasoning.clone());
        }
    }

    /// What the model says.
    fn turn(&self, script: &Script, request: &Taken, number: u64) -> Turn {
        match script.is_seeded() {
            true => dj::turn(self.seed, request),
            false => script.turn(number, || dj::words(self.seed, &request.prompt)),
        }
    }

    fn next_script(&self, headers: &HeaderMap) -> Script {
        let traceparent = calls::traceparent(headers);
        let trace = traceparent.as_deref().and_then(calls::trace);
        self.scripts().take(trace)
    }
}

async fn messages(State(this): State<Anthropic>, headers: HeaderMap, body: Bytes) -> Response {
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    let guard = this.calls.begin(Request {
        method: "POST".into(),
        path: "/v1/messages".into(),
        body: document.clone(),
        has_key: request::key(&headers).is_some(),
        traceparent: calls::traceparent(&headers),
        ..Request::default()
    });
    let admitted = request::check(&headers, document.as_object()).and_then(|taken| {
        let nothing = Map::new();
        let input = this.admit(&taken, document.as_object().unwrap_or(&nothing))?;
        Ok((taken, input))
    });
    let (request, input) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(&refusal, None, guard),
    };
    let script = this.next_script(&headers);
    tokio::time::sleep(script.delay()).await;
    if script.is_silent() {
        futures::future::pending::<()>().await;
    }
    if script.is_reset() {
        return respond(StatusCode::OK, EVENTS, [Piece::Reset].into(), guard);
    }
    if let Some(refusal) = script.refusal() {
        return refuse(&refusal, script.retry_after_header(), guard);
    }
    let once = |text: String| VecDeque::from([Piece::Write(text.into())]);
    if let Some((media_type, body)) = &script.raw {
        return respond(script.status_code(), media_type, once(body.clone()), guard);
    }
    if let Some(steps) = &script.wire {
        let pieces = steps.iter().map(Step::piece).collect();
        return respond(script.status_code(), EVENTS, pieces, guard);
    }
    let turn = this.turn(&script, &request, guard.number());
    this.remember(&turn);
    let answer = Answer {
        script: &script,
        turn: &turn,
        model: &request.model,
        input,
        number: guard.number(),
    };
    let (media_type, pieces) = match request.stream {
        true => (EVENTS, answer.pieces()),
        false => ("application/json", once(answer.whole())),
    };
    respond(StatusCode::OK, media_type, pieces, guard)
}

fn respond(
    status: StatusCode,
    media_type: &str,
    pieces: VecDeque<Piece>,
    guard: Guard,
) -> Response {
    guard.head(status.as_u16());
    let id = request_id(&guard);
    let mut response = Response::new(body(pieces, guard));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    for (name, value) in [(CONTENT_TYPE, media_type), (REQUEST_ID, id.as_str())] {
        headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    response
}

fn refuse(refusal: &Refusal, retry_after: Option<HeaderValue>, guard: Guard) -> Response {
    let mut body = json!({
        "type": "error",
        "error": {"type": refusal.kind, "message": refusal.message},
        "request_id": request_id(&guard),
    });
    if let Some(details) = &refusal.details {
        body["error"]["details"] = details.clone();
    }
    let pieces = VecDeque::from([Piece::Write(body.to_string().into())]);
    let mut response = respond(refusal.status, "application/json", pieces, guard);
    let retry_after = retry_after.map(|value| (RETRY_AFTER, value));
    response.headers_mut().extend(retry_after);
    response
}

fn request_id(guard: &Guard) -> String {
    format!("req_{:024}", guard.number())
}

async fn not_found(State(this): State<Anthropic>, method: Method, uri: Uri) -> Response {
    let guard = this.calls.begin(Request {
        method: method.to_string(),
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
