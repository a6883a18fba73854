//! Spotify's ids, as people and models write them.

/// Characters of an id. The service calls others malformed.
const LENGTH: usize = 22;

/// The id of a playlist, given as such, as `spotify:playlist:ID`, or as the web
/// player's address. `None` when it can be none: what is returned is safe in a
/// path.
pub(crate) fn playlist_id(text: &str) -> Option<String> {
    parse("playlist", text)
}

/// The id of a track, given in the same ways.
pub(crate) fn track_id(text: &str) -> Option<String> {
    parse("track", text)
}

/// The id of an artist, given in the same ways.
pub(super) fn artist_id(text: &str) -> Option<String> {
    parse("artist", text)
}

fn parse(kind: &str, text: &str) -> Option<String> {
    let text = text.trim();
    let id = match (uri(kind, text), text.contains(['/', ':'])) {
        (Some(id), _) => id,
        (None, true) => address(kind, text)?,
        (None, false) => text,
    };
    let base62 = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (base62 && id.len() == LENGTH).then(|| id.to_owned())
}

/// `spotify:playlist:ID`, or the old `spotify:user:NAME:playlist:ID`.
fn uri<'a>(kind: &str, text: &'a str) -> Option<&'a str> {
    let rest = text.strip_prefix("spotify:")?;
    let mut parts = rest.rsplitn(3, ':');
    let (id, named) = (parts.next()?, parts.next()?);
    let before = parts.next();
    let known = before.is_none_or(|before| before.starts_with("user:"));
    (named == kind && known).then_some(id)
}

/// `https://open.spotify.com/playlist/ID?si=…`, with or without a language or a
/// user in front.
fn address<'a>(kind: &str, text: &'a str) -> Option<&'a str> {
    let rest = text.strip_prefix("https://");
    let rest = rest.or_else(|| text.strip_prefix("http://"));
    let path = rest.unwrap_or(text).strip_prefix("open.spotify.com/")?;
    let path = path.split(['?', '#']).next()?;
    let mut segments = path.split('/').skip_while(|segment| *segment != kind);
    segments.next()?;
    segments.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "37i9dQZF1DXcBWIGoYBM5M";

    #[test]
    fn playlists_are_named_in_many_ways() {
        for text in [
            ID,
            " 37i9dQZF1DXcBWIGoYBM5M\n",
            "spotify:playlist:37i9dQZF1DXcBWIGoYBM5M",
            "spotify:user:spotify:playlist:37i9dQZF1DXcBWIGoYBM5M",
            "https://open.spotify.com/playlist/37i9dQZF1DXcBWIGoYBM5M?si=0a1b2c&pt=x",
            "https://open.spotify.com/intl-de/playlist/37i9dQZF1DXcBWIGoYBM5M",
            "http://open.spotify.com/user/spotify/playlist/37i9dQZF1DXcBWIGoYBM5M#x",
            "open.spotify.com/playlist/37i9dQZF1DXcBWIGoYBM5M",
        ] {
            assert_eq!(playlist_id(text).as_deref(), Some(ID), "{text}");
        }
    }

    #[test]
    fn what_is_no_playlist_is_refused() {
        for text in [
            "",
            "..",
            "a/b",
            "../../v1/me",
            "a?b",
            "a%2fb",
            "é",
            "spotify:track:37i9dQZF1DXcBWIGoYBM5M",
            "spotify:playlist:",
            "spotify:playlist:a:b",
            "https://open.spotify.com/track/37i9dQZF1DXcBWIGoYBM5M",
            "https://evil.example/playlist/37i9dQZF1DXcBWIGoYBM5M",
            "https://open.spotify.com.evil.example/playlist/37i9dQZF1DXcBWIGoYBM5M",
            "https://open.spotify.com/playlist/",
            "https://open.spotify.com/playlist",
        ] {
            assert_eq!(playlist_id(text), None, "{text}");
        }
        assert_eq!(playlist_id(&"a".repeat(21)), None);
        assert_eq!(playlist_id(&"a".repeat(23)), None);
        let track = "spotify:track:11dFghVXANMlKmJXsNCbNl";
        assert_eq!(track_id(track).as_deref(), Some("11dFghVXANMlKmJXsNCbNl"));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_safe_in_a_path(text in "\\PC{0,80}") {
            if let Some(id) = playlist_id(&text) {
                prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                prop_assert!(text.contains(&id));
            }
        }
    }
}
