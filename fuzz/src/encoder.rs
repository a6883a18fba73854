//! What the encoder writes, the decoder reads: nothing that a caller puts into an
//! event can be another.

use std::time::Duration;

use http_body_util::BodyExt;
use spinlane_core::sse::{self, Event, WriterConfig};
use spinlane_core::testing::World;

use crate::decoder::{Seen, decode};
use crate::input::Input;

/// Events with any text in any place, by themselves and through a stream's queue.
///
/// # Panics
/// When another event comes out than went in.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut events, mut expected, mut id) = (Vec::new(), Vec::new(), String::new());
    while !input.rest().is_empty() && events.len() < 32 {
        let (event, seen) = event(&mut input, &mut id);
        events.push(event);
        expected.extend(seen);
    }
    let mut bytes = Vec::new();
    for event in &events {
        let before = bytes.len();
        event.encode(&mut bytes);
        assert_eq!(bytes.len() - before, event.size());
    }
    let decoded = decode(&input.pieces(&bytes), 1 << 20);
    assert_eq!(decoded.events, expected);

    let world = World::new();
    let config = WriterConfig::default().numbered(true);
    let (writer, body) = sse::channel(world.ports().clock, config, None);
    for event in events {
        world.run(writer.feed(event)).expect("there is room");
    }
    drop(writer);
    let bytes = world.run(body.collect()).expect("no error").to_bytes();
    let decoded = decode(&input.pieces(&bytes), 1 << 20);
    let without_id = |seen: &[Seen]| -> Vec<_> {
        let seen = seen
            .iter()
            .map(|(name, data, _)| (name.clone(), data.clone()));
        seen.collect()
    };
    assert_eq!(without_id(&decoded.events), without_id(&expected));
}

/// The next event of `input`, and what a receiver makes of it, who knows `id` so far.
fn event(input: &mut Input<'_>, id: &mut String) -> (Event, Option<Seen>) {
    let choice = input.byte();
    let text = input.text();
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut event, mut data) = match choice % 4 {
        0 => (Event::comment(&text), None),
        1 => {
            let json = serde_json::to_string(&text).expect("a text has a JSON form");
            (Event::json(&text).expect("the same"), Some(json))
        }
        _ => (Event::data(&text), Some(lines)),
    };
    let mut name = String::new();
    if choice & 8 != 0 {
        let given = input.text();
        let named = event.clone().event(&given);
        assert_eq!(named.is_err(), given.contains(['\r', '\n']));
        if let Ok(named) = named {
            (event, name) = (named, given);
        }
    }
    if choice & 16 != 0 {
        let given = input.text();
        let with_id = event.clone().id(&given);
        assert_eq!(with_id.is_err(), given.contains(['\r', '\n', '\0']));
        if let Ok(with_id) = with_id {
            event = with_id;
            *id = given;
        }
    }
    if choice & 32 != 0 {
        event = event.retry(Duration::from_millis(u64::from(input.byte())));
    }
    if name.is_empty() {
        "message".clone_into(&mut name);
    }
    let seen = data.take().map(|data| (name, data, id.clone()));
    (event, seen)
}
