//! How a body comes in: in bounded time, and of bounded length.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::ports::Clock;

/// How long a body may take to arrive, however small it is.
const BASE: Duration = Duration::from_secs(10);

/// How much longer for each KiB of it that has come: who keeps sending is waited
/// for, and who does not holds an instance for [`BASE`] only.
const PER_KIB: Duration = Duration::from_secs(1);

/// The whole of `body`.
///
/// # Errors
/// 413 when it has more than `limit` bytes, 408 when it is too slow, 400 when it
/// breaks off.
pub(crate) async fn read_all(
    body: Body,
    limit: usize,
    clock: &dyn Clock,
) -> Result<Bytes, Problem> {
    let begun = clock.now();
    let mut body = Limited::new(body, limit);
    let mut whole = BytesMut::new();
    loop {
        let kibibytes = u32::try_from(whole.len() / 1024).unwrap_or(u32::MAX);
        let timeout = clock.sleep_until(begun + BASE + PER_KIB * kibibytes);
        let frame = match select(body.frame(), timeout).await {
            Either::Left((frame, _)) => frame,
            Either::Right(_) => return Err(incomplete(StatusCode::REQUEST_TIMEOUT)),
        };
        match frame {
            None => return Ok(whole.freeze()),
            Some(Ok(frame)) => whole.extend(frame.into_data()),
            Some(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
            Some(Err(_)) => return Err(incomplete(StatusCode::BAD_REQUEST)),
        }
    }
}

/// Spares a client that announces more than `limit` bytes from sending them.
pub(crate) fn check_announced_length(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > limit as u64 => Err(too_large(limit)),
        _ => Ok(()),
    }
}

fn too_large(limit: usize) -> Problem {
    let message = format!("the body may have at most {limit} bytes");
    let error = ErrorObject::new(code::BODY_TOO_LARGE, message).with("maxBytes", limit);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error)
}

fn incomplete(status: StatusCode) -> Problem {
    let message = match status {
        StatusCode::REQUEST_TIMEOUT => "the body did not arrive in time",
        _ => "the body ended early",
    };
    Problem::new(status, ErrorObject::new(code::INCOMPLETE_REQUEST, message))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures::stream;

    use super::*;
    use crate::json::MAX_BODY;
    use spinlane_core::testing::World;

    /// Sends so many pieces of so many bytes, each after a pause, and stops there
    /// without an end; what came of it, and after how long.
    fn sent(pieces: usize, bytes: usize, pause: Duration, ends: bool) -> (u16, usize, Duration) {
        let world = World::new();
        let clock = Arc::new(world.clock.clone());
        let pauses = Arc::clone(&clock);
        let pieces = stream::unfold(pieces, move |left| {
            let clock = Arc::clone(&pauses);
            async move {
                clock.sleep(pause).await;
                match left {
                    0 if ends => None,
                    0 => std::future::pending().await,
                    left => {
                        let piece = Bytes::from(vec![b'x'; bytes]);
                        Some((Ok::<_, Infallible>(piece), left - 1))
                    }
                }
            }
        });
        let begun = clock.now();
        let got = world.run(read_all(Body::from_stream(pieces), MAX_BODY, &*clock));
        let took = clock.now() - begun;
        match got {
            Ok(body) => (200, body.len(), took),
            Err(problem) => (problem.status().as_u16(), 0, took),
        }
    }

    #[test]
    fn a_body_has_ten_seconds_and_one_more_for_each_kib_that_has_come() {
        let second = Duration::from_secs(1);
        // Nothing comes.
        assert_eq!(sent(0, 0, 60 * second, false), (408, 0, 10 * second));
        // One byte a second: as good as nothing.
        assert_eq!(sent(1_000, 1, second, true), (408, 0, 10 * second));
        // Just below a KiB a second is too slow in the end, and a KiB is not.
        let (status, _, took) = sent(100, 900, second, true);
        assert_eq!(status, 408);
        assert!(took < 100 * second, "{took:?}");
        assert_eq!(sent(100, 1_024, second, true), (200, 102_400, 101 * second));
        // What has come counts, whatever comes after it.
        assert_eq!(sent(1, 4_096, Duration::ZERO, false), (408, 0, 14 * second));
    }

    #[test]
    fn a_body_that_is_too_large_is_not_read_to_its_end() {
        let got = sent(600, 1_024, Duration::ZERO, false);
        assert_eq!(got, (413, 0, Duration::ZERO));
    }
}
