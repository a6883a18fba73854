//! Changes to playlists. They need a user's access, and none is sent twice on
//! its own account: a playlist would have its tracks twice.

use serde_json::{Map, Value, json};

use super::{ApiRequest, PLAYLIST, Spotify, UpstreamError, wire};
use crate::music::Playlist;

/// Tracks that one call may add or remove.
const PER_CALL: usize = 100;

/// A move within a playlist: `length` tracks from `start` on go before the
/// track that is at `before` now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) start: u32,
    pub(crate) length: u32,
    pub(crate) before: u32,
}

impl Spotify {
    /// A new, empty playlist of the account.
    ///
    /// # Errors
    /// When there is no good answer. It may have been made all the same.
    pub(crate) async fn create_playlist(
        &self,
        name: &str,
        description: &str,
        public: bool,
    ) -> Result<Playlist, UpstreamError> {
        let description = one_line(description);
        let body = json!({"name": name, "description": description, "public": public});
        let ask = ApiRequest::post("create a playlist", "/v1/me/playlists").json(&body);
        let playlist: wire::Playlist = self.must(&ask).await?.json()?;
        Ok(playlist.playlist())
    }

    /// Adds tracks, at `position` or at the end, and gives the playlist's new
    /// state. More than 100 are added in several calls.
    ///
    /// # Errors
    /// When one of the calls fails: those before it have been done.
    pub(crate) async fn add_tracks(
        &self,
        id: &str,
        uris: &[String],
        position: Option<u32>,
    ) -> Result<Option<String>, UpstreamError> {
        let mut at = position;
        let mut snapshot = None;
        for uris in uris.chunks(PER_CALL) {
            let mut body = json!({"uris": uris});
            if let Some(at) = &mut at {
                body["position"] = (*at).into();
                *at += u32::try_from(uris.len()).unwrap_or(0);
            }
            let ask = ApiRequest::post("add tracks", self.items(id)?)
                .or_check(PLAYLIST)
                .json(&body);
            snapshot = self.changed(&ask).await?;
        }
        Ok(snapshot)
    }

    /// Removes every occurrence of these tracks, and gives the playlist's new
    /// state. `snapshot` is the state that this is meant for.
    ///
    /// # Errors
    /// When one of the calls fails: those before it have been done.
    pub(crate) async fn remove_tracks(
        &self,
        id: &str,
        uris: &[String],
        mut snapshot: Option<String>,
    ) -> Result<Option<String>, UpstreamError> {
        for uris in uris.chunks(PER_CALL) {
            let items: Vec<_> = uris.iter().map(|uri| json!({"uri": uri})).collect();
            let mut body = json!({"items": items});
            if let Some(snapshot) = &snapshot {
                body["snapshot_id"] = snapshot.as_str().into();
            }
            let ask = ApiRequest::delete("remove tracks", self.items(id)?)
                .or_check(PLAYLIST)
                .json(&body);
            snapshot = self.changed(&ask).await?;
        }
        Ok(snapshot)
    }

    /// Moves tracks, and gives the playlist's new state. Their places are those
    /// in the state `snapshot`.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn reorder(
        &self,
        id: &str,
        step: Move,
        snapshot: Option<&str>,
    ) -> Result<Option<String>, UpstreamError> {
        let mut body = json!({
            "range_start": step.start,
            "range_length": step.length,
            "insert_before": step.before,
        });
        if let Some(snapshot) = snapshot {
            body["snapshot_id"] = snapshot.into();
        }
        let ask = ApiRequest::put("move tracks", self.items(id)?)
            .or_check(PLAYLIST)
            .json(&body);
        self.changed(&ask).await
    }

    /// Gives a playlist another name, another description, or both.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn rename(
        &self,
        id: &str,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<(), UpstreamError> {
        let id = self.playlist_id(id)?;
        let description = description.map(one_line);
        let fields = [("name", name), ("description", description.as_deref())];
        let field = |(key, value): (&str, Option<&str>)| Some((key.to_owned(), value?.into()));
        let body: Map<String, Value> = fields.into_iter().filter_map(field).collect();
        // Doing it twice comes to the same.
        let ask = ApiRequest::put("rename a playlist", format!("/v1/playlists/{id}"))
            .or_check(PLAYLIST)
            .json(&body)
            .repeatable();
        self.must(&ask).await?;
        Ok(())
    }

    fn items(&self, id: &str) -> Result<String, UpstreamError> {
        let id = self.playlist_id(id)?;
        Ok(format!("/v1/playlists/{id}/items"))
    }

    /// Carries out a change; its answer is the playlist's new state, if
    /// anything.
    async fn changed(&self, ask: &ApiRequest) -> Result<Option<String>, UpstreamError> {
        let answer = self.must(ask).await?;
        if answer.body.is_empty() {
            return Ok(None);
        }
        Ok(answer.json::<wire::Changed>()?.snapshot_id)
    }
}

/// A description as the service takes it: it refuses line breaks.
fn one_line(description: &str) -> String {
    description.replace(char::is_control, " ")
}
