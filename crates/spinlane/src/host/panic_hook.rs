//! What the client still gets when the component panics.
//!
//! A panic cannot be unwound on wasm: the instance traps when the hook returns.
//! Until then the host can still be called. Before the head has gone the hook
//! answers 500 problem+json; after it, the chunk that is being written is
//! finished, and the body's [`PanicTail`] follows (the frames that were queued
//! and a terminal `error` frame). `Drop` does not run then: what must heal, heals
//! by time.

use std::cell::RefCell;
use std::io::Write;
use std::ops::Deref;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::ResponseOutparam;
use wasip2::http::types::{OutgoingBody, OutgoingResponse};
use wasip2::io::poll::poll;
use wasip2::io::streams::OutputStream;

use super::problem::problem;
use spinlane_core::ports::{OnPanic, PanicSlot, PanicTail};
use spinlane_core::scope;

/// A client that takes no byte for this time goes without the rest.
/// Nothing else of the instance runs meanwhile, and its upstream calls stay
/// open: less than a client may pause at other times.
const CLIENT_TIMEOUT_NANOS: u64 = 5_000_000_000;

/// What a person is told; the log has the rest.
const MESSAGE: &str =
    "something went wrong on our side; the log has the details under this requestId";

/// What the hook has to know of a response whose head has gone.
pub(super) struct PanicAnswer {
    /// The head's.
    pub(super) status: StatusCode,
    /// What the body still says.
    pub(super) panic_tail: Option<PanicTail>,
}

/// How far the response has come.
enum Response {
    None,
    Head(ResponseOutparam),
    Body {
        stream: Arc<OutputStream>,
        in_panic: PanicAnswer,
        /// What is left of the chunk that is being written. It was taken from
        /// the body, so nobody else has it, and a part of it may be sent: nothing
        /// may come before it.
        unwritten: Bytes,
    },
}

thread_local! {
    // An instance serves one request at a time and has one thread.
    static RESPONSE: RefCell<Response> = const { RefCell::new(Response::None) };
    static SLOT: RefCell<Option<PanicSlot>> = const { RefCell::new(None) };
}

/// Keeps `outparam` where the hook finds it, until [`take_outparam`].
pub(super) fn install(outparam: ResponseOutparam, slot: PanicSlot) {
    RESPONSE.set(Response::Head(outparam));
    SLOT.set(Some(slot));
    std::panic::set_hook(Box::new(panicked));
}

/// The hook. A panic inside it would abort before anything is said.
fn panicked(info: &PanicHookInfo<'_>) {
    let slot = SLOT.try_with(|slot| slot.try_borrow().ok()?.clone());
    let slot = slot.ok().flatten();
    let slot = slot.as_ref().and_then(PanicSlot::get);
    let scope = scope::current_request_id();
    let request_id = slot.map(OnPanic::request_id).or(scope.as_deref());
    let request_id = request_id.unwrap_or("unknown");
    log(info, request_id);
    let response = RESPONSE.try_with(|response| {
        let mut response = response.try_borrow_mut().ok()?;
        Some(std::mem::replace(&mut *response, Response::None))
    });
    let Some((status, body_size)) = response
        .ok()
        .flatten()
        .and_then(|response| end(response, request_id, slot))
    else {
        return;
    };
    // Last: the log may be what panicked.
    if let Some(slot) = slot {
        slot.panicked(status, body_size);
    }
}

/// Standard error, not the log: the log may be what panicked. Where there is
/// none the client is still told.
fn log(info: &PanicHookInfo<'_>, request_id: &str) {
    let line = serde_json::json!({
        "level": "ERROR",
        "message": format!("panic in request {request_id}: {}", message(info)),
        "panic.location": info.location().map(ToString::to_string),
        "request_id": request_id,
    });
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says what is still to be said. Returns the status, and the body's size where
/// that is known; `None` when the response had ended.
fn end(
    response: Response,
    request_id: &str,
    slot: Option<&dyn OnPanic>,
) -> Option<(StatusCode, Option<u64>)> {
    match response {
        Response::None => None,
        Response::Head(outparam) => {
            let headers = slot.map(OnPanic::headers).unwrap_or_default();
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let problem = problem(status, "internal", MESSAGE, request_id, headers);
            let size = problem.body().len();
            answer(outparam, &problem);
            Some((status, Some(size as u64)))
        }
        Response::Body {
            stream,
            in_panic,
            unwritten,
        } => {
            if let Some(panic_tail) = in_panic.panic_tail {
                let tail = panic_tail.bytes(request_id);
                write_now(&stream, &[&unwritten[..], &tail].concat());
            }
            Some((in_panic.status, None))
        }
    }
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

/// The head has gone, and `unwritten` is to be written first.
pub(super) fn body_started(
    stream: OutputStream,
    in_panic: PanicAnswer,
    unwritten: Bytes,
) -> BodyStream {
    let stream = Arc::new(stream);
    RESPONSE.set(Response::Body {
        stream: Arc::clone(&stream),
        in_panic,
        unwritten,
    });
    BodyStream(stream)
}

/// Releases the hook's share of the stream, which must be dropped before its
/// body is finished.
pub(super) fn body_ended() {
    RESPONSE.set(Response::None);
}

fn answer(outparam: ResponseOutparam, response: &http::Response<Bytes>) {
    let outgoing = OutgoingResponse::new(super::fields::fields(response.headers()));
    let _ = outgoing.set_status_code(response.status().as_u16());
    // As the pump does: what is whole before its head leaves in one segment.
    // There is room for the one chunk.
    if let Ok(body) = outgoing.body() {
        if let Ok(stream) = body.write() {
            write_now(&stream, response.body());
        }
        let _ = OutgoingBody::finish(body, None);
    }
    ResponseOutparam::set(outparam, Ok(outgoing));
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
    let deadline = monotonic_clock::now() + CLIENT_TIMEOUT_NANOS;
    let timer = monotonic_clock::subscribe_instant(deadline);
    let room = stream.subscribe();
    poll(&[&room, &timer]).contains(&0)
}
