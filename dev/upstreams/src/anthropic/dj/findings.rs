//! What a conversation has brought to light so far.

use std::collections::HashSet;

use serde_json::Value;

use super::super::check::blocks;
use super::super::request::text;

/// A track, as a tool's result has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) artist: String,
    pub(super) bpm: Option<f64>,
    pub(super) year: Option<u64>,
    pub(super) tags: Vec<String>,
    /// How well it goes with the playlist.
    pub(super) score: f64,
}

/// What tools have said since the user spoke.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Times that tools were asked.
    pub(super) rounds: usize,
    /// Rounds with a search in them.
    pub(super) searches: usize,
    /// Whether a playlist was made or changed.
    pub(super) changed: bool,
    /// Whether that was tried and failed.
    pub(super) refused_change: bool,
    /// Calls that failed, and what the last of them said.
    pub(super) failed: usize,
    pub(super) failure: String,
    /// In a sentence, what the playlist is like.
    pub(super) summary: Option<String>,
    /// The playlist's tags, the most frequent first.
    pub(super) tags: Vec<String>,
    /// Its artists, likewise.
    pub(super) artists: Vec<String>,
    pub(super) bpm: Option<f64>,
    /// Tracks of the playlist, and those found elsewhere.
    pub(super) playlist: Vec<Found>,
    pub(super) candidates: Vec<Found>,
}

impl Findings {
    /// Tracks that are not in the playlist, each once, the best first.
    pub(super) fn fresh(&self) -> impl Iterator<Item = &Found> {
        let mut seen: HashSet<&str> = self
            .playlist
            .iter()
            .map(|track| track.id.as_str())
            .collect();
        let mut fresh: Vec<&Found> = self
            .candidates
            .iter()
            .filter(|track| seen.insert(&track.id))
            .collect();
        let distance = |track: &Found| match (track.bpm, self.bpm) {
            (Some(one), Some(other)) => (one - other).abs() / 100.0,
            _ => 0.5,
        };
        let rank = |track: &Found| track.score - distance(track);
        fresh.sort_by(|one, other| rank(other).total_cmp(&rank(one)));
        // Not all of them by one artist.
        let mut artists: Vec<&str> = Vec::new();
        let (first, second): (Vec<&Found>, Vec<&Found>) = fresh.into_iter().partition(|track| {
            let new = !artists.contains(&track.artist.as_str());
            artists.push(&track.artist);
            new
        });
        first.into_iter().chain(second)
    }

    fn result(&mut self, name: &str, result: &Value, failed: bool) {
        let changes = ["create_playlist", "modify_playlist"].contains(&name);
        let text = text(&result["content"]);
        if failed {
            self.failed += 1;
            self.refused_change |= changes;
            let words: String = text.chars().take(160).collect();
            self.failure = words;
            return;
        }
        self.changed |= changes;
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        let tracks = document["tracks"].as_array();
        let tracks = tracks.map(Vec::as_slice).unwrap_or_default();
        let tracks = tracks.iter().filter_map(track);
        let is_playlist = ["analyze_playlist", "get_playlist_tracks"].contains(&name);
        if is_playlist {
            self.playlist.extend(tracks);
            self.summary = document["summary"].as_str().map(str::to_owned);
            self.bpm = document["bpm"]["median"].as_f64();
            self.tags.extend(names(&document["tags"]));
            self.artists.extend(names(&document["artists"]));
        } else if !changes {
            self.candidates.extend(tracks);
        }
    }
}

/// A list of names, or of objects that have one.
fn names(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |item: &Value| {
        let name = item.as_str().or_else(|| item["name"].as_str());
        name.map(str::to_owned)
    };
    items.iter().filter_map(name).collect()
}

fn track(value: &Value) -> Option<Found> {
    let artist = &value["artists"][0];
    let artist = artist.as_str().or_else(|| artist["name"].as_str());
    let tags = value["tags"].as_array();
    let tags = tags.map(Vec::as_slice).unwrap_or_default().iter();
    Some(Found {
        id: value["id"].as_str()?.to_owned(),
        title: value["title"].as_str()?.to_owned(),
        artist: artist.unwrap_or_default().to_owned(),
        bpm: value["bpm"].as_f64(),
        year: value["year"].as_u64(),
        tags: tags.filter_map(Value::as_str).map(str::to_owned).collect(),
        score: value["score"].as_f64().unwrap_or(0.0),
    })
}

/// What the user said last, and what tools have said since.
pub(super) fn conversation(messages: &[Value]) -> (String, Findings) {
    let is_result = |block: &Value| block["type"] == "tool_result";
    let spoke =
        |message: &Value| message["role"] == "user" && !blocks(message).iter().any(is_result);
    let last = messages.iter().rposition(spoke).unwrap_or_default();
    let mut findings = Findings::default();
    let since = messages.get(last + 1..).unwrap_or_default();
    for pair in since.windows(2) {
        let [asked, answered] = pair else { continue };
        let calls = blocks(asked)
            .iter()
            .filter(|block| block["type"] == "tool_use");
        let calls: Vec<(&Value, &str)> = calls
            .map(|call| (&call["id"], call["name"].as_str().unwrap_or_default()))
            .collect();
        if calls.is_empty() {
            continue;
        }
        findings.rounds += 1;
        let searches =
            |(_, name): &(&Value, &str)| ["search_tracks", "get_recommendations"].contains(name);
        findings.searches += usize::from(calls.iter().any(searches));
        for (id, name) in calls {
            let result = blocks(answered)
                .iter()
                .find(|block| block["tool_use_id"] == *id);
            if let Some(result) = result {
                findings.result(name, result, result["is_error"] == true);
            }
        }
    }
    let prompt = messages.get(last).map(|message| text(&message["content"]));
    (prompt.unwrap_or_default(), findings)
}

/// The playlist that is named in `prompt`: 22 digits of base62.
pub(super) fn playlist(prompt: &str) -> Option<String> {
    let words = prompt.split(|c: char| !c.is_ascii_alphanumeric());
    let id = |word: &&str| word.len() == 22 && word.bytes().any(|byte| byte.is_ascii_digit());
    words.rev().find(id).map(str::to_owned)
}
