//! `analyze_playlist`.

use futures::FutureExt;
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};

use super::input::Name;
use super::tracks::{median, most, name, playing_time, tempo};
use super::{Outcome, Report, Tool, ToolContext, tracks};
use crate::enrich::EnrichedTrack;
use crate::music::{Playlist, Track};

#[derive(Deserialize, Validate)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    /// The playlist's id, URI or address; the playlist that the user has open if left out.
    #[garde(dive)]
    playlist_id: Name,
    /// How many tracks at most, from the first on; 50 if left out.
    #[serde(default = "max_tracks")]
    #[garde(range(min = 1, max = 500))]
    max_tracks: u32,
}

fn max_tracks() -> u32 {
    50
}

/// Tags and artists in the figures.
const TOP: usize = 8;

/// Finds out what a playlist is like.
pub(super) fn tool() -> Tool {
    Tool::reading(
        "analyze_playlist",
        "Analyses a playlist: how long it is, its years, tempo (BPM), most frequent tags and \
         artists, and each track with tempo and tags. Takes a while for tracks that were never \
         looked up; use get_playlist_tracks where titles are enough.",
        |input, context| analyze(input, context).boxed(),
    )
}

async fn analyze(input: Input, context: &ToolContext<'_>) -> Outcome {
    context.output.thinking("Reading the playlist");
    let read = context.read_playlist(&input.playlist_id, 0..input.max_tracks);
    let (playlist, entries) = read.await?;
    let tracks: Vec<Track> = entries.into_iter().map(|(_, track)| track).collect();
    let enriched = context.enrich(&tracks).await;
    let report = figures(&playlist, &enriched.tracks);
    Ok(super::with_gaps(report, &enriched))
}

/// What the tracks have in common, in figures and in a sentence.
fn figures(playlist: &Playlist, all: &[EnrichedTrack]) -> Report {
    let millis = all.iter().filter_map(|found| found.track.duration_ms);
    let millis = millis.fold(0, u64::saturating_add);
    let bpms: Vec<f32> = all.iter().filter_map(|found| found.bpm).collect();
    let years: Vec<u16> = all.iter().filter_map(|found| found.track.year).collect();
    let tags = all.iter().flat_map(|found| &found.tags);
    let tags = most(tags.map(String::as_str), TOP);
    let artists = all.iter().map(|found| found.track.artist());
    let artists = most(artists.filter(|artist| !artist.is_empty()), TOP);
    let (tempo_span, year_span) = (span(&bpms), span(&years));
    let mut summary = format!(
        "Playlist \"{}\": {} of its {} tracks, {}",
        name(&playlist.name),
        all.len(),
        playlist.total,
        playing_time(millis),
    );
    summary += &in_words(tempo_span, year_span, &tags);
    let counted = |counts: Vec<(String, usize)>| -> Value {
        let count = |(word, count): (String, usize)| json!({"name": name(&word), "tracks": count});
        counts.into_iter().map(count).collect()
    };
    let mut report = Report {
        tracks: all.iter().map(tracks::enriched).collect(),
        ..Report::new(summary)
            .with("playlistId", playlist.id.as_str())
            .with("total", playlist.total)
            .with("durationMs", millis)
            .with("tags", counted(tags))
            .with("artists", counted(artists))
    };
    if let Some((low, middle, high)) = tempo_span {
        let [min, median, max] = [low, middle, high].map(tempo);
        let known = bpms.len();
        report = report.with(
            "bpm",
            json!({"min": min, "median": median, "max": max, "tracks": known}),
        );
    }
    if let Some((min, median, max)) = year_span {
        report = report.with("years", json!({"min": min, "median": median, "max": max}));
    }
    report
}

/// The same figures as the rest of a sentence.
fn in_words(
    tempo: Option<Span<f32>>,
    years: Option<Span<u16>>,
    tags: &[(String, usize)],
) -> String {
    let mut words = String::new();
    if let Some((low, middle, high)) = tempo {
        let (low, middle, high) = (low.round(), middle.round(), high.round());
        words += &format!("; {low} to {high} BPM, median {middle}");
    }
    if let Some((low, _, high)) = years {
        words += &format!("; from {low} to {high}");
    }
    if !tags.is_empty() {
        let names: Vec<_> = tags.iter().take(3).map(|(tag, _)| name(tag)).collect();
        words += &format!("; mostly {}", names.join(", "));
    }
    words
}

/// The least, the middle and the greatest.
type Span<T> = (T, T, T);

fn span<T: PartialOrd + Copy>(values: &[T]) -> Option<Span<T>> {
    let by = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
    let least = values.iter().copied().min_by(by)?;
    let greatest = values.iter().copied().max_by(by)?;
    Some((least, median(values.iter().copied())?, greatest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{ArtistRef, Track};

    fn found(n: u16) -> EnrichedTrack {
        EnrichedTrack {
            track: Track {
                id: format!("t{n}"),
                title: format!("Title {n}"),
                artists: vec![ArtistRef {
                    id: String::new(),
                    name: format!("Artist {}", n % 2),
                }],
                year: Some(1990 + n),
                duration_ms: Some(180_000),
                ..Track::default()
            },
            bpm: (n > 0).then_some(100.0 + f32::from(n)),
            tags: vec!["Soul".into(), format!("tag {n}")],
            listeners: None,
            playcount: None,
        }
    }

    #[test]
    fn a_playlist_in_figures() {
        let playlist = Playlist {
            id: "p1".into(),
            name: "Rain".into(),
            total: 9,
            ..Playlist::default()
        };
        let all: Vec<_> = (0..4).map(found).collect();
        let report = figures(&playlist, &all);
        assert_eq!(
            report.summary,
            "Playlist \"Rain\": 4 of its 9 tracks, 12 min; 101 to 103 BPM, median 102; from 1990 \
             to 1993; mostly Soul, tag 0, tag 1"
        );
        let bpm = json!({"min": 101.0, "median": 102.0, "max": 103.0, "tracks": 3});
        assert_eq!(report.facts["bpm"], bpm);
        assert_eq!(
            report.facts["artists"][0],
            json!({"name": "Artist 0", "tracks": 2})
        );
        assert_eq!(report.tracks.len(), 4);
    }

    #[test]
    fn lengths_of_nonsense_are_no_trouble() {
        let endless = |n| {
            let mut endless = found(n);
            endless.track.duration_ms = Some(u64::MAX);
            endless
        };
        let report = figures(&Playlist::default(), &[endless(0), endless(1)]);
        assert_eq!(report.facts["durationMs"], u64::MAX);
    }

    #[test]
    fn an_empty_playlist_is_no_trouble() {
        let report = figures(&Playlist::default(), &[]);
        assert_eq!(report.summary, "Playlist \"\": 0 of its 0 tracks, 0 min");
        assert_eq!(report.facts.get("bpm"), None);
    }
}
