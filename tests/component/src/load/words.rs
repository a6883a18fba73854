//! What the model is to say to a request, and what goes wrong while it does.
//!
//! Every word names its request, its turn and its place, so that one that is lost,
//! repeated or another's is seen.

use std::time::Duration;

use serde_json::{Value, json};
use spinlane_upstreams::Options;
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::catalogue::{Catalogue, DEMO_PLAYLIST, OWN_PLAYLIST};

use super::chance::Chance;

/// What one call of the model is answered with.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The deltas of its text.
    pub words: Vec<String>,
    /// Whether all of it comes, and its end.
    pub is_whole: bool,
    /// Whether no tool is asked for.
    pub is_last: bool,
}

/// A conversation: scripts for the model, and what they say.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// One after the other, the last one for all further calls.
    pub scripts: Vec<Script>,
    /// What they say.
    pub turns: Vec<Turn>,
    /// What goes wrong, where something does.
    pub fault: Option<&'static str>,
}

/// The tool that the first turn asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// None.
    Nothing,
    /// One that only reads.
    Reads,
    /// A playlist, made in the user's account.
    Creates,
    /// A change of the user's playlist.
    Edits,
}

/// What can go wrong with the model's answer.
const FAULTS: [&str; 19] = [
    "429",
    "429 with Retry-After",
    "400",
    "401",
    "500",
    "502",
    "520",
    "529",
    "overloaded, as a frame",
    "rate limit, as a frame",
    "unknown error, as a frame",
    "cut",
    "garbage",
    "stall",
    "silence",
    "reset",
    "a page in place of a stream",
    "an empty stream",
    "drip",
];

impl Conversation {
    /// The conversation of request `number`; `goes_wrong`: with a fault of the model's own.
    pub(super) fn new(number: u64, tool: Tool, goes_wrong: bool, chance: &Chance) -> Self {
        let mut conversation = Self::default();
        if tool != Tool::Nothing {
            let words = words(&format!("{number}.tool"), chance.below(6), chance);
            let (name, input) = tool.call(number, chance);
            let script = Script::text(words.clone()).use_tool(name, input);
            conversation.add(script, words, true, false);
        }
        let words = words(&format!("{number}.last"), 1 + chance.below(40), chance);
        let script = Script::text(words.clone()).pace(chance.millis(0, 20));
        conversation.add(script, words, true, true);
        if goes_wrong {
            conversation.go_wrong(number, chance);
        }
        conversation
    }

    /// One that takes so long that its client has time to go, and to be missed.
    pub(super) fn long(number: u64, chance: &Chance) -> Self {
        let mut conversation = Self::default();
        let words = words(&format!("{number}.long"), 300, chance);
        let script = Script::text(words.clone()).pace(Duration::from_millis(100));
        conversation.add(script, words, true, true);
        conversation
    }

    fn add(&mut self, script: Script, words: Vec<String>, is_whole: bool, is_last: bool) {
        self.scripts.push(script);
        self.turns.push(Turn {
            words,
            is_whole,
            is_last,
        });
    }

    /// Puts what goes wrong before one of the turns: once, a few times, or for ever.
    fn go_wrong(&mut self, number: u64, chance: &Chance) {
        const FOR_EVER: usize = 4;
        let name = chance.pick(&FAULTS);
        self.fault = Some(name);
        let at = chance.below(self.turns.len());
        let scripts = self.scripts.split_off(at);
        let turns = self.turns.split_off(at);
        let times = 1 + chance.below(FOR_EVER);
        for time in 0..times {
            let words = words(
                &format!("{number}.fault{time}"),
                1 + chance.below(12),
                chance,
            );
            let script = faulty(name, &words, chance);
            self.add(script, words, name == "drip", true);
        }
        if times < FOR_EVER {
            self.scripts.extend(scripts);
            self.turns.extend(turns);
        }
    }
}

impl Tool {
    fn call(self, number: u64, chance: &Chance) -> (&'static str, Value) {
        let list = json!({"playlistId": DEMO_PLAYLIST});
        match self {
            Self::Nothing | Self::Reads => match chance.below(3) {
                0 => (
                    "search_tracks",
                    json!({"query": format!("rain {}", chance.below(50))}),
                ),
                1 => ("get_playlist_tracks", list),
                _ => ("analyze_playlist", list),
            },
            Self::Creates => {
                let tracks = &Catalogue::of(Options::default().seed).tracks;
                let track = &tracks[chance.below(tracks.len())].id;
                let input = json!({"name": made(number), "trackIds": [track]});
                ("create_playlist", input)
            }
            Self::Edits => {
                let input = json!({
                    "playlistId": OWN_PLAYLIST, "action": "rename", "name": made(number)
                });
                ("modify_playlist", input)
            }
        }
    }
}

/// What request `number` calls its playlist.
pub(super) fn made(number: u64) -> String {
    format!("Proof {number}")
}

/// So many words, each of which there is once, with what a stream may get wrong in them.
fn words(name: &str, count: usize, chance: &Chance) -> Vec<String> {
    const TAILS: [&str; 6] = [
        " ",
        "\n",
        "\r\n\n",
        " \"q\" \\",
        " wörld 🎧",
        "data: id: 7\n",
    ];
    let word = |at| match chance.percent(2) {
        true => format!("{name}.{at}{}", "x".repeat(1 + chance.below(4_000))),
        false => format!("{name}.{at}{}", chance.pick(&TAILS)),
    };
    (0..count).map(word).collect()
}

/// The script of a fault, with as many of `words` as come before it.
fn faulty(name: &str, words: &[String], chance: &Chance) -> Script {
    let text = || Script::text(words.to_vec()).pace(chance.millis(0, 20));
    let after = chance.below(words.len() + 1);
    let event = |kind| text().error_event_after(after, kind, "on purpose");
    match name {
        "429 with Retry-After" => Script::status(429).retry_after(1),
        "overloaded, as a frame" => event("overloaded_error"),
        "rate limit, as a frame" => event("rate_limit_error"),
        "unknown error, as a frame" => event("another_error"),
        "cut" => text().cut_after(after),
        "garbage" => text().garbage_after(after),
        "stall" => text().hang_after(after),
        "silence" => Script::hang(),
        "reset" => Script::reset(),
        "a page in place of a stream" => Script::raw("text/html", "<html>"),
        "an empty stream" => Script::raw("text/event-stream", ""),
        "drip" => text().pace(Duration::from_millis(150)),
        // What is left is a status.
        status => Script::status(status.parse().unwrap_or(500)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_once() {
        for number in 0..200 {
            let chance = Chance::new(1, number);
            let conversation = Conversation::new(number, Tool::Reads, true, &chance);
            assert_eq!(conversation.scripts.len(), conversation.turns.len());
            let turns = conversation.turns.iter();
            let mut words: Vec<_> = turns.flat_map(|turn| &turn.words).collect();
            let count = words.len();
            words.sort();
            words.dedup();
            assert_eq!(words.len(), count, "{number}");
        }
    }
}
