//! Last.fm's API, as far as it is about songs and artists: everything is
//! `GET /2.0/?method=…`, errors are a number in the body.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::catalogue::{Artist, Catalogue, OnLastFm, Track, fold};
use crate::params::Params;
use crate::service::{self, Wrong};

pub(crate) fn routes(catalogue: Arc<Catalogue>) -> Router {
    Router::new()
        .route("/2.0/", get(call).post(call))
        .route("/2.0", get(call).post(call))
        .fallback(not_found)
        .with_state(catalogue)
}

/// The service's error of that code; its statuses have a body with code 8 or
/// 11, as the service has when it is in trouble.
pub(crate) fn wrong(wrong: Wrong) -> Response {
    match wrong {
        Wrong::Code(code) => error(200, code),
        Wrong::Status(429) => error(429, 29),
        Wrong::Status(403) => error(403, 10),
        Wrong::Status(404) => error(404, 6),
        Wrong::Status(503) => error(503, 11),
        Wrong::Status(status) => error(status, 8),
    }
}

fn error(status: u16, code: u32) -> Response {
    let message = match code {
        3 => "Invalid Method - No method with that name in this package",
        6 => "Track not found",
        8 => "Operation failed - Something else went wrong",
        10 => "Invalid API key - You must be granted a valid key by last.fm",
        11 => "Service Offline - This service is temporarily offline. Try again later.",
        29 => "Rate limit exceeded - Your IP has made too many requests in a short period",
        _ => "There was a problem with your request",
    };
    refused(status, code, message)
}

fn refused(status: u16, code: u32, message: &str) -> Response {
    service::json(
        status,
        &json!({"error": code, "message": message, "links": []}),
    )
}

async fn not_found() -> Response {
    error(404, 3)
}

async fn call(State(catalogue): State<Arc<Catalogue>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let params = Params::new(query.as_bytes());
    if matches!(params.text("api_key"), "" | "invalid") {
        return error(403, 10);
    }
    if params.text("format") != "json" {
        let xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<lfm status=\"failed\"/>\n";
        let mut response = Response::new(xml.into());
        let media_type = http::HeaderValue::from_static("text/xml; charset=utf-8");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, media_type);
        return response;
    }
    let method = params.text("method").to_ascii_lowercase();
    let of_track: fn(&Catalogue, &Track, &OnLastFm) -> Value = match method.as_str() {
        "track.getinfo" => track_info,
        "track.gettoptags" => track_tags,
        "artist.gettoptags" => return of_artist(&catalogue, &params, artist_tags),
        "artist.getinfo" => return of_artist(&catalogue, &params, artist_info),
        _ => return error(400, 3),
    };
    if params.text("artist").is_empty() || params.text("track").is_empty() {
        return refused(
            400,
            6,
            "Invalid parameters - Your request is missing a required parameter",
        );
    }
    let track = catalogue.by_name(params.text("artist"), params.text("track"));
    match track.and_then(|track| Some((track, track.lastfm.as_ref()?))) {
        Some((track, known)) => service::json(200, &of_track(&catalogue, track, known)),
        None => error(200, 6),
    }
}

fn of_artist(
    catalogue: &Catalogue,
    params: &Params<'_>,
    answer: fn(&Artist, &[(&str, u64)]) -> Value,
) -> Response {
    let name = fold(params.text("artist"));
    let Some(at) = catalogue
        .artists
        .iter()
        .position(|artist| fold(&artist.name) == name)
    else {
        return refused(200, 6, "The artist you supplied could not be found");
    };
    let artist = &catalogue.artists[at];
    let known = catalogue
        .tracks
        .iter()
        .filter(|track| track.artists[0] == at);
    let known = known.filter_map(|track| track.lastfm.as_ref());
    let tags = known.map(|known| &known.tags).find(|tags| !tags.is_empty());
    let tags = tags.map(Vec::as_slice).unwrap_or_default();
    service::json(200, &answer(artist, tags))
}

fn page(path: &str) -> String {
    format!("https://www.last.fm/{}", path.replace(' ', "+"))
}

fn tag(name: &str) -> Value {
    json!({"name": name, "url": page(&format!("tag/{name}"))})
}

fn counted(tags: &[(&str, u64)]) -> Vec<Value> {
    let counted = tags.iter().map(|(name, count)| {
        let mut tag = tag(name);
        tag["count"] = (*count).into();
        tag
    });
    counted.collect()
}

/// Numbers are text, but for the duration of an album's songs: so is the
/// service.
fn track_info(catalogue: &Catalogue, track: &Track, known: &OnLastFm) -> Value {
    let artist = &catalogue.artists[track.artists[0]].name;
    let album = &catalogue.albums[track.album].name;
    let tags: Vec<Value> = known
        .tags
        .iter()
        .take(5)
        .map(|(name, _)| tag(name))
        .collect();
    json!({"track": {
        "name": &track.title,
        "url": page(&format!("music/{artist}/_/{}", track.title)),
        "duration": track.duration_ms.to_string(),
        "streamable": {"#text": "0", "fulltrack": "0"},
        "listeners": known.listeners.to_string(),
        "playcount": known.playcount.to_string(),
        "artist": {"name": artist, "mbid": "", "url": page(&format!("music/{artist}"))},
        "album": {
            "artist": artist,
            "title": album,
            "url": page(&format!("music/{artist}/{album}")),
            "image": [],
        },
        "toptags": {"tag": tags},
    }})
}

fn track_tags(catalogue: &Catalogue, track: &Track, known: &OnLastFm) -> Value {
    let artist = &catalogue.artists[track.artists[0]].name;
    json!({"toptags": {
        "tag": counted(&known.tags),
        "@attr": {"artist": artist, "track": &track.title},
    }})
}

fn artist_tags(artist: &Artist, tags: &[(&str, u64)]) -> Value {
    json!({"toptags": {"tag": counted(tags), "@attr": {"artist": &artist.name}}})
}

fn artist_info(artist: &Artist, tags: &[(&str, u64)]) -> Value {
    let tags: Vec<Value> = tags.iter().take(5).map(|(name, _)| tag(name)).collect();
    let (listeners, playcount) = (artist.followers / 2, artist.followers * 11);
    json!({"artist": {
        "name": &artist.name,
        "url": page(&format!("music/{}", artist.name)),
        "image": [],
        "streamable": "0",
        "ontour": "0",
        "stats": {"listeners": listeners.to_string(), "playcount": playcount.to_string()},
        "similar": {"artist": []},
        "tags": {"tag": tags},
        "bio": {"summary": "", "content": ""},
    }})
}
