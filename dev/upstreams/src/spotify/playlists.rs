//! Playlists: reading, making, changing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};

use super::objects::Page;
use super::world::{Refusal, World, error};
use crate::catalogue::{self, Catalogue, Entry, USER};
use crate::dice::Dice;
use crate::params::Params;
use crate::service;

/// The playlists that there are. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Playlists {
    seed: u64,
    catalogue: Arc<Catalogue>,
    state: Arc<Mutex<Shelf>>,
}

#[derive(Debug)]
struct Shelf {
    lists: Vec<Playlist>,
    /// For the identifiers of new ones, which no deleted one has had.
    dice: Dice,
}

#[derive(Clone, Debug)]
struct Playlist {
    id: String,
    name: String,
    description: String,
    owner: String,
    public: bool,
    version: u64,
    entries: Vec<Entry>,
}

impl Playlists {
    pub(crate) fn new(catalogue: Arc<Catalogue>, seed: u64) -> Self {
        let state = Shelf::new(&catalogue, seed);
        Self {
            seed,
            catalogue,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, Shelf> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Back to those of the beginning.
    pub fn reset(&self) {
        *self.state() = Shelf::new(&self.catalogue, self.seed);
    }

    /// The identifiers of all, the newest last.
    pub fn ids(&self) -> Vec<String> {
        let state = self.state();
        state.lists.iter().map(|list| list.id.clone()).collect()
    }

    /// The name of a playlist.
    pub fn name(&self, id: &str) -> Option<String> {
        self.with(id, |list| list.name.clone())
    }

    /// The identifiers of a playlist's songs, in their order, without what is
    /// no song of the catalogue.
    pub fn tracks(&self, id: &str) -> Option<Vec<String>> {
        let entries = self.with(id, |list| list.entries.clone())?;
        let tracks = entries.iter().filter_map(|entry| match entry {
            Entry::Track(at) => Some(self.catalogue.tracks[*at].id.clone()),
            _ => None,
        });
        Some(tracks.collect())
    }

    fn with<T>(&self, id: &str, look: impl FnOnce(&mut Playlist) -> T) -> Option<T> {
        let mut state = self.state();
        let mut lists = state.lists.iter_mut();
        lists.find(|list| list.id == id).map(look)
    }

    fn create(&self, name: &str, description: &str, public: bool) -> Playlist {
        let mut state = self.state();
        let playlist = Playlist {
            id: state.dice.base62(22),
            name: name.to_owned(),
            description: description.to_owned(),
            owner: USER.to_owned(),
            public,
            version: 1,
            entries: Vec::new(),
        };
        state.lists.push(playlist.clone());
        playlist
    }
}

impl Shelf {
    /// As it is at the beginning.
    fn new(catalogue: &Catalogue, seed: u64) -> Self {
        let made = catalogue::playlists(catalogue, seed);
        let lists = made.into_iter().map(|list| Playlist {
            id: list.id,
            name: list.name,
            description: list.description,
            owner: list.owner,
            public: list.public,
            version: 1,
            entries: list.entries,
        });
        Self {
            lists: lists.collect(),
            dice: Dice::new(seed, "new playlists"),
        }
    }
}

impl Playlist {
    fn snapshot(&self) -> String {
        use base64::Engine;
        let text = format!("{},{}", self.version, self.id);
        base64::prelude::BASE64_STANDARD.encode(text)
    }
}

impl World {
    fn entry(&self, entry: &Entry) -> Value {
        let item = match entry {
            Entry::Track(at) => self.track(&self.catalogue.tracks[*at]),
            Entry::Local(title, artist) => Self::local_track(title, artist),
            Entry::Episode(name) => self.episode(name),
            Entry::Gone => Value::Null,
        };
        let mut object = json!({
            "added_at": "2023-10-29T19:07:12Z",
            "added_by": self.user_ref(USER),
            "is_local": matches!(entry, Entry::Local(..)),
            "primary_color": null,
            "video_thumbnail": {"url": null},
        });
        if !self.is_development() {
            object["track"] = item.clone();
        }
        object["item"] = item;
        object
    }

    /// A page of a playlist's entries; `name` is `tracks` or `items`.
    fn entries(&self, list: &Playlist, name: &str, limit: usize, offset: usize) -> Value {
        let items = list.entries.iter().skip(offset).take(limit);
        let items: Vec<Value> = items.map(|entry| self.entry(entry)).collect();
        let page = Page {
            limit,
            offset,
            total: list.entries.len(),
        };
        let path = format!("/v1/playlists/{}/{name}", list.id);
        self.page(&path, "", page, &items)
    }

    /// A playlist without its entries.
    fn summary(&self, list: &Playlist) -> Value {
        let id = &list.id;
        json!({
            "collaborative": false,
            "description": list.description,
            "external_urls": {"spotify": format!("https://open.spotify.com/playlist/{id}")},
            "href": format!("{}/v1/playlists/{id}", self.origin),
            "id": id,
            "images": [{"url": format!("{}/image/{id}", self.origin), "height": null, "width": null}],
            "name": list.name,
            "owner": self.user_ref(&list.owner),
            "primary_color": null,
            "public": list.public,
            "snapshot_id": list.snapshot(),
            "type": "playlist",
            "uri": format!("spotify:playlist:{id}"),
        })
    }

    /// A playlist with its first entries, as far as the caller may see them.
    fn whole(&self, list: &Playlist, may_see: bool) -> Value {
        let mut object = self.summary(list);
        if !self.is_development() {
            object["followers"] = json!({"href": null, "total": 12});
            object["tracks"] = self.entries(list, "tracks", 100, 0);
        }
        if may_see {
            object["items"] = self.entries(list, "items", 100, 0);
        }
        object
    }

    /// The playlist `id`, for whoever calls.
    fn readable(&self, headers: &HeaderMap, id: &str) -> Result<(Playlist, bool), Refusal> {
        let caller = self.caller(headers)?;
        let list = self.playlists.with(id, |list| list.clone());
        let list = list.ok_or_else(|| error(404, "Resource not found"))?;
        let owned = caller.is_some() && list.owner == USER;
        let private = |grant: &super::tokens::Grant| {
            let scopes = &grant.scopes;
            scopes.iter().any(|scope| scope == "playlist-read-private")
        };
        let is_open = list.public || (owned && caller.as_ref().is_some_and(private));
        if !is_open {
            return Err(error(404, "Resource not found"));
        }
        Ok((list, owned || !self.is_development()))
    }

    /// Changes the playlist `id`, which must be the caller's own.
    fn change(
        &self,
        headers: &HeaderMap,
        id: &str,
        change: impl FnOnce(&mut Playlist) -> Result<(), Refusal>,
    ) -> Result<String, Refusal> {
        self.user(
            headers,
            &["playlist-modify-public", "playlist-modify-private"],
        )?;
        let changed = self.playlists.with(id, |list| {
            if list.owner != USER {
                return Err(error(403, "You cannot modify a playlist you don't own"));
            }
            change(list)?;
            list.version += 1;
            Ok(list.snapshot())
        });
        changed.unwrap_or_else(|| Err(error(404, "Resource not found")))
    }

    /// The songs that `uris` name, at most a hundred.
    fn songs<'a>(&self, uris: impl Iterator<Item = &'a str>) -> Result<Vec<Entry>, Refusal> {
        let songs = uris.map(|uri| {
            let id = uri.strip_prefix("spotify:track:");
            let at = id.and_then(|id| self.catalogue.index_of(id));
            let at = at.ok_or_else(|| error(400, &format!("Invalid track uri: {uri}")))?;
            Ok(Entry::Track(at))
        });
        let songs: Vec<Entry> = songs.collect::<Result<_, Refusal>>()?;
        match songs.len() {
            0..=100 => Ok(songs),
            _ => Err(error(
                400,
                "You can add a maximum of 100 tracks per request.",
            )),
        }
    }
}

fn answer(result: Result<(u16, Value), Refusal>) -> Response {
    match result {
        Ok((status, value)) => service::json(status, &value),
        Err(refusal) => refusal.into_response(),
    }
}

fn snapshot(status: u16, result: Result<String, Refusal>) -> Response {
    answer(result.map(|id| (status, json!({"snapshot_id": id}))))
}

/// The body; nothing is an empty object.
fn document(body: &Bytes) -> Result<Value, Refusal> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|_| error(400, "Error parsing JSON."))
}

