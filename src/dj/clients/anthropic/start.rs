//! Whether an answer begins well.
//!
//! An overloaded service answers 200, and then says so in the stream. Before
//! anything was said that can be mended: the limits ask again. After it the
//! rest is lost.

use http::response::Parts;

use super::check_media_type;
use super::wire::{Block, StreamEvent};
use crate::core::limit::Verdict;
use crate::core::sse::Decoder;

/// The most that is read before the first content, in bytes.
pub(super) const LIMIT: usize = 64 * 1024;

/// Judges an answer by what has come of it; `all`: nothing more will.
pub(super) fn verdict(head: &Parts, start: &[u8], all: bool) -> Option<Verdict> {
    if check_media_type(&head.headers).is_err() {
        return Some(Verdict::Good);
    }
    let mut verdict = None;
    let decoded = Decoder::new(LIMIT).push(start, |event| {
        if verdict.is_none() {
            verdict = match StreamEvent::parse(&event.event, &event.data) {
                Ok(event) => judge(&event),
                // Whoever reads the answer says what is wrong with it.
                Err(_) => Some(Verdict::Good),
            };
        }
    });
    match verdict {
        None if all => Some(Verdict::Failed { retryable: true }),
        None if decoded.is_err() => Some(Verdict::Good),
        verdict => verdict,
    }
}

fn judge(event: &StreamEvent<'_>) -> Option<Verdict> {
    match event {
        StreamEvent::MessageStart { .. } | StreamEvent::Ping | StreamEvent::Unknown => None,
        StreamEvent::BlockStart {
            block: Block::Text(text),
            ..
        } if text.is_empty() => None,
        StreamEvent::Error(error) => Some(match error.kind.as_str() {
            "overloaded_error" | "rate_limit_error" => Verdict::Overloaded { retry_after: None },
            "api_error" | "timeout_error" => Verdict::Failed { retryable: true },
            _ => Verdict::Failed { retryable: false },
        }),
        _ => Some(Verdict::Good),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "event: message_start\ndata: {\"message\":{}}\n\nevent: ping\ndata: {}\n\n";
    const TEXT: &str = "event: content_block_start\n\
        data: {\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";

    fn of(start: &str, all: bool) -> Option<Verdict> {
        let response = http::Response::builder().header("content-type", "text/event-stream");
        let (head, ()) = response.body(()).unwrap().into_parts();
        verdict(&head, start.as_bytes(), all)
    }

    fn error(kind: &str) -> String {
        let error = format!("{{\"error\":{{\"type\":\"{kind}\",\"message\":\"x\"}}}}");
        format!("{START}{TEXT}event: error\ndata: {error}\n\n")
    }

    #[test]
    fn it_is_not_known_before_the_first_content() {
        for start in [START, &START[..30], &format!("{START}{TEXT}")] {
            assert_eq!(of(start, false), None);
            let cut = Some(Verdict::Failed { retryable: true });
            assert_eq!(of(start, true), cut);
        }
        let content = r#"{"index":0,"delta":{"type":"text_delta","text":"x"}}"#;
        let content = format!("{START}{TEXT}event: content_block_delta\ndata: {content}\n\n");
        assert_eq!(of(&content, false), Some(Verdict::Good));
        let thinking = r#"{"index":0,"content_block":{"type":"thinking","thinking":""}}"#;
        let thinking = format!("{START}event: content_block_start\ndata: {thinking}\n\n");
        assert_eq!(of(&thinking, false), Some(Verdict::Good));
        // What came after it does not matter any more.
        let later = content + &error("overloaded_error");
        assert_eq!(of(&later, false), Some(Verdict::Good));
    }

    #[test]
    fn errors_are_told_apart() {
        let overloaded = Some(Verdict::Overloaded { retry_after: None });
        assert_eq!(of(&error("overloaded_error"), false), overloaded);
        let failed = |retryable| Some(Verdict::Failed { retryable });
        assert_eq!(of(&error("api_error"), false), failed(true));
        assert_eq!(of(&error("invalid_request_error"), false), failed(false));
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_reader() {
        let garbage = format!("{START}event: content_block_start\ndata: {{\n\n");
        assert_eq!(of(&garbage, false), Some(Verdict::Good));
        let (head, ()) = http::Response::new(()).into_parts();
        assert_eq!(verdict(&head, b"<html>", false), Some(Verdict::Good));
    }
}
