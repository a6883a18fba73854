//! How the DJ puts what it has found, and what it thinks meanwhile.

use super::findings::{Findings, Found};
use crate::dice::Dice;

pub(super) const READY: &str = "I have what I need. I will name the tracks and say why each of \
    them is there, briefly.";

pub(super) const CHANGING: &str = "The tracks are settled, so this is the moment to write them \
    down, once.";

pub(super) const AGAIN: &str = "That was less than I hoped for. I will look wider before I answer.";

pub(super) fn looking(prompt: &str) -> String {
    let wish: String = prompt
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(80)
        .collect();
    format!(
        "The user wants this: \"{wish}\". I should hear the playlist first: its tempo, its tags, \
         its years. Everything else follows from that."
    )
}

pub(super) fn searching(found: &Findings) -> String {
    match (&found.tags[..], found.bpm) {
        ([first, ..], Some(bpm)) => format!(
            "Mostly {first}, around {bpm:.0} BPM. I will search along its main tags and ask for \
             recommendations at the same time: none of these needs the other's results."
        ),
        ([first, ..], None) => format!("Mostly {first}. Several searches at once will do."),
        _ => "No playlist to go by, so I will try several shelves at once and compare.".to_owned(),
    }
}

/// A title out of what the user asked for.
pub(super) fn playlist_name(prompt: &str) -> String {
    let quoted = prompt
        .split('"')
        .nth(1)
        .filter(|name| !name.trim().is_empty());
    if let Some(name) = quoted {
        return name.chars().take(60).collect();
    }
    let small = [
        "make", "create", "playlist", "please", "with", "that", "some", "this", "from", "songs",
        "tracks", "call", "rename",
    ];
    let words = prompt.split(|c: char| !c.is_alphanumeric() && c != '\'');
    let words = words.filter(|word| {
        let is_small = small.contains(&word.to_lowercase().as_str());
        word.chars().count() > 3 && !is_small && word.len() != 22
    });
    let words: Vec<String> = words.take(3).map(capitalised).collect();
    match words.is_empty() {
        true => "A Set by Spinlane".to_owned(),
        false => words.join(" "),
    }
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    first + chars.as_str()
}

pub(super) fn answer(found: &Findings, picks: usize, dice: &mut Dice) -> String {
    let mut text = String::new();
    if let Some(summary) = &found.summary {
        text += &format!("I listened through it. {summary}.\n\n");
    }
    let picked: Vec<&Found> = found.fresh().take(picks).collect();
    if found.changed {
        text += "Done: the playlist is as you asked.\n\n";
    }
    if found.failed > 0 {
        text += &format!(
            "One thing first: not everything could be looked up ({}).\n\n",
            found.failure.trim_end_matches('.')
        );
    }
    if picked.is_empty() {
        text += "I found nothing in the catalogue that I would stand behind. Tell me a genre, an \
                 artist or a year, and I will look again.";
        return text;
    }
    text += &format!("{} that fit:\n", count(picked.len()));
    for (n, track) in picked.iter().enumerate() {
        text += &format!(
            "\n{}. \"{}\" by {}{}: {}.",
            n + 1,
            track.title,
            track.artist,
            figures(track),
            reason(track, found, dice)
        );
    }
    text += "\n\n";
    text += dice.pick(&[
        "Play them in this order and let the last one fade out by itself.",
        "Tell me if you want it slower, louder or stranger.",
        "If the second one lands, I have more from that shelf.",
    ]);
    text
}

fn count(number: usize) -> &'static str {
    [
        "No tracks",
        "One track",
        "Two tracks",
        "Three tracks",
        "Four tracks",
        "Five tracks",
    ]
    .get(number)
    .copied()
    .unwrap_or("Some tracks")
}

fn figures(track: &Found) -> String {
    let year = track.year.map(|year| year.to_string());
    let bpm = track.bpm.map(|bpm| format!("{bpm:.0} BPM"));
    let figures: Vec<String> = year.into_iter().chain(bpm).collect();
    match figures.is_empty() {
        true => String::new(),
        false => format!(" ({})", figures.join(", ")),
    }
}

/// Only what the results say: a DJ does not invent facts.
fn reason(track: &Found, found: &Findings, dice: &mut Dice) -> String {
    let shared = track.tags.iter().find(|tag| found.tags.contains(tag));
    let near = match (track.bpm, found.bpm) {
        (Some(one), Some(other)) => (one - other).abs() < 8.0,
        _ => false,
    };
    match (shared, near, track.tags.first()) {
        (Some(tag), true, _) => format!("{tag} at almost the same pace"),
        (Some(tag), false, _) => format!("the same {tag} at a pace of its own"),
        (None, true, _) => "another corner, the same pulse".to_owned(),
        (None, false, Some(tag)) => format!("for its {tag} side"),
        (None, false, None) => dice
            .pick(&[
                "it came up first for what you asked",
                "close to what you asked for",
                "a neighbour of the others",
            ])
            .to_owned(),
    }
}