fn strings<'a>(list: &'a Value, member: Option<&str>) -> Vec<&'a str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |item: &'a Value| match member {
        Some(member) => item[member].as_str(),
        None => item.as_str(),
    };
    items.iter().filter_map(text).collect()
}

pub(super) async fn playlist(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let found = world.readable(&headers, &id);
    answer(found.map(|(list, may_see)| (200, world.whole(&list, may_see))))
}

/// `…/tracks`, or `…/items` as it is called since 2026.
pub(super) async fn items(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
    uri: Uri,
) -> Response {
    let old = uri.path().ends_with("/tracks");
    let (name, default, most) = if old {
        ("tracks", 100, 100)
    } else {
        ("items", 20, 50)
    };
    let read = || {
        let (list, may_see) = world.readable(&headers, &id)?;
        if !may_see || (old && world.is_development()) {
            return Err(error(403, "Forbidden"));
        }
        let params = Params::new(uri.query().unwrap_or_default().as_bytes());
        let limit = params.number("limit", default).ok();
        let limit = limit.filter(|limit| (1..=most).contains(limit));
        let limit = limit.ok_or_else(|| error(400, "Invalid limit"))?;
        let offset = params.number("offset", 0);
        let offset = offset.map_err(|()| error(400, "Invalid offset"))?;
        Ok((200, world.entries(&list, name, limit, offset)))
    };
    answer(read())
}

