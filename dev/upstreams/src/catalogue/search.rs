//! Finding songs the way Spotify's search does, as far as it is documented:
//! words, and the filters `track:`, `artist:`, `album:`, `genre:`, `year:` and
//! `isrc:`.

use std::collections::{BTreeMap, HashMap};

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::Catalogue;

/// Without case, accents and punctuation, words apart by one space.
pub(crate) fn fold(text: &str) -> String {
    let plain = text.nfkd().filter(|c| !is_combining_mark(*c));
    let plain = plain.flat_map(char::to_lowercase);
    let spaced: String = plain
        .map(|c| match c {
            'ø' => 'o',
            'ł' => 'l',
            'ı' => 'i',
            c if c.is_alphanumeric() => c,
            _ => ' ',
        })
        .collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ")
}

/// What songs are found by.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// For each word the songs that have it, and how much that means.
    words: BTreeMap<String, Vec<(usize, u64)>>,
    /// Of each song, folded.
    haystacks: Vec<Haystack>,
}

/// What filters look at.
#[derive(Debug)]
struct Haystack {
    title: String,
    artists: String,
    album: String,
    genres: String,
}

impl Index {
    pub(super) fn new(catalogue: &Catalogue) -> Self {
        let mut this = Self::default();
        let artists: Vec<String> = folded(catalogue.artists.iter().map(|artist| &*artist.name));
        let albums: Vec<String> = folded(catalogue.albums.iter().map(|album| &*album.name));
        let genres = catalogue
            .artists
            .iter()
            .map(|artist| artist.genres.join(" "));
        let genres: Vec<String> = genres.map(|genres| padded(&genres)).collect();
        for (at, track) in catalogue.tracks.iter().enumerate() {
            let of_artists = |texts: &[String]| -> String {
                track.artists.iter().map(|at| texts[*at].as_str()).collect()
            };
            let haystack = Haystack {
                title: padded(&track.title),
                artists: of_artists(&artists),
                album: albums[track.album].clone(),
                genres: of_artists(&genres),
            };
            let moods = track.words.join(" ");
            for (text, weight) in [
                (&haystack.title, 40),
                (&haystack.artists, 40),
                (&haystack.genres, 25),
                (&moods, 20),
                (&haystack.album, 10),
            ] {
                for word in text.split_whitespace() {
                    let songs = this.words.entry(word.to_owned()).or_default();
                    if songs.last().is_none_or(|(last, _)| *last != at) {
                        songs.push((at, weight));
                    }
                }
            }
            this.haystacks.push(haystack);
        }
        this
    }

    /// How well the songs fit that have at least half of `words`.
    fn scores(&self, words: &[String]) -> HashMap<usize, u64> {
        let mut scores: HashMap<usize, (u64, usize)> = HashMap::new();
        for word in words {
            let mut best: HashMap<usize, u64> = HashMap::new();
            let beginning = self.words.range(word.clone()..);
            for (_, songs) in beginning.take_while(|(known, _)| known.starts_with(word)) {
                for (at, weight) in songs {
                    let known = best.entry(*at).or_default();
                    *known = (*known).max(*weight);
                }
            }
            for (at, weight) in best {
                let (score, found) = scores.entry(at).or_default();
                *score += weight + 20;
                *found += 1;
            }
        }
        scores.retain(|_, (_, found)| 2 * *found >= words.len());
        scores
            .into_iter()
            .map(|(at, (score, _))| (at, score))
            .collect()
    }
}

fn folded<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    texts.map(padded).collect()
}

/// Folded, with a space before each word, so that words are found by their
/// beginnings.
fn padded(text: &str) -> String {
    format!(" {}", fold(text))
}

