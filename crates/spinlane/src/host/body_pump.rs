//! The body pump: from an `http_body::Body` onto `outgoing-body`.
//!
//! What the body has ready is written before the head is set, and where that is
//! all, the body is finished first: head and body then leave as one, in one
//! segment. Two small ones in a row would meet Nagle's algorithm on a host that
//! leaves it on, as Spin does, and the second would wait for the client's
//! delayed acknowledgement. The head itself waits for nothing: neither for more
//! of the body, nor for room.
//!
//! From then on each turn takes everything that the body has queued and writes
//! it at once, up to what `check-write` permits: a lone token leaves alone and at
//! once, a burst leaves in few writes. Asking the body for more tells it that the
//! host has taken what it gave before (`sse::Writer::send` waits for that).
//!
//! A disconnect is noticed only by asking, so while the body is idle the pump
//! probes `check-write` (which writes nothing). A peer that is gone, or that
//! takes no byte for too long, ends the pump; dropping the body then cancels
//! the work behind it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::future::{Either, select};
use http_body::Body;
use wasip2::http::types::OutgoingBody;
use wasip2::io::streams::{OutputStream, StreamError};

use super::clock::sleep;
use super::head::Head;
use super::panic_hook::{self, BodyStream};
use super::reactor::Registration;
use super::timers::Timer;
use spinlane_core::ports::ClientTimeouts;
use spinlane_core::turn;

/// The body did not arrive whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incomplete {
    /// The peer closed the connection.
    PeerGone,
    /// The peer took no byte for [`ClientTimeouts::stall`].
    Stalled,
    /// The body itself failed.
    BodyFailed,
}

/// Sends `head`, and `body` until its end, onto the head's `outgoing` body.
/// Consumes `body`: it is dropped when this resolves, whichever way.
pub(super) async fn pump<B>(
    head: Head,
    mut body: B,
    outgoing: OutgoingBody,
    timeouts: ClientTimeouts,
) where
    B: Body<Data = Bytes> + Unpin,
{
    // Cannot fail: it is asked for once.
    let Ok(stream) = outgoing.write() else { return };
    if body.size_hint().exact().is_none() {
        // A stream: its writers may have something to say already.
        turn::for_others().await;
    }
    let ready = write_ready(&mut body, &stream).await;
    if let Ok(None) = ready {
        drop(stream);
        finish(outgoing);
        head.leave();
        return;
    }
    let unwritten = ready.as_ref().ok().cloned().flatten().unwrap_or_default();
    let Some(stream) = head.leave_with(stream, unwritten) else {
        return;
    };
    let result = match ready {
        Ok(chunk) => write_rest(chunk, &mut body, &stream, timeouts).await,
        Err(error) => Err(error),
    };
    drop(stream);
    panic_hook::body_ended();
    match result {
        Ok(()) => finish(outgoing),
        // Dropped unfinished, it tells the host that it is not whole, and the
        // peer sees a cut instead of a short answer.
        Err(error) => tracing::debug!(?error, "the response ended early"),
    }
}

/// Its stream must be dropped.
fn finish(outgoing: OutgoingBody) {
    // Fails where the answer has announced another length: to HEAD, rightly.
    let _ = OutgoingBody::finish(outgoing, None);
}

/// Writes what `body` has and the host has room for, without a wait. Returns
/// `None` when that was all; else what is still to be written, which is empty
/// where the body has nothing now.
async fn write_ready<B>(body: &mut B, stream: &OutputStream) -> Result<Option<Bytes>, Incomplete>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        let chunk = poll_fn(|cx| Poll::Ready(poll_chunk(body, cx))).await;
        let Poll::Ready(chunk) = chunk else {
            return Ok(Some(Bytes::new()));
        };
        let Some(mut chunk) = chunk? else {
            return Ok(None);
        };
        while !chunk.is_empty() {
            match write_now(stream, &chunk)? {
                0 => return Ok(Some(chunk)),
                count => chunk.advance(count),
            }
        }
    }
}

