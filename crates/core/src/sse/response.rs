//! The answer that carries a stream.

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response};

use super::body::Body;

/// Tells nginx and its kind not to collect the stream first.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The head of every stream.
const HEAD: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_TYPE, HeaderValue::from_static(super::CONTENT_TYPE)),
    (
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    ),
    (CONTENT_ENCODING, HeaderValue::from_static("identity")),
    (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
];

/// Answers with `body`: 200, and the head that an event stream needs to pass
/// what lies between it and its reader as it is written.
///
/// | header | why |
/// | --- | --- |
/// | `content-type: text/event-stream` | what `EventSource` insists on |
/// | `cache-control: no-cache, no-transform` | nothing on the way keeps it, or compresses it and so collects it |
/// | `content-encoding: identity` | the same, to what compresses whatever has no encoding yet |
/// | `x-accel-buffering: no` | nginx and its kind do not collect it first |
///
/// `connection` is not among them: WASI hosts own it. Add to the head what the
/// application needs.
///
/// What the host is to do with the answer goes into its extensions:
/// [`PanicTail`](crate::ports::PanicTail), from [`Body::panic_tail`], so
/// that a panic ends the stream with an event; and
/// [`ClientTimeouts`](crate::ports::ClientTimeouts) with a client that takes nothing
/// (30 s without it).
///
/// ```
/// use spinlane_core::ports::ClientTimeouts;
/// use spinlane_core::sse::{self, Event, WriterConfig};
/// # use spinlane_core::testing::World;
/// # let ports = World::new().ports();
///
/// let (writer, body) = sse::channel(ports.clock.clone(), WriterConfig::default(), None);
/// let panic_tail = body.panic_tail(|_| Event::data("").event("error").ok());
/// let mut response = sse::response(body);
/// response.extensions_mut().insert(panic_tail);
/// response.extensions_mut().insert(ClientTimeouts::default());
/// # drop(writer);
/// ```
pub fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.headers_mut() = HeaderMap::from_iter(HEAD);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::{WriterConfig, channel};
    use crate::testing::World;

    #[test]
    fn the_head_lets_a_stream_through_proxies() {
        let clock = World::new().ports().clock;
        let (_writer, body) = channel(clock, WriterConfig::default(), None);
        let response = response(body);
        assert_eq!(response.status(), 200);
        let head = response.headers();
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache, no-transform"),
            ("content-encoding", "identity"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(head[name], value);
        }
        assert_eq!(head.len(), 4);
    }
}
