//! Logging in and out in virtual time, against an accounts service that is a
//! closure.

mod access;
mod code;
mod login;
mod renewal;
mod session;

use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::testing::{Reply, Seen, Stage};

const SESSION: &str = "__Host-spinlane-session";
const LOGIN: &str = "__Host-spinlane-login";

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
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (head, body) = stage.api().handle(request).await.into_parts();
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
