//! The Web API's wire format, as far as the DJ uses it.
//!
//! Readers are tolerant: what may be `null` or missing in practice is optional,
//! an entry of a list that cannot be read is left out, and what is not used is
//! not read.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::music;

/// What may be `null`, missing, or of a shape that is not known.
#[derive(Clone, Debug)]
pub(super) struct Loose<T>(Option<T>);

impl<T> Default for Loose<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self(T::deserialize(value).ok()))
    }
}

/// `{"error": {"status": …, "message": …}}`.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorAnswer {
    pub(super) error: ErrorBody,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Search {
    pub(super) tracks: Paging<Track>,
}

/// A part of a longer list.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct Paging<T> {
    items: Vec<Loose<T>>,
    #[serde(default)]
    total: Loose<u32>,
    #[serde(default)]
    offset: Loose<u32>,
    /// The address of the next part: only whether there is one is used.
    #[serde(default)]
    next: Loose<String>,
}

impl<T> Paging<T> {
    /// The entries of which `read` makes something; it is given the place of
    /// each on this page.
    pub(super) fn page<U>(self, read: impl Fn(u32, T) -> Option<U>) -> music::Page<U> {
        let entries = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let end = self.offset.0.unwrap_or(0).saturating_add(entries);
        let total = self.total.0.unwrap_or(end);
        music::Page {
            items: (0..)
                .zip(self.items)
                .filter_map(|(at, item)| read(at, item.0?))
                .collect(),
            total,
            next: (self.next.0.is_some() && entries > 0).then_some(end),
        }
    }
}

/// An entry of a playlist. What was `track` is `item` since 2026.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    item: Loose<Track>,
    #[serde(default)]
    track: Loose<Track>,
}

impl Entry {
    pub(super) fn track(self) -> Option<music::Track> {
        self.item.0.or(self.track.0)?.track()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Track {
    #[serde(default)]
    id: Loose<String>,
    #[serde(default)]
    uri: Loose<String>,
    #[serde(default)]
    name: Loose<String>,
    #[serde(default, rename = "type")]
    kind: Loose<String>,
    #[serde(default)]
    artists: Loose<Vec<Loose<ArtistRef>>>,
    #[serde(default)]
    album: Loose<Album>,
    #[serde(default)]
    duration_ms: Loose<u64>,
    #[serde(default)]
    external_ids: Loose<ExternalIds>,
    #[serde(default)]
    popularity: Loose<u8>,
    #[serde(default)]
    explicit: Loose<bool>,
}

impl Track {
    /// `None` for what is no track (an episode), and for one without a name.
    pub(super) fn track(self) -> Option<music::Track> {
        if self.kind.0.is_some_and(|kind| kind != "track") {
            return None;
        }
        let artists = self.artists.0.unwrap_or_default();
        let album = self.album.0.unwrap_or_default();
        Some(music::Track {
            id: self.id.0.unwrap_or_default(),
            uri: self.uri.0.unwrap_or_default(),
            title: self.name.0.filter(|name| !name.is_empty())?,
            artists: artists
                .into_iter()
                .filter_map(|artist| artist.0?.artist())
                .collect(),
            album: album.name.0,
            year: album.release_date.0.as_deref().and_then(year),
            duration_ms: self.duration_ms.0,
            isrc: self
                .external_ids
                .0
                .and_then(|ids| music::isrc(&ids.isrc.0?)),
            popularity: self.popularity.0,
            explicit: self.explicit.0.unwrap_or_default(),
        })
    }
}

/// `2021-03-26`, `2021-03` or `2021`. A year of nonsense is none.
fn year(date: &str) -> Option<u16> {
    let year = date.split('-').next()?.parse().ok()?;
    (1000..=9999).contains(&year).then_some(year)
}

#[derive(Debug, Deserialize)]
struct ArtistRef {
    #[serde(default)]
    id: Loose<String>,
    #[serde(default)]
    name: Loose<String>,
}

impl ArtistRef {
    fn artist(self) -> Option<music::ArtistRef> {
        Some(music::ArtistRef {
            id: self.id.0.unwrap_or_default(),
            name: self.name.0.filter(|name| !name.is_empty())?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
struct Album {
    #[serde(default)]
    name: Loose<String>,
    #[serde(default)]
    release_date: Loose<String>,
}

#[derive(Debug, Deserialize)]
struct ExternalIds {
    #[serde(default)]
    isrc: Loose<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Artist {
    id: String,
    #[serde(default)]
    name: Loose<String>,
    #[serde(default)]
    genres: Loose<Vec<Loose<String>>>,
    #[serde(default)]
    popularity: Loose<u8>,
}

impl Artist {
    pub(super) fn artist(self) -> music::Artist {
        let genres = self.genres.0.unwrap_or_default();
        music::Artist {
            id: self.id,
            name: self.name.0.unwrap_or_default(),
            genres: genres.into_iter().filter_map(|genre| genre.0).collect(),
            popularity: self.popularity.0,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Playlist {
    id: String,
    #[serde(default)]
    uri: Loose<String>,
    #[serde(default)]
    name: Loose<String>,
    #[serde(default)]
    description: Loose<String>,
    #[serde(default)]
    owner: Loose<User>,
    #[serde(default)]
    public: Loose<bool>,
    /// What was `tracks` is `items` since 2026.
    #[serde(default)]
    items: Loose<Total>,
    #[serde(default)]
    tracks: Loose<Total>,
    #[serde(default)]
    snapshot_id: Loose<String>,
}

#[derive(Debug, Deserialize)]
struct Total {
    total: u32,
}

impl Playlist {
    pub(super) fn playlist(self) -> music::Playlist {
        let uri = self.uri.0;
        let owner = self.owner.0.map(User::user);
        let total = self.items.0.or(self.tracks.0);
        music::Playlist {
            uri: uri.unwrap_or_else(|| format!("spotify:playlist:{}", self.id)),
            id: self.id,
            name: self.name.0.unwrap_or_default(),
            description: self.description.0.filter(|text| !text.is_empty()),
            owner: owner.map(|owner| owner.name.unwrap_or(owner.id)),
            public: self.public.0,
            total: total.map_or(0, |tracks| tracks.total),
            snapshot_id: self.snapshot_id.0,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    id: String,
    #[serde(default)]
    display_name: Loose<String>,
}

impl User {
    pub(super) fn user(self) -> music::User {
        music::User {
            id: self.id,
            name: self.display_name.0.filter(|name| !name.is_empty()),
        }
    }
}

/// What a change answers.
#[derive(Debug, Deserialize)]
pub(super) struct Changed {
    #[serde(default)]
    pub(super) snapshot_id: Option<String>,
}
