//! Bodies of answers: holding a slot until they end, being read ahead.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};

use crate::core::ports::{BodyStream, HttpError};

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

/// Reads `body` until `judge` knows something about its beginning, which it is
/// given together with whether that is all. The body that is returned is as if
/// it had not been read.
///
/// # Errors
/// When the body breaks before that.
pub(super) async fn read_start<T>(
    mut body: BodyStream,
    limit: usize,
    mut judge: impl FnMut(&[u8], bool) -> Option<T>,
) -> Result<(Option<T>, BodyStream), HttpError> {
    let (mut chunks, mut start) = (Vec::new(), BytesMut::new());
    let verdict = loop {
        let Some(chunk) = body.next().await.transpose()? else {
            break judge(&start, true);
        };
        start.extend_from_slice(&chunk);
        chunks.push(chunk);
        let verdict = judge(&start, false);
        if verdict.is_some() || start.len() >= limit {
            break verdict;
        }
    };
    let read = stream::iter(chunks.into_iter().map(Ok));
    Ok((verdict, read.chain(body).boxed()))
}

/// A body of one chunk.
pub(super) fn whole(bytes: Bytes) -> BodyStream {
    stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let judge = |start: &[u8], all: bool| (start.contains(&b'c') || all).then_some(start.len());
        for (chunks, limit, known) in [
            (&["ab", "cd", "ef"][..], 100, Some(4)),
            (&["ab", "xd"], 100, Some(4)),
            (&["ab", "xd", "ef"], 3, None),
            (&[], 100, Some(0)),
        ] {
            let (found, all) = block_on(read_start(body(chunks), limit, judge)).unwrap();
            assert_eq!(found, known, "{chunks:?}");
            let all: Vec<_> = block_on(all.map(Result::unwrap).collect());
            assert_eq!(all, chunks);
        }
        let cut = stream::iter([Err(HttpError::Broken("cut".into()))]).boxed();
        assert!(block_on(read_start(cut, 100, judge)).is_err());
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
