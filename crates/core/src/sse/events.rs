//! An upstream's events, one after the other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;

use super::decoder::{DecodeError, Decoder};

/// An event that was read, by itself: see [`Decoded`](super::Decoded).
///
/// ```
/// use bytes::Bytes;
/// use futures::{StreamExt, executor::block_on, stream};
/// use spinlane_core::ports::HttpError;
/// use spinlane_core::sse::{self, Received};
///
/// let text = Bytes::from("id: 7\ndata: one\ndata: two\n\n");
/// let body = stream::iter([Ok::<_, HttpError>(text)]);
/// let received: Received = block_on(sse::events(body, 1024).next()).expect("it has one")?;
/// assert_eq!((&*received.event, &*received.id), ("message", "7"));
/// assert_eq!(received.data, "one\ntwo");
/// # Ok::<(), spinlane_core::sse::EventsError<HttpError>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The type; `message` unless the stream names another.
    pub event: String,
    /// The data lines, joined with LF.
    pub data: String,
    /// The last event id that the stream has given so far.
    pub id: String,
}

/// Why a stream of events was not read to its end.
///
/// ```
/// use bytes::Bytes;
/// use futures::{StreamExt, executor::block_on, stream};
/// use spinlane_core::ports::HttpError;
/// use spinlane_core::sse::{self, EventsError};
///
/// let cut = HttpError::Broken("it was cut off".into());
/// let body = stream::iter([Ok(Bytes::from("data: one\n\ndata: tw")), Err(cut.clone())]);
/// let read: Vec<_> = block_on(sse::events(body, 1024).collect());
/// assert!(read[0].is_ok());
/// // What had come of the second one is left out.
/// assert_eq!(read[1..], [Err(EventsError::Body(cut))]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError<E> {
    /// The body broke off, or did not go on in time.
    #[error(transparent)]
    Body(E),
    /// It is no stream that can be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// The events in `body`, each of at most `max` bytes (see [`Decoder::new`]).
///
/// After an error there is nothing more. What had arrived of an event when the body
/// ends is left out, as the standard says. Dropping the stream drops the body, and
/// with it the call. For the events of one read at a time, without a copy of each, use
/// the [`Decoder`] itself.
///
/// ```
/// use bytes::Bytes;
/// use futures::{StreamExt, TryStreamExt, executor::block_on, stream};
/// use spinlane_core::sse;
///
/// let pieces = ["data: one\n", "\nevent: end\ndata: two\n\n"].map(Bytes::from);
/// let body = stream::iter(pieces.map(Ok::<_, std::io::Error>));
/// let events: Vec<_> = block_on(sse::events(body, 1024).try_collect())?;
/// assert_eq!((&*events[0].event, &*events[0].data), ("message", "one"));
/// assert_eq!((&*events[1].event, &*events[1].data), ("end", "two"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const fn events<S, E>(body: S, max: usize) -> Events<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    Events {
        body: Some(body),
        decoder: Decoder::new(max),
        ready: VecDeque::new(),
        failed: None,
    }
}

pin_project_lite::pin_project! {
    /// Stream of [`events`].
    ///
    /// ```
    /// use bytes::Bytes;
    /// use futures::{StreamExt, executor::block_on, stream};
    /// use spinlane_core::ports::{BodyStream, HttpError};
    /// use spinlane_core::sse::{self, Events};
    ///
    /// let pieces = ["data: one\n\nda", "ta: two\n\n"].map(|piece| Ok(Bytes::from(piece)));
    /// let body: BodyStream = stream::iter(pieces).boxed();
    /// let mut events: Events<BodyStream> = sse::events(body, 1024);
    /// let first = block_on(events.next()).expect("it has two")?;
    /// assert_eq!(first.data, "one");
    /// // That is enough of it. Dropping it cancels the call.
    /// drop(events);
    /// # Ok::<(), spinlane_core::sse::EventsError<HttpError>>(())
    /// ```
    #[derive(Debug)]
    #[must_use = "streams do nothing unless polled"]
    pub struct Events<S> {
        #[pin]
        body: Option<S>,
        decoder: Decoder,
        // Complete, and not asked for by now.
        ready: VecDeque<Received>,
        // Comes after those.
        failed: Option<DecodeError>,
    }
}

impl<S, E> Stream for Events<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Item = Result<Received, EventsError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some(event) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if let Some(error) = this.failed.take() {
                return Poll::Ready(Some(Err(error.into())));
            }
            let Some(body) = this.body.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            match ready!(body.poll_next(cx)) {
                Some(Ok(chunk)) => {
                    let pushed = this.decoder.push(&chunk, |event| {
                        this.ready.push_back(Received {
                            event: event.event.into_owned(),
                            data: event.data.into_owned(),
                            id: event.id.to_owned(),
                        });
                    });
                    if let Err(error) = pushed {
                        *this.failed = Some(error);
                        this.body.set(None);
                    }
                }
                Some(Err(error)) => {
                    this.body.set(None);
                    return Poll::Ready(Some(Err(EventsError::Body(error))));
                }
                None => this.body.set(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::{StreamExt, stream};

    use super::*;

    fn read(pieces: &[Result<&'static str, u8>]) -> Vec<Result<String, EventsError<u8>>> {
        let pieces = pieces.iter().map(|piece| piece.map(Bytes::from));
        let events = events(stream::iter(pieces), 16);
        block_on(events.map(|event| Ok(event?.data)).collect())
    }

    #[test]
    fn events_come_in_order_and_an_error_is_the_last_thing() {
        let data = |text: &str| Ok(text.to_owned());
        assert_eq!(
            read(&[Ok("data: a\n\ndata: b\n\nda"), Ok("ta: c\n\ndata: cut")]),
            [data("a"), data("b"), data("c")]
        );
        assert_eq!(
            read(&[Ok("data: a\n\n"), Err(7), Ok("data: b\n\n")]),
            [data("a"), Err(EventsError::Body(7))]
        );
        let long = "data: a\n\ndata: far more than sixteen\n\n";
        let error = DecodeError::TooLarge { limit: 16 };
        assert_eq!(
            read(&[Ok(long), Ok("data: b\n\n")]),
            [data("a"), Err(EventsError::Decode(error))]
        );
    }

    #[test]
    fn a_body_is_let_go_when_it_has_ended() {
        let (sender, body) = futures::channel::mpsc::unbounded::<Result<Bytes, u8>>();
        let mut events = Box::pin(events(body, 16));
        sender.unbounded_send(Err(7)).unwrap();
        assert!(block_on(events.next()).is_some_and(|event| event.is_err()));
        assert!(sender.is_closed(), "the call is over");
        assert_eq!(block_on(events.next()), None);
    }
}
