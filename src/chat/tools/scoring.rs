//! How well a track goes with others, from what catalogues say of both.

use std::collections::HashMap;

use super::tracks::{median, most};
use crate::enrich::EnrichedTrack;

/// What the wanted tracks are like.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    /// Genres and tags in lower case, each with its weight: the strongest 1.
    pub(super) styles: HashMap<String, f64>,
    /// Names in lower case.
    pub(super) artists: Vec<String>,
    pub(super) year: Option<u16>,
    pub(super) bpm: Option<f32>,
}

/// A track that may go with them.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) found: EnrichedTrack,
    /// The genre that it was found by.
    pub(super) genre: Option<String>,
}

/// How well it goes with them, from 0 to 1, and by what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Score {
    pub(super) value: f64,
    pub(super) why: Vec<String>,
}

const STYLE: f64 = 0.40;
const TEMPO: f64 = 0.25;
const YEAR: f64 = 0.15;
const ARTIST: f64 = 0.10;
const POPULARITY: f64 = 0.10;

/// What is not known counts a little less than half.
const UNKNOWN: f64 = 0.4;

/// Beyond these distances nothing is left of the likeness.
const FAR_BPM: f64 = 30.0;
const FAR_YEARS: f64 = 20.0;

/// Styles that are kept of a profile.
const MAX_STYLES: usize = 12;

impl Profile {
    /// What `seeds` and `genres` have in common.
    pub(super) fn from_seeds(seeds: &[EnrichedTrack], genres: &[String]) -> Self {
        let tags = seeds.iter().flat_map(|seed| &seed.tags);
        let styles = most(genres.iter().chain(tags).map(String::as_str), MAX_STYLES);
        let strongest = styles.first().map_or(1.0, |(_, count)| *count as f64);
        let weigh =
            |(style, count): (String, usize)| (style.to_lowercase(), count as f64 / strongest);
        let artists = seeds.iter().map(|seed| seed.track.artist().to_lowercase());
        Self {
            styles: styles.into_iter().map(weigh).collect(),
            artists: artists.filter(|artist| !artist.is_empty()).collect(),
            year: median(seeds.iter().filter_map(|seed| seed.track.year)),
            bpm: median(seeds.iter().filter_map(|seed| seed.bpm)),
        }
    }

    /// How well `candidate` goes with it.
    pub(super) fn score(&self, candidate: &Candidate) -> Score {
        let mut why = Vec::new();
        let track = &candidate.found.track;
        let artist = track.artist().to_lowercase();
        let popularity = track.popularity.map(|of_100| f64::from(of_100) / 100.0);
        let same_artist = self.artists.contains(&artist);
        if same_artist {
            why.push("same artist".to_owned());
        }
        let parts = [
            (STYLE, self.style(candidate, &mut why)),
            (TEMPO, self.tempo(candidate, &mut why)),
            (YEAR, self.era(candidate, &mut why)),
            (ARTIST, Some(f64::from(u8::from(same_artist)))),
            (POPULARITY, popularity),
        ];
        let sum = parts
            .iter()
            .map(|(weight, part)| weight * part.unwrap_or(UNKNOWN));
        Score {
            value: sum.sum(),
            why,
        }
    }

    fn style(&self, candidate: &Candidate, why: &mut Vec<String>) -> Option<f64> {
        let tags = candidate.found.tags.iter().chain(&candidate.genre);
        let mut styles: Vec<String> = tags.map(|tag| tag.to_lowercase()).collect();
        styles.sort();
        styles.dedup();
        if styles.is_empty() || self.styles.is_empty() {
            return None;
        }
        let mut shared: Vec<_> = styles
            .into_iter()
            .filter_map(|style| Some((*self.styles.get(&style)?, style)))
            .collect();
        shared.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        why.extend(shared.iter().take(2).map(|(_, style)| style.clone()));
        // Two strong ones in common are as good as it gets.
        let sum: f64 = shared.iter().map(|(weight, _)| weight).sum();
        Some((sum / 2.0).min(1.0))
    }

    fn tempo(&self, candidate: &Candidate, why: &mut Vec<String>) -> Option<f64> {
        let (wanted, bpm) = (f64::from(self.bpm?), f64::from(candidate.found.bpm?));
        // Twice as fast is the same beat, counted differently.
        let distances = [bpm, bpm * 2.0, bpm / 2.0].map(|bpm| (bpm - wanted).abs());
        let distance = distances.into_iter().fold(f64::MAX, f64::min);
        if distance <= FAR_BPM / 3.0 {
            why.push(format!("{} BPM", bpm.round()));
        }
        Some(near(distance, FAR_BPM))
    }

    fn era(&self, candidate: &Candidate, why: &mut Vec<String>) -> Option<f64> {
        let (wanted, year) = (self.year?, candidate.found.track.year?);
        let distance = f64::from(wanted.abs_diff(year));
        if distance <= FAR_YEARS / 4.0 {
            why.push(format!("from {year}"));
        }
        Some(near(distance, FAR_YEARS))
    }
}

