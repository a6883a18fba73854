//! Logins, with any parameters, cookies and codes: users are sent nowhere else, a session
//! is for who began the login, and no secret is in an answer.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use spinlane_core::testing::{ScriptedHttp, World};
use spinlane_dj::App;

use crate::input::Input;

const SECRETS: [&str; 4] = [
    "client-secret",
    "access-secret",
    "refresh-secret",
    "operator-secret",
];

/// An answer, read to its end.
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    fn location(&self) -> Option<&str> {
        self.headers.get("location")?.to_str().ok()
    }

    /// The value of a cookie that it sets.
    fn cookie(&self, name: &str) -> Option<&str> {
        let fields = self.headers.get_all("set-cookie").into_iter();
        let mut values = fields.filter_map(|field| field.to_str().ok()?.strip_prefix(name));
        let value = values.next()?.strip_prefix('=')?.split(';').next()?;
        Some(value).filter(|value| !value.is_empty())
    }
}

/// The application in a world where Spotify grants whatever is asked.
struct Stage {
    world: World,
    app: App,
}

impl Stage {
    fn new(frontend: &'static str) -> Self {
        let json = |value: serde_json::Value| {
            let response = Response::builder().header("content-type", "application/json");
            response
                .body(Bytes::from(value.to_string()))
                .expect("a response")
        };
        let tokens = json(
            json!({"access_token": "access-secret", "token_type": "Bearer",
            "expires_in": 3600, "refresh_token": "refresh-secret"}),
        );
        let user = json(json!({"id": "ada", "display_name": "Ada"}));
        let world = World::with_http(ScriptedHttp::by_host([
            ("accounts.spotify.com", ScriptedHttp::in_turn([tokens])),
            ("api.spotify.com", ScriptedHttp::in_turn([user])),
        ]));
        let app = App::new(world.ports(), move |name| {
            let value = match name {
                "spotify_client_id" => "client-id",
                "spotify_client_secret" => "client-secret",
                "admin_token" => "operator-secret",
                "caller_limit" => "off",
                "frontend_url" => frontend,
                _ => return None,
            };
            Some(value.to_owned())
        });
        Self { world, app }
    }

    /// What a request is answered with, where it is one at all.
    fn ask(&self, method: Method, uri: &str, cookie: &[u8], body: &[u8]) -> Option<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "127.0.0.1:3000")
            .header("content-type", "application/json")
            .header("cookie", cookie)
            .body(Full::new(Bytes::copy_from_slice(body)))
            .ok()?;
        let answer = self.world.run(async {
            let response = self.app.handle(request).await;
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                text: String::from_utf8_lossy(&body).into_owned(),
            }
        });
        check(&answer, uri);
        Some(answer)
    }
}

/// What every answer must be.
fn check(answer: &Answer, uri: &str) {
    assert_ne!(answer.status, 500, "{uri}: {}", answer.text);
    let all = format!("{:?} {}", answer.headers, answer.text);
    for secret in SECRETS {
        assert!(!all.contains(secret), "{uri}: {all}");
    }
    if let Some(location) = answer.location() {
        let here = location.starts_with('/') && !location[1..].starts_with(['/', '\\']);
        let known = [
            "https://accounts.spotify.com/authorize?",
            "http://127.0.0.1:3000/",
            "https://page.example/#",
        ];
        let known = known.iter().any(|known| location.starts_with(known));
        assert!(here || known, "{uri} leads to {location}");
    }
    for field in answer.headers.get_all("set-cookie") {
        let field = field.to_str().expect("text");
        for flag in [
            "__Host-",
            "; Path=/;",
            "; Secure",
            "; HttpOnly",
            "; SameSite=Lax",
        ] {
            assert!(field.contains(flag), "{field}");
        }
    }
}

/// Any query of a login, of its end, and any code; `STATE` and `CODE` in them are those
/// of a login that is under way.
///
/// # Panics
/// When somebody is sent elsewhere, gets what is another's, or sees a secret.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let frontend = ["*", "https://page.example"][usize::from(choice >> 7)];
    let stage = Stage::new(frontend);
    match choice % 4 {
        0 => drop(stage.ask(Method::GET, &uri("login", input.rest(), ""), b"", b"")),
        1 => drop(stage.ask(Method::POST, "/api/auth/token", b"", input.rest())),
        _ => end(&stage, &mut input, choice % 4 == 2),
    }
}

fn uri(route: &str, query: &[u8], state: &str) -> String {
    let query = String::from_utf8_lossy(query).replace("STATE", state);
    format!("/api/auth/{route}?{query}")
}

/// The end of a login, with what its cookie is, or with something else.
fn end(stage: &Stage, input: &mut Input<'_>, genuine: bool) {
    let begun = stage.ask(Method::GET, "/api/auth/login", b"", b"");
    let begun = begun.expect("a login");
    let consent = begun.location().expect("the consent page");
    let (_, state) = consent.split_once("&state=").expect("a state");
    let state = state.split('&').next().unwrap_or_default();
    let cookie = begun.cookie("__Host-spinlane-login").expect("a login");
    let sent = match genuine {
        true => cookie.to_owned(),
        false => input.text().replace("COOKIE", cookie),
    };
    let is_own = sent.contains(cookie);
    let sent = format!("__Host-spinlane-login={sent}").into_bytes();
    let uri = uri("callback", input.rest(), state);
    let Some(answer) = stage.ask(Method::GET, &uri, &sent, b"") else {
        return;
    };
    let opened = answer.cookie("__Host-spinlane-session").is_some()
        || answer
            .location()
            .is_some_and(|url| url.contains("auth_code="));
    if opened {
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let states = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
        let states: Vec<_> = states.map(|(_, value)| value.into_owned()).collect();
        assert_eq!(states, [state], "{uri}");
        assert!(is_own, "{uri} with another cookie");
    }
}
