//! Streams that Spinlane's encoder writes, one JSON object a line: `bytes` in
//! base64, and the `events` that a receiver must see. Another implementation
//! checks itself against them, and the encoder against itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use spinlane_core::sse::{Event, EventError};

const TEXTS: [&str; 14] = [
    "",
    " ",
    "plain",
    "\n",
    "a\nb",
    "a\rb",
    "a\r\nb",
    "\r\n\r\n",
    "ends with a break\n",
    " leading space",
    ": looks like a comment",
    "data: looks like a field\nid: 7",
    "wörld 雨 🎧 \u{feff}\u{2028}",
    "\0 and \u{7f}",
];

fn main() -> Result<(), EventError> {
    for text in TEXTS {
        // Receivers join the lines with LF, whatever they were broken by.
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        let seen = |event: &str, id: Value| json!({"event": event, "data": lines, "id": id});
        let plain = Event::data(text);
        let named = plain.clone().event("näme")?.id("42")?;
        let retried = named.clone().retry(std::time::Duration::from_secs(3));
        print(&[&plain], &[seen("message", Value::Null)]);
        print(&[&named], &[seen("näme", "42".into())]);
        let comment = Event::comment(text);
        print(
            &[&comment, &retried, &comment, &Event::json(text)?],
            &[
                seen("näme", "42".into()),
                json!({"event": "message", "data": json!(text).to_string(), "id": null}),
            ],
        );
    }
    Ok(())
}

fn print(events: &[&Event], seen: &[Value]) {
    let mut bytes = Vec::new();
    for event in events {
        event.encode(&mut bytes);
    }
    println!(
        "{}",
        json!({"bytes": STANDARD.encode(bytes), "events": seen})
    );
}
