//! The accounts service: consent, and tokens for it.
//!
//! Any client identifier is taken and any secret but `invalid`, so that tests
//! may use secrets of their own. Beside [`Service`](crate::Service)'s control
//! routes there are `POST /__control/tokens` (`lifetime_s`, `rotate`,
//! `redirect_uris`, `expire`, `revoke`, `reset`) and `POST /__control/user`
//! (`client`, `scope`), which answers with tokens of the user.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::consent;
use super::tokens::{Code, Grant, Granted, Tokens};
use crate::params::{Params, encode};
use crate::service::{self, Service, Wrong};

pub(crate) fn routes(service: &Service, tokens: Tokens) -> Router {
    let routes = Router::new()
        .route("/authorize", get(authorize))
        .route("/authorize/answer", post(answer))
        .route("/api/token", post(token))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(tokens.clone());
    let control = Router::new()
        .route("/__control/tokens", post(control_tokens))
        .route("/__control/user", post(control_user))
        .with_state(tokens);
    service.router(routes).merge(control)
}

/// The service's error of that status. It has no codes of its own.
pub(crate) fn wrong(wrong: Wrong) -> Response {
    let status = match wrong {
        Wrong::Status(status) => status,
        Wrong::Code(_) => 400,
    };
    match status {
        400 => refuse(400, "invalid_grant", "Refresh token revoked"),
        401 => refuse(401, "invalid_client", "Invalid client"),
        429 => refuse(429, "rate_limited", "API rate limit exceeded"),
        503 => refuse(503, "temporarily_unavailable", "Service unavailable"),
        status => refuse(status, "server_error", "Server error"),
    }
}

fn refuse(status: u16, error: &str, description: &str) -> Response {
    service::json(
        status,
        &json!({"error": error, "error_description": description}),
    )
}

/// What an application asks the user for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) scopes: Vec<String>,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
}

