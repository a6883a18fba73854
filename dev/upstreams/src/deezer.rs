//! Deezer's public API: songs by ISRC, by identifier, by search. Errors come
//! inside a 200, and only a song asked for by itself has its tempo.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, OnDeezer, Track, fold};
use crate::params::{Params, encode};
use crate::service::{self, Wrong};

/// Calls that are answered in a period; `None` answers all.
#[derive(Clone, Debug, Default)]
pub struct Quota(Arc<Mutex<Window>>);

#[derive(Debug, Default)]
struct Window {
    limit: Option<(usize, Duration)>,
    calls: VecDeque<Instant>,
}

impl Quota {
    /// Answers at most `calls` calls in any `period`; the service itself: 50
    /// in 5 s.
    pub fn set(&self, limit: Option<(usize, Duration)>) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.limit = limit;
        window.calls.clear();
    }

    fn admits(&self) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((most, period)) = window.limit else {
            return true;
        };
        let now = Instant::now();
        while window
            .calls
            .front()
            .is_some_and(|call| now - *call >= period)
        {
            window.calls.pop_front();
        }
        let free = window.calls.len() < most;
        if free {
            window.calls.push_back(now);
        }
        free
    }
}

#[derive(Clone, Debug)]
struct Deezer {
    catalogue: Arc<Catalogue>,
    quota: Quota,
}

pub(crate) fn routes(catalogue: Arc<Catalogue>, quota: Quota) -> Router {
    Router::new()
        .route("/track/{id}", get(track))
        .route("/search", get(search))
        .route("/search/track", get(search))
        .fallback(unknown)
        .with_state(Deezer { catalogue, quota })
}

/// The service's error of that code, inside a 200.
pub(crate) fn wrong(wrong: Wrong) -> Response {
    match wrong {
        Wrong::Code(code) => error(code),
        Wrong::Status(status) => service::json(
            status,
            &json!({"error": {
                "type": "Exception", "message": "An unexpected error occured", "code": status,
            }}),
        ),
    }
}

fn error(code: u32) -> Response {
    let (kind, message) = match code {
        4 => ("Exception", "Quota limit exceeded"),
        100 => ("Exception", "Items limit exceeded"),
        200 => ("OAuthException", "An active access token must be used"),
        500 => ("ParameterException", "Wrong parameter"),
        501 => ("MissingParameterException", "Missing parameters: q"),
        600 => ("InvalidQueryException", "Unknown path components"),
        700 => ("Exception", "Service busy"),
        800 => ("DataException", "no data"),
        _ => ("Exception", "An unexpected error occured"),
    };
    service::json(
        200,
        &json!({"error": {"type": kind, "message": message, "code": code}}),
    )
}

async fn unknown() -> Response {
    error(600)
}

async fn track(State(this): State<Deezer>, Path(id): Path<String>) -> Response {
    if !this.quota.admits() {
        return error(4);
    }
    let found = match id.strip_prefix("isrc:") {
        Some(isrc) => {
            let found = this.catalogue.by_isrc(&isrc.to_uppercase());
            found.filter(|track| track.deezer.as_ref().is_some_and(|known| known.by_isrc))
        }
        None => id
            .parse()
            .ok()
            .and_then(|id| this.catalogue.by_deezer_id(id)),
    };
    match found.and_then(|track| Some((track, track.deezer.as_ref()?))) {
        Some((track, known)) => service::json(200, &whole(&this.catalogue, track, known)),
        None => error(800),
    }
}

async fn search(State(this): State<Deezer>, RawQuery(query): RawQuery) -> Response {
    if !this.quota.admits() {
        return error(4);
    }
    let query = query.unwrap_or_default();
    let params = Params::new(query.as_bytes());
    let text = params.text("q");
    if text.is_empty() {
        return error(501);
    }
    let (Ok(limit), Ok(start)) = (params.number("limit", 25), params.number("index", 0)) else {
        return error(500);
    };
    let limit = limit.min(100);
    let found = find(&this.catalogue, text);
    let page = found.iter().skip(start).take(limit);
    let data: Vec<Value> = page
        .map(|(track, known)| listed(&this.catalogue, track, known))
        .collect();
    let mut answer = json!({"data": data, "total": found.len()});
    let after = start.saturating_add(limit);
    if after < found.len() {
        let next = encode([("q", text), ("index", &after.to_string())]);
        answer["next"] = format!("https://api.deezer.com/search?{next}").into();
    }
    service::json(200, &answer)
}

/// `artist:"…" track:"…"`, or words.
fn find<'a>(catalogue: &'a Catalogue, text: &str) -> Vec<(&'a Track, &'a OnDeezer)> {
    let found = catalogue
        .search(text)
        .into_iter()
        .map(|at| &catalogue.tracks[at]);
    let known = found.filter_map(|track| Some((track, track.deezer.as_ref()?)));
    let words = fold(text);
    let mut known: Vec<_> = known.collect();
    // A title that is in the query as it is comes first.
    known.sort_by_key(|(track, _)| !words.contains(&fold(track.plain_title())));
    known
}

/// A song among others: without its tempo.
fn listed(catalogue: &Catalogue, track: &Track, known: &OnDeezer) -> Value {
    let (artist, album) = (
        &catalogue.artists[track.artists[0]],
        &catalogue.albums[track.album],
    );
    let title = track.plain_title();
    json!({
        "id": known.id,
        "readable": true,
        "title": title,
        "title_short": title,
        "title_version": "",
        "isrc": track.isrc.as_deref().unwrap_or_default(),
        "link": format!("https://www.deezer.com/track/{}", known.id),
        "duration": track.duration_ms / 1000,
        "rank": track.popularity * 9_800,
        "explicit_lyrics": track.explicit,
        "explicit_content_lyrics": u8::from(track.explicit),
        "explicit_content_cover": 0,
        "preview": "",
        "md5_image": &track.id,
        "artist": {
            "id": artist.deezer_id,
            "name": &artist.name,
            "link": format!("https://www.deezer.com/artist/{}", artist.deezer_id),
            "type": "artist",
        },
        "album": {"id": album.deezer_id, "title": &album.name, "type": "album"},
        "type": "track",
    })
}

fn whole(catalogue: &Catalogue, track: &Track, known: &OnDeezer) -> Value {
    let mut whole = listed(catalogue, track, known);
    let album = &catalogue.albums[track.album];
    whole["bpm"] = json!(known.bpm);
    whole["gain"] = json!(-8.4);
    whole["track_position"] = track.number.into();
    whole["disk_number"] = 1.into();
    whole["release_date"] = format!("{}-01-01", track.year).into();
    whole["album"]["release_date"] = album.release_date.as_str().into();
    whole["available_countries"] = json!(["DE", "FR", "NO"]);
    let artists = track.artists.iter().map(|at| &catalogue.artists[*at]);
    whole["contributors"] = artists
        .map(|artist| json!({"id": artist.deezer_id, "name": artist.name, "type": "artist", "role": "Main"}))
        .collect();
    whole
}