pub(super) async fn mine(
    State(world): State<World>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let read = || {
        let grant = world.user(&headers, &[])?;
        let private = grant
            .scopes
            .iter()
            .any(|scope| scope == "playlist-read-private");
        let query = query.unwrap_or_default();
        let params = Params::new(query.as_bytes());
        let (limit, offset) = (params.number("limit", 20), params.number("offset", 0));
        let (Ok(limit @ 1..=50), Ok(offset)) = (limit, offset) else {
            return Err(error(400, "Invalid limit"));
        };
        let mut lists = world.playlists.state().lists.clone();
        lists.retain(|list| list.owner == USER && (list.public || private));
        let items = lists.iter().skip(offset).take(limit).map(|list| {
            let mut object = world.summary(list);
            let href = format!("{}/v1/playlists/{}/items", world.origin, list.id);
            object["items"] = json!({"href": href, "total": list.entries.len()});
            if !world.is_development() {
                object["tracks"] = object["items"].clone();
            }
            object
        });
        let items: Vec<Value> = items.collect();
        let page = Page {
            limit,
            offset,
            total: lists.len(),
        };
        Ok((200, world.page("/v1/me/playlists", "", page, &items)))
    };
    answer(read())
}

pub(super) async fn create(
    State(world): State<World>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(make(&world, &headers, &body))
}

pub(super) async fn create_for(
    State(world): State<World>,
    headers: HeaderMap,
    Path(user): Path<String>,
    body: Bytes,
) -> Response {
    let allowed = world.not_in_development();
    let allowed = allowed.and_then(|()| match user.as_str() {
        USER => Ok(()),
        _ => Err(error(403, "You cannot create a playlist for another user")),
    });
    answer(allowed.and_then(|()| make(&world, &headers, &body)))
}

fn make(world: &World, headers: &HeaderMap, body: &Bytes) -> Result<(u16, Value), Refusal> {
    let document = document(body)?;
    let public = document["public"].as_bool().unwrap_or(true);
    let scope = if public {
        "playlist-modify-public"
    } else {
        "playlist-modify-private"
    };
    world.user(headers, &[scope])?;
    let name = document["name"]
        .as_str()
        .filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| error(400, "Missing required field: name"))?;
    let description = document["description"].as_str().unwrap_or_default();
    let list = world.playlists.create(name, description, public);
    Ok((201, world.whole(&list, true)))
}

