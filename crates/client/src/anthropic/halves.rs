//! Puts together what was cut in the middle of a character.

use std::borrow::Cow;
use std::mem::{Discriminant, discriminant};

use super::surrogates::{Edges, REPLACEMENT, joined};
use super::wire::{Delta, StreamEvent};

/// Holds the first half of a character, until the second has come or cannot
/// come any more.
#[derive(Debug, Default)]
pub(super) struct Halves(Option<Held>);

/// The end of a delta's text.
#[derive(Debug)]
struct Held {
    index: Option<u32>,
    /// Without text.
    delta: Delta<'static>,
    high: u16,
}

impl Halves {
    /// Hands on `event`, whose text has these halves at its ends.
    pub(super) fn pass(
        &mut self,
        event: StreamEvent<'_>,
        edges: Edges,
        on_event: &mut impl FnMut(StreamEvent<'_>),
    ) {
        match event {
            // Comes in between.
            StreamEvent::Ping | StreamEvent::Unknown => on_event(event),
            StreamEvent::BlockDelta { index, delta }
                if self.0.is_some() || edges != Edges::default() =>
            {
                let delta = self.join(index, delta, edges, on_event);
                on_event(StreamEvent::BlockDelta { index, delta });
            }
            event => {
                self.release(on_event);
                on_event(event);
            }
        }
    }

    fn join<'a>(
        &mut self,
        index: Option<u32>,
        delta: Delta<'a>,
        edges: Edges,
        on_event: &mut impl FnMut(StreamEvent<'_>),
    ) -> Delta<'a> {
        let is_next = |held: &Held| held.index == index && kind(&held.delta) == kind(&delta);
        if !self.0.as_ref().is_some_and(is_next) {
            self.release(on_event);
        }
        let Some(text) = delta.piece() else {
            return delta;
        };
        let held = self.0.take();
        let first = match (held, edges.low) {
            (Some(held), Some(low)) => Some(joined(held.high, low)),
            (Some(_), None) | (None, Some(_)) => Some(REPLACEMENT),
            (None, None) => None,
        };
        let mut rest = &**text;
        if edges.low.is_some() {
            rest = rest.strip_prefix(REPLACEMENT).unwrap_or(rest);
        }
        if let Some(high) = edges.high {
            rest = rest.strip_suffix(REPLACEMENT).unwrap_or(rest);
            let delta = delta.with(Cow::default());
            self.0 = Some(Held { index, delta, high });
        }
        let text: String = first.into_iter().chain(rest.chars()).collect();
        delta.with(text.into())
    }

    /// Nothing more comes of what is held.
    pub(super) fn release(&mut self, on_event: &mut impl FnMut(StreamEvent<'_>)) {
        if let Some(Held { index, delta, .. }) = self.0.take() {
            let delta = delta.with(REPLACEMENT.to_string().into());
            on_event(StreamEvent::BlockDelta { index, delta });
        }
    }
}

fn kind<'a>(delta: &Delta<'a>) -> Discriminant<Delta<'a>> {
    discriminant(delta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What comes of deltas, each with its index, its field and its text in JSON.
    fn passed(deltas: &[(u32, &str, &str)]) -> Vec<(u32, String)> {
        let mut halves = Halves::default();
        let mut texts: Vec<(u32, String)> = Vec::new();
        let mut note = |event: StreamEvent<'_>| {
            if let StreamEvent::BlockDelta { index, delta } = event {
                let piece = delta.piece().unwrap();
                texts.push((index.unwrap(), piece.to_string()));
            }
        };
        for (index, field, json) in deltas {
            let data = format!("{{\"index\":{index},\"delta\":{{\"{field}\":\"{json}\"}}}}");
            let (event, edges) = StreamEvent::parse("content_block_delta", &data).unwrap();
            halves.pass(event, edges, &mut note);
            halves.pass(StreamEvent::Ping, Edges::default(), &mut note);
        }
        let stop = json!({"index": 0}).to_string();
        let (event, edges) = StreamEvent::parse("content_block_stop", &stop).unwrap();
        halves.pass(event, edges, &mut note);
        texts
    }

    fn text(deltas: &[&str]) -> String {
        let deltas: Vec<_> = deltas.iter().map(|json| (0, "text", *json)).collect();
        let texts = passed(&deltas).into_iter().map(|(_, text)| text);
        texts.collect()
    }

    #[test]
    fn two_halves_are_one_character() {
        assert_eq!(text(&[r"Party \ud83c", r"\udf89 time"]), "Party 🎉 time");
        assert_eq!(text(&[r"\ud83c", r"\udf89"]), "🎉");
        assert_eq!(text(&[r"a\ud83c", r"\udf89\ud83c", r"\udf8a"]), "a🎉🎊");
        // Nothing in between is an end.
        assert_eq!(text(&[r"a\ud83c", "", r"\udf89"]), "a\u{fffd}\u{fffd}");
        let input = [
            (1, "partial_json", r#"{\"q\": \"\ud83c"#),
            (1, "partial_json", r#"\udf89\"}"#),
        ];
        let input: String = passed(&input).into_iter().map(|(_, text)| text).collect();
        assert_eq!(input, r#"{"q": "🎉"}"#);
    }

    #[test]
    fn a_half_that_stays_alone_is_replaced() {
        for (deltas, expected) in [
            (&[r"a\ud83c"][..], "a\u{fffd}"),
            (&[r"\udf89a"], "\u{fffd}a"),
            (&[r"a\ud83c", "b"], "a\u{fffd}b"),
            (&[r"a\ud83c", r"\ud83c\udf89"], "a\u{fffd}🎉"),
            (&[r"a\ud83cb\udf89c"], "a\u{fffd}b\u{fffd}c"),
            (&["a", r"\udf89"], "a\u{fffd}"),
            // Said as it is.
            (&["\u{fffd}", "\u{fffd}"], "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(text(deltas), expected, "{deltas:?}");
        }
        // Of two blocks, and of two kinds.
        let apart = [(0, "text", r"\ud83c"), (1, "text", r"\udf89")];
        let expected = [
            (0, String::new()),
            (0, "\u{fffd}".into()),
            (1, "\u{fffd}".into()),
        ];
        assert_eq!(passed(&apart), expected);
        let apart = [(0, "thinking", r"\ud83c"), (0, "text", r"\udf89")];
        assert_eq!(passed(&apart).len(), 3);
    }
}
