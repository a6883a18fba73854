//! A login from its beginning to the session, in one browser.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::*;

#[test]
fn a_login_is_begun_at_spotify_and_leaves_no_trace_here() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    let answer = browser.get("/api/auth/login");
    let url = answer.location();
    assert!(
        url.starts_with("https://accounts.spotify.com/authorize?"),
        "{url}"
    );
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "client-id"),
        ("redirect_uri", "http://127.0.0.1:3000/api/auth/callback"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(field(url, name).as_deref(), Some(value));
    }
    assert_eq!(answer.headers["cache-control"], "no-store");
    let cookie = answer.set_cookie(LOGIN).unwrap();
    assert!(cookie.contains("Max-Age=600;"), "{cookie}");
    assert!(stage.world.store.is_empty());
    assert_eq!(stage.world.http.calls(), 0);
}

#[test]
fn a_login_opens_a_session_and_a_log_out_ends_it() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    assert!(!browser.is_connected());
    let consent = browser.get("/api/auth/login");
    let consent = consent.location();
    let state = field(consent, "state").unwrap();
    let answer = browser.get(&format!("/api/auth/callback?code=c&state={state}"));
    assert_eq!(answer.location(), "/");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(browser.cookie(LOGIN), None, "a login ends once");
    assert_eq!(browser.session().len(), 43);
    let cookie = answer.set_cookie(SESSION).unwrap();
    assert!(cookie.contains("Max-Age=14400;"), "{cookie}");

    let exchange = &stage.take()[0];
    assert_eq!(
        exchange.authorization,
        "Basic Y2xpZW50LWlkOmNsaWVudC1zZWNyZXQ="
    );
    let body = format!("?{}", exchange.body);
    let verifier = field(&body, "code_verifier").unwrap();
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    assert_eq!(field(consent, "code_challenge"), Some(challenge));
    let redirect = field(&body, "redirect_uri");
    assert_eq!(redirect, field(consent, "redirect_uri"));

    let expected = json!({"connected": true, "available": true, "name": "Ada"});
    assert_eq!(browser.get("/api/auth/session").json(), expected);
    let token = browser.session().to_owned();
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", &token).json(),
        expected
    );

    let answer = browser.post("/api/auth/logout", "");
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(browser.cookie(SESSION), None);
    let answer = bearer(&stage, "GET", "/api/auth/session", &token);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "session_invalid")
    );
    assert_eq!(browser.post("/api/auth/logout", "").status, 204, "again");
    assert_eq!(stage.world.http.calls(), 2, "the tokens, the account");
}

#[test]
fn the_store_gives_nothing_away() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    let token = browser.session().to_owned();
    let raw = BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap();
    let dump = stage.world.store.dump();
    assert!(
        dump.keys().any(|key| key.starts_with("session:")),
        "{:?}",
        dump.keys()
    );
    for (key, value) in dump {
        let value = [key.as_bytes(), &value].concat();
        let text = String::from_utf8_lossy(&value);
        for secret in [
            token.as_str(),
            "access-1",
            "refresh-1",
            "client-secret",
            "ada",
            "Ada",
        ] {
            assert!(!text.contains(secret), "{key}: {secret}");
        }
        assert!(
            !value.windows(raw.len()).any(|window| window == raw),
            "{key}"
        );
    }
}

#[test]
fn a_new_login_ends_the_session_before() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    let old = browser.session().to_owned();
    browser.log_in();
    assert_ne!(browser.session(), old);
    assert!(browser.is_connected());
    assert!(!Browser::with_session(&stage, &old).is_connected());
}

#[test]
fn a_refusal_is_told_to_a_person() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    let answer = browser.come_back("/api/auth/login", "error=access_denied");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "login_denied")
    );
    assert_eq!(
        (browser.cookie(LOGIN), browser.cookie(SESSION)),
        (None, None)
    );

    let consent = browser.get("/api/auth/login");
    let state = field(consent.location(), "state").unwrap();
    let path = format!("/api/auth/callback?error=access_denied&state={state}");
    let answer = browser.send(Request::get(path).header("accept", "text/html"), "");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert!(answer.body.contains("<h1>Spotify is not connected</h1>"));
    assert!(
        answer.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("'none'")
    );
    assert_eq!(stage.world.http.calls(), 0);

    let strange = "error=%3Cscript%3E";
    let answer = browser.come_back("/api/auth/login", strange);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_rejected")
    );
    assert!(!answer.body.contains("script"), "{}", answer.body);
    let answer = browser.come_back("/api/auth/login", "error=server_error");
    assert_eq!(answer.json()["context"]["error"], "server_error");
}

