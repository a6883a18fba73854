//! Spotify's catalogue and playlists.
//!
//! Only what new applications may use since 2026 is used: playlists have
//! `/items`, a search page has at most 10 tracks, and tracks and artists are
//! asked for one by one.

mod access;
pub(crate) mod accounts;
mod edit;
mod grant;
mod id;
mod refusal;
mod renewal;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

use std::ops::Range;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use http::StatusCode;
use http::header::AUTHORIZATION;

pub(crate) use access::{Access, AppToken};
pub(crate) use edit::Move;
pub(crate) use grant::Grant;
pub(crate) use id::{NoPlaylist, PlaylistId, playlist_id, playlist_url, track_id};
pub(crate) use refusal::no_scope;
pub(crate) use tokens::{AccessTokens, Ended, TokenStore, Tokens};

use crate::config::Secret;
use crate::music::{Artist, Page, Playlist, Track, User};
use crate::{AppState, stored};
use spinlane_client::{
    Api, ApiAnswer, ApiRequest, ApiSpec, Failure, Service, ServiceError, UpstreamError,
};
use spinlane_core::cache::Key;
use spinlane_core::limit::Observer;

static SERVICE: Service = Service::new("spotify", "Spotify", "spotify_api_url")
    .key("spotify_client_secret")
    .not_found("try again in a moment, or have the operator check `spotify_api_url`")
    .forbidden(
        "it shows and changes only what belongs to the account that is connected; connect it, or \
         choose something else",
    );

/// What to check where a playlist is not found.
const PLAYLIST: &str = "check the id, and that the playlist is public or yours";

static SPEC: ApiSpec = ApiSpec::new(&SERVICE).read_error(|body| {
    let answer: wire::ErrorAnswer = serde_json::from_slice(body).ok()?;
    Some(ServiceError::new(None, answer.error.message))
});

/// Tracks on a page of a search, and entries on one of a playlist.
const SEARCH_PAGE: u32 = 10;
const PLAYLIST_PAGE: u32 = 50;

/// Calls that one list makes at a time; the lane has the last word.
const AT_ONCE: usize = 5;

/// The Web API, as somebody. Clones share their access.
#[derive(Clone)]
pub(crate) struct Spotify {
    app: AppState,
    api: Api,
    tokens: Arc<dyn AccessTokens>,
}

impl Spotify {
    /// The service as configured, with `access`. `observer` is told how its
    /// calls go.
    pub(crate) fn new(app: &AppState, access: Access, observer: Arc<dyn Observer>) -> Self {
        Self {
            app: app.clone(),
            api: Api::new(
                app.transport(),
                &SPEC,
                &app.config.spotify().api_url,
                Arc::clone(&observer),
            ),
            tokens: access.tokens(app, observer),
        }
    }

