//! Answers that are given piece by piece.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;

use crate::calls::Guard;

/// One step of an answer's body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Written at once.
    Write(Bytes),
    /// Nothing for so long.
    Wait(Duration),
    /// The same each so long, until the client goes.
    Repeat(Bytes, Duration),
    /// Nothing any more, until the client goes.
    Hang,
    /// The connection breaks off.
    Cut,
    /// The same before anything of an answer, its head included, was written: to be
    /// first.
    Reset,
}

/// A time as scripts and faults have it.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A body made of `pieces`. `guard` ends with it.
pub(crate) fn body(pieces: VecDeque<Piece>, guard: Guard) -> Body {
    let steps = stream::unfold((pieces, guard), |(mut pieces, mut guard)| async move {
        loop {
            match pieces.pop_front() {
                Some(Piece::Write(bytes)) => {
                    guard.sent();
                    return Some((Ok(bytes), (pieces, guard)));
                }
                Some(Piece::Wait(time)) => tokio::time::sleep(time).await,
                Some(Piece::Repeat(bytes, time)) => {
                    tokio::time::sleep(time).await;
                    guard.sent();
                    pieces.push_front(Piece::Repeat(bytes.clone(), time));
                    return Some((Ok(bytes), (pieces, guard)));
                }
                Some(Piece::Hang) => futures::future::pending().await,
                Some(end @ (Piece::Cut | Piece::Reset)) => {
                    if matches!(end, Piece::Cut) {
                        // hyper writes what it has when the body has nothing.
                        tokio::task::yield_now().await;
                    }
                    guard.finish();
                    // hyper answers an error by closing the connection.
                    let cut = Err(io::Error::other("cut on purpose"));
                    return Some((cut, (pieces, guard)));
                }
                None => {
                    guard.finish();
                    return None;
                }
            }
        }
    });
    Body::from_stream(steps)
}
