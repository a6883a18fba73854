//! `modify_playlist`.

use futures::FutureExt;
use garde::Validate;
use serde::Deserialize;
use serde_json::json;

use super::input::Name;
use super::tracks::{name, uris};
use super::{NotChanged, Outcome, Report, Tool, ToolContext, not_changed, tracks, unfit};
use crate::clients::spotify::{Move, playlist_id};
use crate::error::ErrorObject;
use crate::music::Track;

#[derive(Deserialize, Validate)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    /// The playlist's id, URI or address; the playlist that the user has open if left out.
    #[garde(dive)]
    playlist_id: Name,
    #[garde(skip)]
    action: Action,
    /// Ids of tracks, as other tools give them.
    #[garde(length(min = 1, max = 100), dive)]
    track_ids: Option<Vec<Name>>,
    /// Where to add; at the end if left out.
    #[garde(range(max = 10_000))]
    position: Option<u32>,
    /// The first track to move.
    #[garde(range(max = 10_000))]
    range_start: Option<u32>,
    /// How many tracks to move; 1 if left out.
    #[garde(range(min = 1, max = 100))]
    range_length: Option<u32>,
    /// The track to move them before.
    #[garde(range(max = 10_000))]
    insert_before: Option<u32>,
    /// What it is called from now on.
    #[garde(length(chars, min = 1, max = 100))]
    name: Option<String>,
    /// What it is for, on one line.
    #[garde(length(chars, min = 0, max = 300))]
    description: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum Action {
    Add,
    Remove,
    Reorder,
    Rename,
}

/// Changes a playlist of the user's.
pub(super) fn tool() -> Tool {
    Tool::writing(
        "modify_playlist",
        "Changes the user's playlist, one thing at a time. `add` takes trackIds and perhaps \
         position; `remove` takes trackIds; `reorder` takes rangeStart, insertBefore and perhaps \
         rangeLength, all as positions before the move; `rename` takes name, description or both.",
        |input, context| modify(input, context).boxed(),
    )
}

async fn modify(input: Input, context: &ToolContext<'_>) -> Outcome {
    context.may_write()?;
    let id = playlist_id(&input.playlist_id);
    let id = id.ok_or_else(|| unfit("`playlistId` is no id of a playlist"))?;
    stays_with(&id, context.playlist)?;
    let summary = match input.action {
        Action::Add => add(&id, &input, context).await,
        Action::Remove => return remove(id, &input, context).await,
        Action::Reorder => reorder(&id, &input, context).await,
        Action::Rename => rename(&id, &input, context).await,
    }?;
    Ok(Report::new(summary).with("playlistId", id))
}

/// Only the playlist that the request has named is changed, whatever the names
/// and descriptions say that the model has read.
fn stays_with(id: &str, asked: Option<&str>) -> Result<(), ErrorObject> {
    match asked {
        Some(asked) if asked == id => Ok(()),
        Some(asked) => Err(unfit(format!(
            "only the playlist that the user has open may be changed: {}",
            name(asked)
        ))),
        None => Err(unfit(
            "the user has not said which playlist may be changed: ask for its link",
        )),
    }
}

async fn add(id: &str, input: &Input, context: &ToolContext<'_>) -> Result<String, ErrorObject> {
    let uris = needed(input, "add")?;
    context.writes.change()?;
    let added = context
        .spotify()
        .add_tracks(id, &uris, input.position)
        .await;
    context.seen(id, added.map_err(|error| not_changed(&error))?);
    Ok(format!("Added {} tracks", uris.len()))
}

