//! Spotify's objects on the wire.
//!
//! An application in development mode sees less of them (since February 2026):
//! no popularity, followers and markets, and a playlist's entries under their
//! new names only.

use serde_json::{Value, json};

use super::tokens::Grant;
use super::world::{Refusal, World, error};
use crate::catalogue::{Album, Artist, Track, USER};
use crate::params::Params;

/// Where the links of people go.
const OPEN: &str = "https://open.spotify.com";

impl World {
    fn href(&self, kind: &str, id: &str) -> String {
        format!("{}/v1/{kind}s/{id}", self.origin)
    }

    fn images(&self, id: &str) -> Value {
        let sizes = [640, 300, 64];
        let images = sizes.map(|size| {
            let url = format!("{}/image/{id}", self.origin);
            json!({"url": url, "height": size, "width": size})
        });
        json!(images)
    }

    /// Adds what development mode does not show.
    fn extended(&self, object: &mut Value, fields: Value) {
        if let (false, Value::Object(object), Value::Object(fields)) =
            (self.is_development(), object, fields)
        {
            object.extend(fields);
        }
    }

    /// An artist as a part of something.
    pub(super) fn artist_ref(&self, artist: &Artist) -> Value {
        json!({
            "external_urls": {"spotify": format!("{OPEN}/artist/{}", artist.id)},
            "href": self.href("artist", &artist.id),
            "id": artist.id,
            "name": artist.name,
            "type": "artist",
            "uri": format!("spotify:artist:{}", artist.id),
        })
    }

    pub(super) fn artist(&self, artist: &Artist) -> Value {
        let mut object = self.artist_ref(artist);
        object["genres"] = json!(artist.genres);
        object["images"] = self.images(&artist.id);
        let more = json!({
            "followers": {"href": null, "total": artist.followers},
            "popularity": artist.popularity,
        });
        self.extended(&mut object, more);
        object
    }

    pub(super) fn album(&self, album: &Album) -> Value {
        let precision = match album.release_date.len() {
            4 => "year",
            7 => "month",
            _ => "day",
        };
        let artist = self.artist_ref(&self.catalogue.artists[album.artist]);
        let mut object = json!({
            "album_type": album.kind,
            "artists": [artist],
            "external_urls": {"spotify": format!("{OPEN}/album/{}", album.id)},
            "href": self.href("album", &album.id),
            "id": album.id,
            "images": self.images(&album.id),
            "name": album.name,
            "release_date": album.release_date,
            "release_date_precision": precision,
            "total_tracks": album.total,
            "type": "album",
            "uri": format!("spotify:album:{}", album.id),
        });
        self.extended(
            &mut object,
            json!({"available_markets": ["DE", "GR", "JP", "NO", "US"]}),
        );
        object
    }

    pub(super) fn track(&self, track: &Track) -> Value {
        let artists = track.artists.iter().map(|at| &self.catalogue.artists[*at]);
        let artists: Vec<Value> = artists.map(|artist| self.artist_ref(artist)).collect();
        let isrc = track.isrc.as_ref();
        let mut object = json!({
            "album": self.album(&self.catalogue.albums[track.album]),
            "artists": artists,
            "disc_number": 1,
            "duration_ms": track.duration_ms,
            "explicit": track.explicit,
            "external_ids": isrc.map_or_else(|| json!({}), |isrc| json!({"isrc": isrc})),
            "external_urls": {"spotify": format!("{OPEN}/track/{}", track.id)},
            "href": self.href("track", &track.id),
            "id": track.id,
            "is_local": false,
            "is_playable": true,
            "name": track.title,
            "preview_url": null,
            "track_number": track.number,
            "type": "track",
            "uri": format!("spotify:track:{}", track.id),
        });
        let more = json!({
            "available_markets": ["DE", "GR", "JP", "NO", "US"],
            "popularity": track.popularity,
        });
        self.extended(&mut object, more);
        object
    }

