//! Logging in and out in virtual time, against an accounts service that is a
//! closure.

use std::sync::OnceLock;
use std::time::Duration;

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::join;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::UserSession;
use crate::core::ports::StoreError;
use crate::dj::App;
use crate::dj::clients::Failure;
use crate::dj::clients::spotify::AccessTokens;
use crate::dj::config::Secret;
use crate::dj::error::Code;
use crate::dj::testing::{Reply, Seen, Stage};

const SESSION: &str = "__Host-spinlane-session";
const LOGIN: &str = "__Host-spinlane-login";
const HOUR: Duration = Duration::from_secs(3_600);

/// Grants tokens that last for ten minutes: `access-N` and `refresh-N`, in
/// exchange for any code, and for the refresh token before.
fn spotify(request: &Seen) -> Reply {
    let body: Vec<(String, String)> = form_urlencoded::parse(request.body.as_bytes())
        .into_owned()
        .collect();
    let field = |name: &str| {
        let found = body.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let tokens = |number: u32| {
        let answer = json!({
            "access_token": format!("access-{number}"),
            "refresh_token": format!("refresh-{number}"),
            "token_type": "Bearer",
            "expires_in": 600,
        });
        Reply::Json(200, answer)
    };
    let refused = || {
        let answer = json!({"error": "invalid_grant", "error_description": "Invalid code"});
        Reply::Json(400, answer)
    };
    match (request.path.as_str(), field("grant_type")) {
        ("/api/token", "authorization_code") => match field("code") {
            "used" => refused(),
            "down" => Reply::Json(500, json!({})),
            "brief" => Reply::Json(200, json!({"access_token": "a", "expires_in": 600})),
            _ => tokens(1),
        },
        ("/api/token", "refresh_token") => match field("refresh_token") {
            "refresh-1" => tokens(2),
            "refresh-2" => tokens(3),
            _ => refused(),
        },
        ("/v1/me", _) => Reply::Json(200, json!({"id": "ada", "display_name": "Ada"})),
        _ => Reply::Json(404, json!({})),
    }
}

fn stage(variables: &[(&str, &str)]) -> Stage {
    let keys = [("anthropic_api_key", "sk-test"), ("caller_limit", "off")];
    Stage::new(&[variables, &keys].concat(), spotify)
}

/// An answer, read whole.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.body);
        self.headers["location"].to_str().unwrap()
    }

    /// The `Set-Cookie` of `name`.
    fn set_cookie(&self, name: &str) -> Option<&str> {
        let fields = self.headers.get_all("set-cookie").into_iter();
        let mut fields = fields.map(|field| field.to_str().unwrap());
        fields.find(|field| field.starts_with(&format!("{name}=")))
    }
}

/// The value of a field in a URL's query or fragment.
fn field(url: &str, name: &str) -> Option<String> {
    let (_, fields) = url.split_once(['?', '#'])?;
    let mut fields = form_urlencoded::parse(fields.as_bytes());
    let found = fields.find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned())
}

/// A browser: it keeps cookies.
struct Browser<'a> {
    stage: &'a Stage,
    cookies: Vec<(String, String)>,
}

impl<'a> Browser<'a> {
    fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            cookies: Vec::new(),
        }
    }

    fn with_session(stage: &'a Stage, token: &str) -> Self {
        let cookies = vec![(SESSION.to_owned(), token.to_owned())];
        Self { stage, cookies }
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        let found = self.cookies.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn session(&self) -> &str {
        self.cookie(SESSION).expect("a session")
    }

    fn send(&mut self, request: http::request::Builder, body: &str) -> Answer {
        let mut request = request;
        for (name, value) in &self.cookies {
            request = request.header("cookie", format!("{name}={value}"));
        }
        let answer = self.stage.world.run(send(self.stage, request, body));
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            let (value, flags) = rest.split_once("; ").unwrap();
            let (_, age) = flags.split_once("Max-Age=").unwrap();
            let flags = flags.replace(age.split(';').next().unwrap(), "N");
            assert_eq!(flags, "Path=/; Max-Age=N; Secure; HttpOnly; SameSite=Lax");
            self.cookies.retain(|(known, _)| known != name);
            if !age.starts_with("0;") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).header("host", "127.0.0.1:3000"), "")
    }

    fn post(&mut self, path: &str, body: &str) -> Answer {
        let request = Request::post(path).header("host", "127.0.0.1:3000");
        self.send(request.header("content-type", "application/json"), body)
    }

    /// Begins a login and comes back with `outcome` in the query.
    fn come_back(&mut self, login: &str, outcome: &str) -> Answer {
        let consent = self.get(login);
        let state = field(consent.location(), "state").unwrap();
        self.get(&format!("/api/auth/callback?state={state}&{outcome}"))
    }

    fn log_in(&mut self) -> Answer {
        let answer = self.come_back("/api/auth/login", "code=c");
        assert_eq!(answer.location(), "/");
        answer
    }

    /// Whether the session is good, as the page asks.
    fn is_connected(&mut self) -> bool {
        self.get("/api/auth/session").json()["connected"] == true
    }
}

