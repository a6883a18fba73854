//! Bodies of answers: holding a slot until they end, being read ahead.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use futures::{Stream, StreamExt, stream};

use super::call::Beginning;
use super::retry::Verdict;
use crate::ports::{BodyStream, Clock, HttpError, Instant, TimeoutPhase};

/// A body that keeps `guard` until it has ended, broken, or is dropped.
struct Guarded<G> {
    open: Option<(BodyStream, G)>,
}

/// Ties `guard` to the life of `body`.
pub(super) fn guarded<G: Send + Unpin + 'static>(body: BodyStream, guard: G) -> BodyStream {
    let open = Some((body, guard));
    Guarded { open }.boxed()
}

impl<G: Unpin> Stream for Guarded<G> {
    type Item = Result<Bytes, HttpError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some((body, _)) = &mut self.open else {
            return Poll::Ready(None);
        };
        let poll = body.as_mut().poll_next(cx);
        if matches!(poll, Poll::Ready(None | Some(Err(_)))) {
            self.open = None;
        }
        poll
    }
}

/// What [`read_ahead`] found.
pub(super) enum Ahead {
    /// The whole body.
    Whole(Bytes),
    /// It is longer than was asked for: the body, as if it had not been read.
    Longer(BodyStream),
}

/// Reads `body` to its end, if that comes within `limit` bytes.
///
/// # Errors
/// When the body breaks.
pub(super) async fn read_ahead(mut body: BodyStream, limit: usize) -> Result<Ahead, HttpError> {
    let mut chunks = Vec::new();
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        length += chunk.len();
        chunks.push(chunk);
        if length > limit {
            let read = stream::iter(chunks.into_iter().map(Ok));
            return Ok(Ahead::Longer(read.chain(body).boxed()));
        }
    }
    Ok(Ahead::Whole(match <[Bytes; 1]>::try_from(chunks) {
        Ok([only]) => only,
        Err(chunks) => {
            let mut whole = BytesMut::with_capacity(length);
            chunks
                .iter()
                .for_each(|chunk| whole.extend_from_slice(chunk));
            whole.freeze()
        }
    }))
}

/// How long a body is waited for that does not come on.
pub(super) struct ProgressTimeout<'a> {
    clock: &'a dyn Clock,
    limit: Option<Duration>,
    /// When it ends.
    ends: Option<Instant>,
    steps: usize,
}

impl<'a> ProgressTimeout<'a> {
    /// `limit` without a step; `None`: as long as it takes.
    pub(super) fn new(clock: &'a dyn Clock, limit: Option<Duration>) -> Self {
        let mut new = Self {
            clock,
            limit,
            ends: None,
            steps: 0,
        };
        new.renew();
        new
    }

    fn renew(&mut self) {
        self.ends = self.limit.map(|limit| self.clock.now() + limit);
    }

    /// So many steps have been taken in all.
    fn see(&mut self, steps: usize) {
        if steps > self.steps {
            self.steps = steps;
            self.renew();
        }
    }

    async fn next(&self, body: &mut BodyStream) -> Result<Option<Bytes>, HttpError> {
        let Some(ends) = self.ends else {
            return body.next().await.transpose();
        };
        match select(body.next(), self.clock.sleep_until(ends)).await {
            Either::Left((chunk, _)) => chunk.transpose(),
            Either::Right(_) => Err(HttpError::Timeout(TimeoutPhase::Idle)),
        }
    }
}

/// Reads `body` until `judge` knows what its beginning means, which it is given
/// together with whether that is all. The body that is returned is as if it had
/// not been read.
///
/// # Errors
/// When the body breaks before that, and when `timeout` ends.
pub(super) async fn read_start(
    mut body: BodyStream,
    limit: usize,
    mut timeout: ProgressTimeout<'_>,
    mut judge: impl FnMut(&[u8], bool) -> Beginning,
) -> Result<(Option<Verdict>, BodyStream), HttpError> {
    let (mut chunks, mut start) = (Vec::new(), BytesMut::new());
    let verdict = loop {
        let chunk = timeout.next(&mut body).await?;
        let all = chunk.is_none();
        if let Some(chunk) = chunk {
            start.extend_from_slice(&chunk);
            chunks.push(chunk);
        }
        match judge(&start, all) {
            Beginning::Known(verdict) => break Some(verdict),
            Beginning::Open { .. } if all || start.len() >= limit => break None,
            Beginning::Open { steps } => timeout.see(steps),
        }
    };
    let read = stream::iter(chunks.into_iter().map(Ok));
    Ok((verdict, read.chain(body).boxed()))
}

