//! `create_playlist`.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::tracks::{name, uris};
use super::{Desk, NotChanged, Outcome, Report, Spec, Tool, schema};
use crate::clients::spotify::playlist_url;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    name: String,
    #[serde(default)]
    description: String,
    track_ids: Vec<String>,
}

/// Makes a playlist in the user's account.
pub(super) fn tool() -> Tool {
    let spec = Spec {
        name: "create_playlist",
        description: "Makes a new playlist in the user's account, with these tracks in this \
            order. Call it once, when the tracks are settled: a second one is not made. Whether \
            others may see it is the user's own choice, made elsewhere.",
        schema: schema::input(
            &["name", "trackIds"],
            json!({
                "name": schema::text(1..=100, "What it is called."),
                "description": schema::text(0..=300, "What it is for, on one line."),
                "trackIds": schema::track_ids(100),
            }),
        ),
        writes: true,
    };
    Tool::new(spec, |input, desk| create(input, desk).boxed())
}

async fn create(input: Input, desk: &Desk<'_>) -> Outcome {
    desk.may_write()?;
    let uris = uris(&input.track_ids)?;
    desk.writes.playlist()?;
    let made = desk
        .spotify
        .create_playlist(&input.name, &input.description, desk.public);
    let playlist = made.await.map_err(|error| {
        let NotChanged { error, perhaps } = NotChanged::from(&error);
        if !perhaps {
            desk.writes.playlist_was_refused();
        }
        error
    })?;
    let (title, count) = (name(&input.name), uris.len());
    let report = |summary: String| {
        Report::new(summary)
            .with("playlistId", playlist.id.as_str())
            .with("name", title.as_str())
            .with("url", playlist_url(&playlist.id))
            .with("public", desk.public)
    };
    match desk.spotify.add_tracks(&playlist.id, &uris, None).await {
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
