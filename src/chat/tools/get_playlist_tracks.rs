//! `get_playlist_tracks`.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::{Desk, Outcome, Report, Spec, Tool, schema, tracks};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    playlist_id: String,
    #[serde(default)]
    offset: u32,
    #[serde(default = "limit")]
    limit: u32,
}

fn limit() -> u32 {
    50
}

/// Reads a part of a playlist.
pub(super) fn tool() -> Tool {
    let spec = Spec {
        name: "get_playlist_tracks",
        description: "Lists a playlist's tracks in their order, quickly and without tempo or \
            tags. Gives the playlist's name and size, and the id, title, artists and position of \
            each track. A long playlist is read in parts.",
        schema: schema::input(
            &["playlistId"],
            json!({
                "playlistId": schema::playlist_id(),
                "offset": schema::whole(0..=900, "Where to begin; 0 is the first track."),
                "limit": schema::whole(1..=100, "How many tracks at most; 50 if left out."),
            }),
        ),
        writes: false,
    };
    Tool::new(spec, |input, desk| read(input, desk).boxed())
}

async fn read(input: Input, desk: &Desk<'_>) -> Outcome {
    let Input {
        playlist_id,
        offset,
        limit,
    } = input;
    let read = desk.read_playlist(&playlist_id, offset..offset + limit);
    let (playlist, entries) = read.await?;
    let summary = format!(
        "Playlist \"{}\": {} of its {} tracks, from position {offset}",
        tracks::name(&playlist.name),
        entries.len(),
        playlist.total,
    );
    let shown = entries.iter().map(|(position, track)| {
        let mut entry = tracks::entry(track);
        entry.detail["position"] = (*position).into();
        entry.compact["position"] = (*position).into();
        entry
    });
    Ok(Report {
        tracks: shown.collect(),
        ..Report::new(summary)
            .with("playlistId", playlist.id)
            .with("total", playlist.total)
    })
}
