//! What the DJ says without looking anything up: invented songs, in a friendly
//! voice.

use crate::dice::Dice;

const OPENINGS: [&str; 4] = [
    "Good call. Here is where I would begin.",
    "I know just the corner of the record shop for that.",
    "Let me put a small set together for you.",
    "That is a mood I like to play for.",
];

const TITLES: [&str; 12] = [
    "Paper Lanterns",
    "Salt on the Window",
    "Última Estación",
    "Half Past Blue",
    "Kleine Nachtfahrt",
    "Slow Elevator",
    "雨の手紙",
    "North of Tomorrow",
    "Copper Wire Heart",
    "The Quiet Arcade",
    "Mañana en Silencio",
    "Velvet Static",
];

const ARTISTS: [&str; 10] = [
    "The Harbour Lights Club",
    "Ida Veldkamp",
    "Los Relojes",
    "Mirela & the Tides",
    "Tonschatten",
    "Kōhei Tanaka Quartet",
    "Nine Small Boats",
    "Orla Fenn",
    "Echo Parade",
    "Baron Sunday",
];

const REASONS: [&str; 8] = [
    "an unhurried groove around 84 BPM, all brushed drums and warm bass",
    "a piano that keeps leaning into the next bar",
    "a chorus that opens like a door to a brighter room",
    "soft synths over a beat that never pushes",
    "guitars with just enough grit to keep you awake",
    "a voice so close that you hear the room around it",
    "strings that arrive late and change everything",
    "a bass line you will hum on the way home",
];

const CLOSINGS: [&str; 4] = [
    "Play them in this order and let the last one fade out by itself.",
    "Tell me if you want it slower, louder or stranger.",
    "If the second one lands, I have ten more from that shelf.",
    "That should carry you for a while; ask me for the next stretch.",
];

/// The answer to `prompt`, in deltas of about a word. The same seed and prompt
/// give the same answer.
pub(super) fn answer(seed: u64, prompt: &str) -> Vec<String> {
    let mut dice = Dice::new(seed, prompt);
    let mut text = dice.pick(&OPENINGS).to_owned();
    let starts = ["Start with", "Then bring in", "Close on"];
    let (title, artist, reason) = (dice.below(12), dice.below(10), dice.below(8));
    for (n, start) in starts.into_iter().enumerate() {
        text += &format!(
            "\n\n{start} \"{}\" by {}: {}.",
            TITLES[(title + 5 * n) % TITLES.len()],
            ARTISTS[(artist + 3 * n) % ARTISTS.len()],
            REASONS[(reason + 3 * n) % REASONS.len()],
        );
    }
    text += "\n\n";
    text += dice.pick(&CLOSINGS);
    text.split_inclusive(' ').map(str::to_owned).collect()
}