/// Writes `chunk`, and after it `body` until its end.
async fn write_rest<B>(
    mut chunk: Option<Bytes>,
    body: &mut B,
    stream: &BodyStream,
    timeouts: ClientTimeouts,
) -> Result<(), Incomplete>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut probe = Probe::new(timeouts.probe);
    while let Some(next) = chunk {
        write_chunk(stream, next, timeouts.stall).await?;
        chunk = poll_fn(|cx| match poll_chunk(body, cx) {
            Poll::Ready(chunk) => Poll::Ready(chunk),
            Poll::Pending => probe.poll_gone(stream, cx).map(Err),
        })
        .await?;
    }
    Ok(())
}

/// The next data of `body` that is not empty.
fn poll_chunk<B>(body: &mut B, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Incomplete>>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => return Poll::Ready(Ok(None)),
            Some(Err(_)) => return Poll::Ready(Err(Incomplete::BodyFailed)),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => return Poll::Ready(Ok(Some(data))),
            // Trailers: `outgoing-body` could carry them, no route has any.
            Err(_) => {}
        }
    }
}

/// Asks, again and again while the body has nothing, whether the peer is still
/// there. The timer runs on while frames go by: most cost none.
struct Probe {
    every: Duration,
    timer: Option<Timer>,
}

impl Probe {
    fn new(every: Duration) -> Self {
        Self { every, timer: None }
    }

    /// Resolves when the peer is known to have gone.
    fn poll_gone(&mut self, stream: &OutputStream, cx: &mut Context<'_>) -> Poll<Incomplete> {
        loop {
            let timer = self.timer.get_or_insert_with(|| sleep(self.every));
            ready!(Pin::new(timer).poll(cx));
            self.timer = None;
            if stream.check_write().is_err() {
                return Poll::Ready(Incomplete::PeerGone);
            }
        }
    }
}

/// Writes all of `chunk`. Should something panic before that is done, as may
/// happen in each wait for room, the hook writes what is left of it.
async fn write_chunk(
    stream: &BodyStream,
    mut chunk: Bytes,
    stall: Duration,
) -> Result<(), Incomplete> {
    while !chunk.is_empty() {
        stream.still_to_write(chunk.clone());
        chunk.advance(write_some(stream, &chunk, Some(stall)).await?);
    }
    stream.still_to_write(chunk);
    Ok(())
}

/// Writes all of `bytes`, as much at a time as the host permits. `stall` bounds
/// the wait for room.
pub(super) async fn write_all(
    stream: &OutputStream,
    mut bytes: &[u8],
    stall: Option<Duration>,
) -> Result<(), Incomplete> {
    while !bytes.is_empty() {
        bytes = &bytes[write_some(stream, bytes, stall).await?..];
    }
    Ok(())
}

/// Waits for room, then writes what there is room for. Returns how many bytes
/// that were, as soon as they are written: nothing else runs in between.
async fn write_some(
    stream: &OutputStream,
    bytes: &[u8],
    stall: Option<Duration>,
) -> Result<usize, Incomplete> {
    loop {
        match write_now(stream, bytes)? {
            0 => wait_for_room(stream, stall).await?,
            count => return Ok(count),
        }
    }
}

/// Writes what there is room for now, which may be nothing.
fn write_now(stream: &OutputStream, bytes: &[u8]) -> Result<usize, Incomplete> {
    let gone = |_: StreamError| Incomplete::PeerGone;
    let room = stream.check_write().map_err(gone)?;
    let count = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
    if count > 0 {
        stream.write(&bytes[..count]).map_err(gone)?;
    }
    Ok(count)
}

async fn wait_for_room(stream: &OutputStream, stall: Option<Duration>) -> Result<(), Incomplete> {
    let room = pin!(Registration::new(stream.subscribe()).ready());
    let Some(stall) = stall else {
        room.await;
        return Ok(());
    };
    match select(room, pin!(sleep(stall))).await {
        Either::Left(_) => Ok(()),
        Either::Right(_) => Err(Incomplete::Stalled),
    }
}
