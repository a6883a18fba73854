//! Random streams, and what Spinlane's decoder makes of them, one JSON object a line:
//! `bytes` in base64, the ends of the `pieces` that they came in, the `events`, and the
//! `retry` time that is left. Another implementation is compared with it.
//!
//! 2,000 streams from seed 18; others by `SPINLANE_SSE_STREAMS` and `SPINLANE_SSE_SEED`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use spinlane_core::sse::{DecodeError, Decoder};
use spinlane_core::testing::SeededEntropy;

/// What streams are made of.
const WORDS: [&[u8]; 44] = [
    b"\n",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\r",
    b"\r\n",
    b"\r\n\r\n",
    b"data: ",
    b"data:",
    b"data",
    b"data\n",
    b"data: x\n\n",
    b"data: y\r\n\r\n",
    b"event: ",
    b"event:",
    b"event: note\n",
    b"event",
    b"id: ",
    b"id:",
    b"id\n",
    b"id: 7\n",
    b"id: 8\r\n",
    b"id: \0\n",
    b"retry: ",
    b"retry: 1500\n",
    b"retry:07\r",
    b"retry: 1 \n",
    b"retry\n",
    b": comment\n",
    b":",
    b": ",
    b" ",
    b"  ",
    b"x",
    b"data : no field\n",
    b"Data: no field\n",
    b"0",
    b"\0",
    b"\xef\xbb\xbf",
    "ü".as_bytes(),
    "🎧".as_bytes(),
    b"\xf0\x9f",
    b"\xff",
    b"\xe2\x82",
];

fn main() -> Result<(), DecodeError> {
    let (seed, streams) = (
        number("SPINLANE_SSE_SEED", 18),
        number("SPINLANE_SSE_STREAMS", 2_000),
    );
    for stream in 0..streams {
        let chance = SeededEntropy::new(seed.wrapping_add(stream));
        let bytes = stream_of(&chance);
        let pieces = pieces(&bytes, &chance);
        let (events, retry) = decoded(&bytes, &pieces)?;
        let bytes = STANDARD.encode(bytes);
        let seed = seed.wrapping_add(stream).to_string();
        println!(
            "{}",
            json!({"seed": seed, "bytes": bytes, "pieces": pieces, "events": events, "retry": retry})
        );
    }
    Ok(())
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn below(chance: &SeededEntropy, bound: usize) -> usize {
    chance.below(bound as u64) as usize
}

fn stream_of(chance: &SeededEntropy) -> Vec<u8> {
    let mut bytes = Vec::new();
    if chance.below(8) == 0 {
        bytes.extend_from_slice(b"\xef\xbb\xbf");
    }
    for _ in 0..below(chance, 60) {
        match chance.below(12) {
            0 => bytes.push(below(chance, 256) as u8),
            _ => bytes.extend_from_slice(WORDS[below(chance, WORDS.len())]),
        }
    }
    bytes
}

/// Where each piece ends, empty ones among them: mostly a few, sometimes of a byte each.
fn pieces(bytes: &[u8], chance: &SeededEntropy) -> Vec<usize> {
    let longest = [1, 3, 16, 1 + bytes.len()][below(chance, 4)];
    let mut ends = Vec::new();
    let mut end = 0;
    while end < bytes.len() {
        end = (end + below(chance, longest + 1)).min(bytes.len());
        ends.push(end);
    }
    ends
}

fn decoded(bytes: &[u8], pieces: &[usize]) -> Result<(Vec<Value>, Option<u64>), DecodeError> {
    let (mut decoder, mut events, mut begin) = (Decoder::new(1 << 20), Vec::new(), 0);
    for end in pieces {
        decoder.push(&bytes[begin..*end], |event| {
            events.push(json!({"event": event.event, "data": event.data, "id": event.id}));
        })?;
        begin = *end;
    }
    let millis = decoder.retry().map(|time| time.as_millis() as u64);
    Ok((events, millis))
}
