//! Whether an answer begins well.
//!
//! An overloaded service answers 200, and then says so in the stream. Before
//! anything was said that can be mended: the limits ask again. After it the
//! rest is lost.

use http::response::Parts;

use super::check_media_type;
use super::wire::{Block, StreamEvent};
use spinlane_core::limit::{Beginning, Verdict};
use spinlane_core::sse::{Decoded, Decoder};

/// The most that is read before the first content, in bytes.
pub(super) const LIMIT: usize = 64 * 1024;

/// Judges an answer by what has come of it; `all`: nothing more will.
pub(super) fn beginning(head: &Parts, start: &[u8], all: bool) -> Beginning {
    if check_media_type(&head.headers).is_err() {
        return Beginning::Known(Verdict::Good);
    }
    let (mut verdict, mut steps) = (None, 0);
    let mut read = |event: Decoded<'_>| {
        if verdict.is_some() {
            return;
        }
        verdict = match StreamEvent::parse(&event.event, &event.data) {
            Ok((event, _)) => {
                steps += usize::from(event.is_progress());
                judge(&event)
            }
            // Whoever reads the answer says what is wrong with it.
            Err(_) => Some(Verdict::Good),
        };
    };
    let mut decoder = Decoder::new(LIMIT);
    let mut decoded = decoder.push(start, &mut read);
    if all {
        decoded = decoded.and_then(|()| decoder.finish(&mut read));
    }
    match verdict {
        Some(verdict) => Beginning::Known(verdict),
        None if all => Beginning::Known(Verdict::Failed { retryable: true }),
        None if decoded.is_err() => Beginning::Known(Verdict::Good),
        None => Beginning::Open { steps },
    }
}

/// What the answer means, once an event tells.
fn judge(event: &StreamEvent<'_>) -> Option<Verdict> {
    match event {
        StreamEvent::MessageStart { .. }
        | StreamEvent::MessageDelta {
            stop_reason: None, ..
        }
        | StreamEvent::Ping
        | StreamEvent::Done
        | StreamEvent::Unknown => None,
        StreamEvent::BlockStart {
            block: Block::Text(text),
            ..
        } if text.is_empty() => None,
        StreamEvent::BlockDelta { delta, .. }
            if delta.piece().is_some_and(|piece| piece.is_empty()) =>
        {
            None
        }
        StreamEvent::Error(error) => Some(error.meaning().verdict()),
        _ => Some(Verdict::Good),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "event: message_start\ndata: {\"message\":{}}\n\nevent: ping\ndata: {}\n\n";
    const TEXT: &str = "event: content_block_start\n\
        data: {\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";

    fn verdict(start: &str, all: bool) -> Option<Verdict> {
        let response = http::Response::builder().header("content-type", "text/event-stream");
        let (head, ()) = response.body(()).unwrap().into_parts();
        match beginning(&head, start.as_bytes(), all) {
            Beginning::Known(verdict) => Some(verdict),
            Beginning::Open { .. } => None,
        }
    }

    #[test]
    fn only_events_of_blocks_bring_it_on() {
        let steps = |start: &str| {
            let response = http::Response::builder().header("content-type", "text/event-stream");
            let (head, ()) = response.body(()).unwrap().into_parts();
            beginning(&head, start.as_bytes(), false)
        };
        let empty = "event: content_block_delta\ndata: {\"index\":0,\"delta\":{\"text\":\"\"}}\n\n";
        for (start, expected) in [(START, 0), (TEXT, 1), (empty, 0)] {
            let start = format!("{START}{START}{start}");
            assert_eq!(
                steps(&start),
                Beginning::Open { steps: expected },
                "{start}"
            );
        }
    }

    fn error(kind: &str) -> String {
        let error = format!("{{\"error\":{{\"type\":\"{kind}\",\"message\":\"x\"}}}}");
        format!("{START}{TEXT}event: error\ndata: {error}\n\n")
    }

    #[test]
    fn it_is_not_known_before_the_first_content() {
        for start in [START, &START[..30], &format!("{START}{TEXT}")] {
            assert_eq!(verdict(start, false), None);
            let cut = Some(Verdict::Failed { retryable: true });
            assert_eq!(verdict(start, true), cut);
        }
        let content = r#"{"index":0,"delta":{"type":"text_delta","text":"x"}}"#;
        let content = format!("{START}{TEXT}event: content_block_delta\ndata: {content}\n\n");
        assert_eq!(verdict(&content, false), Some(Verdict::Good));
        let thinking = r#"{"index":0,"content_block":{"type":"thinking","thinking":""}}"#;
        let thinking = format!("{START}event: content_block_start\ndata: {thinking}\n\n");
        assert_eq!(verdict(&thinking, false), Some(Verdict::Good));
        // What came after it does not matter any more.
        let later = content + &error("overloaded_error");
        assert_eq!(verdict(&later, false), Some(Verdict::Good));
    }

    #[test]
    fn errors_are_told_apart() {
        let overloaded = Some(Verdict::Overloaded { retry_after: None });
        assert_eq!(verdict(&error("overloaded_error"), false), overloaded);
        let failed = |retryable| Some(Verdict::Failed { retryable });
        assert_eq!(verdict(&error("api_error"), false), failed(true));
        assert_eq!(
            verdict(&error("invalid_request_error"), false),
            failed(false)
        );
        assert_eq!(verdict(&error("not known yet"), false), failed(true));
        let shapes = [
            r#"{"type":"error","error":"overloaded_error"}"#,
            r#"{"error":"Overloaded"}"#,
        ];
        for shape in shapes {
            // The last event's blank line may be missing.
            let stream = format!("{START}data: {shape}\n");
            assert_eq!(verdict(&stream, true), overloaded, "{shape}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_reader() {
        let garbage = format!("{START}event: content_block_delta\ndata: {{\n\n");
        assert_eq!(verdict(&garbage, false), Some(Verdict::Good));
        let (head, ()) = http::Response::new(()).into_parts();
        let html = beginning(&head, b"<html>", false);
        assert_eq!(html, Beginning::Known(Verdict::Good));
    }

    #[test]
    fn keep_alives_are_no_content() {
        let alive = "data:\n\ndata: []\n\ndata: heartbeat\n\n: comment\n\n";
        assert_eq!(verdict(&format!("{START}{alive}"), false), None);
    }
}
