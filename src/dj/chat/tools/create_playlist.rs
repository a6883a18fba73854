//! `create_playlist`.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::tracks::name;
use super::{Desk, Report, Spec, Tool, typed, unfit};
use crate::core::ports::BoxFuture;
use crate::dj::clients::spotify::track_id;
use crate::dj::error::{Code, ErrorObject};

/// Makes a playlist in the user's account.
pub(super) struct CreatePlaylist;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    public: bool,
    track_ids: Vec<String>,
}

impl Tool for CreatePlaylist {
    fn spec(&self) -> Spec {
        Spec {
            name: "create_playlist",
            description: "Makes a new playlist in the user's account, with these tracks in this \
                order. Call it once, when the tracks are settled.",
            schema: json!({
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 100},
                    "description": {"type": "string", "maxLength": 300},
                    "public": {
                        "type": "boolean",
                        "description": "Whether everybody may see it; false if left out.",
                    },
                    "trackIds": {
                        "type": "array", "minItems": 1, "maxItems": 100,
                        "items": {"type": "string", "minLength": 1, "maxLength": 200},
                        "description": "Ids of tracks, as other tools give them.",
                    },
                },
                "required": ["name", "trackIds"],
                "additionalProperties": false,
            }),
            writes: true,
        }
    }

    fn call<'a>(
        &'a self,
        input: Value,
        desk: &'a Desk<'a>,
    ) -> BoxFuture<'a, Result<Report, ErrorObject>> {
        create(input, desk).boxed()
    }
}

async fn create(input: Value, desk: &Desk<'_>) -> Result<Report, ErrorObject> {
    let input: Input = typed(input)?;
    desk.may_write()?;
    let uris = uris(&input.track_ids)?;
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    // The service refuses a description with line breaks.
    let description = input.description.replace(char::is_control, " ");
    let made = desk
        .spotify
        .create_playlist(&input.name, &description, input.public);
    let playlist = made.await.map_err(|error| may_be_done(error.object()))?;
    let report = |summary: String| {
        Report::new(summary)
            .with("playlistId", playlist.id.as_str())
            .with("uri", playlist.uri.as_str())
    };
    let (title, count) = (name(&input.name), uris.len());
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

/// Tracks as playlists take them.
pub(super) fn uris(ids: &[String]) -> Result<Vec<String>, ErrorObject> {
    let uri = |id: &String| match track_id(id) {
        Some(id) => Ok(format!("spotify:track:{id}")),
        None => Err(unfit(format!("`{}` is no id of a track", name(id)))),
    };
    ids.iter().map(uri).collect()
}

/// A change that got no good answer may have been carried out all the same.
pub(super) fn may_be_done(mut error: ErrorObject) -> ErrorObject {
    if matches!(
        error.code,
        Code::UpstreamTimeout | Code::UpstreamCut | Code::UpstreamError | Code::UpstreamProtocol
    ) {
        error.message += ". It may have been done all the same: look before you try again";
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "37i9dQZF1DXcBWIGoYBM5M";
    const TWO: &str = "0aBcDeFgHiJkLmNoPqRsTu";

    #[test]
    fn tracks_are_given_as_uris() {
        let ids = [ONE.to_owned(), format!("spotify:track:{TWO}")];
        let expected = [ONE, TWO].map(|id| format!("spotify:track:{id}"));
        assert_eq!(uris(&ids).unwrap(), expected);
        let error = uris(&["spotify:album:x".to_owned()]).unwrap_err();
        assert!(error.message.contains("spotify:album:x"), "{error:?}");
    }
}