/// A new instance answers.
async fn send(stage: &Stage, request: http::request::Builder, body: &str) -> Answer {
    let app = App {
        ports: stage.app.ports.clone(),
        state: Ok(stage.app.clone()),
        router: OnceLock::new(),
    };
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (head, body) = app.handle(request).await.into_parts();
    // Streams are not read: their head is what matters here.
    let is_stream = head
        .headers
        .get("content-type")
        .is_some_and(|kind| kind == "text/event-stream");
    let body = match is_stream {
        true => Vec::new(),
        false => body.collect().await.unwrap().to_bytes().to_vec(),
    };
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(body).unwrap(),
    }
}

/// A program: it sends its token itself.
fn bearer(stage: &Stage, method: &str, path: &str, token: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {token}"));
    stage.world.run(send(stage, request, ""))
}

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

const FRONTEND: &[(&str, &str)] = &[("frontend_url", "https://dj.example")];

/// Logs in for a page on another origin; its one-time code.
fn one_time_code(browser: &mut Browser<'_>) -> String {
    let answer = browser.come_back("/api/auth/login?state=s-1", "code=c");
    let location = answer.location();
    assert!(
        location.starts_with("https://dj.example/#auth_code="),
        "{location}"
    );
    assert_eq!(field(location, "state").as_deref(), Some("s-1"));
    assert_eq!(browser.cookie(SESSION), None);
    field(location, "auth_code").unwrap()
}

#[test]
fn a_page_on_another_origin_exchanges_a_code_once() {
    let stage = stage(FRONTEND);
    let mut browser = Browser::new(&stage);
    let code = one_time_code(&mut browser);
    let body = json!({"code": code}).to_string();
    let answer = browser.post("/api/auth/token", &body);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let answer = answer.json();
    assert_eq!(
        (&answer["tokenType"], &answer["expiresIn"]),
        (&"Bearer".into(), &14_400.into())
    );
    let token = answer["token"].as_str().unwrap();
    let session = bearer(&stage, "GET", "/api/auth/session", token);
    assert_eq!(session.json()["name"], "Ada");
    // The code is no session, and the session no code.
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", &code).status,
        401
    );
    for code in [&code, token, "x", &"A".repeat(43)] {
        let answer = browser.post("/api/auth/token", &json!({"code": code}).to_string());
        assert_eq!((answer.status, answer.code().as_str()), (400, "login_code"));
    }
    assert_eq!(browser.post("/api/auth/token", "{}").status, 422);
    let counters = stage.world.store.counters();
    assert!(
        counters.keys().all(|name| !name.starts_with("code")),
        "{counters:?}"
    );
}

#[test]
fn a_code_ends_after_a_minute() {
    let stage = stage(FRONTEND);
    let mut browser = Browser::new(&stage);
    let code = one_time_code(&mut browser);
    stage.world.clock.advance(Duration::from_secs(60));
    let answer = browser.post("/api/auth/token", &json!({"code": code}).to_string());
    assert_eq!((answer.status, answer.code().as_str()), (400, "login_code"));
}

#[test]
fn a_code_that_two_bring_at_once_is_good_for_one() {
    let stage = stage(FRONTEND);
    for _ in 0..10 {
        let code = one_time_code(&mut Browser::new(&stage));
        let body = json!({"code": code}).to_string();
        let exchange = || {
            let request =
                Request::post("/api/auth/token").header("content-type", "application/json");
            send(&stage, request, &body)
        };
        let (one, two) = stage.world.run(join(exchange(), exchange()));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
    }
}

