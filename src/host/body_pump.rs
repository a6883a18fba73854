//! The body pump: from an `http_body::Body` onto `outgoing-body`.
//!
//! Each turn takes everything that the body has queued and writes it at once,
//! up to what `check-write` permits: a lone token leaves alone and at once, a
//! burst leaves in few writes. Asking the body for more tells it that the host
//! has taken what it gave before (`sse::Writer::send` waits for that).
//!
//! A disconnect is noticed only by asking, so while the body is idle the pump
//! probes `check-write` (which writes nothing). A peer that is gone, or that
//! takes no byte for too long, ends the pump; dropping the body then cancels
//! the work behind it.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::future::{Either, select};
use http_body::Body;
use http_body_util::BodyExt;
use wasip2::http::types::OutgoingBody;
use wasip2::io::streams::{OutputStream, StreamError};
use wstd::runtime::AsyncPollable;

use super::clock::sleep;
use super::panic_hook::{self, BodyStream, Says};
use crate::core::ports::Patience;

/// The body did not arrive whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incomplete {
    /// The peer closed the connection.
    PeerGone,
    /// The peer took no byte for [`Patience::stall`].
    Stalled,
    /// The body itself failed.
    BodyFailed,
}

/// Writes `body` until its end. Consumes it: it is dropped when this resolves,
/// whichever way.
pub(super) async fn pump<B>(
    mut body: B,
    outgoing: &OutgoingBody,
    says: Says,
    patience: Patience,
) -> Result<(), Incomplete>
where
    B: Body<Data = Bytes> + Unpin,
{
    // Cannot fail: it is asked for once.
    let Ok(stream) = outgoing.write() else {
        return Err(Incomplete::BodyFailed);
    };
    let stream = panic_hook::body_started(stream, says);
    let result = loop {
        match next_chunk(&mut body, &stream, patience).await {
            Ok(Some(chunk)) => {
                if let Err(error) = write_chunk(&stream, chunk, patience.stall).await {
                    break Err(error);
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    panic_hook::body_ended();
    if let Err(error) = result {
        tracing::debug!(?error, "the response ended early");
    }
    result
}

/// The next data of `body`, or the news that nobody is there to read it.
async fn next_chunk<B>(
    body: &mut B,
    stream: &OutputStream,
    patience: Patience,
) -> Result<Option<Bytes>, Incomplete>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        let frame = match select(body.frame(), pin!(sleep(patience.probe))).await {
            Either::Left((frame, _)) => frame,
            Either::Right(((), _)) => {
                stream.check_write().map_err(|_| Incomplete::PeerGone)?;
                continue;
            }
        };
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(Incomplete::BodyFailed),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                // Trailers: `outgoing-body` could carry them, no route has any.
                Err(_) => {}
            },
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
    let gone = |_: StreamError| Incomplete::PeerGone;
    let room = loop {
        match stream.check_write().map_err(gone)? {
            0 => wait_for_room(stream, stall).await?,
            room => break usize::try_from(room).unwrap_or(usize::MAX),
        }
    };
    let count = room.min(bytes.len());
    stream.write(&bytes[..count]).map_err(gone)?;
    Ok(count)
}

async fn wait_for_room(stream: &OutputStream, stall: Option<Duration>) -> Result<(), Incomplete> {
    let pollable = AsyncPollable::new(stream.subscribe());
    let room = pin!(pollable.wait_for());
    let Some(stall) = stall else {
        room.await;
        return Ok(());
    };
    match select(room, pin!(sleep(stall))).await {
        Either::Left(_) => Ok(()),
        Either::Right(_) => Err(Incomplete::Stalled),
    }
}
