//! The accounts service: consent, and tokens for it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Caller, token, upstreams};
use crate::Upstreams;

const REDIRECT: &str = "http://127.0.0.1:3000/api/auth/callback";
const VERIFIER: &str = "a-verifier-that-is-at-least-forty-three-characters-long";

fn challenge() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

/// The consent page's address.
fn authorize(upstreams: &Upstreams, changes: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let mut query = vec![
        ("client_id", "app"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", "playlist-modify-public playlist-modify-private"),
        ("state", "st&te"),
        ("code_challenge_method", "S256"),
        ("code_challenge", challenge.as_str()),
    ];
    for (name, value) in changes {
        query.retain(|(known, _)| known != name);
        query.push((name, value));
    }
    let origin = upstreams.spotify_accounts().origin();
    format!("{origin}/authorize?{}", crate::params::encode(query))
}

/// Answers the page's form; gives where the browser is sent.
async fn consent(upstreams: &Upstreams, answer: &str) -> String {
    let page = reqwest::get(authorize(upstreams, &[]))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("Create, edit, and follow private playlists"),
        "{page}"
    );
    let action = page
        .split("action=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let action = action.replace("&amp;", "&");
    let browser = reqwest::Client::builder();
    let browser = browser
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let response = browser
        .post(format!("{}{action}", upstreams.spotify_accounts().origin()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("answer={answer}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 303);
    response.headers()["location"].to_str().unwrap().to_owned()
}

async fn code(upstreams: &Upstreams) -> String {
    let location = consent(upstreams, "agree").await;
    let query = location.strip_prefix(&format!("{REDIRECT}?code=")).unwrap();
    query.strip_suffix("&state=st%26te").unwrap().to_owned()
}

#[tokio::test]
async fn consent_gives_a_code_and_the_code_gives_tokens_once() {
    let upstreams = upstreams().await;
    let code = code(&upstreams).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let (status, granted) = token(&upstreams, &form).await;
    assert_eq!(status, 200, "{granted}");
    assert_eq!(
        granted["scope"],
        "playlist-modify-public playlist-modify-private"
    );
    let access = granted["access_token"].as_str().unwrap();
    let user = Caller {
        upstreams: &upstreams,
        token: access.to_owned(),
    };
    user.get("/v1/me").await;
    let (status, again) = token(&upstreams, &form).await;
    assert_eq!(
        (status.as_u16(), &again["error"]),
        (400, &json!("invalid_grant"))
    );

    let refresh = granted["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let (_, fresh) = token(&upstreams, &form).await;
    assert_ne!(fresh["access_token"], granted["access_token"]);
    assert_eq!(fresh.get("refresh_token"), None);
    upstreams.tokens().rotate(true);
    upstreams.tokens().lifetime(Duration::from_secs(7));
    let (_, rotated) = token(&upstreams, &form).await;
    assert!(rotated["refresh_token"].is_string() && rotated["expires_in"] == 7);
    // A life beyond all clocks is no panic.
    upstreams.tokens().lifetime(Duration::MAX);
    let for_ever = Caller::user(&upstreams);
    for_ever.get("/v1/me").await;
    // The old one is worth nothing now.
    assert_eq!(token(&upstreams, &form).await.1["error"], "invalid_grant");
    upstreams.tokens().revoke_all();
    assert_eq!(upstreams.tokens().consents(), 0);
    user.refused("/v1/me").await;
}

#[tokio::test]
async fn a_code_is_for_its_client_its_place_and_its_verifier() {
    let upstreams = upstreams().await;
    for (name, value, words) in [
        (
            "code_verifier",
            "another-verifier",
            "code_verifier was incorrect",
        ),
        ("code_verifier", "", "code_verifier required"),
        (
            "redirect_uri",
            "http://127.0.0.1:3000/other",
            "Invalid redirect URI",
        ),
        ("code", "AQnope", "Invalid authorization code"),
        ("grant_type", "password", "grant_type must be"),
        ("grant_type", "", "grant_type parameter is missing"),
    ] {
        let code = code(&upstreams).await;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        let (status, answer) = token(&upstreams, &form).await;
        assert_eq!(status, 400);
        let description = answer["error_description"].as_str().unwrap();
        assert!(description.contains(words), "{description}");
    }
}

#[tokio::test]
async fn a_refusal_goes_back_and_a_wrong_request_does_not() {
    let upstreams = upstreams().await;
    let location = consent(&upstreams, "cancel").await;
    assert_eq!(
        location,
        format!("{REDIRECT}?error=access_denied&state=st%26te")
    );
    let cases = [
        ("client_id", "invalid", "Invalid client"),
        (
            "redirect_uri",
            "http://localhost:3000/x",
            "Insecure redirect URI",
        ),
        (
            "redirect_uri",
            "http://evil.example/x",
            "Invalid redirect URI",
        ),
        ("response_type", "token", "response_type"),
        ("code_challenge_method", "plain", "S256"),
        ("code_challenge", "<short>", "code_challenge"),
    ];
    for (name, value, words) in cases {
        let response = reqwest::get(authorize(&upstreams, &[(name, value)]))
            .await
            .unwrap();
        assert_eq!(response.status(), 400);
        let page = response.text().await.unwrap();
        assert!(page.contains(words) && !page.contains("<short>"), "{page}");
    }
    upstreams
        .tokens()
        .register(["https://dj.example/api/auth/callback"]);
    let response = reqwest::get(authorize(&upstreams, &[])).await.unwrap();
    assert_eq!(response.status(), 400);
}
