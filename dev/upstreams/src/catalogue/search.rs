//! Finding songs the way Spotify's search does, as far as it is documented:
//! words, and the filters `track:`, `artist:`, `album:`, `genre:`, `year:` and
//! `isrc:`.

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

/// What a song is found by, folded once.
#[derive(Debug)]
pub(super) struct Haystack {
    title: String,
    artists: String,
    album: String,
    genres: String,
    words: String,
}

impl Haystack {
    pub(super) fn new(catalogue: &Catalogue, at: usize) -> Self {
        let track = &catalogue.tracks[at];
        let artists = || track.artists.iter().map(|at| &catalogue.artists[*at]);
        let names: Vec<&str> = artists().map(|artist| artist.name.as_str()).collect();
        let genres: Vec<&str> = artists().flat_map(|artist| artist.genres.clone()).collect();
        Self {
            title: padded(&track.title),
            artists: padded(&names.join(" ")),
            album: padded(&catalogue.albums[track.album].name),
            genres: padded(&genres.join(" ")),
            words: padded(&track.words.join(" ")),
        }
    }
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
        let words: Vec<String> = query.words.iter().map(|word| format!(" {word}")).collect();
        let filters: Vec<(Field, String)> = query
            .filters
            .into_iter()
            .map(|(field, value)| match field {
                Field::Year => (field, value),
                Field::Isrc => (field, value.to_uppercase()),
                _ => (field, padded(&value)),
            })
            .collect();
        let mut found: Vec<(u64, usize)> = (0..self.tracks.len())
            .filter(|at| {
                filters
                    .iter()
                    .all(|(field, value)| self.passes(*at, *field, value))
            })
            .filter_map(|at| Some((self.score(at, &words)?, at)))
            .collect();
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
        let (track, haystack) = (&self.tracks[at], &self.haystacks[at]);
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

    /// How well a song fits; `None` when under half of the words are in it.
    fn score(&self, at: usize, words: &[String]) -> Option<u64> {
        let haystack = &self.haystacks[at];
        let (mut score, mut found) = (0, 0);
        for word in words {
            let weights = [
                (&haystack.title, 40),
                (&haystack.artists, 40),
                (&haystack.genres, 25),
                (&haystack.album, 10),
                (&haystack.words, 20),
            ];
            let weight = weights
                .iter()
                .filter(|(text, _)| text.contains(word.as_str()));
            let weight = weight.map(|(_, weight)| *weight).max();
            found += usize::from(weight.is_some());
            score += weight.unwrap_or(0);
        }
        (2 * found >= words.len())
            .then(|| score * 1_000 + found as u64 * 20_000 + self.tracks[at].popularity)
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