/// A new name, description or visibility.
pub(super) async fn change(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let changed = document(&body).and_then(|document| {
        world.change(&headers, &id, |list| {
            let text = |name: &str| document[name].as_str().map(str::to_owned);
            list.name = text("name").unwrap_or_else(|| list.name.clone());
            list.description = text("description").unwrap_or_else(|| list.description.clone());
            list.public = document["public"].as_bool().unwrap_or(list.public);
            Ok(())
        })
    });
    match changed {
        Ok(_) => StatusCode::OK.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Refuses the old path to applications in development mode.
fn path_is_open(world: &World, uri: &Uri) -> Result<(), Refusal> {
    match uri.path().ends_with("/tracks") {
        true => world.not_in_development(),
        false => Ok(()),
    }
}

pub(super) async fn add(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let add = || {
        path_is_open(&world, &uri)?;
        let document = document(&body)?;
        let params = Params::new(uri.query().unwrap_or_default().as_bytes());
        let named = params.get("uris").map(|uris| uris.split(',').collect());
        let named: Vec<&str> = named.unwrap_or_else(|| strings(&document["uris"], None));
        if named.is_empty() {
            return Err(error(400, "No uris provided"));
        }
        let songs = world.songs(named.into_iter())?;
        let position = document["position"].as_u64();
        let position = position.and_then(|at| usize::try_from(at).ok());
        let position = position.or_else(|| params.get("position")?.parse().ok());
        world.change(&headers, &id, |list| {
            let at = position.unwrap_or(list.entries.len());
            if at > list.entries.len() {
                return Err(error(400, "Index out of bounds."));
            }
            list.entries.splice(at..at, songs);
            Ok(())
        })
    };
    snapshot(201, add())
}

pub(super) async fn remove(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let remove = || {
        path_is_open(&world, &uri)?;
        let document = document(&body)?;
        let list = if document["items"].is_array() {
            "items"
        } else {
            "tracks"
        };
        let songs = world.songs(strings(&document[list], Some("uri")).into_iter())?;
        if songs.is_empty() {
            return Err(error(400, "No tracks specified."));
        }
        world.change(&headers, &id, |list| {
            list.entries.retain(|entry| !songs.contains(entry));
            Ok(())
        })
    };
    snapshot(200, remove())
}

/// Moves a range, or replaces everything.
pub(super) async fn update(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let update = || {
        path_is_open(&world, &uri)?;
        let document = document(&body)?;
        if document["uris"].is_array() {
            let songs = world.songs(strings(&document["uris"], None).into_iter())?;
            return world.change(&headers, &id, |list| {
                list.entries = songs;
                Ok(())
            });
        }
        let number = |name: &str| {
            let value = document[name].as_u64();
            value.and_then(|value| usize::try_from(value).ok())
        };
        let (Some(start), Some(before)) = (number("range_start"), number("insert_before")) else {
            return Err(error(400, "Missing range_start or insert_before"));
        };
        let length = number("range_length").unwrap_or(1);
        world.change(&headers, &id, |list| {
            reorder(&mut list.entries, start, before, length)
        })
    };
    snapshot(200, update())
}

fn reorder(
    entries: &mut Vec<Entry>,
    start: usize,
    before: usize,
    length: usize,
) -> Result<(), Refusal> {
    let end = start
        .checked_add(length)
        .filter(|end| *end <= entries.len());
    let (Some(end), true) = (end, before <= entries.len()) else {
        return Err(error(400, "Index out of bounds."));
    };
    let moved: Vec<Entry> = entries.drain(start..end).collect();
    let at = match before {
        before if before <= start => before,
        before if before < end => start,
        before => before - length,
    };
    entries.splice(at..at, moved);
    Ok(())
}

pub(super) async fn follow(State(world): State<World>, headers: HeaderMap) -> Response {
    match world.user(
        &headers,
        &["playlist-modify-public", "playlist-modify-private"],
    ) {
        Ok(_) => StatusCode::OK.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// For an owner this is what deleting is called.
pub(super) async fn unfollow(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    match world.user(
        &headers,
        &["playlist-modify-public", "playlist-modify-private"],
    ) {
        Ok(_) => {
            let mut state = world.playlists.state();
            let lists = &mut state.lists;
            lists.retain(|list| list.id != id || list.owner != USER);
            StatusCode::OK.into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}
