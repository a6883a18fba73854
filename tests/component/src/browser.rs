//! A browser, as far as connecting Spotify takes one: its user's part is played
//! by hand.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use serde_json::Value;
use spinlane_upstreams::Upstreams;
use spinlane_upstreams::anthropic::Script;

use crate::Dj;
use crate::chat::{Chat, Frame, last};

/// The name of a session's cookie; its value serves as a Bearer token as well.
pub const SESSION: &str = "__Host-spinlane-session";

/// A browser: it keeps cookies and follows redirects one at a time.
#[derive(Debug)]
pub struct Browser<'a> {
    origin: String,
    /// The services behind what it goes to.
    pub upstreams: &'a Upstreams,
    client: Client,
    /// What it keeps, by name.
    pub cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    /// One that has been nowhere.
    ///
    /// # Panics
    /// When there is no client.
    pub fn new(dj: &'a Dj) -> Self {
        Self::at(dj.origin(), &dj.upstreams)
    }

    /// The same for a host that may be another process.
    ///
    /// # Panics
    /// When there is no client.
    pub fn at(origin: String, upstreams: &'a Upstreams) -> Self {
        let client = Client::builder().redirect(redirect::Policy::none());
        Self {
            origin,
            upstreams,
            client: client.build().expect("a client"),
            cookies: BTreeMap::new(),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.origin))
    }

    async fn send(&mut self, request: RequestBuilder) -> Response {
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = request.header("cookie", cookies.join("; "));
        let response = request.send().await.expect("an answer");
        self.keep(response.headers());
        response
    }

    /// Keeps what every browser would, after a look at the flags.
    fn keep(&mut self, headers: &HeaderMap) {
        for field in headers.get_all(SET_COOKIE) {
            let field = field.to_str().expect("text");
            let (cookie, flags) = field.split_once("; ").expect("flags");
            let (name, value) = cookie.split_once('=').expect("a name");
            let flags: Vec<_> = flags.split("; ").collect();
            for flag in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(flags.contains(&flag), "{field}");
            }
            match flags.contains(&"Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.into(), value.into()),
            };
        }
    }

    /// Asks for `path`, and follows nothing.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&mut self, path: &str) -> Response {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// Sends `body` to `path`.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&mut self, path: &str, body: &Value) -> Response {
        let request = self.request(Method::POST, path).json(body);
        self.send(request).await
    }

    /// Begins a login, and answers on Spotify's page: the way back.
    ///
    /// # Panics
    /// When the login does not go that way.
    pub async fn consent(&mut self, login: &str, answer: &str) -> String {
        let page = location(&self.get(login).await);
        let asked = self.client.get(&page).send().await;
        let asked = asked.expect("the consent page").status();
        assert_eq!(asked, 200, "{page}");
        let form = page.replacen("/authorize?", "/authorize/answer?", 1);
        let form = self.client.post(form).body(format!("answer={answer}"));
        let back = location(&form.send().await.expect("the way back"));
        back.strip_prefix(&self.origin)
            .expect("back to us")
            .to_owned()
    }

    /// Connects Spotify: the session.
    ///
    /// # Panics
    /// When there is none.
    pub async fn log_in(&mut self) -> String {
        let back = self.consent("/api/auth/login", "agree").await;
        assert_eq!(location(&self.get(&back).await), "/");
        self.session()
    }

    /// The session that it keeps.
    ///
    /// # Panics
    /// When it keeps none.
    pub fn session(&self) -> String {
        self.cookies[SESSION].clone()
    }
}

/// Where a redirect leads to.
///
/// # Panics
/// When `response` is none.
pub fn location(response: &Response) -> String {
    assert_eq!(response.status(), 303, "{:?}", response.headers());
    let location = response.headers()[LOCATION].to_str();
    location.expect("text").to_owned()
}

/// A run in which the model uses one tool.
///
/// # Panics
/// When the run does not end whole.
pub async fn use_tool(
    browser: &mut Browser<'_>,
    prompt: &Value,
    name: &str,
    input: Value,
) -> Vec<Frame> {
    let anthropic = browser.upstreams.anthropic();
    anthropic.reset();
    anthropic.push(Script::tools().use_tool(name, input));
    anthropic.push(Script::text(["Done."]));
    let response = browser.post("/api/chat-stream/message", prompt).await;
    let frames = Chat::read(response).rest().await;
    assert_eq!(last(&frames), ("done", &Value::Null));
    frames
}

/// How the one tool of a run has ended.
///
/// # Panics
/// When there was none.
pub fn tool_end(frames: &[Frame]) -> &Value {
    let ended = frames.iter().find(|frame| frame.kind == "tool_end");
    &ended.expect("a tool").data
}