/// Removes tracks wherever they are, and says from where, so that they can be put
/// back: the playlist is read before.
async fn remove(id: String, input: &Input, context: &ToolContext<'_>) -> Outcome {
    let wanted = needed(input, "remove")?;
    let entries = context.spotify().playlist_entries(&id, 0..u32::MAX).await;
    let entries = entries.map_err(|error| error.object())?;
    let uri = |track: &Track| format!("spotify:track:{}", track.id);
    let is_wanted = |(_, track): &(u32, Track)| wanted.contains(&uri(track));
    let found: Vec<_> = entries.into_iter().filter(is_wanted).collect();
    if found.is_empty() {
        return Err(unfit("none of these tracks is in the playlist"));
    }
    let mut uris: Vec<_> = found.iter().map(|(_, track)| uri(track)).collect();
    uris.sort_unstable();
    uris.dedup();
    let snapshot = snapshot(&id, context).await?;
    context.writes.removal(found.len())?;
    let shown = found.iter().map(|(position, track)| {
        let mut entry = tracks::entry(track);
        entry.detail["position"] = (*position).into();
        // Whatever else has no room: with these it can be put back.
        entry.compact = json!({"id": track.id, "position": position});
        entry
    });
    let shown: Vec<_> = shown.collect();
    let removed = context.spotify().remove_tracks(&id, &uris, snapshot).await;
    if let Err(error) = removed.map(|snapshot| context.seen(&id, snapshot)) {
        let NotChanged { error, perhaps } = NotChanged::from(&error);
        if perhaps {
            let gone = shown.into_iter().map(|entry| entry.compact);
            return Err(error.with("perhapsRemoved", gone.collect::<Vec<_>>()));
        }
        context.writes.removal_was_refused(found.len());
        return Err(error);
    }
    let count = found.len();
    let summary = format!("Removed {count} tracks, from the positions that they had before");
    Ok(Report {
        list: "removed",
        tracks: shown,
        ..Report::new(summary).with("playlistId", id)
    })
}

async fn reorder(
    id: &str,
    input: &Input,
    context: &ToolContext<'_>,
) -> Result<String, ErrorObject> {
    let (Some(start), Some(before)) = (input.range_start, input.insert_before) else {
        return Err(unfit("`reorder` needs rangeStart and insertBefore"));
    };
    let length = input.range_length.unwrap_or(1);
    let step = Move {
        start,
        length,
        before,
    };
    let snapshot = snapshot(id, context).await?;
    context.writes.change()?;
    let moved = context
        .spotify()
        .reorder(id, step, snapshot.as_deref())
        .await;
    context.seen(id, moved.map_err(|error| not_changed(&error))?);
    Ok(format!(
        "Moved {length} tracks from position {start} to before {before}"
    ))
}

async fn rename(id: &str, input: &Input, context: &ToolContext<'_>) -> Result<String, ErrorObject> {
    let (name, description) = (input.name.as_deref(), input.description.as_deref());
    if name.is_none() && description.is_none() {
        return Err(unfit("`rename` needs name, description or both"));
    }
    context.writes.change()?;
    let renamed = context.spotify().rename(id, name, description);
    renamed.await.map_err(|error| not_changed(&error))?;
    Ok("Renamed the playlist".into())
}

/// What a change is meant for: should others have changed the playlist since,
/// the service does to their state what was meant for this one.
async fn snapshot(id: &str, context: &ToolContext<'_>) -> Result<Option<String>, ErrorObject> {
    let snapshot = context.snapshot(id).await;
    snapshot.map_err(|error| error.object())
}

fn needed(input: &Input, action: &str) -> Result<Vec<String>, ErrorObject> {
    match &input.track_ids {
        Some(ids) => uris(ids),
        None => Err(unfit(format!("`{action}` needs trackIds"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "37i9dQZF1DXcBWIGoYBM5M";
    const OTHER: &str = "0aBcDeFgHiJkLmNoPqRsTu";

    #[test]
    fn only_the_open_playlist_is_changed() {
        assert!(stays_with(OPEN, Some(OPEN)).is_ok());
        assert!(stays_with(OPEN, None).is_err());
        let error = stays_with(OTHER, Some(OPEN)).unwrap_err();
        assert!(error.message.contains(OPEN), "{error:?}");
    }
}