/// A query, read.
#[derive(Debug, Default, PartialEq)]
struct Query {
    words: Vec<String>,
    filters: Vec<(Field, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Track,
    Artist,
    Album,
    Genre,
    Year,
    Isrc,
    Other,
}

const FIELDS: [(&str, Field); 9] = [
    ("track:", Field::Track),
    ("artist:", Field::Artist),
    ("album:", Field::Album),
    ("genre:", Field::Genre),
    ("year:", Field::Year),
    ("isrc:", Field::Isrc),
    ("upc:", Field::Other),
    ("tag:", Field::Other),
    ("name:", Field::Track),
];

/// A filter's value goes on to the next filter, or is quoted.
fn parse(text: &str) -> Query {
    let mut query = Query::default();
    let mut open: Option<(Field, Vec<&str>)> = None;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let field = FIELDS.iter().find_map(|(name, field)| {
            let head = rest.get(..name.len())?;
            head.eq_ignore_ascii_case(name)
                .then(|| (*field, &rest[name.len()..]))
        });
        if let Some((field, after)) = field {
            query
                .filters
                .extend(open.take().map(|(field, words)| (field, words.join(" "))));
            rest = after.trim_start();
            if let Some((value, after)) = quoted(rest) {
                query.filters.push((field, value.to_owned()));
                rest = after.trim_start();
            } else {
                open = Some((field, Vec::new()));
            }
            continue;
        }
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match &mut open {
            Some((_, words)) => words.push(word),
            None => query.words.extend(fold(word).split(' ').map(str::to_owned)),
        }
        rest = after.trim_start();
    }
    query
        .filters
        .extend(open.map(|(field, words)| (field, words.join(" "))));
    query
        .words
        .retain(|word| !word.is_empty() && word != "or" && word != "not");
    query
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?.split_once('"')
}

impl Catalogue {
    /// The songs that `query` is about, the best first.
    pub(crate) fn search(&self, query: &str) -> Vec<usize> {
        let query = parse(query);
        if query.words.is_empty() && query.filters.is_empty() {
            return Vec::new();
        }
        let filters: Vec<(Field, String)> = query
            .filters
            .into_iter()
            .map(|(field, value)| match field {
                Field::Year => (field, value),
                Field::Isrc => (field, value.to_uppercase()),
                _ => (field, padded(&value)),
            })
            .collect();
        let mut found: Vec<(u64, usize)> = match query.words.as_slice() {
            [] => (0..self.tracks.len()).map(|at| (0, at)).collect(),
            words => {
                let scores = self.index.scores(words).into_iter();
                scores.map(|(at, score)| (score, at)).collect()
            }
        };
        found.retain(|(_, at)| {
            let mut filters = filters.iter();
            filters.all(|(field, value)| self.passes(*at, *field, value))
        });
        for (score, at) in &mut found {
            *score = *score * 1_000 + self.tracks[*at].popularity;
        }
        found.sort_by_key(|(score, at)| (std::cmp::Reverse(*score), *at));
        found.into_iter().map(|(_, at)| at).collect()
    }

    /// The artists that `query` is about, the best first.
    pub(crate) fn search_artists(&self, query: &str) -> Vec<usize> {
        let mut artists = Vec::new();
        for track in self.search(query) {
            let main = self.tracks[track].artists[0];
            if !artists.contains(&main) {
                artists.push(main);
            }
        }
        artists
    }

    fn passes(&self, at: usize, field: Field, value: &str) -> bool {
        let (track, haystack) = (&self.tracks[at], &self.index.haystacks[at]);
        match field {
            Field::Track => haystack.title.contains(value),
            Field::Artist => haystack.artists.contains(value),
            Field::Album => haystack.album.contains(value),
            Field::Genre => haystack.genres.contains(value),
            Field::Year => in_years(track.year, value),
            Field::Isrc => track.isrc.as_deref() == Some(value),
            Field::Other => true,
        }
    }
}

/// `1999` or `1990-1999`.
fn in_years(year: u64, value: &str) -> bool {
    let (from, to) = value.split_once('-').unwrap_or((value, value));
    match (from.trim().parse(), to.trim().parse::<u64>()) {
        (Ok(from), Ok(to)) => (from..=to).contains(&year),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let query = parse("slow rain artist:Ida Veld track:\"Salt on\" year:1990-1999");
        assert_eq!(query.words, ["slow", "rain"]);
        let filters = [
            (Field::Artist, "Ida Veld".to_owned()),
            (Field::Track, "Salt on".to_owned()),
            (Field::Year, "1990-1999".to_owned()),
        ];
        assert_eq!(query.filters, filters);
        assert_eq!(parse("  "), Query::default());
        assert_eq!(parse("é \"").words, ["e"]);
    }

    #[test]
    fn folding_takes_away_what_people_do_not_type() {
        assert_eq!(fold("  Søvnløs—BY!  "), "sovnlos by");
        assert_eq!(fold("Élodie (feat. Ñu)"), "elodie feat nu");
        assert_eq!(fold("雨の手紙"), fold("雨の手紙"));
        assert_eq!(fold("느린"), fold("느린"));
    }
}
