//! What recordings are called, and whether two catalogues mean the same one by it.
//!
//! Catalogues add to names what does not tell recordings apart (guests, that it
//! was remastered), and what does (a remix, a live recording, a movement's
//! number). The first is left out of a comparison, all else counts.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::music::Track;

/// Lengths that differ by no more are the same: catalogues round, and cut
/// silence off.
const SAME_LENGTH_MS: u64 = 15_000;

/// A recording, as another catalogue has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) artists: &'a [String],
    pub(super) title: &'a str,
    pub(super) seconds: Option<u64>,
}

impl Candidate<'_> {
    /// Whether it is `track`, found by its names.
    pub(super) fn is_named_as(&self, track: &Track) -> bool {
        self.has_artist_of(track) && self.has_title_of(track) && self.is_as_long_as(track)
    }

    /// Whether it is `track`, found by a code that both have. Codes are given
    /// twice by mistake, and names are spelled in other ways: one of them has to
    /// agree.
    pub(super) fn is_coded_as(&self, track: &Track) -> bool {
        (self.has_artist_of(track) || self.has_title_of(track)) && self.is_as_long_as(track)
    }

    fn has_artist_of(&self, track: &Track) -> bool {
        same_artist(&names(track), &texts(self.artists))
    }

    fn has_title_of(&self, track: &Track) -> bool {
        let mut credits = artists(&names(track), Split::All);
        credits.extend(artists(&texts(self.artists), Split::All));
        let title = |title| folded_title(title, &credits);
        title(&track.title) == title(self.title)
    }

    fn is_as_long_as(&self, track: &Track) -> bool {
        self.apart(track)
            .is_none_or(|apart| apart <= SAME_LENGTH_MS)
    }

    /// How much longer or shorter it is, in milliseconds, where both say.
    pub(super) fn apart(&self, track: &Track) -> Option<u64> {
        let theirs = self.seconds.filter(|seconds| *seconds > 0)?;
        let ours = track.duration_ms.filter(|millis| *millis > 0)?;
        Some(ours.abs_diff(theirs.saturating_mul(1_000)))
    }
}

fn names(track: &Track) -> Vec<&str> {
    let names = track.artists.iter();
    names.map(|artist| artist.name.as_str()).collect()
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Artist and title to ask by; `None` for a track that lacks one of them: too
/// many have the same title.
pub(super) fn artist_and_title(track: &Track) -> Option<(&str, &str)> {
    let (artist, title) = (track.artist().trim(), track.title.trim());
    (!artist.is_empty() && !title.is_empty()).then_some((artist, title))
}

/// A title to search by: without what does not tell recordings apart.
pub(super) fn searchable(title: &str) -> String {
    let parts = telling_parts(title, &[]).join(" ");
    match parts.is_empty() {
        true => title.trim().to_owned(),
        false => parts,
    }
}

/// The words of a name as they are compared: letters and digits, without case
/// and accents.
fn words(name: &str) -> Vec<String> {
    let letters = name.nfkd().filter(|char| !is_combining_mark(*char));
    let mut text = String::with_capacity(name.len());
    for char in letters.flat_map(char::to_lowercase) {
        match char {
            '&' | '+' => text.push_str(" and "),
            '\'' | '’' | '‘' | '`' | '´' => {}
            char if char.is_alphanumeric() => text.push(char),
            _ => text.push(' '),
        }
    }
    let full = |word: &str| match word {
        "pt" => "part".to_owned(),
        "vol" => "volume".to_owned(),
        word => word.to_owned(),
    };
    text.split_whitespace().map(full).collect()
}

/// `words` as one, so that `AC/DC` is `ACDC`; a name of signs alone is itself.
fn joined(words: &[String], name: &str) -> String {
    match words.is_empty() {
        true => name.trim().to_lowercase(),
        false => words.concat(),
    }
}

/// What introduces a guest: as the first word of a part, and among others.
const GUEST: [&str; 3] = ["feat", "ft", "featuring"];
const GUESTS: [&str; 5] = [" feat. ", " feat ", " ft. ", " ft ", " featuring "];

/// Signs and words between the names of several artists.
const BETWEEN: [&str; 12] = [
    ",", ";", "/", "&", "+", "×", " x ", " and ", " with ", " vs. ", " vs ", " y ",
];

/// Who calls itself so plays what others have recorded.
const IMITATORS: [&str; 4] = ["tribute", "karaoke", "cover", "covers"];

/// How far names are taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Split {
    /// They are split at what introduces guests, which is never part of a name.
    Guests,
    /// They are split wherever there may be another artist.
    All,
}

