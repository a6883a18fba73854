//! Spotify's ids, as people and models write them.

use std::fmt;

/// Characters of an id. The service calls others malformed.
const LENGTH: usize = 22;

/// Hosts whose addresses name what they show.
const HOSTS: [&str; 2] = ["open.spotify.com", "play.spotify.com"];

/// Hosts of shortened links: what they lead to is known only to who follows
/// them.
const SHORTENERS: [&str; 4] = [
    "spotify.link",
    "spotify.app.link",
    "link.tospotify.com",
    "spoti.fi",
];

/// Names a playlist: as Spotify has it, and safe in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlaylistId(String);

/// Why a text names no playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlaylist {
    /// It may well, and only who follows it knows which.
    #[error(
        "is a shortened link, which cannot be read: open it, and send the address that it leads to"
    )]
    Shortened,
    /// It has none of the forms.
    #[error("is no playlist's id, URI or link of Spotify's")]
    Unknown,
}

impl PlaylistId {
    /// Reads an id, a URI or a link, with whatever was added to it.
    ///
    /// # Errors
    /// When it is none of them.
    pub(crate) fn parse(text: &str) -> Result<Self, NoPlaylist> {
        let text = text.trim();
        match parse("playlist", text) {
            Some(id) => Ok(Self(id)),
            None if is_shortened(text) => Err(NoPlaylist::Shortened),
            None => Err(NoPlaylist::Unknown),
        }
    }

