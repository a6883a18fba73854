//! `get_recommendations`.
//!
//! Spotify's own recommendations are closed to new applications. These are made
//! from what is open: the catalogue is searched by the seeds' genres and
//! artists, and what is found is ranked by how well it goes with the seeds.

use std::collections::HashSet;

use futures::FutureExt;
use futures::future::{join_all, try_join};
use garde::Validate;
use serde::Deserialize;

use super::input::Name;
use super::scoring::{Candidate, Profile, Score, best};
use super::tracks::{enriched, most};
use super::{Outcome, Report, Tool, ToolContext, unfit};
use crate::enrich::EnrichedTrack;
use crate::error::ErrorObject;
use crate::music::Track;
use spinlane_client::UpstreamError;

#[derive(Deserialize, Validate)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    /// Tracks that the results should go with.
    #[garde(length(min = 1, max = 5), dive)]
    track_ids: Option<Vec<Name>>,
    /// A playlist that the results should go with.
    #[garde(dive)]
    playlist_id: Option<Name>,
    /// Names of artists to look round.
    #[garde(length(min = 1, max = 5), dive)]
    artists: Option<Vec<Name>>,
    /// Genres to look in.
    #[garde(length(min = 1, max = 5), dive)]
    genres: Option<Vec<Name>>,
    /// The tempo that is wanted; the seeds' own if left out.
    #[garde(range(min = 40.0, max = 250.0))]
    bpm: Option<f32>,
    /// The earliest year.
    #[garde(range(min = 1900, max = 2100))]
    from_year: Option<u16>,
    /// The latest year.
    #[garde(range(min = 1900, max = 2100))]
    to_year: Option<u16>,
    /// How many tracks at most; 10 if left out.
    #[serde(default = "limit")]
    #[garde(range(min = 1, max = 20))]
    limit: usize,
}

fn limit() -> usize {
    10
}

/// The same, with nothing where nothing was given.
struct Wanted {
    track_ids: Vec<String>,
    playlist_id: Option<String>,
    artists: Vec<String>,
    genres: Vec<String>,
    bpm: Option<f32>,
    from_year: Option<u16>,
    to_year: Option<u16>,
    limit: usize,
}

impl From<Input> for Wanted {
    fn from(input: Input) -> Self {
        let texts = |names: Option<Vec<Name>>| -> Vec<String> {
            let names = names.into_iter().flatten();
            names.map(|Name(text)| text).collect()
        };
        Self {
            track_ids: texts(input.track_ids),
            playlist_id: input.playlist_id.map(|Name(id)| id),
            artists: texts(input.artists),
            genres: texts(input.genres),
            bpm: input.bpm,
            from_year: input.from_year,
            to_year: input.to_year,
            limit: input.limit,
        }
    }
}

/// Tracks of a playlist that are looked at, and of these the seeds whose tempo
/// and tags are looked up.
const PLAYLIST: u32 = 100;
const SEEDS: usize = 8;

/// Genres and artists that are searched by.
const GENRES: usize = 3;
const ARTISTS: usize = 3;

/// Tracks of each search.
const FOUND: u32 = 10;

/// Places that one artist may take.
const PER_ARTIST: usize = 2;

/// Years round the seeds' own that are searched.
const YEARS: u16 = 5;

/// Finds tracks that go with others.
pub(super) fn tool() -> Tool {
    Tool::reading(
        "get_recommendations",
        "Finds tracks that go with a playlist, with some tracks, artists or genres, by style, \
         tempo and time. None of the given tracks is among them. Without any of these it goes by \
         the playlist that the user has open.",
        |input: Input, context| recommend(input.into(), context).boxed(),
    )
}

/// What the results should go with.
struct Seeds {
    tracks: Vec<Track>,
    /// What must not be among the results.
    known: Vec<Track>,
}

/// One search, and the genre that its results then have.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    text: String,
    genre: Option<String>,
}

