//! Search, songs, artists, and the user.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::objects::Page;
use super::world::{Refusal, World, answer, error};
use crate::params::{Params, encode};

/// Beyond this search shows nothing.
const SEARCHABLE: usize = 1000;

fn is_id(id: &str) -> bool {
    id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

pub(super) async fn search(
    State(world): State<World>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(200, find(&world, &headers, &query.unwrap_or_default()))
}

fn find(world: &World, headers: &HeaderMap, query: &str) -> Result<Value, Refusal> {
    world.caller(headers)?;
    let params = Params::new(query.as_bytes());
    // The service's own links to further pages call it `query`.
    let text = params.get("q").or_else(|| params.get("query"));
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Err(error(400, "No search query"));
    }
    let types = params.get("type");
    let types = types.ok_or_else(|| error(400, "Missing parameter type"))?;
    let (default, most) = if world.is_development() {
        (5, 10)
    } else {
        (20, 50)
    };
    let (limit, offset) = Page::asked(&params, default, most)?;
    if offset.saturating_add(limit) > SEARCHABLE {
        return Err(error(400, "Invalid offset"));
    }
    let mut answer = Map::new();
    for kind in types.split(',') {
        let found = match kind {
            "track" => world.catalogue.search(text),
            "artist" => world.catalogue.search_artists(text),
            // There, but the catalogue has none.
            "album" | "playlist" | "show" | "episode" | "audiobook" => Vec::new(),
            other => return Err(error(400, &format!("Bad search type field {other}"))),
        };
        let items = found.iter().skip(offset).take(limit).map(|at| match kind {
            "track" => world.track(&world.catalogue.tracks[*at]),
            _ => world.artist(&world.catalogue.artists[*at]),
        });
        let page = Page {
            limit,
            offset,
            total: found.len().min(SEARCHABLE),
        };
        let again = encode([("query", text), ("type", kind)]);
        let page = world.page("/v1/search", &again, page, &items.collect::<Vec<_>>());
        answer.insert(format!("{kind}s"), page);
    }
    Ok(answer.into())
}

impl World {
    fn track_by_id(&self, id: &str) -> Option<Value> {
        let track = self.catalogue.track(id)?;
        Some(self.track(track))
    }

    fn artist_by_id(&self, id: &str) -> Option<Value> {
        let artist = self.catalogue.artist(id)?;
        Some(self.artist(artist))
    }
}

/// Finds an object by its identifier.
type Find = fn(&World, &str) -> Option<Value>;

pub(super) async fn track(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    answer(200, one(&world, &headers, &id, World::track_by_id))
}

pub(super) async fn artist(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    answer(200, one(&world, &headers, &id, World::artist_by_id))
}

fn one(world: &World, headers: &HeaderMap, id: &str, find: Find) -> Result<Value, Refusal> {
    world.caller(headers)?;
    match find(world, id) {
        Some(found) => Ok(found),
        None if is_id(id) => Err(error(404, "Resource not found")),
        None => Err(error(400, "Invalid base62 id")),
    }
}

pub(super) async fn tracks(
    State(world): State<World>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let found = several(&world, &headers, &query, World::track_by_id);
    answer(200, found.map(|found| json!({"tracks": found})))
}

pub(super) async fn artists(
    State(world): State<World>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let found = several(&world, &headers, &query, World::artist_by_id);
    answer(200, found.map(|found| json!({"artists": found})))
}

/// Those of `ids` in their order, null for each that is not there.
fn several(
    world: &World,
    headers: &HeaderMap,
    query: &str,
    find: Find,
) -> Result<Vec<Value>, Refusal> {
    world.caller(headers)?;
    world.not_in_development()?;
    let params = Params::new(query.as_bytes());
    let ids: Vec<&str> = params.text("ids").split(',').collect();
    if ids.len() > 50 {
        return Err(error(400, "Too many ids requested"));
    }
    if !ids.iter().all(|id| is_id(id)) {
        return Err(error(400, "Invalid base62 id"));
    }
    let found = ids.iter().map(|id| find(world, id).unwrap_or_default());
    Ok(found.collect())
}

pub(super) async fn me(State(world): State<World>, headers: HeaderMap) -> Response {
    let user = world.user(&headers, &[]);
    answer(200, user.map(|grant| world.me(&grant)))
}