    /// The playlist that a text of many words has a link to; `None` where it has
    /// none, or several: nobody can say which is meant.
    ///
    /// # Errors
    /// When there is a shortened link and no other.
    pub(crate) fn named_in(text: &str) -> Result<Option<Self>, NoPlaylist> {
        let mut found: Vec<Self> = Vec::new();
        let mut shortened = false;
        for link in links(text) {
            match Self::parse(link) {
                Ok(id) if !found.contains(&id) => found.push(id),
                Err(NoPlaylist::Shortened) => shortened = true,
                _ => {}
            }
        }
        match (found.pop(), shortened) {
            (Some(id), _) => Ok(found.is_empty().then_some(id)),
            (None, true) => Err(NoPlaylist::Shortened),
            (None, false) => Ok(None),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlaylistId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a playlist, given in any form. `None` when it can be none: what is
/// returned is safe in a path.
pub(crate) fn playlist_id(text: &str) -> Option<String> {
    PlaylistId::parse(text).ok().map(|id| id.0)
}

/// The address at which a person finds the playlist with this id.
pub(crate) fn playlist_url(id: &str) -> String {
    format!("https://open.spotify.com/playlist/{id}")
}

/// The id of a track, given in the same ways.
pub(crate) fn track_id(text: &str) -> Option<String> {
    parse("track", text.trim())
}

/// The id of an artist, given in the same ways.
pub(super) fn artist_id(text: &str) -> Option<String> {
    parse("artist", text.trim())
}

fn parse(kind: &str, text: &str) -> Option<String> {
    let id = match (uri(text), address(text)) {
        (Some(path), _) => named(kind, path.split([':', '/']))?,
        (None, Some((host, path))) if is_one_of(host, &HOSTS) => named(kind, path.split('/'))?,
        (None, _) => text,
    };
    let id = id.split(['?', '#']).next()?;
    let base62 = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (base62 && id.len() == LENGTH).then(|| id.to_owned())
}

/// The id in a path such as `playlist/ID` or `user/NAME/playlist/ID`, with a
/// language, a place in a page, or both, in front.
fn named<'a>(kind: &str, path: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let is = |part: &str, name: &str| part.eq_ignore_ascii_case(name);
    let mut parts = path.filter(|part| !part.is_empty());
    loop {
        let part = parts.next()?;
        if is(part, kind) {
            return parts.next();
        }
        if is(part, "user") {
            parts.next()?;
        } else if !is(part, "embed") && !part.to_ascii_lowercase().starts_with("intl-") {
            return None;
        }
    }
}

/// What stands after the scheme of `spotify:playlist:ID`, of the old
/// `spotify:user:NAME:playlist:ID`, and of `spotify://playlist/ID`.
fn uri(text: &str) -> Option<&str> {
    without_prefix(text, "spotify:")
}

/// Host and path of a web address, which people write without its scheme as
/// well. The path begins with a slash, and ends before query and fragment.
fn address(text: &str) -> Option<(&str, &str)> {
    let schemes = ["https://", "http://", "//"].into_iter();
    let mut rest = schemes.filter_map(|scheme| without_prefix(text, scheme));
    let rest = rest.next().unwrap_or(text);
    let (host, path) = rest.split_at(rest.find(['/', '?', '#'])?);
    let host = [":443", ":80"]
        .iter()
        .find_map(|port| host.strip_suffix(port))
        .unwrap_or(host);
    let path = path.split(['?', '#']).next()?;
    // The query of an address that was encoded once more has become a part
    // of the path.
    let end = path.find("%3F").or_else(|| path.find("%3f"));
    Some((host, &path[..end.unwrap_or(path.len())]))
}

fn is_shortened(text: &str) -> bool {
    address(text).is_some_and(|(host, _)| is_one_of(host, &SHORTENERS))
}

fn is_one_of(host: &str, hosts: &[&str]) -> bool {
    let host = without_prefix(host, "www.").unwrap_or(host);
    hosts.iter().any(|known| host.eq_ignore_ascii_case(known))
}

/// `text` without `prefix`, in whatever case that is written.
fn without_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What may be a link among other words: with a scheme, or with a host. A word
/// that looks like a bare id is a word.
fn links(text: &str) -> impl Iterator<Item = &str> {
    // Links have none of these, and people put them right beside a link.
    let apart = |char: char| {
        !char.is_ascii() || char.is_ascii_whitespace() || "\"'`<>()[]{}|\\,;".contains(char)
    };
    let words = text.split(apart).map(|word| {
        let word = word.trim_end_matches(['.', ':', '!', '?', '*', '_', '~']);
        // `playlist:https://…`, with the blank forgotten.
        let lower = word.to_ascii_lowercase();
        let schemes = ["https://", "http://", "spotify:"].into_iter();
        let begin = schemes.filter_map(|scheme| lower.find(scheme)).min();
        let glued = begin.filter(|at| word[..*at].ends_with([':', '*', '_', '~']));
        let word = &word[glued.unwrap_or(0)..];
        word.trim_start_matches(['*', '_', '~'])
    });
    words.filter(|word| word.contains([':', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "37i9dQZF1DXcBWIGoYBM5M";
    const OTHER: &str = "0aBcDeFgHiJkLmNoPqRsTu";

    #[test]
    fn playlists_are_named_in_many_ways() {
        for form in [
            "ID",
            " ID\n",
            "ID?si=1",
            "spotify:playlist:ID",
            "Spotify:Playlist:ID",
            "spotify:playlist:ID?si=1",
            "spotify:playlist:ID#x",
            "spotify:user:spotify:playlist:ID",
            "spotify:user:j%C3%B6rg:playlist:ID?si=1",
            "spotify:user:playlist:playlist:ID",
            "spotify://playlist/ID",
            "https://open.spotify.com/playlist/ID",
            "https://open.spotify.com/playlist/ID?si=0a1b2c&pt=x",
            "https://open.spotify.com/playlist/ID%3Fsi%3D0a1b2c",
            "https://open.spotify.com/playlist/ID/",
            "https://open.spotify.com//playlist/ID",
            "https://open.spotify.com:443/playlist/ID",
            "Https://Open.Spotify.com/playlist/ID",
            "HTTPS://OPEN.SPOTIFY.COM/playlist/ID#x",
            "https://open.spotify.com/intl-de/playlist/ID",
            "https://open.spotify.com/intl-pt-BR/playlist/ID?si=1",
            "https://open.spotify.com/embed/playlist/ID?utm_source=generator&theme=0",
            "https://open.spotify.com/intl-fr/embed/playlist/ID",
            "https://open.spotify.com/embed/user/spotify/playlist/ID",
            "http://open.spotify.com/user/spotify/playlist/ID#x",
            "https://open.spotify.com/user/playlist/playlist/ID",
            "https://play.spotify.com/user/spotify/playlist/ID",
            "https://www.open.spotify.com/playlist/ID",
            "//open.spotify.com/playlist/ID",
            "open.spotify.com/playlist/ID",
            "  open.spotify.com/playlist/ID?si=1  ",
        ] {
            let text = form.replace("ID", ID);
            assert_eq!(playlist_id(&text).as_deref(), Some(ID), "{text}");
        }
    }

    #[test]
    fn what_is_no_playlist_is_refused() {
        for form in [
            "",
            " ",
            "..",
            "a/b",
            "../../v1/me",
            "a?b",
            "a%2fb",
            "é",
            "?ID",
            "ID ID",
            "ID/..",
            "spotify",
            "spotify:",
            "spotify:ID",
            "spotify:track:ID",
            "spotify:album:ID",
            "spotify:playlist:",
            "spotify:playlist:a:b",
            "spotify:user:playlist:ID",
            "https://open.spotify.com/track/ID",
            "https://open.spotify.com/track/ID?context=spotify:playlist:ID",
            "https://open.spotify.com/collection/playlist/ID",
            "https://evil.example/playlist/ID",
            "https://open.spotify.com.evil.example/playlist/ID",
            "https://open.spotify.com@evil.example/playlist/ID",
            "https://evil.example/open.spotify.com/playlist/ID",
            "https://evil.example/?https://open.spotify.com/playlist/ID",
            "https://open.spotify.com/playlist/",
            "https://open.spotify.com/playlist",
            "https://open.spotify.com",
        ] {
            let text = form.replace("ID", ID);
            assert_eq!(PlaylistId::parse(&text), Err(NoPlaylist::Unknown), "{text}");
        }
        for link in [
            "https://spotify.link/4hUj8cVwfLb",
            "Spotify.Link/4hUj8cVwfLb?x",
            " http://www.spotify.link/4hUj8cVwfLb ",
            "https://spotify.app.link/x",
            "https://spoti.fi/3xYz",
        ] {
            assert_eq!(
                PlaylistId::parse(link),
                Err(NoPlaylist::Shortened),
                "{link}"
            );
        }
        assert_eq!(playlist_id(&"a".repeat(21)), None);
        assert_eq!(playlist_id(&"a".repeat(23)), None);
        let track = "spotify:track:11dFghVXANMlKmJXsNCbNl";
        assert_eq!(track_id(track).as_deref(), Some("11dFghVXANMlKmJXsNCbNl"));
    }

    #[test]
    fn a_link_is_found_among_words() {
        let named = |text: &str| {
            let text = text.replace("ID", ID).replace("XX", OTHER);
            let id = PlaylistId::named_in(&text)?;
            Ok(id.map(|id| id.to_string()))
        };
        for text in [
            "https://open.spotify.com/playlist/ID?si=1",
            "Make https://open.spotify.com/playlist/ID calmer, please",
            "This one (https://open.spotify.com/playlist/ID).",
            "Is it spotify:playlist:ID?",
            "<https://open.spotify.com/playlist/ID>",
            "[mine](https://open.spotify.com/intl-de/playlist/ID?si=1)!",
            "playlist:https://open.spotify.com/playlist/ID",
            "**https://open.spotify.com/playlist/ID**",
            "open.spotify.com/playlist/ID: drop the slow ones",
            "「https://open.spotify.com/playlist/ID」を",
            "ändere https://open.spotify.com/playlist/ID…",
            "spotify:playlist:ID, I mean https://open.spotify.com/playlist/ID",
            "https://open.spotify.com/playlist/ID with spotify:track:XX first",
            "https://open.spotify.com/playlist/ID, not https://spotify.link/x",
        ] {
            assert_eq!(named(text), Ok(Some(ID.into())), "{text}");
        }
        for text in [
            "",
            "Make my playlist calmer",
            "ID",
            "the playlist ID please",
            "spotify:track:ID",
            "https://evil.example/playlist/ID",
            "https://evil.example/?u=https://open.spotify.com/playlist/ID",
            // Which of them?
            "from https://open.spotify.com/playlist/ID to spotify:playlist:XX",
        ] {
            assert_eq!(named(text), Ok(None), "{text}");
        }
        let shortened = named("Make https://spotify.link/4hUj8cVwfLb calmer");
        assert_eq!(shortened, Err(NoPlaylist::Shortened));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_safe_in_a_path(text in "\\PC{0,80}") {
            if let Some(id) = playlist_id(&text) {
                prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                prop_assert!(text.contains(&id));
            }
        }

        #[test]
        fn a_link_is_found_whatever_stands_around_it(
            before in "[^a-zA-Z0-9:/.?=&%#@_~+-]{0,20}",
            after in "[^a-zA-Z0-9:/.?=&%#@_~+-]{0,20}",
        ) {
            let text = format!("{before} https://open.spotify.com/playlist/{ID} {after}");
            let id = PlaylistId::named_in(&text).unwrap();
            prop_assert_eq!(id.as_ref().map(PlaylistId::as_str), Some(ID));
        }
    }
}