    /// Tracks that match `query`, best first, from `offset` on: at most
    /// `limit`, and at most 50.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn search_tracks(
        &self,
        query: &str,
        limit: u32,
        offset: u32,
    ) -> Result<Page<Track>, UpstreamError> {
        let limit = limit.clamp(1, 50);
        let mut found = self.search_page(query, limit, offset).await?;
        while let Some(next) = found.next {
            let have = u32::try_from(found.items.len()).unwrap_or(u32::MAX);
            if have >= limit {
                break;
            }
            let page = self.search_page(query, limit - have, next).await?;
            found.items.extend(page.items);
            // Empty pages do not lead on.
            found.next = page.next.filter(|after| *after > next);
        }
        Ok(found)
    }

    async fn search_page(
        &self,
        query: &str,
        limit: u32,
        offset: u32,
    ) -> Result<Page<Track>, UpstreamError> {
        let (limit, offset) = (limit.min(SEARCH_PAGE).to_string(), offset.to_string());
        let ask = ApiRequest::get("search tracks", "/v1/search").query(&[
            ("q", query),
            ("type", "track"),
            ("limit", &limit),
            ("offset", &offset),
        ]);
        let answer: wire::Search = self.must(&ask).await?.json()?;
        Ok(answer.tracks.page(|_, track| track.track()))
    }

    /// A track, by its id; `None` where there is none, or the id cannot be one.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn track(&self, id: &str) -> Result<Option<Track>, UpstreamError> {
        let Some(id) = track_id(id) else {
            return Ok(None);
        };
        let ask = ApiRequest::get("get a track", format!("/v1/tracks/{id}"));
        let Some(answer) = self.ask(&ask).await? else {
            return Ok(None);
        };
        Ok(answer.json::<wire::Track>()?.track())
    }

    /// Tracks by their ids, in the same order, `None` where there is none.
    ///
    /// # Errors
    /// When one of them has no good answer.
    pub(crate) async fn tracks(&self, ids: &[&str]) -> Result<Vec<Option<Track>>, UpstreamError> {
        let all = ids.iter().map(|id| self.track(id)).collect::<Vec<_>>();
        stream::iter(all).buffered(AT_ONCE).try_collect().await
    }

    /// A playlist without its tracks; `None` where there is none, or the id
    /// cannot be one. Takes URIs and addresses of the web player as well.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn playlist(&self, id: &str) -> Result<Option<Playlist>, UpstreamError> {
        let Some(id) = playlist_id(id) else {
            return Ok(None);
        };
        let ask = ApiRequest::get("get a playlist", format!("/v1/playlists/{id}"));
        let Some(answer) = self.ask(&ask).await? else {
            return Ok(None);
        };
        Ok(Some(answer.json::<wire::Playlist>()?.playlist()))
    }

    /// The tracks at these places of a playlist, in its order, each with its
    /// place. Entries that are no tracks (episodes, tracks that are gone) are
    /// left out, and have a place all the same: changes go by places.
    ///
    /// # Errors
    /// When a page has no good answer, or there is no such playlist.
    pub(crate) async fn playlist_entries(
        &self,
        id: &str,
        places: Range<u32>,
    ) -> Result<Vec<(u32, Track)>, UpstreamError> {
        let id = self.playlist_id(id)?;
        let first = self.playlist_page(&id, places.start).await?;
        let end = first.total.min(places.end);
        let offsets = places.start.saturating_add(PLAYLIST_PAGE)..end;
        let rest = offsets.step_by(PLAYLIST_PAGE as usize);
        let rest = rest.map(|offset| self.playlist_page(&id, offset));
        let rest = rest.collect::<Vec<_>>();
        let rest: Vec<_> = stream::iter(rest).buffered(AT_ONCE).try_collect().await?;
        let pages = [first].into_iter().chain(rest);
        let entries = pages.flat_map(|page| page.items);
        Ok(entries.filter(|(at, _)| places.contains(at)).collect())
    }

    async fn playlist_page(
        &self,
        id: &str,
        offset: u32,
    ) -> Result<Page<(u32, Track)>, UpstreamError> {
        let path = format!("/v1/playlists/{id}/items");
        let (limit, from) = (PLAYLIST_PAGE.to_string(), offset.to_string());
        let ask = ApiRequest::get("get a playlist's tracks", path)
            .or_check(PLAYLIST)
            .query(&[("limit", &limit), ("offset", &from)]);
        let page: wire::Paging<wire::Entry> = self.must(&ask).await?.json()?;
        Ok(page.page(|at, entry| Some((offset.saturating_add(at), entry.track()?))))
    }

    /// Artists by their ids, in the same order, `None` where there is none. What
    /// is known of one is kept: everybody may see it.
    ///
    /// # Errors
    /// When one of them has no good answer.
    pub(crate) async fn artists(&self, ids: &[&str]) -> Result<Vec<Option<Artist>>, UpstreamError> {
        let all = ids.iter().map(|id| self.artist(id)).collect::<Vec<_>>();
        stream::iter(all).buffered(AT_ONCE).try_collect().await
    }

    async fn artist(&self, id: &str) -> Result<Option<Artist>, UpstreamError> {
        let Some(id) = id::artist_id(id) else {
            return Ok(None);
        };
        let (key, this) = (Key::exact([&id]), self.clone());
        let fetch = move || async move {
            let ask = ApiRequest::get("get an artist", format!("/v1/artists/{id}"));
            let Some(answer) = this.ask(&ask).await? else {
                return Ok(None);
            };
            Ok(Some(answer.json::<wire::Artist>()?.artist()))
        };
        let cache = self.app.cache.typed(&stored::ARTIST);
        let found = cache.get_or_fetch(&key, fetch).await;
        found.map_err(|error| self.api.not_fetched(error))
    }

    /// Whose account it is. Needs a user's access.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn me(&self) -> Result<User, UpstreamError> {
        let ask = ApiRequest::get("get the account", "/v1/me");
        let user: wire::User = self.must(&ask).await?.json()?;
        Ok(user.user())
    }

    async fn must(&self, ask: &ApiRequest) -> Result<ApiAnswer, UpstreamError> {
        let answer = self.ask(ask).await?;
        answer.ok_or_else(|| self.api.absent(ask))
    }

    /// The id of a playlist that must be there.
    fn playlist_id(&self, text: &str) -> Result<String, UpstreamError> {
        playlist_id(text).ok_or_else(|| self.api.fail(Failure::Absent(PLAYLIST)))
    }

    /// Asks with a token. One that is refused is replaced once, and what was
    /// asked is asked again: nothing was done with the first.
    async fn ask(&self, ask: &ApiRequest) -> Result<Option<ApiAnswer>, UpstreamError> {
        let token = self.tokens.token(None).await?;
        let refused = match self.ask_with(ask, &token).await {
            Err(error) if is_unauthorized(&error) => token,
            answer => return answer,
        };
        let token = self.tokens.token(Some(&refused)).await?;
        self.ask_with(ask, &token).await
    }

    async fn ask_with(
        &self,
        ask: &ApiRequest,
        token: &Secret,
    ) -> Result<Option<ApiAnswer>, UpstreamError> {
        let authorization = format!("Bearer {}", token.expose());
        let ask = ask.clone().header(AUTHORIZATION, authorization);
        let answer = self.api.clone().hiding(token).ask(&ask).await;
        answer.map_err(refusal::named)
    }
}

fn is_unauthorized(error: &UpstreamError) -> bool {
    matches!(error.failure, Failure::Status { status, .. } if status == StatusCode::UNAUTHORIZED)
}
