//! `create_playlist`.

use futures::FutureExt;
use garde::Validate;
use serde::Deserialize;

use super::input::Name;
use super::tracks::{name, uris};
use super::{NotChanged, Outcome, Report, Tool, ToolContext};
use crate::clients::spotify::playlist_url;

#[derive(Deserialize, Validate)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    /// What it is called.
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    /// What it is for, on one line.
    #[serde(default)]
    #[garde(length(chars, min = 0, max = 300))]
    description: String,
    /// Ids of tracks, as other tools give them.
    #[garde(length(min = 1, max = 100), dive)]
    track_ids: Vec<Name>,
}

/// Makes a playlist in the user's account.
pub(super) fn tool() -> Tool {
    Tool::writing(
        "create_playlist",
        "Makes a new playlist in the user's account, with these tracks in this order. Call it \
         once, when the tracks are settled: a second one is not made. Whether others may see it \
         is the user's own choice, made elsewhere.",
        |input, context| create(input, context).boxed(),
    )
}

async fn create(input: Input, context: &ToolContext<'_>) -> Outcome {
    context.may_write()?;
    let uris = uris(&input.track_ids)?;
    context.writes.playlist()?;
    let made = context
        .spotify()
        .create_playlist(&input.name, &input.description, context.public);
    let playlist = made.await.map_err(|error| {
        let NotChanged { error, perhaps } = NotChanged::from(&error);
        if !perhaps {
            context.writes.playlist_was_refused();
        }
        error
    })?;
    let (title, count) = (name(&input.name), uris.len());
    let report = |summary: String| {
        Report::new(summary)
            .with("playlistId", playlist.id.as_str())
            .with("name", title.as_str())
            .with("url", playlist_url(&playlist.id))
            .with("public", context.public)
    };
    match context
        .spotify()
        .add_tracks(&playlist.id, &uris, None)
        .await
    {
        Ok(_) => Ok(
            report(format!("Made the playlist \"{title}\" with {count} tracks"))
                .with("added", count),
        ),
        // It is there: to say that the call failed would make a second one.
        Err(error) => Ok(report(format!(
            "Made the playlist \"{title}\", but its tracks could not be added: {}",
            error.object().message
        ))
        .with("added", 0)),
    }
}