/// A body of one chunk.
pub(super) fn from_bytes(bytes: Bytes) -> BodyStream {
    stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{VirtualClock, World};
    use futures::executor::block_on;
    use std::sync::Arc;

    fn body(chunks: &[&'static str]) -> BodyStream {
        let chunks: Vec<_> = chunks.iter().map(|text| Ok(Bytes::from(*text))).collect();
        stream::iter(chunks).boxed()
    }

    #[test]
    fn the_guard_goes_with_the_end_the_break_or_the_drop() {
        let guard = Arc::new(());
        let mut ended = guarded(body(&["a"]), Arc::clone(&guard));
        assert!(block_on(ended.next()).is_some());
        assert_eq!(Arc::strong_count(&guard), 2);
        assert!(block_on(ended.next()).is_none());
        assert_eq!(Arc::strong_count(&guard), 1);
        assert!(block_on(ended.next()).is_none());

        let cut = stream::iter([Err(HttpError::Broken("cut".into()))]).boxed();
        let mut broken = guarded(cut, Arc::clone(&guard));
        assert!(block_on(broken.next()).is_some_and(|item| item.is_err()));
        assert_eq!(Arc::strong_count(&guard), 1);

        drop(guarded(body(&["a"]), Arc::clone(&guard)));
        assert_eq!(Arc::strong_count(&guard), 1);
    }

    #[test]
    fn a_body_is_read_until_its_beginning_is_known() {
        let judge = |start: &[u8], all: bool| match start.contains(&b'c') || all {
            true => Beginning::Known(Verdict::Absent),
            false => Beginning::Open { steps: 0 },
        };
        let clock = VirtualClock::new();
        let read = |body, limit| block_on(read_start(body, limit, timeout(&clock), judge));
        for (chunks, limit, known) in [
            (&["ab", "cd", "ef"][..], 100, true),
            (&["ab", "xd"], 100, true),
            (&["ab", "xd", "ef"], 3, false),
            (&[], 100, true),
        ] {
            let (found, all) = read(body(chunks), limit).unwrap();
            assert_eq!(found, known.then_some(Verdict::Absent), "{chunks:?}");
            let all: Vec<_> = block_on(all.map(Result::unwrap).collect());
            assert_eq!(all, chunks);
        }
        let cut = stream::iter([Err(HttpError::Broken("cut".into()))]).boxed();
        assert!(read(cut, 100).is_err());
    }

    fn timeout(clock: &VirtualClock) -> ProgressTimeout<'_> {
        ProgressTimeout::new(clock, Some(Duration::from_secs(10)))
    }

    /// A chunk each 4 s, of which `x` brings the answer on.
    #[test]
    fn a_beginning_that_does_not_come_on_is_given_up() {
        let judge = |start: &[u8], _: bool| match start.contains(&b'!') {
            true => Beginning::Known(Verdict::Good),
            false => Beginning::Open {
                steps: start.iter().filter(|byte| **byte == b'x').count(),
            },
        };
        for (chunks, ends) in [
            (&[".", "x", ".", "x", ".", "!"][..], Ok(24)),
            (&[".", ".", "!"], Err(10)),
            (&[".", "x", ".", ".", "!"], Err(18)),
        ] {
            let world = World::new();
            let clock = world.clock.clone();
            let ticks = clock.clone();
            let body = body(chunks).then(move |chunk| {
                let wait = ticks.sleep(Duration::from_secs(4));
                async move {
                    wait.await;
                    chunk
                }
            });
            let body = body.boxed();
            let read = world.run(read_start(body, 100, timeout(&clock), judge));
            let seconds = clock.now().as_nanos() / 1_000_000_000;
            let timeout = HttpError::Timeout(TimeoutPhase::Idle);
            match read {
                Ok((verdict, _)) => assert_eq!((verdict, Ok(seconds)), (Some(Verdict::Good), ends)),
                Err(error) => assert_eq!((error, Err(seconds)), (timeout, ends)),
            }
        }
    }

    #[test]
    fn a_short_body_is_read_whole_and_a_long_one_goes_on() {
        let Ok(Ahead::Whole(whole)) = block_on(read_ahead(body(&["ab", "cd"]), 4)) else {
            panic!("expected the whole body");
        };
        assert_eq!(whole, "abcd");
        let Ok(Ahead::Longer(all)) = block_on(read_ahead(body(&["ab", "cd", "ef"]), 3)) else {
            panic!("expected a longer body");
        };
        let all: Vec<_> = block_on(all.map(Result::unwrap).collect());
        assert_eq!(all, ["ab", "cd", "ef"]);
    }
}
