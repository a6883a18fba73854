//! What the Web API knows, and who may know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::browse;
use super::playlists::{self, Playlists};
use super::tokens::{Grant, Refused, Tokens};
use crate::catalogue::Catalogue;
use crate::service::{self, Wrong};

/// The state of the Web API. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(super) origin: String,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) playlists: Playlists,
    tokens: Tokens,
    development: Arc<AtomicBool>,
}

impl World {
    pub(crate) fn new(
        origin: String,
        catalogue: Arc<Catalogue>,
        playlists: Playlists,
        tokens: Tokens,
    ) -> Self {
        Self {
            origin,
            catalogue,
            playlists,
            tokens,
            development: Arc::default(),
        }
    }

    pub(crate) fn development_mode(&self, on: bool) {
        self.development.store(on, Ordering::Relaxed);
    }

    pub(super) fn is_development(&self) -> bool {
        self.development.load(Ordering::Relaxed)
    }

    /// Who calls: `None` for an application by itself.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Option<Grant>, Refusal> {
        let header = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let Some(header) = header else {
            return Err(error(401, "No token provided"));
        };
        let Some(token) = header.strip_prefix("Bearer ") else {
            return Err(error(400, "Only valid bearer authentication supported"));
        };
        self.tokens.check(token).map_err(|refused| match refused {
            Refused::Unknown => error(401, "Invalid access token"),
            Refused::Expired => error(401, "The access token expired"),
        })
    }

    /// The user who calls, who has granted one of these scopes, or any when
    /// there are none.
    pub(super) fn user(&self, headers: &HeaderMap, scopes: &[&str]) -> Result<Grant, Refusal> {
        let grant = self.caller(headers)?;
        let grant = grant.ok_or_else(|| error(401, "Valid user authentication required"))?;
        if scopes.is_empty() || scopes.iter().any(|scope| grant.has(scope)) {
            Ok(grant)
        } else {
            Err(error(403, "Insufficient client scope"))
        }
    }

    /// Refuses what applications in development mode have no more.
    pub(super) fn not_in_development(&self) -> Result<(), Refusal> {
        match self.is_development() {
            true => Err(error(403, "Forbidden")),
            false => Ok(()),
        }
    }
}

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: u16,
    message: String,
}

pub(super) fn error(status: u16, message: &str) -> Refusal {
    Refusal {
        status,
        message: message.to_owned(),
    }
}

/// The answer of a route that has one, or why it has none.
pub(super) fn answer(status: u16, result: Result<Value, Refusal>) -> Response {
    match result {
        Ok(value) => service::json(status, &value),
        Err(refusal) => refusal.into_response(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, message } = self;
        let object = json!({"error": {"status": status, "message": message}});
        let mut response = service::json(status, &object);
        if status == 401 {
            let value = format!(
                "Bearer realm=\"spotify\", error=\"invalid_token\", \
                 error_description=\"{message}\""
            );
            let value = HeaderValue::from_str(&value).ok();
            let value = value.map(|value| (WWW_AUTHENTICATE, value));
            response.headers_mut().extend(value);
        }
        response
    }
}

/// The service's error of that status. It has no codes of its own.
pub(crate) fn wrong(wrong: Wrong) -> Response {
    let (status, message) = match wrong {
        Wrong::Status(401) => (401, "The access token expired"),
        Wrong::Status(403) => (403, "Forbidden"),
        Wrong::Status(404) => (404, "Resource not found"),
        Wrong::Status(429) => (429, "API rate limit exceeded"),
        Wrong::Status(502) => (502, "Bad gateway."),
        Wrong::Status(503) => (503, "Service unavailable"),
        Wrong::Status(status) => (status, "Server error"),
        Wrong::Code(_) => (400, "Bad request"),
    };
    error(status, message).into_response()
}

pub(crate) fn routes(world: World) -> Router {
    let items = || {
        get(playlists::items)
            .post(playlists::edit)
            .put(playlists::edit)
            .delete(playlists::edit)
    };
    Router::new()
        .route("/v1/search", get(browse::search))
        .route("/v1/tracks", get(browse::tracks))
        .route("/v1/tracks/{id}", get(browse::track))
        .route("/v1/artists", get(browse::artists))
        .route("/v1/artists/{id}", get(browse::artist))
        .route("/v1/me", get(browse::me))
        .route(
            "/v1/me/playlists",
            get(playlists::mine).post(playlists::create),
        )
        .route("/v1/users/{user}/playlists", post(playlists::create_for))
        .route(
            "/v1/playlists/{id}",
            get(playlists::playlist).put(playlists::change),
        )
        .route("/v1/playlists/{id}/tracks", items())
        .route("/v1/playlists/{id}/items", items())
        .route(
            "/v1/playlists/{id}/followers",
            put(playlists::follow).delete(playlists::unfollow),
        )
        // Closed to new applications since November 2024.
        .route("/v1/audio-features", get(closed))
        .route("/v1/audio-features/{id}", get(closed))
        .route("/v1/audio-analysis/{id}", get(closed))
        .fallback(async || error(404, "Resource not found"))
        .with_state(world)
}

/// Covers, which are no calls of the Web API.
pub(crate) fn images() -> Router {
    Router::new().route("/image/{id}", get(image))
}

async fn closed(State(world): State<World>, headers: HeaderMap) -> Response {
    let caller = world.caller(&headers);
    answer(403, caller.map(|_| json!({"error": {"status": 403}})))
}

/// A cover: two colours that follow from the identifier.
async fn image(Path(id): Path<String>) -> Response {
    let hash = id
        .bytes()
        .fold(7_u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(byte));
    let (one, two) = (hash % 360, hash / 360 % 360);
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\">\
         <rect width=\"64\" height=\"64\" fill=\"hsl({one} 45% 30%)\"/>\
         <circle cx=\"32\" cy=\"32\" r=\"18\" fill=\"hsl({two} 60% 60%)\"/></svg>"
    );
    let media_type = HeaderValue::from_static("image/svg+xml");
    (StatusCode::OK, [(CONTENT_TYPE, media_type)], svg).into_response()
}
