//! The decoder beside another, `eventsource-stream`, on the same bytes at the same
//! splits. (Beside the reference parser of JavaScript it is in `tests/npm`.)
//!
//! Where the two differ, and who is right:
//!
//! | stream | `eventsource-stream` | here | the standard |
//! | --- | --- | --- | --- |
//! | begins with a byte order mark | panics | skips it | skips it |
//! | has bytes that are no UTF-8 | says nothing from there on | U+FFFD | U+FFFD |
//! | ends in CR | waits for what follows before it takes the line | takes the line | takes the line |
//!
//! So what both are given here is text without a byte order mark, and ends in a line
//! that is a comment.

use std::convert::Infallible;

use eventsource_stream::Eventsource;
use futures::executor::block_on;
use futures::{StreamExt, stream};

use crate::decoder::{Seen, decode};
use crate::input::Input;

fn peer(pieces: &[&[u8]]) -> Vec<Seen> {
    let body = stream::iter(pieces.iter().map(Ok::<_, Infallible>));
    let events = body.eventsource().map(|event| {
        let event = event.expect("text is a stream of events");
        (event.event, event.data, event.id)
    });
    block_on(events.collect())
}

/// Any text that begins with no byte order mark, at any splits.
///
/// # Panics
/// When the two do not see the same.
pub fn target(data: &[u8]) {
    let input = Input::new(data);
    let text = String::from_utf8_lossy(input.rest());
    let stream = text.trim_start_matches('\u{feff}').to_owned() + "\n:\n";
    let pieces = input.pieces(stream.as_bytes());
    assert_eq!(decode(&pieces, 1 << 20).events, peer(&pieces));
}
