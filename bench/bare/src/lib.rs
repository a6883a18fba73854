//! The benchmark's yardstick: what a host allows to a component of WASI 0.2 that
//! does no more than it must. It has no framework, no limits, no executor, and
//! reads no JSON: of an event it copies the one string that it is after.
//!
//! `GET /health` answers at once. `POST /api/chat-stream/message?to=ADDRESS`
//! relays a stream of Anthropic's from there: it reads what the upstream has,
//! writes all frames of that read in one write, and waits for its input and for
//! one timer, at which it asks whether the client is still there.

// Natively there is nothing of it, so that the whole workspace builds.
#![cfg(target_family = "wasm")]

use std::io::Write as _;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, Scheme,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// How often it asks whether the client of a silent stream has gone.
const PROBE_NS: u64 = 1_000_000_000;

const READ: u64 = 64 * 1024;

#[derive(Debug)]
struct Bare;

wasip2::http::proxy::export!(Bare);

impl Guest for Bare {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        match target.split_once("?to=") {
            Some(("/api/chat-stream/message", to)) => relay(&request, to, outparam),
            _ if target == "/health" => short(200, r#"{"status":"ok"}"#, outparam),
            _ => short(404, r#"{"status":"not found"}"#, outparam),
        }
    }
}

/// Answers with all at once: the body is finished before the head is set, so that
/// both leave in one segment.
fn short(status: u16, json: &str, outparam: ResponseOutparam) {
    let length = json.len().to_string();
    let (response, body) = respond(
        status,
        &[
            ("content-type", "application/json"),
            ("content-length", &length),
        ],
    );
    if let Ok(stream) = body.write() {
        let _ = write_all(&stream, json.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
    ResponseOutparam::set(outparam, Ok(response));
}

fn respond(status: u16, headers: &[(&str, &str)]) -> (OutgoingResponse, OutgoingBody) {
    let response = OutgoingResponse::new(fields(headers));
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("asked for once");
    (response, body)
}

fn fields(headers: &[(&str, &str)]) -> Fields {
    let entries: Vec<_> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    Fields::from_list(&entries).expect("sound headers")
}

/// Sends the head, then what the upstream says.
fn relay(request: &IncomingRequest, to: &str, outparam: ResponseOutparam) {
    let prompt = read_all(&request.consume().expect("consumed once"));
    let headers = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
    ];
    let (response, body) = respond(200, &headers);
    let stream = body.write().expect("asked for once");
    ResponseOutparam::set(outparam, Ok(response));
    // An upstream that fails, or a client that goes, leaves the body unfinished:
    // the client sees a cut.
    if ask(to, &prompt).is_some_and(|answer| frames(&answer, &stream).is_ok()) {
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

/// Calls the model, and waits for its head.
fn ask(to: &str, prompt: &str) -> Option<IncomingBody> {
    let request = OutgoingRequest::new(fields(&[
        ("content-type", "application/json"),
        ("x-api-key", "bench"),
        ("anthropic-version", "2023-06-01"),
    ]));
    request.set_method(&Method::Post).ok()?;
    request.set_scheme(Some(&Scheme::Http)).ok()?;
    request.set_authority(Some(to)).ok()?;
    request.set_path_with_query(Some("/v1/messages")).ok()?;
    let body = request.body().ok()?;
    let pending = outgoing_handler::handle(request, None).ok()?;
    let text = literal(prompt, "\"message\":")?;
    let json = format!(
        r#"{{"model":"bench","max_tokens":1024,"stream":true,"messages":[{{"role":"user","content":{text}}}]}}"#
    );
    let stream = body.write().ok()?;
    write_all(&stream, json.as_bytes()).ok()?;
    drop(stream);
    OutgoingBody::finish(body, None).ok()?;
    pending.subscribe().block();
    let response = pending.get()?.ok()?.ok()?;
    response.consume().ok()
}

/// Relays the answer to its end.
fn frames(answer: &IncomingBody, client: &OutputStream) -> Result<(), StreamError> {
    let input = answer.stream().expect("asked for once");
    let ready = input.subscribe();
    let (mut rest, mut out, mut id) = (Vec::new(), Vec::new(), 0);
    loop {
        let probe = subscribe_duration(PROBE_NS);
        if poll(&[&ready, &probe]).contains(&1) {
            client.check_write()?;
        }
        let mut frame = |kind: &str, data: &str| {
            id += 1;
            let frame = format_args!("id: {id}\ndata: {{\"type\":\"{kind}\",\"data\":{data}}}\n\n");
            out.write_fmt(frame).expect("room for it");
        };
        match input.read(READ) {
            Ok(read) => rest.extend_from_slice(&read),
            Err(StreamError::Closed) => {
                frame("done", "null");
                return write_all(client, &out);
            }
            Err(error) => return Err(error),
        }
        let whole = rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        for line in String::from_utf8_lossy(&rest[..whole]).lines() {
            // That of a block's beginning is empty.
            match literal(line, "\"text\":") {
                Some("\"\"") | None => {}
                Some(text) => frame("content", text),
            }
        }
        rest.drain(..whole);
        write_all(client, &out)?;
        out.clear();
    }
}

/// Writes `bytes`, as much at a time as there is room for.
fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        match now {
            [] => stream.subscribe().block(),
            _ => stream.write(now)?,
        }
        bytes = later;
    }
    Ok(())
}

fn read_all(body: &IncomingBody) -> String {
    let input: InputStream = body.stream().expect("asked for once");
    let mut bytes = Vec::new();
    while let Ok(read) = input.blocking_read(READ) {
        bytes.extend_from_slice(&read);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The string that follows `key`, as JSON has it, with its quotes.
fn literal<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let string = &json[json.find(key)? + key.len()..];
    let bytes = string.as_bytes();
    let mut at = 1;
    while *bytes.get(at)? != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    string.get(..=at)
}