/// 1 at no distance, 0 at `far` and beyond.
fn near(distance: f64, far: f64) -> f64 {
    (1.0 - distance / far).max(0.0)
}

/// The best `limit` of `candidates`, at most `per_artist` of each artist, best
/// first; of equals, the one that was found first.
pub(super) fn best(
    profile: &Profile,
    candidates: Vec<Candidate>,
    limit: usize,
    per_artist: usize,
) -> Vec<(Candidate, Score)> {
    let scored = candidates.into_iter().map(|candidate| {
        let score = profile.score(&candidate);
        (candidate, score)
    });
    let mut scored: Vec<_> = scored.collect();
    scored.sort_by(|(_, a), (_, b)| b.value.total_cmp(&a.value));
    let mut of_artist: HashMap<String, usize> = HashMap::new();
    let another = |(candidate, _): &(Candidate, Score)| {
        let artist = candidate.found.track.artist().to_lowercase();
        let count = of_artist.entry(artist).or_default();
        *count += 1;
        *count <= per_artist
    };
    scored.into_iter().filter(another).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{ArtistRef, Track};
    use proptest::prelude::*;

    fn track(artist: &str, year: u16, bpm: Option<f32>, tags: &[&str]) -> EnrichedTrack {
        EnrichedTrack {
            track: Track {
                artists: vec![ArtistRef {
                    id: String::new(),
                    name: artist.into(),
                }],
                year: Some(year),
                popularity: Some(50),
                ..Track::default()
            },
            bpm,
            tags: tags.iter().map(ToString::to_string).collect(),
            listeners: None,
            playcount: None,
        }
    }

    fn candidate(artist: &str, year: u16, bpm: Option<f32>, tags: &[&str]) -> Candidate {
        Candidate {
            found: track(artist, year, bpm, tags),
            genre: None,
        }
    }

    fn profile() -> Profile {
        let seeds = [
            track("One", 1990, Some(100.0), &["Soul", "warm"]),
            track("Two", 1992, Some(104.0), &["soul"]),
            track("Three", 1994, Some(110.0), &["soul", "jazz"]),
        ];
        Profile::from_seeds(&seeds, &["Soul".into()])
    }

    #[test]
    fn a_profile_is_what_the_seeds_share() {
        let profile = profile();
        assert_eq!((profile.year, profile.bpm), (Some(1992), Some(104.0)));
        assert_eq!(profile.styles["soul"], 1.0);
        assert_eq!(profile.styles["jazz"], 0.25);
        assert_eq!(profile.artists, ["one", "two", "three"]);
    }

    #[test]
    fn what_is_nearer_scores_higher() {
        let profile = profile();
        let score = |candidate: &Candidate| profile.score(candidate).value;
        let near = candidate("Four", 1991, Some(103.0), &["soul", "jazz"]);
        let far = [
            candidate("Four", 1991, Some(103.0), &["metal"]),
            candidate("Four", 1991, Some(160.0), &["soul", "jazz"]),
            candidate("Four", 2020, Some(103.0), &["soul", "jazz"]),
        ];
        for far in far {
            assert!(score(&near) > score(&far), "{far:?}");
        }
        let why = profile.score(&near).why;
        assert_eq!(why, ["soul", "jazz", "103 BPM", "from 1991"]);
    }

    #[test]
    fn half_and_double_tempo_are_the_same_beat() {
        let profile = profile();
        let score = |bpm| profile.score(&candidate("x", 1992, Some(bpm), &[])).value;
        assert_eq!(score(52.0), score(104.0));
        assert_eq!(score(208.0), score(104.0));
        assert!(score(78.0) < score(104.0));
    }

    #[test]
    fn one_artist_does_not_take_every_place() {
        let all = vec![candidate("One", 1992, Some(104.0), &["soul"]); 5];
        let other = candidate("Other", 2020, None, &[]);
        let all = all.into_iter().chain([other]).collect();
        let best = best(&profile(), all, 5, 2);
        let artists: Vec<_> = best
            .iter()
            .map(|(candidate, _)| candidate.found.track.artist())
            .collect();
        assert_eq!(artists, ["One", "One", "Other"]);
    }

    proptest! {
        #[test]
        fn a_score_is_between_0_and_1(
            year in any::<u16>(),
            bpm in proptest::option::of(0.0..1_000.0f32),
            tags in proptest::collection::vec("[a-z]{1,4}|soul|jazz", 0..6),
        ) {
            let tags: Vec<_> = tags.iter().map(String::as_str).collect();
            let score = profile().score(&candidate("One", year, bpm, &tags)).value;
            prop_assert!((0.0..=1.0).contains(&score), "{}", score);
        }
    }
}
