//! Reading a run again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tracing::Instrument;

use super::new::LAST_EVENT_ID;
use super::{Frames, Runs, Said, X_RUN_ID, panic_tail, stop, streamed};
use crate::context::RequestContext;
use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::limit::Running;
use spinlane_core::runlog::{LogReader, Piece, Unreadable};
use spinlane_core::scope;
use spinlane_core::sse::{self, Event, Writer, WriterConfig};

/// The parameter of the query that says what the client has.
const AFTER: &str = "after";

/// The largest number that is read, as documents of 32 bits have it: a run's frames are
/// far fewer.
pub const MAX_NUMBER: u32 = i32::MAX.cast_unsigned();

/// The number of the newest frame that a reader has: by `Last-Event-ID`, else by the
/// query's `after`, else 0.
///
/// As an extractor it answers 422 where the one that counts is no number.
///
/// ```
/// use axum::extract::FromRequestParts;
/// use http::Request;
/// use spinlane_core::testing::World;
/// use spinlane_http::run::After;
///
/// let after = |request: http::request::Builder| {
///     let (mut parts, ()) = request.body(()).unwrap().into_parts();
///     World::new().run(After::from_request_parts(&mut parts, &()))
/// };
/// let get = || Request::get("/runs/x?after=3");
/// assert_eq!(after(get()).unwrap(), After(3));
/// assert_eq!(after(get().header("last-event-id", "7")).unwrap(), After(7));
/// assert_eq!(after(get().header("last-event-id", "x")).unwrap_err().status(), 422);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After(pub u64);

impl<S: Sync> FromRequestParts<S> for After {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut seen = parts.headers.get_all(LAST_EVENT_ID).into_iter();
        // An empty one says that nothing was seen. The header is what changes when a
        // client connects again; the query stays.
        if let Some(id) = seen.find(|id| !id.as_bytes().trim_ascii().is_empty()) {
            let number = number_in(id.as_bytes());
            return number
                .map(Self)
                .ok_or_else(|| bad_number(LAST_EVENT_ID.as_str()));
        }
        let query = parts.uri.query().unwrap_or_default();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        match pairs.find(|(name, _)| *name == AFTER) {
            None => Ok(Self(0)),
            Some((_, number)) => number_in(number.as_bytes())
                .map(Self)
                .ok_or_else(|| bad_number(AFTER)),
        }
    }
}

/// A number of decimal digits.
pub(super) fn number_in(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(number).filter(|number| *number <= u64::from(MAX_NUMBER))
}

/// 422: `name` is no number.
pub(super) fn bad_number(name: &str) -> Problem {
    let message = format!("`{name}` is the number of the newest event that you have, in digits");
    let error = ErrorObject::new(code::INVALID_REQUEST, message).with("parameter", name);
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error)
}

/// Answers with what the run called `id` has said after frame number `after`, byte for
/// byte, and then with what it says: to `reader`, where the run has an owner. `reading`
/// is counted until the stream ends.
///
/// Resolves with 204 where the run has ended, and the reader has everything. A run that
/// has died is `run_lost`, an `error` after what there is, within some 20 s.
///
/// # Errors
/// 404 where there is no such run for this reader, 410 where what it says is not kept
/// any more, 503 where the store does not say.
pub async fn read<F: Frames>(
    runs: &Runs,
    context: &RequestContext,
    id: &str,
    reader: Option<&str>,
    after: After,
    reading: Option<Running>,
) -> Result<Response, Problem> {
    if !stop::is_run_id(id) {
        return Err(unknown());
    }
    open::<F>(runs, context, id, reader, after.0, reading).await
}

pub(super) async fn open<F: Frames>(
    runs: &Runs,
    context: &RequestContext,
    id: &str,
    reader: Option<&str>,
    after: u64,
    reading: Option<Running>,
) -> Result<Response, Problem> {
    let Some(logs) = &runs.logs else {
        return Err(unknown());
    };
    let log = match logs.open(id, reader, after).await {
        Ok(log) => log,
        Err(Unreadable::NothingLeft) => {
            return Ok((StatusCode::NO_CONTENT, [(CACHE_CONTROL, NO_STORE)]).into_response());
        }
        Err(Unreadable::Gone) => return Err(gone()),
        Err(Unreadable::Store(error)) => {
            tracing::warn!(%error, "a run could not be read");
            return Err(Problem::store_unavailable(
                "the key-value store does not answer, and what the run has said is kept there: \
                 try again in a moment",
            ));
        }
        Err(_) => return Err(unknown()),
    };
    let config = WriterConfig::default().heartbeat(runs.heartbeat);
    let clock = Arc::clone(&runs.clock);
    let (writer, body) = sse::channel(clock, config, Some(context.abort.clone()));
    let panic_tail = panic_tail::<F>(&body);
    let signal = context.abort.signal();
    let relayed = async move {
        // Dropped when the client goes.
        let _ = signal.guard(relay::<F>(log, writer)).await;
        drop(reading);
    };
    let relayed = relayed.instrument(tracing::Span::current());
    let relayed = scope::run(Arc::clone(&context.scope), relayed);
    runs.spawner.spawn(relayed.boxed());
    let mut response: http::Response<Body> = streamed(runs, body, panic_tail);
    let head = response.headers_mut();
    head.insert(CACHE_CONTROL, NO_STORE);
    head.extend(HeaderValue::from_str(id).ok().map(|id| (X_RUN_ID, id)));
    Ok(response)
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Writes what comes of `log`.
async fn relay<F: Frames>(mut log: LogReader, writer: Writer) -> Result<(), sse::Closed> {
    loop {
        match log.next().await {
            Piece::Frames(frames) => writer.feed_recorded(&frames).await?,
            Piece::Ended => return writer.close().await,
            Piece::Lost => {
                return match lost::<F>() {
                    Some(event) => writer.end(event).await,
                    None => writer.close().await,
                };
            }
        }
    }
}

fn lost<F: Frames>() -> Option<Event> {
    let message = "the run has ended without saying so: what was said until then is all there is";
    let error = ErrorObject::new(code::RUN_LOST, message);
    Event::json(&F::Frame::from(Said::Error(&error))).ok()
}

fn unknown() -> Problem {
    let message = "there is no such run, or it is not yours, or it ended too long ago";
    let error = ErrorObject::new(code::NOT_FOUND, message);
    Problem::new(StatusCode::NOT_FOUND, error)
}

/// 410: there was a run, and what it said is not there any more.
pub(super) fn gone() -> Problem {
    let message = "what this run said is not kept any more: nothing is run again by itself; to \
         ask anew, send the request without `Last-Event-ID`, and with another \
         `Idempotency-Key`";
    Problem::new(StatusCode::GONE, ErrorObject::new(code::RUN_GONE, message))
}