/// The artists that `names` may mean, as they are compared.
fn artists(names: &[&str], split: Split) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        let lower = name.to_lowercase();
        for name in separated(&lower, &GUESTS) {
            match split {
                Split::Guests => found.push(folded_artist(name)),
                Split::All => found.extend(separated(name, &BETWEEN).map(folded_artist)),
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn separated<'a>(text: &'a str, separators: &[&str]) -> impl Iterator<Item = &'a str> {
    let mut parts = vec![text];
    for separator in separators {
        let split = parts.into_iter().flat_map(|part| part.split(separator));
        parts = split.collect();
    }
    parts.into_iter().map(str::trim)
}

/// Catalogues write `The Band` and `Band`.
fn folded_artist(name: &str) -> String {
    let mut words = words(name);
    if words.len() > 1 && words[0] == "the" {
        words.remove(0);
    }
    joined(&words, name)
}

/// Whether one of several artists is the same. A name that may be of several
/// artists, such as `Simon & Garfunkel`, is taken apart on one side only, so that
/// `Garfunkel & Friends` is another.
fn same_artist(ours: &[&str], theirs: &[&str]) -> bool {
    let imitates = |names: &[&str]| {
        let mut words = names.iter().flat_map(|name| words(name));
        words.any(|word| IMITATORS.contains(&word.as_str()))
    };
    if imitates(theirs) && !imitates(ours) {
        return false;
    }
    let (our_names, their_names) = (artists(ours, Split::Guests), artists(theirs, Split::Guests));
    let (our_parts, their_parts) = (artists(ours, Split::All), artists(theirs, Split::All));
    let any_of = |names: &[String], others: &[String]| {
        let mut names = names.iter();
        names.any(|name| others.contains(name))
    };
    any_of(&our_names, &their_names)
        || any_of(&our_names, &their_parts)
        || any_of(&our_parts, &their_names)
}

/// A title as it is compared. `credits` are artists, who may be named in it.
fn folded_title(title: &str, credits: &[String]) -> String {
    let parts = telling_parts(title, credits).join(" ");
    joined(&words(&parts), title)
}

/// The parts of a title that tell recordings apart: the first, and of what
/// stands in brackets or after a dash all that is not known to be added to any.
fn telling_parts<'a>(title: &'a str, credits: &[String]) -> Vec<&'a str> {
    let brackets = ['(', ')', '[', ']', '（', '）', '【', '】'];
    let parts = title.split(brackets).flat_map(|part| {
        let dashed = separated(part, &[" - ", " – ", " — "]);
        dashed.collect::<Vec<_>>()
    });
    let mut parts = parts.filter(|part| !part.is_empty());
    let first = parts.next().map(without_guests);
    let rest = parts.filter(|part| !is_added(part, credits));
    first.into_iter().chain(rest).collect()
}

/// A title's first part, without the guests that were not put in brackets.
fn without_guests(part: &str) -> &str {
    let lower = part.to_lowercase();
    let at = GUESTS.iter().filter_map(|mark| lower.find(mark)).min();
    // Lower case may be longer or shorter: then it stays as it is.
    at.and_then(|at| part.get(..at)).unwrap_or(part)
}

/// What says that it is the same recording, in another edition; and words that
/// go with that.
const EDITION: [&str; 12] = [
    "remaster",
    "remastered",
    "remastering",
    "deluxe",
    "explicit",
    "clean",
    "bonus",
    "original",
    "album",
    "anniversary",
    "mono",
    "stereo",
];
const BESIDE: [&str; 8] = [
    "version",
    "edition",
    "track",
    "mix",
    "recording",
    "digital",
    "digitally",
    "the",
];

