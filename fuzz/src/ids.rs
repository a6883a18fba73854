//! Spotify's ids, as people and models write them.

use spinlane_dj::fuzzing::{linked_playlist, playlist_id, track_id};

const ID: &str = "37i9dQZF1DXcBWIGoYBM5M";

/// Any text: what is taken for an id is safe in a path, and is in the text.
///
/// # Panics
/// When it does not hold.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (playlist, track, linked) = (playlist_id(&text), track_id(&text), linked_playlist(&text));
    for id in [&playlist, &track, &linked].into_iter().flatten() {
        let base62 = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert!(base62 && id.len() == 22, "{id:?} is no id");
        assert!(text.contains(id.as_str()), "{id:?} is made up");
        assert_eq!(playlist_id(id).as_ref(), Some(id), "an id is its own");
    }
    // Blanks round it mean nothing.
    assert_eq!(playlist_id(&format!(" {text}\n")), playlist);
    // Whatever is added to a link after `?` or `#`, it is the same link.
    let tail: String = text.split_whitespace().collect();
    for mark in ['?', '#'] {
        let link = format!("https://open.spotify.com/playlist/{ID}{mark}{tail}");
        assert_eq!(playlist_id(&link).as_deref(), Some(ID), "{link}");
    }
    // The host says whose link it is.
    if let Some(host) = text
        .split(['/', '?', '#', '@'])
        .next()
        .filter(|host| !host.contains(':'))
    {
        let host = host.trim().to_ascii_lowercase();
        let known = host.strip_prefix("www.").unwrap_or(&host);
        let ours = ["open.spotify.com", "play.spotify.com"].contains(&known);
        let link = format!("https://{host}/playlist/{ID}");
        assert_eq!(playlist_id(&link).is_some(), ours, "{link}");
    }
}
