//! The decoder of event streams, against the standard's own words, read plainly.

use spinlane_core::sse::{DecodeError, Decoder};

use crate::input::Input;

/// Type, data and id of an event.
pub(crate) type Seen = (String, String, String);

/// What a decoder has seen when it was given `pieces`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) events: Vec<Seen>,
    end: Result<(), DecodeError>,
    id: String,
    partial: bool,
}

pub(crate) fn decode(pieces: &[&[u8]], limit: usize) -> Decoded {
    let mut decoder = Decoder::new(limit);
    let (mut events, mut end) = (Vec::new(), Ok(()));
    for piece in pieces {
        let pushed = decoder.push(piece, |event| {
            let id = event.id.to_owned();
            events.push((event.event.into_owned(), event.data.into_owned(), id));
        });
        assert!(decoder.buffered() <= limit, "it holds more than it may");
        assert!(
            end.is_ok() == pushed.is_ok() || end.is_ok(),
            "an error is final"
        );
        end = pushed;
    }
    Decoded {
        events,
        end,
        id: decoder.last_event_id().to_owned(),
        partial: decoder.has_partial(),
    }
}

/// Section 9.2.6 of the HTML standard, on all of the stream at once.
pub(crate) fn interpret(stream: &[u8]) -> (Vec<Seen>, String) {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    // What has no line end has not come whole.
    lines.pop();
    let (mut events, mut last_id) = (Vec::new(), String::new());
    let (mut name, mut data, mut id) = (String::new(), String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            last_id.clone_from(&id);
            if let Some(data) = data.strip_suffix('\n') {
                let name = if name.is_empty() { "message" } else { &name };
                events.push((name.to_owned(), data.to_owned(), last_id.clone()));
            }
            name.clear();
            data.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data = data + value + "\n",
            "event" => value.clone_into(&mut name),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            _ => {}
        }
    }
    (events, last_id)
}

/// Any bytes, at any splits: what the standard says, within the limit that was set.
///
/// # Panics
/// When it does not hold.
pub fn target(data: &[u8]) {
    let input = Input::new(data);
    let stream = input.rest();
    let pieces = input.pieces(stream);
    let whole = decode(&[stream], 1 << 20);
    assert_eq!(whole.end, Ok(()));
    assert_eq!(decode(&pieces, 1 << 20), whole, "split otherwise");
    let (events, id) = interpret(stream);
    assert_eq!(whole.events, events, "not what the standard says");
    assert_eq!(whole.id, id);
    // A limit that is met, or not, wherever the stream is split.
    let limit = input.below(64);
    let bounded = decode(&[stream], limit);
    assert_eq!(decode(&pieces, limit).events, bounded.events);
    assert_eq!(decode(&pieces, limit).end, bounded.end);
    let (known, more) = (bounded.events.len(), whole.events.len());
    assert!(known <= more && bounded.events == whole.events[..known]);
}
