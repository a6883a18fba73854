//! What the stand-ins of the catalogue's services have in common: an address,
//! a log of their calls, faults on demand, a pace.
//!
//! Beside their own routes, under `/__control/`, what tests in other languages
//! need: `POST fault` (a [`Fault`] for every call), `POST push` (for the next
//! one), `POST reset`, `POST latency` (milliseconds), `GET counts`, `GET calls`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::answer::{self, millis};
use crate::calls::{self, Call, Calls, Counts};
use crate::fault::{Fault, Faults};

/// More than any of the services takes.
const MAX_REQUEST: usize = 1 << 20;

/// An error that a fault asks for, in the service's own words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    Status(u16),
    Code(u32),
}

/// A handle to a running stand-in. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    addr: SocketAddr,
    calls: Calls,
    faults: Mutex<Faults>,
    latency_ms: AtomicU64,
    wrong: fn(Wrong) -> Response,
}

impl Service {
    pub(crate) fn new(addr: SocketAddr, wrong: fn(Wrong) -> Response) -> Self {
        Self(Arc::new(Inner {
            addr,
            calls: Calls::new(),
            faults: Mutex::default(),
            latency_ms: AtomicU64::new(0),
            wrong,
        }))
    }

    /// `routes` with the log, the faults and the pace of this service.
    pub(crate) fn router(&self, routes: Router) -> Router {
        let routes = routes.layer(middleware::from_fn_with_state(self.clone(), watch));
        let control = Router::new()
            .route("/__control/fault", post(control_fault))
            .route("/__control/push", post(control_push))
            .route("/__control/reset", post(control_reset))
            .route("/__control/latency", post(control_latency))
            .route("/__control/counts", get(control_counts))
            .route("/__control/calls", get(control_calls))
            .with_state(self.clone());
        routes.merge(control)
    }

    /// The base URL.
    pub fn origin(&self) -> String {
        format!("http://{}", self.0.addr)
    }

    /// Lets `fault` happen to every later call that it is for. Of several the
    /// first counts; [`reset`](Self::reset) ends them.
    pub fn fault(&self, fault: Fault) {
        self.faults().stand(fault);
    }

    /// Lets `fault` happen to the next call that it is for, and only to that
    /// one.
    pub fn push(&self, fault: Fault) {
        self.faults().push(fault);
    }

    /// Ends all faults. Counts and calls are kept.
    pub fn heal(&self) {
        *self.faults() = Faults::default();
    }

    /// Ends the faults of one trace: see [`Fault::of_trace`].
    pub fn forget(&self, trace: &str) {
        self.faults().forget(trace);
    }

    /// Waits until no call of one trace is under way.
    ///
    /// # Errors
    /// How many are when that took too long.
    pub async fn wait_for_end_of(&self, trace: &str, within: Duration) -> Result<(), usize> {
        self.0.calls.wait_for_end_of(trace, within).await
    }

    /// How long every call takes to its head.
    pub fn latency(&self, time: Duration) {
        self.0.latency_ms.store(millis(time), Ordering::Relaxed);
    }

    /// Without faults, at once, with nothing counted.
    pub fn reset(&self) {
        self.heal();
        self.latency(Duration::ZERO);
        self.0.calls.reset();
    }

    /// The time, as that of [calls](Call) is told.
    pub fn now(&self) -> Duration {
        self.0.calls.now()
    }

    /// How many calls there are and have been.
    pub fn counts(&self) -> Counts {
        self.0.calls.counts()
    }

    /// The calls so far, with their times.
    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.log()
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
        self.0.calls.wait_for(within, condition).await
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(self.0.latency_ms.load(Ordering::Relaxed))
    }
}

/// A body of JSON.
pub(crate) fn json(status: u16, value: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// Stands around every route of a service.
async fn watch(State(this): State<Service>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_REQUEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let guard = this.0.calls.begin(noted(&parts, &body));
    let traceparent = calls::traceparent(&parts.headers);
    let trace = traceparent.as_deref().and_then(calls::trace);
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let fault = this.faults().take(method, path, trace);
    let fault = fault.unwrap_or_default();
    tokio::time::sleep(this.pace() + Duration::from_millis(fault.head_delay_ms)).await;
    if fault.silent {
        futures::future::pending::<()>().await;
    }
    let mut response = match instead(&this, &fault) {
        Some(response) => response,
        None => next.run(Request::from_parts(parts, Body::from(body))).await,
    };
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    guard.head(response.status().as_u16());
    let (head, body) = response.into_parts();
    // The routes answer from memory.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    Response::from_parts(head, answer::body(fault.pieces(&body), guard))
}

/// What a fault answers instead of the service.
fn instead(this: &Service, fault: &Fault) -> Option<Response> {
    if let Some((media_type, body)) = &fault.raw {
        let mut response = Response::new(Body::from(body.clone()));
        *response.status_mut() = StatusCode::from_u16(fault.status.unwrap_or(200)).ok()?;
        let media_type = HeaderValue::from_str(media_type).ok()?;
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        return Some(response);
    }
    let wrong = fault.status.map(Wrong::Status);
    let wrong = wrong.or_else(|| fault.code.map(Wrong::Code));
    wrong.map(this.0.wrong)
}

fn noted(parts: &Parts, body: &Bytes) -> calls::Request {
    let query = parts.uri.query().unwrap_or_default();
    let mut has_key = parts.headers.contains_key(AUTHORIZATION);
    let fields = query.split('&').map(|field| match field.split_once('=') {
        Some(("api_key", _)) => {
            has_key = true;
            "api_key=***"
        }
        _ => field,
    });
    let query = fields.collect::<Vec<_>>().join("&");
    calls::Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query,
        // A form may hold secrets; documents do not.
        body: serde_json::from_slice(body).unwrap_or_default(),
        has_key,
        traceparent: calls::traceparent(&parts.headers),
    }
}

async fn control_fault(State(this): State<Service>, Json(fault): Json<Fault>) -> StatusCode {
    this.fault(fault);
    StatusCode::NO_CONTENT
}

async fn control_push(State(this): State<Service>, Json(fault): Json<Fault>) -> StatusCode {
    this.push(fault);
    StatusCode::NO_CONTENT
}

async fn control_reset(State(this): State<Service>) -> StatusCode {
    this.reset();
    StatusCode::NO_CONTENT
}

async fn control_latency(State(this): State<Service>, Json(millis): Json<u64>) -> StatusCode {
    this.latency(Duration::from_millis(millis));
    StatusCode::NO_CONTENT
}

async fn control_counts(State(this): State<Service>) -> Json<Counts> {
    Json(this.counts())
}

async fn control_calls(State(this): State<Service>) -> Json<Vec<Call>> {
    Json(this.calls())
}