async fn recommend(mut wanted: Wanted, context: &ToolContext<'_>) -> Outcome {
    let seeds = seeds(&wanted, context).await?;
    context.output.thinking("Looking for tracks that fit");
    let (derived, sample) = futures::future::join(
        genres(&seeds.tracks, context),
        context.enrich(&spread(&seeds.tracks, SEEDS)),
    )
    .await;
    let artists = most(seeds.tracks.iter().map(Track::artist), ARTISTS);
    wanted
        .artists
        .extend(artists.into_iter().map(|(artist, _)| artist));
    wanted.genres.extend(derived);
    let mut profile = Profile::from_seeds(&sample.tracks, &wanted.genres);
    profile.bpm = wanted.bpm.or(profile.bpm);
    let years = years(&wanted, &sample.tracks);
    let queries = queries(&wanted, &profile, years);
    let found = search(&queries, context).await?;
    let found = fresh(found, &seeds.known, years.filter(|_| wanted.gives_years()));
    let searched = found.len();
    // Ranked by what is known already: only the better ones are looked up.
    let first = best(&profile, found, 2 * wanted.limit, PER_ARTIST);
    let tracks = first
        .iter()
        .map(|(candidate, _)| candidate.found.track.clone());
    let looked_up = context.enrich(&tracks.collect::<Vec<_>>()).await;
    let genres = first.into_iter().map(|(candidate, _)| candidate.genre);
    let candidates = looked_up.tracks.iter().cloned().zip(genres);
    let candidates = candidates.map(|(found, genre)| Candidate { found, genre });
    let best = best(&profile, candidates.collect(), wanted.limit, PER_ARTIST);
    Ok(super::with_gaps(report(&best, searched), &looked_up))
}

fn report(best: &[(Candidate, Score)], searched: usize) -> Report {
    let entry = |(candidate, score): &(Candidate, Score)| {
        let mut entry = enriched(&candidate.found);
        entry.detail["score"] = ((score.value * 100.0).round() / 100.0).into();
        entry.detail["why"] = score.why.join(", ").into();
        entry
    };
    let summary = match best.is_empty() {
        true => "Nothing in the catalogue goes with that".to_owned(),
        false => format!("The {} best of {searched} tracks looked at", best.len()),
    };
    Report {
        tracks: best.iter().map(entry).collect(),
        ..Report::new(summary)
    }
}

impl Wanted {
    fn gives_years(&self) -> bool {
        self.from_year.is_some() || self.to_year.is_some()
    }
}

async fn seeds(wanted: &Wanted, context: &ToolContext<'_>) -> Result<Seeds, ErrorObject> {
    let ids: Vec<_> = wanted.track_ids.iter().map(String::as_str).collect();
    let nothing = ids.is_empty() && wanted.artists.is_empty() && wanted.genres.is_empty();
    let open = context.playlist.filter(|_| nothing);
    let playlist = wanted.playlist_id.as_deref().or(open);
    if nothing && playlist.is_none() {
        return Err(unfit("give trackIds, a playlistId, artists or genres"));
    }
    let tracks = async {
        let tracks = context.spotify().tracks(&ids).await?;
        Ok::<_, UpstreamError>(tracks.into_iter().flatten().collect::<Vec<_>>())
    };
    let of_playlist = async {
        match playlist {
            Some(id) => context.spotify().playlist_entries(id, 0..PLAYLIST).await,
            None => Ok(Vec::new()),
        }
    };
    let both = try_join(tracks, of_playlist).await;
    let (tracks, of_playlist) = both.map_err(|error| error.object())?;
    let of_playlist: Vec<Track> = of_playlist.into_iter().map(|(_, track)| track).collect();
    if !ids.is_empty() && tracks.is_empty() {
        return Err(unfit("the catalogue has none of these tracks"));
    }
    let known = tracks.iter().chain(&of_playlist).cloned().collect();
    Ok(Seeds {
        tracks: if tracks.is_empty() {
            of_playlist
        } else {
            tracks
        },
        known,
    })
}

