//! Search, songs, artists, and the user.

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::objects::Page;
use super::world::{Refusal, World, error};
use crate::params::{Params, encode};
use crate::service;

/// Beyond this search shows nothing.
const SEARCHABLE: usize = 1000;

fn is_id(id: &str) -> bool {
    id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn answer(result: Result<Value, Refusal>) -> Response {
    match result {
        Ok(value) => service::json(200, &value),
        Err(refusal) => refusal.into_response(),
    }
}

pub(super) async fn search(
    State(world): State<World>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(find(&world, &headers, &query.unwrap_or_default()))
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
    let limit = params.number("limit", default).ok();
    let limit = limit.filter(|limit| (1..=most).contains(limit));
    let limit = limit.ok_or_else(|| error(400, "Invalid limit"))?;
    let offset = params.number("offset", 0).ok();
    let offset = offset.filter(|offset| offset.saturating_add(limit) <= SEARCHABLE);
    let offset = offset.ok_or_else(|| error(400, "Invalid offset"))?;
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

pub(super) async fn track(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    answer(
        world
            .caller(&headers)
            .and_then(|_| match world.catalogue.track(&id) {
                Some(track) => Ok(world.track(track)),
                None => Err(missing(&id)),
            }),
    )
}

pub(super) async fn artist(
    State(world): State<World>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    answer(
        world
            .caller(&headers)
            .and_then(|_| match world.catalogue.artist(&id) {
                Some(artist) => Ok(world.artist(artist)),
                None => Err(missing(&id)),
            }),
    )
}

fn missing(id: &str) -> Refusal {
    match is_id(id) {
        true => error(404, "Resource not found"),
        false => error(400, "Invalid base62 id"),
    }
}

pub(super) async fn tracks(
    State(world): State<World>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(several(
        &world,
        &headers,
        &query.unwrap_or_default(),
        "tracks",
        |id| world.catalogue.track(id).map(|track| world.track(track)),
    ))
}

pub(super) async fn artists(
    State(world): State<World>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(several(
        &world,
        &headers,
        &query.unwrap_or_default(),
        "artists",
        |id| {
            world
                .catalogue
                .artist(id)
                .map(|artist| world.artist(artist))
        },
    ))
}

/// Those of `ids` in their order, null for each that is not there.
fn several(
    world: &World,
    headers: &HeaderMap,
    query: &str,
    name: &str,
    one: impl Fn(&str) -> Option<Value>,
) -> Result<Value, Refusal> {
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
    let found: Vec<Value> = ids.iter().map(|id| one(id).unwrap_or_default()).collect();
    Ok(json!({ name: found }))
}

pub(super) async fn me(State(world): State<World>, headers: HeaderMap) -> Response {
    answer(
        world
            .user(&headers, &[])
            .map(|grant| world.me(&grant.scopes)),
    )
}
