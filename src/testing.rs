//! Upstreams written as closures, for unit tests of clients.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::config::{Config, Variables};
use super::{App, AppState};
use spinlane_core::limit::Observer;
use spinlane_core::ports::{Clock, HttpError, Instant};
use spinlane_core::testing::{ScriptedHttp, VirtualClock, World};

/// A request that an upstream has seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) host: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) authorization: String,
    pub(crate) body: String,
    pub(crate) at: Duration,
}

impl Seen {
    fn new(request: &http::Request<Bytes>, at: Duration) -> Self {
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes()).into_owned();
        let authorization = request.headers().get("authorization");
        let authorization = authorization.and_then(|value| value.to_str().ok());
        Self {
            method: request.method().to_string(),
            host: uri.host().unwrap_or_default().to_owned(),
            path: uri.path().to_owned(),
            query: query.collect(),
            authorization: authorization.unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(request.body()).into_owned(),
            at,
        }
    }

    /// A field of the query.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut fields = self.query.iter();
        let field = fields.find(|(known, _)| known == name);
        field.map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What an upstream answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Json(u16, Value),
    Text(u16, &'static str),
    /// With `Retry-After` in seconds.
    RetryAfter(u16, u32),
    /// The body breaks after this.
    Cut(&'static str),
    Fail(HttpError),
    /// Takes so long, then answers this.
    After(Duration, Box<Reply>),
}

impl Reply {
    fn response(self) -> http::response::Builder {
        let status = match &self {
            Self::Json(status, _) | Self::Text(status, _) | Self::RetryAfter(status, _) => *status,
            _ => 200,
        };
        let response = http::Response::builder().status(status);
        match self {
            Self::RetryAfter(_, seconds) => response.header("retry-after", seconds),
            _ => response,
        }
    }

    fn chunks(&self) -> Vec<Result<Bytes, HttpError>> {
        match self {
            Self::Json(_, value) => vec![Ok(value.to_string().into())],
            Self::Text(_, text) => vec![Ok(Bytes::from(*text))],
            Self::Cut(text) => vec![Ok(Bytes::from(*text)), Err(HttpError::Broken("cut".into()))],
            _ => Vec::new(),
        }
    }
}

/// An application, and upstreams that answer by a closure.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) app: AppState,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Variables with all keys set.
pub(crate) const KEYS: [(&str, &str); 4] = [
    ("spotify_client_id", "client-id"),
    ("spotify_client_secret", "client-secret"),
    ("lastfm_api_key", "lastfm-key"),
    ("limit_scope", "instance"),
];

impl Stage {
    /// An application whose upstreams all answer as `answer` says.
    pub(crate) fn new(
        variables: &[(&str, &str)],
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let clock = VirtualClock::new();
        let http = {
            let (seen, clock) = (Arc::clone(&seen), clock.clone());
            ScriptedHttp::new(move |request| {
                let at = clock.now() - Instant::default();
                let request = Seen::new(&request, at);
                let reply = answer(&request);
                seen.lock().unwrap().push(request);
                let clock = clock.clone();
                async move {
                    let mut reply = reply;
                    while let Reply::After(time, then) = reply {
                        clock.sleep(time).await;
                        reply = *then;
                    }
                    if let Reply::Fail(error) = reply {
                        return Err(error);
                    }
                    let body = stream::iter(reply.chunks()).boxed();
                    Ok(reply.response().body(body).unwrap())
                }
            })
        };
        let mut world = World::with_http(http);
        world.clock = clock;
        let app = Self::application(&world, variables);
        Self { world, app, seen }
    }

    fn application(world: &World, variables: &[(&str, &str)]) -> AppState {
        // Of two values of one name the first counts: the test's own.
        let all = variables.iter().chain(&KEYS).rev();
        let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let all: HashMap<String, String> = all.collect();
        let config = Config::new(move |name| all.get(name).cloned());
        config.check(Variables::ALL).unwrap();
        AppState::new(world.ports(), config)
    }

    /// A new instance of the application on the same store.
    pub(crate) fn restart(&mut self, variables: &[(&str, &str)]) {
        self.app = Self::application(&self.world, variables);
    }

    /// The application, as a host has it.
    pub(crate) fn api(&self) -> App {
        App {
            state: self.app.clone(),
        }
    }

    /// What the upstreams have seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The same, and they forget it.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// An observer that nobody looks at.
pub(crate) fn nobody() -> Arc<dyn Observer> {
    struct Nobody;
    impl Observer for Nobody {}
    Arc::new(Nobody)
}