/// The genres of the most frequent artists, the most frequent first. Without
/// them there is still enough to go by.
async fn genres(tracks: &[Track], context: &ToolContext<'_>) -> Vec<String> {
    let artists = most(tracks.iter().map(Track::artist), ARTISTS);
    let id = |(name, _): &(String, usize)| {
        let mut all = tracks.iter().filter_map(|track| track.artists.first());
        let artist = all.find(|artist| artist.name == *name)?;
        Some(artist.id.as_str()).filter(|id| !id.is_empty())
    };
    let ids: Vec<&str> = artists.iter().filter_map(id).collect();
    let artists = context.spotify().artists(&ids).await.unwrap_or_default();
    let genres = artists
        .into_iter()
        .flatten()
        .flat_map(|artist| artist.genres);
    let genres: Vec<String> = genres.collect();
    let genres = most(genres.iter().map(String::as_str), GENRES);
    genres.into_iter().map(|(genre, _)| genre).collect()
}

/// `count` of `tracks`, evenly from all of them.
fn spread(tracks: &[Track], count: usize) -> Vec<Track> {
    let step = tracks.len().div_ceil(count).max(1);
    tracks.iter().step_by(step).cloned().collect()
}

/// What was asked for; else the seeds' own time and a little more.
fn years(wanted: &Wanted, seeds: &[EnrichedTrack]) -> Option<(u16, u16)> {
    if wanted.gives_years() {
        let (from, to) = (
            wanted.from_year.unwrap_or(1900),
            wanted.to_year.unwrap_or(2100),
        );
        return Some((from, to.max(from)));
    }
    let years = || seeds.iter().filter_map(|seed| seed.track.year);
    let (first, last) = (years().min()?, years().max()?);
    Some((first.saturating_sub(YEARS), last.saturating_add(YEARS)))
}

fn queries(wanted: &Wanted, profile: &Profile, years: Option<(u16, u16)>) -> Vec<Query> {
    let clean = |text: &str| text.replace(['"', ':'], " ").trim().to_owned();
    let years = years.map(|(from, to)| format!(" year:{from}-{to}"));
    let years = years.unwrap_or_default();
    let mut seen = HashSet::new();
    let mut fresh = |text: &&String| seen.insert(text.to_lowercase());
    let genres = wanted.genres.iter().filter(&mut fresh).take(GENRES);
    let genres = genres.map(|genre| Query {
        text: format!("genre:\"{}\"{years}", clean(genre)),
        genre: Some(genre.clone()),
    });
    let mut queries: Vec<Query> = genres.collect();
    let artists = wanted.artists.iter().filter(|artist| !artist.is_empty());
    let artists = artists.filter(&mut fresh).take(ARTISTS);
    queries.extend(artists.map(|artist| Query {
        text: format!("artist:\"{}\"", clean(artist)),
        genre: None,
    }));
    if queries.iter().all(|query| query.genre.is_none()) {
        let mut tags: Vec<_> = profile.styles.iter().collect();
        tags.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
        queries.extend(tags.into_iter().take(2).map(|(tag, _)| Query {
            text: format!("{}{years}", clean(tag)),
            genre: None,
        }));
    }
    queries
}

