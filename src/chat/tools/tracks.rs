//! Tracks as results show them, and what many of them have in common.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::input::Name;
use super::report::Entry;
use super::unfit;
use crate::clients::spotify::track_id;
use crate::enrich::EnrichedTrack;
use crate::error::ErrorObject;
use crate::music::Track;

/// The longest name that is shown, in characters.
const MAX_NAME: usize = 80;

/// Artists and tags that are shown of one track.
const ARTISTS: usize = 3;
const TAGS: usize = 4;

/// A track at two lengths.
pub(super) fn entry(track: &Track) -> Entry {
    let artists: Vec<_> = track
        .artists
        .iter()
        .map(|artist| name(&artist.name))
        .collect();
    let first = &artists[..artists.len().min(ARTISTS)];
    let mut detail = json!({"id": track.id, "title": name(&track.title), "artists": first});
    let one = &artists[..artists.len().min(1)];
    let compact = json!({"id": track.id, "title": name(&track.title), "artists": one});
    put(&mut detail, "album", track.album.as_deref().map(name));
    put(&mut detail, "year", track.year);
    put(&mut detail, "durationMs", track.duration_ms);
    put(&mut detail, "popularity", track.popularity);
    Entry { detail, compact }
}

/// The same, with what was found out about it.
pub(super) fn enriched(found: &EnrichedTrack) -> Entry {
    let mut entry = entry(&found.track);
    let tempo = found.bpm.map(tempo);
    put(&mut entry.detail, "bpm", tempo);
    put(&mut entry.compact, "bpm", tempo);
    let tags: Vec<_> = found.tags.iter().take(TAGS).map(|tag| name(tag)).collect();
    put(
        &mut entry.detail,
        "tags",
        (!tags.is_empty()).then_some(tags),
    );
    put(&mut entry.detail, "listeners", found.listeners);
    entry
}

/// Sets a field that is known.
pub(super) fn put(object: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[key] = value.into();
    }
}

/// BPM as it is shown: with at most one digit after the point.
pub(super) fn tempo(bpm: f32) -> f64 {
    (f64::from(bpm) * 10.0).round() / 10.0
}

/// A name, not too long.
pub(super) fn name(text: &str) -> String {
    match text.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Tracks as playlists take them.
pub(super) fn uris(ids: &[Name]) -> Result<Vec<String>, ErrorObject> {
    let uri = |id: &Name| match track_id(id) {
        Some(id) => Ok(format!("spotify:track:{id}")),
        None => Err(unfit(format!("`{}` is no id of a track", name(id)))),
    };
    ids.iter().map(uri).collect()
}

/// The middle one; of an even number, the lower of the two.
pub(super) fn median<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let last = values.len().checked_sub(1)?;
    values.get(last / 2).copied()
}

/// What occurs most often, with its count; of equals, the first one first.
/// Different cases of one word are the same.
pub(super) fn most<'a>(
    words: impl IntoIterator<Item = &'a str>,
    count: usize,
) -> Vec<(String, usize)> {
    let mut counts: HashMap<String, (usize, usize, &str)> = HashMap::new();
    for (at, word) in words.into_iter().enumerate() {
        let entry = counts.entry(word.to_lowercase()).or_insert((0, at, word));
        entry.0 += 1;
    }
    let mut all: Vec<_> = counts.into_values().collect();
    all.sort_by_key(|(count, at, _)| (std::cmp::Reverse(*count), *at));
    let all = all.into_iter().take(count);
    all.map(|(count, _, word)| (word.to_owned(), count))
        .collect()
}

/// A playing time for a person: `3 h 25 min`.
pub(super) fn playing_time(millis: u64) -> String {
    let minutes = millis.div_ceil(60_000);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::ArtistRef;

    #[test]
    fn a_track_is_shown_at_two_lengths() {
        let artist = |name: &str| ArtistRef {
            id: String::new(),
            name: name.into(),
        };
        let track = Track {
            id: "t1".into(),
            title: "é".repeat(100),
            artists: ["a", "b", "c", "d"].map(artist).into(),
            album: Some("Album".into()),
            year: Some(1999),
            ..Track::default()
        };
        let title = format!("{}…", "é".repeat(MAX_NAME));
        let found = EnrichedTrack {
            track,
            bpm: Some(99.949),
            tags: ["x", "y"].map(String::from).into(),
            listeners: None,
            playcount: None,
        };
        let Entry { detail, compact } = enriched(&found);
        assert_eq!(
            detail,
            json!({
                "id": "t1", "title": title, "artists": ["a", "b", "c"], "album": "Album",
                "year": 1999, "bpm": 99.9, "tags": ["x", "y"],
            })
        );
        assert_eq!(
            compact,
            json!({"id": "t1", "title": title, "artists": ["a"], "bpm": 99.9})
        );
    }

    #[test]
    fn tracks_are_given_as_uris() {
        const ONE: &str = "37i9dQZF1DXcBWIGoYBM5M";
        const TWO: &str = "0aBcDeFgHiJkLmNoPqRsTu";
        let ids = [Name(ONE.to_owned()), Name(format!("spotify:track:{TWO}"))];
        let expected = [ONE, TWO].map(|id| format!("spotify:track:{id}"));
        assert_eq!(uris(&ids).unwrap(), expected);
        let error = uris(&[Name("spotify:album:x".to_owned())]).unwrap_err();
        assert!(error.message.contains("spotify:album:x"), "{error:?}");
    }

    #[test]
    fn figures() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4, 1, 2, 3]), Some(2));
        assert_eq!(median(Vec::<u8>::new()), None);
        let words = ["Soul", "jazz", "soul", "Jazz", "rock", "SOUL"];
        assert_eq!(most(words, 2), [("Soul".into(), 3), ("jazz".into(), 2)]);
        assert_eq!(playing_time(61_000), "2 min");
        assert_eq!(playing_time(2 * 3_600_000), "2 h 0 min");
    }
}
