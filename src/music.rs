//! Music as the application speaks of it, whichever service it came from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who plays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArtistRef {
    /// The catalogue's id; empty for an artist that it does not have.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) id: String,
    pub(crate) name: String,
}

/// An artist, with what the catalogue knows of its style.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Artist {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) genres: Vec<String>,
    /// A number from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) popularity: Option<u8>,
}

/// A recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Track {
    /// The catalogue's id; empty for a track that it does not have (a file of
    /// the user's own, a track that a caller described in words).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) id: String,
    /// The address that playlists take; it may be there without an id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uri: String,
    pub(crate) title: String,
    /// The first one is the one to search by.
    #[serde(default)]
    pub(crate) artists: Vec<ArtistRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) album: Option<String>,
    /// The year of the album's release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) year: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<u64>,
    /// Names the recording in every catalogue: upper case, without hyphens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) isrc: Option<String>,
    /// A number from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) popularity: Option<u8>,
    #[serde(default)]
    pub(crate) explicit: bool,
}

impl Track {
    /// The name to search by; empty where nobody is named.
    pub(crate) fn artist(&self) -> &str {
        self.artists.first().map_or("", |artist| &artist.name)
    }
}

/// A playlist, without its tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Playlist {
    pub(crate) id: String,
    pub(crate) uri: String,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The owner's name, or else its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// Unknown where the service does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public: Option<bool>,
    /// Tracks in it.
    #[serde(default)]
    pub(crate) total: u32,
    /// Its state: every change makes another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_id: Option<String>,
}

/// Whose account it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// A part of a longer list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// How many the list has in all.
    pub(crate) total: u32,
    /// Where the next part begins; `None` at the end.
    pub(crate) next: Option<u32>,
}

/// An International Standard Recording Code in the form that catalogues take:
/// upper case, without hyphens and spaces. `None` for what can be none.
pub(crate) fn isrc(text: &str) -> Option<String> {
    let code: String = text
        .chars()
        .filter(|char| !matches!(char, '-' | ' '))
        .map(|char| char.to_ascii_uppercase())
        .collect();
    let (country, rest) = code.split_at_checked(2)?;
    let (registrant, digits) = rest.split_at_checked(3)?;
    let good = country.bytes().all(|byte| byte.is_ascii_uppercase())
        && registrant.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && digits.len() == 7
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    good.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isrcs_are_normalised() {
        for (text, expected) in [
            ("USRC17607839", Some("USRC17607839")),
            ("us-rc1-76-07839", Some("USRC17607839")),
            (" zzA232500001", Some("ZZA232500001")),
            ("USRC1760783", None),
            ("USRC1760783X", None),
            ("1SRC17607839", None),
            ("../../etc/pw", None),
            ("ÄÖRC17607839", None),
            ("", None),
        ] {
            assert_eq!(isrc(text).as_deref(), expected, "{text}");
        }
    }
}
