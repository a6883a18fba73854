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

use bytes::Bytes;
use futures::future::{Either, select};
use http_body::Body;
use http_body_util::BodyExt;
use wasip2::http::types::OutgoingBody;
use wasip2::io::streams::{OutputStream, StreamError};
use wstd::runtime::AsyncPollable;

use super::clock::sleep;
use super::panic_hook;
use crate::core::ports::{LastWords, Patience};

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
    last_words: Option<LastWords>,
    patience: Patience,
) -> Result<(), Incomplete>
where
    B: Body<Data = Bytes> + Unpin,
{
    // Cannot fail: it is asked for once.
    let Ok(stream) = outgoing.write() else {
        return Err(Incomplete::BodyFailed);
    };
    let stream = panic_hook::body_started(stream, last_words);
    let result = loop {
        match next_chunk(&mut body, &stream, patience).await {
            Ok(Some(chunk)) => {
                let _partial = panic_hook::writing();
                if let Err(error) = write_all(&stream, &chunk, Some(patience.stall)).await {
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

/// Writes all of `bytes`, as much at a time as the host permits. `stall` bounds
/// the wait for room.
pub(super) async fn write_all(
    stream: &OutputStream,
    mut bytes: &[u8],
    stall: Option<Duration>,
) -> Result<(), Incomplete> {
    let gone = |_: StreamError| Incomplete::PeerGone;
    while !bytes.is_empty() {
        let room = stream.check_write().map_err(gone)?;
        if room == 0 {
            wait_for_room(stream, stall).await?;
            continue;
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now).map_err(gone)?;
        bytes = later;
    }
    Ok(())
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