#[test]
fn a_page_on_another_origin_is_told_what_went_wrong() {
    let stage = stage(FRONTEND);
    let mut browser = Browser::new(&stage);
    let answer = browser.come_back("/api/auth/login?state=s-1", "error=access_denied");
    let told = "https://dj.example/#auth_error=login_denied&state=s-1";
    assert_eq!(answer.location(), told);
    // Our own page begins its logins with a path to return to.
    let answer = browser.come_back("/api/auth/login?return_to=%2F", "code=c");
    assert_eq!(answer.location(), "/");
    assert!(browser.is_connected());
}

#[test]
fn bad_tokens_are_refused_and_say_why() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    let token = browser.session().to_owned();
    let mut forged = token.clone();
    forged.replace_range(..1, if token.starts_with('A') { "B" } else { "A" });
    for bad in [
        &forged,
        &token[..42],
        "",
        "é",
        &format!("{token}A"),
        &"x".repeat(10_000),
    ] {
        for path in ["/api/auth/session", "/api/chat-stream/message"] {
            let method = if path.ends_with("message") {
                "POST"
            } else {
                "GET"
            };
            let answer = bearer(&stage, method, path, bad);
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "session_invalid"),
                "{bad}"
            );
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
            assert!(!answer.body.contains(&token[..10]));
        }
    }
    // Not used for an hour.
    stage.world.clock.advance(HOUR);
    let answer = bearer(&stage, "GET", "/api/auth/session", &token);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "session_expired")
    );
    // Another scheme is for somebody else.
    let request = Request::get("/api/auth/session").header("authorization", "Basic eDp5");
    assert_eq!(Browser::new(&stage).send(request, "").status, 200);
}

#[test]
fn a_session_that_is_used_ends_after_four_hours() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    for _ in 0..7 {
        stage.world.clock.advance(HOUR / 2);
        assert!(browser.is_connected());
        stage.world.drain();
    }
    let token = browser.session().to_owned();
    stage.world.clock.advance(HOUR / 2);
    assert!(!browser.is_connected());
    assert_eq!(browser.cookie(SESSION), None);
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", &token).code(),
        "session_expired"
    );
}

#[test]
fn a_bad_cookie_is_as_good_as_none() {
    let stage = stage(&[]);
    let hello = r#"{"message":"hello"}"#;
    let mut browser = Browser::with_session(&stage, &"A".repeat(43));
    assert_eq!(browser.post("/api/chat-stream/message", hello).status, 200);
    assert_eq!(browser.cookie(SESSION), None, "cleared");
    let mut browser = Browser::with_session(&stage, "rubbish");
    assert!(!browser.is_connected());
    assert_eq!(browser.cookie(SESSION), None, "cleared");
    // A token that was sent on purpose counts more than a cookie.
    let mut browser = Browser::new(&stage);
    browser.log_in();
    let request = Request::get("/api/auth/session").header("authorization", "Bearer x");
    assert_eq!(browser.send(request, "").status, 401);
}

#[test]
fn changing_playlists_takes_a_session() {
    let stage = stage(&[]);
    let ask = |mode: &str| json!({"message": "hello", "mode": mode}).to_string();
    let mut browser = Browser::new(&stage);
    for mode in ["create", "edit"] {
        let answer = browser.post("/api/chat-stream/message", &ask(mode));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "session_required")
        );
        assert_eq!(
            answer.headers["www-authenticate"],
            "Bearer realm=\"spinlane\""
        );
        assert_eq!(answer.json()["context"]["login"], "/api/auth/login");
    }
    let mut gone = Browser::with_session(&stage, &"A".repeat(43));
    let answer = gone.post("/api/chat-stream/message", &ask("edit"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "session_invalid")
    );
    assert_eq!(stage.world.http.calls(), 0);
    browser.log_in();
    for mode in ["analyze", "create", "edit"] {
        assert_eq!(
            browser.post("/api/chat-stream/message", &ask(mode)).status,
            200
        );
    }
}