impl Asked {
    /// Reads and checks it. What is wrong with it is told to the user: the
    /// redirect URI may be the wrong part.
    fn new(params: &Params<'_>, tokens: &Tokens) -> Result<Self, &'static str> {
        let client = params.text("client_id");
        if client.is_empty() || client == "invalid" {
            return Err("INVALID_CLIENT: Invalid client");
        }
        let redirect_uri = params.text("redirect_uri");
        if redirect_uri.starts_with("http://localhost") {
            return Err("INVALID_CLIENT: Insecure redirect URI");
        }
        if !tokens.may_redirect(redirect_uri) {
            return Err("INVALID_CLIENT: Invalid redirect URI");
        }
        if params.text("response_type") != "code" {
            return Err("response_type must be code");
        }
        if params.text("code_challenge_method") != "S256" {
            return Err("code_challenge_method must be S256");
        }
        let challenge = params.text("code_challenge");
        if challenge.len() != 43 {
            return Err("code_challenge must be a SHA-256, base64url without padding");
        }
        let scopes = params.text("scope").split([' ', ',']);
        Ok(Self {
            client: client.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            scopes: scopes
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect(),
            state: params.get("state").map(str::to_owned),
            challenge: challenge.to_owned(),
        })
    }
}

async fn authorize(State(tokens): State<Tokens>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match Asked::new(&Params::new(query.as_bytes()), &tokens) {
        Ok(asked) => consent::page(&asked, &query),
        Err(what) => consent::sorry(what),
    }
}

/// The page's form: the query of before, and what the user has chosen.
async fn answer(State(tokens): State<Tokens>, RawQuery(query): RawQuery, form: Bytes) -> Response {
    let query = query.unwrap_or_default();
    let asked = match Asked::new(&Params::new(query.as_bytes()), &tokens) {
        Ok(asked) => asked,
        Err(what) => return consent::sorry(what),
    };
    let code;
    let answer = if Params::new(&form).text("answer") == "agree" {
        code = tokens.code(Code {
            grant: Grant {
                client: asked.client,
                scopes: asked.scopes,
            },
            redirect_uri: asked.redirect_uri.clone(),
            challenge: asked.challenge,
        });
        ("code", code.as_str())
    } else {
        ("error", "access_denied")
    };
    let state = asked.state.as_deref().map(|state| ("state", state));
    let query = encode([answer].into_iter().chain(state));
    let joint = if asked.redirect_uri.contains('?') {
        '&'
    } else {
        '?'
    };
    Redirect::to(&format!("{}{joint}{query}", asked.redirect_uri)).into_response()
}

/// Who asks for a token: by Basic authorization, or by name only (PKCE).
struct Client {
    id: String,
    has_secret: bool,
}

fn client(headers: &HeaderMap, params: &Params<'_>) -> Result<Client, &'static str> {
    let basic = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (id, secret) = match basic.and_then(|value| value.strip_prefix("Basic ")) {
        Some(encoded) => {
            let decoded = BASE64_STANDARD.decode(encoded).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.ok_or("Failed to get client")?;
            let (id, secret) = decoded.split_once(':').unwrap_or((&decoded, ""));
            (id.to_owned(), secret.to_owned())
        }
        None => (
            params.text("client_id").to_owned(),
            params.text("client_secret").to_owned(),
        ),
    };
    match (id.as_str(), secret.as_str()) {
        ("", _) => Err("Failed to get client"),
        ("invalid", _) => Err("Invalid client"),
        (_, "invalid") => Err("Invalid client secret"),
        _ => Ok(Client {
            id,
            has_secret: !secret.is_empty(),
        }),
    }
}

async fn token(State(tokens): State<Tokens>, headers: HeaderMap, form: Bytes) -> Response {
    let params = Params::new(&form);
    let client = match client(&headers, &params) {
        Ok(client) => client,
        Err(what) => return refuse(400, "invalid_client", what),
    };
    let granted = match params.text("grant_type") {
        "client_credentials" if client.has_secret => Ok(tokens.grant_app()),
        "client_credentials" => Err(("invalid_client", "Invalid client secret")),
        "authorization_code" => exchange(&tokens, &client, &params),
        "refresh_token" => {
            let granted = tokens.refresh(params.text("refresh_token"), &client.id);
            granted.ok_or(("invalid_grant", "Invalid refresh token"))
        }
        "" => Err(("unsupported_grant_type", "grant_type parameter is missing")),
        _ => Err((
            "unsupported_grant_type",
            "grant_type must be client_credentials, authorization_code or refresh_token",
        )),
    };
    match granted {
        Ok(granted) => service::json(200, &document(&granted)),
        Err((error, description)) => refuse(400, error, description),
    }
}

fn document(granted: &Granted) -> Value {
    let mut document = json!({
        "access_token": granted.access_token,
        "token_type": "Bearer",
        "expires_in": granted.lifetime.as_secs(),
    });
    if !granted.scope.is_empty() {
        document["scope"] = granted.scope.as_str().into();
    }
    if let Some(token) = &granted.refresh_token {
        document["refresh_token"] = token.as_str().into();
    }
    document
}

fn exchange(
    tokens: &Tokens,
    client: &Client,
    params: &Params<'_>,
) -> Result<Granted, (&'static str, &'static str)> {
    let verifier = params.text("code_verifier");
    if verifier.is_empty() {
        return Err(("invalid_request", "code_verifier required"));
    }
    tokens.note_verifier(verifier);
    let code = tokens.redeem(params.text("code"));
    let code = code.ok_or(("invalid_grant", "Invalid authorization code"))?;
    if code.grant.client != client.id {
        return Err(("invalid_grant", "Invalid client"));
    }
    if code.redirect_uri != params.text("redirect_uri") {
        return Err(("invalid_grant", "Invalid redirect URI"));
    }
    if BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != code.challenge {
        return Err(("invalid_grant", "code_verifier was incorrect"));
    }
    Ok(tokens.grant_user(code.grant))
}

/// What tests in other languages change.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    lifetime_s: Option<u64>,
    rotate: Option<bool>,
    redirect_uris: Option<Vec<String>>,
    expire: bool,
    revoke: bool,
    reset: bool,
}

async fn control_tokens(State(tokens): State<Tokens>, Json(change): Json<Change>) -> StatusCode {
    if change.reset {
        tokens.reset();
    }
    if let Some(seconds) = change.lifetime_s {
        tokens.lifetime(Duration::from_secs(seconds));
    }
    if let Some(rotate) = change.rotate {
        tokens.rotate(rotate);
    }
    if let Some(uris) = change.redirect_uris {
        tokens.register(uris);
    }
    if change.expire {
        tokens.expire_all();
    }
    if change.revoke {
        tokens.revoke_all();
    }
    StatusCode::NO_CONTENT
}

#[derive(Debug, Deserialize)]
struct User {
    client: String,
    scope: String,
}

async fn control_user(State(tokens): State<Tokens>, Json(user): Json<User>) -> Response {
    let scopes: Vec<&str> = user.scope.split_whitespace().collect();
    service::json(200, &document(&tokens.user(&user.client, &scopes)))
}