/// All that the searches find. Some may fail.
async fn search(
    queries: &[Query],
    context: &ToolContext<'_>,
) -> Result<Vec<Candidate>, ErrorObject> {
    let searches = queries.iter().map(|query| async move {
        let found = context
            .spotify()
            .search_tracks(&query.text, FOUND, 0)
            .await?;
        let candidate = |track| Candidate {
            found: plain(track),
            genre: query.genre.clone(),
        };
        Ok::<_, UpstreamError>(found.items.into_iter().map(candidate).collect::<Vec<_>>())
    });
    let mut all = Vec::new();
    let (mut failed, mut good) = (None, queries.is_empty());
    for found in join_all(searches).await {
        match found {
            Ok(found) => {
                good = true;
                all.extend(found);
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if !good => Err(error.object()),
        _ => Ok(all),
    }
}

/// A track of which nothing else is known yet.
fn plain(track: Track) -> EnrichedTrack {
    EnrichedTrack {
        track,
        bpm: None,
        tags: Vec::new(),
        listeners: None,
        playcount: None,
    }
}

/// Each track once, none of `known`, and only of `years` where those were asked
/// for. The same song on another album is the same.
fn fresh(found: Vec<Candidate>, known: &[Track], years: Option<(u16, u16)>) -> Vec<Candidate> {
    let song = |track: &Track| (track.title.to_lowercase(), track.artist().to_lowercase());
    let mut ids: HashSet<String> = known.iter().map(|track| track.id.clone()).collect();
    let mut songs: HashSet<_> = known.iter().map(song).collect();
    let mut found = found;
    found.retain(|Candidate { found, .. }| {
        let track = &found.track;
        let in_time = match (years, track.year) {
            (Some((from, to)), Some(year)) => (from..=to).contains(&year),
            _ => true,
        };
        in_time && ids.insert(track.id.clone()) && songs.insert(song(track))
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::ArtistRef;
    use serde_json::{Value, json};

    fn track(id: &str, title: &str, artist: &str, year: u16) -> Track {
        Track {
            id: id.into(),
            title: title.into(),
            artists: vec![ArtistRef {
                id: String::new(),
                name: artist.into(),
            }],
            year: Some(year),
            ..Track::default()
        }
    }

    fn wanted(value: Value) -> Wanted {
        serde_json::from_value::<Input>(value).unwrap().into()
    }

    #[test]
    fn searches_go_by_genre_then_artist() {
        let asked = wanted(json!({
            "genres": ["Indie \"Folk\"", "soul", "SOUL"], "artists": ["A:B", "", "C"],
        }));
        let queries = queries(&asked, &Profile::default(), Some((1990, 1999)));
        let texts: Vec<_> = queries.iter().map(|query| query.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "genre:\"Indie  Folk\" year:1990-1999",
                "genre:\"soul\" year:1990-1999",
                "artist:\"A B\"",
                "artist:\"C\"",
            ]
        );
        assert_eq!(queries[1].genre.as_deref(), Some("soul"));
    }

    #[test]
    fn without_genres_it_goes_by_tags() {
        let styles = [("warm", 0.5), ("soul", 1.0), ("slow", 0.5)];
        let styles = styles.map(|(style, weight)| (style.to_owned(), weight));
        let profile = Profile {
            styles: styles.into(),
            ..Profile::default()
        };
        let queries = queries(&wanted(json!({"artists": ["C"]})), &profile, None);
        let texts: Vec<_> = queries.iter().map(|query| query.text.as_str()).collect();
        assert_eq!(texts, ["artist:\"C\"", "soul", "slow"]);
    }

    #[test]
    fn nothing_known_comes_back_and_nothing_twice() {
        let candidate = |track| Candidate {
            found: plain(track),
            genre: None,
        };
        let found = [
            track("1", "Known", "A", 1990),
            track("2", "known", "a", 1990),
            track("3", "New", "A", 1990),
            track("4", "new", "A", 1991),
            track("3", "New", "A", 1990),
            track("5", "Other", "B", 2020),
        ];
        let found = || found.clone().map(candidate).into();
        let known = [track("1", "Known", "A", 1990)];
        let ids = |found: Vec<Candidate>| {
            let ids = found.into_iter().map(|candidate| candidate.found.track.id);
            ids.collect::<Vec<_>>()
        };
        assert_eq!(ids(fresh(found(), &known, None)), ["3", "5"]);
        assert_eq!(ids(fresh(found(), &known, Some((1980, 1995)))), ["3"]);
    }

    #[test]
    fn years_are_those_asked_for_or_those_of_the_seeds() {
        let seeds = [1990, 1995].map(|year| plain(track("1", "x", "y", year)));
        assert_eq!(years(&wanted(json!({})), &seeds), Some((1985, 2000)));
        assert_eq!(
            years(&wanted(json!({"fromYear": 2001})), &seeds),
            Some((2001, 2100))
        );
        assert_eq!(years(&wanted(json!({})), &[]), None);
    }

    #[test]
    fn seeds_are_taken_from_all_of_a_playlist() {
        let all: Vec<_> = (0..20)
            .map(|n| track(&n.to_string(), "x", "y", 1990))
            .collect();
        let ids: Vec<_> = spread(&all, 8).into_iter().map(|track| track.id).collect();
        assert_eq!(ids, ["0", "3", "6", "9", "12", "15", "18"]);
        assert_eq!(spread(&all[..2], 8).len(), 2);
        assert_eq!(spread(&[], 8).len(), 0);
    }
}
