//! `get_playlist_tracks`.

use futures::FutureExt;
use garde::Validate;
use serde::Deserialize;

use super::input::Name;
use super::{Outcome, Report, Tool, ToolContext, tracks};

#[derive(Deserialize, Validate)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    /// The playlist's id, URI or address; the playlist that the user has open if left out.
    #[garde(dive)]
    playlist_id: Name,
    /// Where to begin; 0 is the first track.
    #[serde(default)]
    #[garde(range(max = 900))]
    offset: u32,
    /// How many tracks at most; 50 if left out.
    #[serde(default = "limit")]
    #[garde(range(min = 1, max = 100))]
    limit: u32,
}

fn limit() -> u32 {
    50
}

/// Reads a part of a playlist.
pub(super) fn tool() -> Tool {
    Tool::reading(
        "get_playlist_tracks",
        "Lists a playlist's tracks in their order, quickly and without tempo or tags. Gives the \
         playlist's name and size, and the id, title, artists and position of each track. A long \
         playlist is read in parts.",
        |input, context| read(input, context).boxed(),
    )
}

async fn read(input: Input, context: &ToolContext<'_>) -> Outcome {
    let Input {
        playlist_id,
        offset,
        limit,
    } = input;
    let read = context.read_playlist(&playlist_id, offset..offset + limit);
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