    /// A file that only its owner has.
    pub(super) fn local_track(title: &str, artist: &str) -> Value {
        let uri = format!("spotify:local:{artist}::{title}:215").replace(' ', "+");
        json!({
            "album": {
                "album_type": null, "artists": [], "available_markets": [], "external_urls": {},
                "href": null, "id": null, "images": [], "name": "", "release_date": null,
                "release_date_precision": null, "type": "album", "uri": null,
            },
            "artists": [{
                "external_urls": {}, "href": null, "id": null, "name": artist, "type": "artist",
                "uri": null,
            }],
            "available_markets": [],
            "disc_number": 0,
            "duration_ms": 215_000,
            "explicit": false,
            "external_ids": {},
            "external_urls": {},
            "href": null,
            "id": null,
            "is_local": true,
            "name": title,
            "popularity": 0,
            "preview_url": null,
            "track_number": 0,
            "type": "track",
            "uri": uri,
        })
    }

    /// An episode, with what a reader of songs might stumble over.
    pub(super) fn episode(&self, name: &str) -> Value {
        let id = "0simulatedepisode00001";
        json!({
            "description": "About rain.",
            "html_description": "<p>About rain.</p>",
            "duration_ms": 1_860_000,
            "explicit": false,
            "external_urls": {"spotify": format!("{OPEN}/episode/{id}")},
            "href": self.href("episode", id),
            "id": id,
            "images": self.images(id),
            "is_externally_hosted": false,
            "is_playable": true,
            "languages": ["en"],
            "audio_preview_url": null,
            "name": name,
            "release_date": "2021-11-02",
            "release_date_precision": "day",
            "type": "episode",
            "uri": format!("spotify:episode:{id}"),
        })
    }

    pub(super) fn user_ref(&self, id: &str) -> Value {
        json!({
            "display_name": if id == USER { "Sim Listener" } else { "Lantern Radio" },
            "external_urls": {"spotify": format!("{OPEN}/user/{id}")},
            "href": self.href("user", id),
            "id": id,
            "type": "user",
            "uri": format!("spotify:user:{id}"),
        })
    }

    pub(super) fn me(&self, grant: &Grant) -> Value {
        let mut object = self.user_ref(USER);
        object["images"] = json!([]);
        self.extended(
            &mut object,
            json!({"followers": {"href": null, "total": 7}}),
        );
        if grant.has("user-read-private") {
            let more = json!({
                "country": "NO",
                "explicit_content": {"filter_enabled": false, "filter_locked": false},
                "product": "premium",
            });
            self.extended(&mut object, more);
        }
        if grant.has("user-read-email") {
            self.extended(&mut object, json!({"email": "listener@example.invalid"}));
        }
        object
    }

    /// A page of `total` items at `path`, whose other parameters are `query`.
    pub(super) fn page(&self, path: &str, query: &str, page: Page, items: &[Value]) -> Value {
        let Page {
            limit,
            offset,
            total,
        } = page;
        let joint = if query.is_empty() { "" } else { "&" };
        let at = |offset: usize| {
            format!(
                "{}{path}?{query}{joint}offset={offset}&limit={limit}",
                self.origin
            )
        };
        let after = offset.saturating_add(limit);
        let next = (after < total).then(|| at(after));
        let previous = (offset > 0).then(|| at(offset.saturating_sub(limit)));
        json!({
            "href": at(offset),
            "items": items,
            "limit": limit,
            "next": next,
            "offset": offset,
            "previous": previous,
            "total": total,
        })
    }
}

/// Which part of how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) total: usize,
}

impl Page {
    /// The limit, at most `most`, and the offset that a query asks for.
    pub(super) fn asked(
        params: &Params<'_>,
        default: usize,
        most: usize,
    ) -> Result<(usize, usize), Refusal> {
        let limit = params.number("limit", default).ok();
        let limit = limit.filter(|limit| (1..=most).contains(limit));
        let limit = limit.ok_or_else(|| error(400, "Invalid limit"))?;
        let offset = params.number("offset", 0);
        let offset = offset.map_err(|()| error(400, "Invalid offset"))?;
        Ok((limit, offset))
    }
}