#[test]
fn a_session_is_read_once_before_the_head() {
    let stage = stage(&[]);
    let hello = r#"{"message":"hello"}"#;
    let calls = |browser: &mut Browser<'_>| {
        let before = stage.world.store.calls();
        assert_eq!(browser.post("/api/chat-stream/message", hello).status, 200);
        stage.world.store.calls() - before
    };
    let mut browser = Browser::new(&stage);
    assert_eq!(calls(&mut browser), 0);
    browser.log_in();
    assert_eq!(calls(&mut browser), 1);
}

#[test]
fn users_are_counted_by_account_whatever_their_address() {
    let keys = [("anthropic_api_key", "sk-test"), ("caller_limit", "2/10m")];
    let stage = Stage::new(&keys, spotify);
    let hello = r#"{"message":"hello"}"#;
    let chat = |browser: &mut Browser<'_>, address: &str| {
        let request = Request::post("/api/chat-stream/message")
            .header("content-type", "application/json")
            .header("spin-client-addr", address);
        browser.send(request, hello).status
    };
    let mut browser = Browser::new(&stage);
    browser.log_in();
    assert_eq!(chat(&mut browser, "192.0.2.1:1"), 200);
    assert_eq!(chat(&mut browser, "192.0.2.2:1"), 200);
    assert_eq!(chat(&mut browser, "192.0.2.3:1"), 429);
    // Logging in anew is no way round it; others have their own.
    browser.log_in();
    assert_eq!(chat(&mut browser, "192.0.2.4:1"), 429);
    assert_eq!(chat(&mut Browser::new(&stage), "192.0.2.3:1"), 200);
    // A login that is ended calls Spotify, and is counted by its address.
    let calls = stage.world.http.calls();
    let answer = Browser::new(&stage).come_back("/api/auth/login", "code=c");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, "too_many_requests")
    );
    assert_eq!(stage.world.http.calls(), calls);
}

#[test]
fn other_sites_cannot_act_with_the_cookie() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    for path in [
        "/api/auth/logout",
        "/api/chat-stream/message",
        "/api/enrich",
    ] {
        let request = Request::post(path)
            .header("host", "127.0.0.1:3000")
            .header("content-type", "application/json")
            .header("origin", "https://evil.example");
        let answer = browser.send(request, r#"{"message":"hello"}"#);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "cross_site"),
            "{path}"
        );
    }
    assert!(browser.is_connected());
    let token = browser.session().to_owned();
    let request = Request::post("/api/auth/logout").header("origin", "https://dj.example");
    let request = request.header("authorization", format!("Bearer {token}"));
    assert_eq!(stage.world.run(send(&stage, request, "")).status, 204);
    assert!(!browser.is_connected());
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

#[test]
fn a_store_in_trouble_opens_and_ends_nothing() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    let token = browser.session().to_owned();
    let fault = StoreError::Unavailable("down".into());
    stage.world.store.fail_with(Some(fault));
    let ask = |mode: &str| json!({"message": "hello", "mode": mode}).to_string();
    for answer in [
        browser.get("/api/auth/session"),
        browser.post("/api/auth/logout", ""),
        browser.post("/api/chat-stream/message", &ask("create")),
        bearer(&stage, "GET", "/api/auth/session", &token),
        Browser::new(&stage).come_back("/api/auth/login", "code=c"),
    ] {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "store_unavailable")
        );
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(answer.set_cookie(SESSION), None);
    }
    assert_eq!(
        browser
            .post("/api/chat-stream/message", &ask("analyze"))
            .status,
        200
    );
    stage.world.store.fail_with(None);
    stage.world.clock.advance(Duration::from_secs(5));
    assert!(browser.is_connected(), "the cookie was kept");
}

/// An open session of a user who has just logged in.
fn user(stage: &Stage) -> (UserSession, Secret) {
    let mut browser = Browser::new(stage);
    browser.log_in();
    stage.take();
    let token = Secret::new(browser.session());
    let open = UserSession::open(&stage.app, token.clone());
    (stage.world.run(open).unwrap(), token)
}

fn access(stage: &Stage, user: &UserSession, force: bool) -> String {
    let token = stage.world.run(user.token(force)).unwrap();
    token.expose().to_owned()
}

