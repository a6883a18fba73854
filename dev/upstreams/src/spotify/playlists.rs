//! Playlists: reading, making, changing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::edit::Edit;
use super::objects::Page;
use super::world::{Refusal, World, answer, error};
use crate::catalogue::{self, Catalogue, Entry, USER};
use crate::dice::Dice;
use crate::params::Params;

/// What lets an application change public playlists, and private ones.
const MODIFY: [&str; 2] = ["playlist-modify-public", "playlist-modify-private"];

const READ_PRIVATE: &str = "playlist-read-private";

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
    /// What it held before, by its snapshot then.
    past: Vec<(String, Vec<Entry>)>,
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

    /// Whether everybody may see a playlist.
    pub fn is_public(&self, id: &str) -> Option<bool> {
        self.with(id, |list| list.public)
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

    /// Somebody else moves a playlist's first song to its end.
    ///
    /// # Panics
    /// When there is no such playlist, or nothing in it.
    pub fn rotate(&self, id: &str) {
        let rotated = self.with(id, |list| {
            list.past.push((list.snapshot(), list.entries.clone()));
            list.version += 1;
            list.entries.rotate_left(1);
        });
        rotated.expect("the playlist");
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
            past: Vec::new(),
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
            past: Vec::new(),
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

    /// What it held when its snapshot was this one.
    fn at(&self, snapshot: &str) -> Result<Vec<Entry>, Refusal> {
        if snapshot == self.snapshot() {
            return Ok(self.entries.clone());
        }
        let mut past = self.past.iter().rev();
        let then = past.find(|(known, _)| known == snapshot);
        let then = then.map(|(_, entries)| entries.clone());
        then.ok_or_else(|| error(400, "Invalid snapshot_id"))
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
        let is_open = list.public || (owned && caller.is_some_and(|grant| grant.has(READ_PRIVATE)));
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
        self.user(headers, &MODIFY)?;
        let changed = self.playlists.with(id, |list| {
            if list.owner != USER {
                return Err(error(403, "You cannot modify a playlist you don't own"));
            }
            let before = (list.snapshot(), list.entries.clone());
            change(list)?;
            list.past.push(before);
            list.version += 1;
            Ok(list.snapshot())
        });
        changed.unwrap_or_else(|| Err(error(404, "Resource not found")))
    }
}

/// The answer of a route that has nothing to say.
fn done<T>(result: Result<T, Refusal>) -> Response {
    match result {
        Ok(_) => StatusCode::OK.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// The body; nothing is an empty object.
fn document(body: &Bytes) -> Result<Value, Refusal> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|_| error(400, "Error parsing JSON."))
}

pub(super) async fn playlist(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let found = world.readable(&headers, &id);
    let found = found.map(|(list, may_see)| world.whole(&list, may_see));
    answer(200, found)
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
        let (limit, offset) = Page::asked(&params, default, most)?;
        Ok(world.entries(&list, name, limit, offset))
    };
    answer(200, read())
}

pub(super) async fn mine(
    State(world): State<World>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let read = || {
        let grant = world.user(&headers, &[])?;
        let private = grant.has(READ_PRIVATE);
        let query = query.unwrap_or_default();
        let params = Params::new(query.as_bytes());
        let (limit, offset) = Page::asked(&params, 20, 50)?;
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
        Ok(world.page("/v1/me/playlists", "", page, &items))
    };
    answer(200, read())
}

pub(super) async fn create(
    State(world): State<World>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(201, make(&world, &headers, &body))
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
    let made = allowed.and_then(|()| make(&world, &headers, &body));
    answer(201, made)
}

fn make(world: &World, headers: &HeaderMap, body: &Bytes) -> Result<Value, Refusal> {
    let document = document(body)?;
    let public = document["public"].as_bool().unwrap_or(true);
    let [for_public, for_private] = MODIFY;
    let scope = if public { for_public } else { for_private };
    world.user(headers, &[scope])?;
    let name = document["name"]
        .as_str()
        .filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| error(400, "Missing required field: name"))?;
    let description = document["description"].as_str().unwrap_or_default();
    let list = world.playlists.create(name, description, public);
    Ok(world.whole(&list, true))
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
    done(changed)
}

/// Refuses the old path to applications in development mode.
fn path_is_open(world: &World, uri: &Uri) -> Result<(), Refusal> {
    match uri.path().ends_with("/tracks") {
        true => world.not_in_development(),
        false => Ok(()),
    }
}

/// Changes what a playlist holds.
pub(super) async fn edit(
    State(world): State<World>,
    method: Method,
    headers: HeaderMap,
    Path(id): Path<String>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let status = if method == Method::POST { 201 } else { 200 };
    let edit = || {
        path_is_open(&world, &uri)?;
        let query = Params::new(uri.query().unwrap_or_default().as_bytes());
        let document = document(&body)?;
        let edit = Edit::asked(&method, &query, &document, &world.catalogue)?;
        let snapshot = world.change(&headers, &id, |list| {
            let edit = match document["snapshot_id"].as_str() {
                Some(snapshot) => edit.moved_on(&list.at(snapshot)?, &list.entries),
                None => edit,
            };
            edit.apply(&mut list.entries)
        })?;
        Ok(json!({"snapshot_id": snapshot}))
    };
    answer(status, edit())
}

pub(super) async fn follow(State(world): State<World>, headers: HeaderMap) -> Response {
    done(world.user(&headers, &MODIFY))
}

/// For an owner this is what deleting is called.
pub(super) async fn unfollow(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let user = world.user(&headers, &MODIFY);
    done(user.map(|_| {
        let mut state = world.playlists.state();
        let lists = &mut state.lists;
        lists.retain(|list| list.id != id || list.owner != USER);
    }))
}