#[test]
fn a_callback_is_good_where_it_was_begun_and_nowhere_else() {
    let stage = stage(&[]);
    let (mut browser, mut other) = (Browser::new(&stage), Browser::new(&stage));
    let consent = browser.get("/api/auth/login");
    let state = field(consent.location(), "state").unwrap();
    other.get("/api/auth/login");
    let callback = |state: &str| format!("/api/auth/callback?code=c&state={state}");
    let twice = format!("{}&state={state}", callback(&state));
    for (what, answer) in [
        ("no cookie", Browser::new(&stage).get(&callback(&state))),
        ("another browser", other.get(&callback(&state))),
        ("no state", browser.get("/api/auth/callback?code=c")),
    ] {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "login_state"),
            "{what}"
        );
    }
    for path in [callback("x"), callback(""), twice] {
        browser.get("/api/auth/login");
        let answer = browser.get(&path);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "login_state"),
            "{path}"
        );
        assert_eq!(browser.cookie(LOGIN), None);
    }
    // Begun long ago.
    let consent = browser.get("/api/auth/login");
    let state = field(consent.location(), "state").unwrap();
    stage.world.clock.advance(Duration::from_secs(601));
    assert_eq!(browser.get(&callback(&state)).code(), "login_state");
    assert_eq!(stage.world.http.calls(), 0);
    assert!(stage.world.store.is_empty());
}

#[test]
fn a_code_that_is_not_good_opens_nothing() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    for (outcome, status, code) in [
        ("code=used", 400, "login_code"),
        ("", 400, "login_code"),
        ("code=a&code=b", 400, "login_code"),
        ("code=down", 502, "upstream_error"),
        ("code=brief", 502, "upstream_protocol"),
    ] {
        let answer = browser.come_back("/api/auth/login", outcome);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{outcome}"
        );
        assert_eq!(browser.cookie(SESSION), None);
    }
    // The very callback that was good, once more: its login is over.
    let consent = browser.get("/api/auth/login");
    let state = field(consent.location(), "state").unwrap();
    let path = format!("/api/auth/callback?code=c&state={state}");
    assert_eq!(browser.get(&path).location(), "/");
    assert_eq!(browser.get(&path).code(), "login_state");
    assert!(browser.is_connected());
}

#[test]
fn a_login_goes_on_where_it_was_asked_to() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    let answer = browser.come_back("/api/auth/login?return_to=%2Flist%3Fid%3D1", "code=c");
    assert_eq!(answer.location(), "/list?id=1");
    for path in [
        "%2F%2Fevil.example",
        "https%3A%2F%2Fevil.example",
        "%2Fa&return_to=%2Fb",
    ] {
        let answer = browser.get(&format!("/api/auth/login?return_to={path}"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "invalid_request"),
            "{path}"
        );
        assert_eq!(answer.json()["context"], json!({"parameter": "return_to"}));
    }
}

#[test]
fn a_login_on_another_host_name_moves_to_the_public_one() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    let from = |host: &str, path: &str| Request::get(path).header("host", host);
    let answer = browser.send(from("localhost:3000", "/api/auth/login?return_to=%2Fx"), "");
    let location = answer.location().to_owned();
    assert_eq!(
        location,
        "http://127.0.0.1:3000/api/auth/login?return_to=%2Fx&moved=1"
    );
    assert_eq!(browser.cookie(LOGIN), None);
    // A proxy that names us otherwise does not make a circle of it.
    let (_, path) = location.split_at("http://127.0.0.1:3000".len());
    let answer = browser.send(from("inside:80", path), "");
    assert!(
        answer
            .location()
            .starts_with("https://accounts.spotify.com/")
    );
    let uri = "http://LOCALHOST/api/auth/login";
    assert!(
        browser
            .send(Request::get(uri), "")
            .location()
            .contains("moved=1")
    );
}

#[test]
fn without_its_keys_nothing_can_be_connected() {
    for (unset, paths) in [
        (
            "spotify_client_id",
            ["/api/auth/login", "/api/auth/callback"],
        ),
        (
            "spotify_client_secret",
            ["/api/auth/login", "/api/auth/callback"],
        ),
    ] {
        let stage = stage(&[(unset, "")]);
        let mut browser = Browser::new(&stage);
        for path in paths {
            let answer = browser.get(path);
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (503, "not_configured")
            );
            assert_eq!(answer.json()["context"], json!({"variable": unset}));
        }
        let session = browser.get("/api/auth/session").json();
        assert_eq!(session, json!({"connected": false, "available": false}));
    }
}
