//! How requests are read, for fuzz targets.

use http::HeaderMap;

use crate::auth::cookie;
use crate::clients::spotify;

/// Each value that a request has for the session's cookie, in order.
pub fn session_cookies(headers: &HeaderMap) -> Vec<&str> {
    cookie::SESSION.values(headers).collect()
}

/// The name of the session's cookie.
pub const fn session_cookie() -> &'static str {
    cookie::SESSION.name()
}

/// The id of the playlist that `text` names, in any of its forms.
pub fn playlist_id(text: &str) -> Option<String> {
    spotify::playlist_id(text)
}

/// The id of the track that `text` names.
pub fn track_id(text: &str) -> Option<String> {
    spotify::track_id(text)
}

/// The id of the only playlist that a text of many words has a link to.
pub fn linked_playlist(text: &str) -> Option<String> {
    let found = spotify::PlaylistId::named_in(text).ok().flatten();
    found.map(|id| id.to_string())
}
