//! What the client still gets when the component panics.
//!
//! A panic cannot be unwound on wasm: the instance traps when the hook returns.
//! Until then the host can still be called. Before the head has gone the hook
//! answers 500 problem+json; after it, the chunk that is being written is
//! finished, and the body's [`LastWords`] follow (the frames that were queued
//! and a terminal `error` frame). `Drop` does not run then: what must heal, heals
//! by time.

use std::cell::RefCell;
use std::io::Write;
use std::ops::Deref;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use bytes::Bytes;
use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::ResponseOutparam;
use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse};
use wasip2::io::poll::poll;
use wasip2::io::streams::OutputStream;

use crate::core::ports::LastWords;
use crate::core::scope;

/// A client that takes no byte for this time goes without the last words.
/// Nothing else of the instance runs meanwhile, and its upstream calls stay
/// open: less than a client may pause at other times.
const PATIENCE_NANOS: u64 = 5_000_000_000;

/// What a person is told; the log has the rest.
const MESSAGE: &str =
    "something went wrong on our side; the log has the details under this requestId";

/// How far the response has come.
enum Response {
    None,
    Head(ResponseOutparam),
    Body {
        stream: Arc<OutputStream>,
        last_words: Option<LastWords>,
        /// What is left of the chunk that is being written. It was taken from
        /// the body, so nobody else has it, and a part of it may be sent: nothing
        /// may come before it.
        unwritten: Bytes,
    },
}

thread_local! {
    // An instance serves one request at a time and has one thread.
    static RESPONSE: RefCell<Response> = const { RefCell::new(Response::None) };
}

/// Keeps `outparam` where the hook finds it, until [`take_outparam`].
pub(super) fn install(outparam: ResponseOutparam) {
    RESPONSE.set(Response::Head(outparam));
    std::panic::set_hook(Box::new(|info| {
        let request_id = scope::current_request_id();
        let request_id = request_id.as_deref().unwrap_or("unknown");
        // Standard error, not the log: the log may be what panicked. Where there
        // is none the client is still told.
        let location = info.location().map(ToString::to_string);
        let line = serde_json::json!({
            "level": "ERROR",
            "message": format!("panic in request {request_id}: {}", message(info)),
            "panic.location": location,
            "request_id": request_id,
        });
        let _ = writeln!(std::io::stderr(), "{line}");
        // A panic inside the hook would abort before anything is said.
        let response = RESPONSE.try_with(|response| {
            response
                .try_borrow_mut()
                .map(|mut response| std::mem::replace(&mut *response, Response::None))
        });
        match response {
            Ok(Ok(Response::Head(outparam))) => answer_500(outparam, request_id),
            Ok(Ok(Response::Body {
                stream,
                last_words: Some(last_words),
                unwritten,
            })) => {
                let words = last_words.say(request_id);
                write_now(&stream, &[&unwritten[..], &words].concat());
            }
            _ => {}
        }
    }));
}

/// What the panic says, if that was written by the program's author. What was
/// put together when it ran may quote anything: a slice out of bounds quotes the
/// text, which may be a prompt or a key.
fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let literal = info.payload().downcast_ref::<&'static str>().copied();
    literal.unwrap_or("its message is withheld, since it may quote what was asked")
}

/// The outparam, to be set now.
pub(super) fn take_outparam() -> Option<ResponseOutparam> {
    match RESPONSE.replace(Response::None) {
        Response::Head(outparam) => Some(outparam),
        _ => None,
    }
}

/// The stream of a body that has begun, shared with the hook.
pub(super) struct BodyStream(Arc<OutputStream>);

impl BodyStream {
    /// What the hook has to write before anything else.
    pub(super) fn still_to_write(&self, chunk: Bytes) {
        RESPONSE.with_borrow_mut(|response| {
            if let Response::Body { unwritten, .. } = response {
                *unwritten = chunk;
            }
        });
    }
}

impl Deref for BodyStream {
    type Target = OutputStream;

    fn deref(&self) -> &OutputStream {
        &self.0
    }
}

pub(super) fn body_started(stream: OutputStream, last_words: Option<LastWords>) -> BodyStream {
    let stream = Arc::new(stream);
    RESPONSE.set(Response::Body {
        stream: Arc::clone(&stream),
        last_words,
        unwritten: Bytes::new(),
    });
    BodyStream(stream)
}

/// Releases the hook's share of the stream, which must be dropped before its
/// body is finished.
pub(super) fn body_ended() {
    RESPONSE.set(Response::None);
}

fn answer_500(outparam: ResponseOutparam, request_id: &str) {
    let headers = Fields::new();
    let _ = headers.append("content-type", b"application/problem+json");
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(500);
    let body = response.body();
    ResponseOutparam::set(outparam, Ok(response));
    let Ok(body) = body else { return };
    let problem = serde_json::json!({
        "type": "/problems/internal",
        "title": "Internal Server Error",
        "status": 500,
        "code": "internal",
        "message": MESSAGE,
        "detail": MESSAGE,
        "context": { "requestId": request_id },
    });
    if let Ok(stream) = body.write() {
        write_now(&stream, problem.to_string().as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}

/// Writes without the reactor, which is inside the panic.
fn write_now(stream: &OutputStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match stream.check_write() {
            Ok(0) if wait_for_room(stream) => {}
            Ok(0) | Err(_) => return,
            Ok(room) => {
                let room = usize::try_from(room).unwrap_or(usize::MAX);
                let (now, later) = bytes.split_at(room.min(bytes.len()));
                if stream.write(now).is_err() {
                    return;
                }
                bytes = later;
            }
        }
    }
    let _ = stream.flush();
}

fn wait_for_room(stream: &OutputStream) -> bool {
    let deadline = monotonic_clock::now() + PATIENCE_NANOS;
    let timer = monotonic_clock::subscribe_instant(deadline);
    let room = stream.subscribe();
    poll(&[&room, &timer]).contains(&0)
}
