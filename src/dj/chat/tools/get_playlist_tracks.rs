//! `get_playlist_tracks`.

use futures::FutureExt;
use futures::future::try_join;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Desk, Report, Spec, Tool, no_playlist, tracks, typed};
use crate::core::ports::BoxFuture;
use crate::dj::error::ErrorObject;

/// Reads a part of a playlist.
pub(super) struct GetPlaylistTracks;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    playlist_id: String,
    #[serde(default)]
    offset: usize,
    #[serde(default = "limit")]
    limit: usize,
}

fn limit() -> usize {
    50
}

impl Tool for GetPlaylistTracks {
    fn spec(&self) -> Spec {
        Spec {
            name: "get_playlist_tracks",
            description: "Lists a playlist's tracks in their order, quickly and without tempo or \
                tags. Gives the playlist's name and size, and the id, title, artists and position \
                of each track. A long playlist is read in parts.",
            schema: json!({
                "type": "object",
                "properties": {
                    "playlistId": {
                        "type": "string", "minLength": 1, "maxLength": 200,
                        "description": "The playlist's id, URI or address; the playlist that the \
                            user has open if left out.",
                    },
                    "offset": {
                        "type": "integer", "minimum": 0, "maximum": 900,
                        "description": "Where to begin; 0 is the first track.",
                    },
                    "limit": {
                        "type": "integer", "minimum": 1, "maximum": 100,
                        "description": "How many tracks at most; 50 if left out.",
                    },
                },
                "required": ["playlistId"],
                "additionalProperties": false,
            }),
            writes: false,
        }
    }

    fn call<'a>(
        &'a self,
        input: Value,
        desk: &'a Desk<'a>,
    ) -> BoxFuture<'a, Result<Report, ErrorObject>> {
        read(input, desk).boxed()
    }
}

async fn read(input: Value, desk: &Desk<'_>) -> Result<Report, ErrorObject> {
    let Input {
        playlist_id,
        offset,
        limit,
    } = typed(input)?;
    let playlist = desk.spotify.playlist(&playlist_id);
    let tracks = desk.spotify.playlist_tracks(&playlist_id, offset + limit);
    let (playlist, all) = try_join(playlist, tracks)
        .await
        .map_err(|error| error.object())?;
    let playlist = playlist.ok_or_else(|| no_playlist(&playlist_id))?;
    let shown = all.iter().enumerate().skip(offset);
    let shown: Vec<_> = shown
        .map(|(position, track)| {
            let mut entry = tracks::entry(track);
            entry.detail["position"] = position.into();
            entry.compact["position"] = position.into();
            entry
        })
        .collect();
    let summary = format!(
        "Playlist \"{}\": {} of its {} tracks, from position {offset}",
        tracks::name(&playlist.name),
        shown.len(),
        playlist.total,
    );
    Ok(Report {
        tracks: shown,
        ..Report::new(summary)
            .with("playlistId", playlist.id)
            .with("total", playlist.total)
    })
}