/// Whether a part of a title does not tell recordings apart.
fn is_added(part: &str, credits: &[String]) -> bool {
    let words = words(part);
    let [first, rest @ ..] = words.as_slice() else {
        return true;
    };
    let is = |word: &String, known: &[&str]| known.contains(&word.as_str());
    let is_number = |word: &String| {
        let digits = word.trim_end_matches(char::is_alphabetic);
        let year = digits.len() == 4 && digits.len() == word.len();
        let ordinal = word.len() == digits.len() + 2;
        digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() && (year || ordinal)
    };
    let edition = words.iter().any(|word| is(word, &EDITION));
    let known = |word: &String| is(word, &EDITION) || is(word, &BESIDE) || is_number(word);
    match first.as_str() {
        first if GUEST.contains(&first) => true,
        // These need to be followed by whom else, or by what film.
        "with" => credits.contains(&rest.concat()),
        "from" => part.contains(['"', '“', '”']),
        _ => edition && words.iter().all(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::ArtistRef;

    fn track(artists: &[&str], title: &str, seconds: Option<u64>) -> Track {
        let artist = |name: &&str| ArtistRef {
            id: String::new(),
            name: (*name).into(),
        };
        Track {
            title: title.into(),
            artists: artists.iter().map(artist).collect(),
            duration_ms: seconds.map(|seconds| seconds * 1_000),
            ..Track::default()
        }
    }

    fn is_named(ours: (&[&str], &str), theirs: (&[&str], &str)) -> bool {
        let artists: Vec<_> = theirs.0.iter().map(ToString::to_string).collect();
        let candidate = Candidate {
            artists: &artists,
            title: theirs.1,
            seconds: None,
        };
        candidate.is_named_as(&track(ours.0, ours.1, None))
    }

    #[test]
    fn titles_are_the_same_whatever_catalogues_add_to_them() {
        for (ours, theirs) in [
            ("Jóga", "Joga"),
            ("T.N.T.", "TNT"),
            ("光", "光"),
            ("Группа крови", "ГРУППА КРОВИ"),
            ("!!!", " !!!"),
            ("Don't Stop", "Don’t stop"),
            ("Rock & Roll", "Rock and Roll"),
            ("Brick, Pt. 2", "Brick (Part 2)"),
            (
                "(I Can't Get No) Satisfaction",
                "I Can't Get No Satisfaction",
            ),
            ("Innuendo", "Innuendo - Remastered 2011"),
            ("Innuendo (2011 Remaster)", "Innuendo [Remastered Version]"),
            ("Innuendo - 2011 Digital Remaster", "Innuendo"),
            ("Innuendo (40th Anniversary Edition)", "Innuendo"),
            ("Luce (Album Version)", "Luce"),
            ("Luce (Original Mix)", "Luce"),
            ("Luce - Mono / Remastered", "Luce"),
            ("Luce (feat. X)", "Luce"),
            ("Luce feat. X & Y", "Luce [ft. Z]"),
            ("Luce (with X)", "Luce"),
            ("Luce - From \"The Film\"", "Luce"),
            ("Luce (Live)", "Luce - Live"),
            ("Luce (Live) [feat. X]", "Luce (feat. X) - Live"),
            ("Luce - Radio Edit", "Luce (Radio Edit)"),
        ] {
            let (a, x) = ("Nena Rossi", "X");
            assert!(is_named((&[a, x], ours), (&[a], theirs)), "{ours} {theirs}");
            assert!(is_named((&[a], theirs), (&[a, x], ours)), "{theirs} {ours}");
        }
    }

    #[test]
    fn what_tells_recordings_apart_counts() {
        let titles = [
            "Luce",
            "Luce e ombra",
            "Luce (Live)",
            "Luce (Live at Wembley)",
            "Luce (Acoustic)",
            "Luce (Remix)",
            "Luce (Remix of One)",
            "Luce (Remix of Two)",
            "Luce - One Remix",
            "Luce (Extended Mix)",
            "Luce (Dance Mix)",
            "Luce (Instrumental)",
            "Luce (Karaoke Version)",
            "Luce (Demo)",
            "Luce (Sped Up)",
            "Luce (Slowed + Reverb)",
            "Luce (Single Version)",
            "Luce (Taylor's Version)",
            "Luce (With Strings)",
            "Luce, Pt. 1",
            "Luce, Pt. 2",
            "Luce 2",
            "Luce (2)",
            "Luce (Made Famous by Nena Rossi)",
            "Luce: I. Adagio",
            "Luce: II. Adagio",
            "Luce - I. Adagio",
            "Luce, Op. 27 No. 2: III. Presto",
            "Luce, Op. 27 No. 1: III. Presto",
            "!!!",
            "???",
        ];
        let same = |ours: &str, theirs: &str| {
            let plain = |title: &str| title.replace(['(', ')', ':', '-', ' ', ','], "");
            plain(ours) == plain(theirs)
        };
        for ours in titles {
            for theirs in titles {
                let artists = ["Nena Rossi"];
                let named = is_named((&artists, ours), (&artists, theirs));
                assert_eq!(named, same(ours, theirs), "{ours} {theirs}");
            }
        }
    }

    #[test]
    fn one_of_several_artists_is_enough() {
        let same: &[(&[&str], &[&str])] = &[
            (&["Björk"], &["bjork"]),
            (&["AC/DC"], &["ACDC"]),
            (&["The Beatles"], &["Beatles"]),
            (&["!!!"], &["!!!"]),
            (&["宇多田ヒカル"], &["宇多田ヒカル"]),
            (&["Nena Rossi"], &["Nena Rossi & X"]),
            (&["Nena Rossi & X"], &["Nena Rossi"]),
            (&["Nena Rossi", "X"], &["X"]),
            (&["Nena Rossi"], &["X", "Nena Rossi"]),
            (&["Nena Rossi feat. X"], &["Nena Rossi, Y"]),
            (&["X with Nena Rossi"], &["nena rossi"]),
            (&["Simon & Garfunkel"], &["Simon and Garfunkel"]),
            (&["Tribute"], &["Tribute"]),
        ];
        let other: &[(&[&str], &[&str])] = &[
            (&["Queen"], &["Queens"]),
            (&["U2"], &["Blu2"]),
            (&["Nena Rossi"], &["Nena Rossi Tribute Band"]),
            (&["Simon & Garfunkel"], &["A Tribute to Simon & Garfunkel"]),
            (&["Simon", "Garfunkel"], &["Tribute to Simon, Garfunkel"]),
            (&["Simon & Garfunkel"], &["Garfunkel & Friends"]),
            (&["Nena Rossi"], &["Nena Rossi Karaoke"]),
            (&["Nena Rossi"], &[]),
            (&["Nena Rossi"], &[""]),
            (&[""], &[""]),
        ];
        for (pairs, expected) in [(same, true), (other, false)] {
            for (ours, theirs) in pairs {
                assert_eq!(
                    is_named((ours, "Luce"), (theirs, "Luce")),
                    expected,
                    "{ours:?} {theirs:?}"
                );
            }
        }
    }

    #[test]
    fn lengths_agree_within_fifteen_seconds_where_they_are_known() {
        for (ours, theirs, expected) in [
            (Some(200), Some(200), true),
            (Some(200), Some(215), true),
            (Some(200), Some(185), true),
            (Some(200), Some(216), false),
            (Some(200), Some(184), false),
            (Some(200), Some(u64::MAX), false),
            (Some(200), Some(0), true),
            (Some(0), Some(200), true),
            (Some(200), None, true),
            (None, Some(200), true),
        ] {
            let artists = ["Nena Rossi".to_owned()];
            let track = track(&["Nena Rossi"], "Luce", ours);
            let candidate = |artists, title| Candidate {
                artists,
                title,
                seconds: theirs,
            };
            assert_eq!(candidate(&artists, "Luce").is_named_as(&track), expected);
            // A code, and one of both names.
            assert_eq!(candidate(&artists, "Lux").is_coded_as(&track), expected);
            assert_eq!(candidate(&[], "Luce").is_coded_as(&track), expected);
            assert!(!candidate(&[], "Lux").is_coded_as(&track));
        }
    }

    #[test]
    fn a_search_has_what_tells_recordings_apart() {
        for (title, expected) in [
            ("Song (feat. A) - Live", "Song Live"),
            ("Song - Remastered 2011", "Song"),
            ("Song feat. A (One Remix)", "Song One Remix"),
            ("(I Can't Get No) Song", "I Can't Get No Song"),
            (" - ", "-"),
            ("", ""),
        ] {
            assert_eq!(searchable(title), expected, "{title:?}");
        }
    }
}
