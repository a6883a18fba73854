//! What recordings are called, and whether two catalogues mean the same one by it.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::dj::music::Track;

/// Artist and title to ask by; `None` for a track that lacks one of them: too
/// many have the same title.
pub(super) fn of(track: &Track) -> Option<(&str, &str)> {
    let (artist, title) = (track.artist().trim(), track.title.trim());
    (!artist.is_empty() && !title.is_empty()).then_some((artist, title))
}

/// A name as it is compared: letters and digits, without case and accents.
fn folded(name: &str) -> String {
    let letters = name.nfkd().filter(|char| !is_combining_mark(*char));
    let letters = letters.flat_map(char::to_lowercase);
    letters.filter(|char| char.is_alphanumeric()).collect()
}

/// A title without what catalogues add to it: `(feat. …)`, `[Live]`,
/// ` - Remastered 2011`.
pub(super) fn plain(title: &str) -> &str {
    let end = [" (", " [", " - ", " – "]
        .iter()
        .filter_map(|mark| title.find(mark))
        .min();
    let plain = title[..end.unwrap_or(title.len())].trim();
    if plain.is_empty() {
        title.trim()
    } else {
        plain
    }
}

/// How much two recordings differ by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    None,
    /// In who plays with the artist.
    Artist,
    /// In what was added to the title.
    Version,
}

/// How much two recordings, named by artist and title, differ; `None` when they
/// are not the same at all.
pub(super) fn difference(ours: (&str, &str), theirs: (&str, &str)) -> Option<Difference> {
    let (artist, their_artist) = (folded(ours.0), folded(theirs.0));
    let (title, their_title) = (ours.1, theirs.1);
    let same = |ours: String, theirs: String| ours == theirs && !ours.is_empty();
    if !is_with(&artist, &their_artist) {
        None
    } else if same(folded(title), folded(their_title)) {
        Some(match artist == their_artist {
            true => Difference::None,
            false => Difference::Artist,
        })
    } else {
        let plain = |title| folded(plain(title));
        same(plain(title), plain(their_title)).then_some(Difference::Version)
    }
}

/// The same name, or one that is a part of the other (`A` and `A & B`).
fn is_with(ours: &str, theirs: &str) -> bool {
    let (short, long) = match ours.len() <= theirs.len() {
        true => (ours, theirs),
        false => (theirs, ours),
    };
    // Short names are parts of too many others.
    short == long || (short.chars().count() >= 4 && long.contains(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_people_would() {
        let same = [
            (("Björk", "Jóga"), ("bjork", "Joga"), Difference::None),
            (("AC/DC", "T.N.T."), ("ACDC", "TNT"), Difference::None),
            (
                ("Queen", "Innuendo"),
                ("Queen", "Innuendo - Remastered 2011"),
                Difference::Version,
            ),
            (
                ("Nena Rossi", "Luce (feat. X)"),
                ("Nena Rossi & X", "Luce"),
                Difference::Version,
            ),
            (
                ("Nena Rossi", "Luce"),
                ("Nena Rossi & X", "Luce"),
                Difference::Artist,
            ),
            (
                ("宇多田ヒカル", "光"),
                ("宇多田ヒカル", "光"),
                Difference::None,
            ),
            (
                ("Кино", "Группа крови"),
                ("кино", "ГРУППА КРОВИ"),
                Difference::None,
            ),
        ];
        for (ours, theirs, expected) in same {
            assert_eq!(
                difference(ours, theirs),
                Some(expected),
                "{ours:?} {theirs:?}"
            );
        }
        let different = [
            (("Queen", "Innuendo"), ("Queens", "Bicycle")),
            (("U2", "One"), ("Blu2", "One")),
            (("Queen", "One Vision"), ("Queen", "One")),
            (("Queen", "!!!"), ("Queen", "???")),
        ];
        for (ours, theirs) in different {
            assert_eq!(difference(ours, theirs), None, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn titles_lose_what_was_added() {
        for (title, expected) in [
            ("Song (feat. A) - Live", "Song"),
            ("Song - Remastered 2011", "Song"),
            ("(I Can't Get No) Song", "(I Can't Get No) Song"),
            (" - ", "-"),
            ("", ""),
        ] {
            assert_eq!(plain(title), expected, "{title:?}");
        }
    }
}