#[test]
fn an_access_token_is_renewed_before_it_ends() {
    let stage = stage(&[]);
    let (user, token) = user(&stage);
    assert_eq!(access(&stage, &user, false), "access-1");
    stage.world.clock.advance(Duration::from_secs(539));
    assert_eq!(access(&stage, &user, false), "access-1");
    assert!(stage.seen().is_empty());
    stage.world.clock.advance(Duration::from_secs(1));
    let (one, two) = stage.world.run(join(user.token(false), user.token(false)));
    assert_eq!(
        (one.unwrap().expose(), two.unwrap().expose()),
        ("access-2", "access-2")
    );
    assert_eq!(stage.take().len(), 1, "renewed once");
    // The next request finds it.
    let next = stage
        .world
        .run(UserSession::open(&stage.app, token))
        .unwrap();
    assert_eq!(access(&stage, &next, false), "access-2");
    assert!(stage.seen().is_empty());
}

#[test]
fn a_refused_token_is_replaced_at_once_and_once() {
    let stage = stage(&[]);
    let (user, _) = user(&stage);
    let (one, two) = stage.world.run(join(user.token(true), user.token(true)));
    assert_eq!(
        (one.unwrap().expose(), two.unwrap().expose()),
        ("access-2", "access-2")
    );
    assert_eq!(stage.take().len(), 1);
    stage.world.clock.advance(Duration::from_secs(5));
    assert_eq!(access(&stage, &user, true), "access-3");
}

#[test]
fn what_another_instance_has_renewed_is_taken_over() {
    let stage = stage(&[]);
    let (user, token) = user(&stage);
    let other = stage
        .world
        .run(UserSession::open(&stage.app, token))
        .unwrap();
    stage.world.clock.advance(Duration::from_secs(590));
    assert_eq!(access(&stage, &other, false), "access-2");
    assert_eq!(stage.take().len(), 1);
    assert_eq!(access(&stage, &user, false), "access-2");
    assert!(stage.seen().is_empty());
}

#[test]
fn a_login_that_spotify_has_ended_ends_the_session() {
    let stage = Stage::new(&[], |request| {
        match request.body.contains("refresh_token=") {
            true => Reply::Json(400, json!({"error": "invalid_grant"})),
            false => spotify(request),
        }
    });
    let (user, token) = user(&stage);
    stage.world.clock.advance(Duration::from_secs(600));
    let error = stage.world.run(user.token(false)).unwrap_err();
    assert_eq!(error.failure, Failure::Grant);
    let object = error.object();
    assert_eq!(object.code, Code::SessionExpired);
    assert!(object.message.contains("log in again"), "{object:?}");
    let answer = bearer(&stage, "GET", "/api/auth/session", token.expose());
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "session_invalid")
    );
}

#[test]
fn a_session_that_was_ended_meanwhile_is_not_renewed() {
    let stage = stage(&[]);
    let (user, token) = user(&stage);
    assert_eq!(
        bearer(&stage, "POST", "/api/auth/logout", token.expose()).status,
        204
    );
    stage.world.clock.advance(Duration::from_secs(600));
    let error = stage.world.run(user.token(false)).unwrap_err();
    assert_eq!(error.failure, Failure::Grant);
    assert!(stage.seen().is_empty());
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", token.expose()).status,
        401
    );
}

#[test]
fn trouble_at_the_accounts_service_ends_no_session() {
    let stage = Stage::new(&[], |request| {
        match request.body.contains("refresh_token=") {
            true => Reply::Json(503, json!({})),
            false => spotify(request),
        }
    });
    let (user, token) = user(&stage);
    stage.world.clock.advance(Duration::from_secs(600));
    let error = stage.world.run(user.token(false)).unwrap_err();
    let unavailable = matches!(
        error.failure,
        Failure::Status {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..
        }
    );
    assert!(unavailable, "{error}");
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", token.expose()).status,
        200
    );
}

#[test]
fn a_renewed_token_serves_even_if_it_cannot_be_kept() {
    let stage = stage(&[]);
    let (user, _) = user(&stage);
    stage.world.clock.advance(Duration::from_secs(600));
    let fault = StoreError::Unavailable("down".into());
    stage.world.store.fail_with(Some(fault));
    assert_eq!(access(&stage, &user, false), "access-2");
    assert_eq!(access(&stage, &user, false), "access-2");
    assert_eq!(stage.take().len(), 1);
}
