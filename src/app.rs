//! The application, and what its handlers share.

use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use bytes::Bytes;

use crate::clients::spotify::AppToken;
use crate::config::{Config, ConfigErrors};
use crate::limits::{self, CallerLimits};
use crate::{api, stored};
use spinlane_client::Transport;
use spinlane_core::cache::Cache;
use spinlane_core::cache::session::Sessions;
use spinlane_core::hex;
use spinlane_core::limit::Orchestrator;
use spinlane_core::ports::{Clock, Ports};
use spinlane_core::store::Store;

/// What every handler can reach.
#[derive(Clone, Debug)]
pub(crate) struct AppState(Arc<Shared>);

/// Behind [`AppState`].
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    /// The one door to every upstream.
    pub(crate) upstreams: Orchestrator,
    /// What carries calls through it.
    pub(crate) transport: Transport,
    /// What all instances have in common.
    pub(crate) store: Store,
    /// What upstreams have said before.
    pub(crate) cache: Cache,
    /// How often a caller may ask, where that is limited.
    pub(crate) caller_limits: Option<CallerLimits>,
    /// Who has connected Spotify.
    pub(crate) sessions: Sessions,
    /// Who is about to, by way of a page on another origin.
    pub(crate) codes: Sessions,
    /// The application's own access to the catalogue.
    pub(crate) spotify_token: AppToken,
}

impl AppState {
    pub(crate) fn new(ports: Ports, config: Config) -> Self {
        let store = Store::open(&ports);
        let upstreams = limits::orchestrator(&config, &ports, &store);
        Self(Arc::new(Shared {
            transport: limits::transport(&config, &ports, &upstreams),
            upstreams,
            caller_limits: CallerLimits::new(&config, &store),
            sessions: stored::sessions(&store),
            codes: stored::codes(&store),
            cache: Cache::new(&store),
            store,
            spotify_token: AppToken::default(),
            ports,
            config,
        }))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The application, ready to answer.
///
/// Cheap to make, since a component is a new instance for every request:
/// nothing is built before it is needed.
pub struct App {
    pub(crate) ports: Ports,
    pub(crate) state: Result<AppState, ConfigErrors>,
    pub(crate) router: Arc<OnceLock<Router>>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl App {
    /// An application on `ports`, configured by `config`.
    pub fn new(ports: Ports, config: Config) -> Self {
        Self::with(ports, Ok(config))
    }

    /// An application configured by the variables that `source` knows. With
    /// malformed ones it still answers: 503, naming each of them, on every
    /// route but `/health`.
    pub fn from_variables(ports: Ports, source: impl Fn(&str) -> Option<String>) -> Self {
        Self::with(ports, Config::load(source))
    }

    fn with(ports: Ports, config: Result<Config, ConfigErrors>) -> Self {
        Self {
            state: config.map(|config| AppState::new(ports.clone(), config)),
            ports,
            router: Arc::default(),
        }
    }

    /// What is wrong with the configuration, for a host to log at start.
    pub fn config_errors(&self) -> Option<&ConfigErrors> {
        self.state.as_ref().err()
    }

    /// Answers one request. For a stream this resolves with the head, and the
    /// work goes on in a task that was given to the spawner.
    ///
    /// Dropping the future abandons the request; work that was spawned by then
    /// ends when the response body is dropped.
    pub async fn handle<B>(&self, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        api::answer(
            &self.ports,
            self.state.as_ref(),
            &self.router,
            request.map(Body::new),
        )
        .await
    }
}

/// `N` random bytes in hexadecimal.
pub(crate) fn random_hex<const N: usize>(ports: &Ports) -> String {
    let mut bytes = [0; N];
    ports.entropy.fill(&mut bytes);
    hex::encode(&bytes)
}

/// Where bodies take their time from.
impl FromRef<AppState> for Arc<dyn Clock> {
    fn from_ref(app: &AppState) -> Self {
        Self::clone(&app.ports.clock)
    }
}
