//! The application, and what its handlers share.

use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::FromRef;
use bytes::Bytes;

use crate::clients::spotify::AppToken;
use crate::config::Config;
use crate::limits::{self, CallerLimits};
use crate::{api, stored};
use spinlane_client::Transport;
use spinlane_core::cache::Cache;
use spinlane_core::cache::session::Sessions;
use spinlane_core::limit::Orchestrator;
use spinlane_core::ports::{Clock, Ports};
use spinlane_core::store::Store;

/// What every handler can reach.
#[derive(Clone, Debug)]
pub(crate) struct AppState(Arc<Services>);

/// Behind [`AppState`].
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    /// See [`AppState::transport`].
    transport: OnceLock<Transport>,
    /// What all instances have in common.
    pub(crate) store: Store,
    /// What upstreams have said before.
    pub(crate) cache: Cache,
    /// See [`AppState::caller_limits`].
    caller_limits: OnceLock<Option<CallerLimits>>,
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
        Self(Arc::new(Services {
            transport: OnceLock::new(),
            caller_limits: OnceLock::new(),
            sessions: stored::sessions(&store),
            codes: stored::codes(&store),
            cache: Cache::new(&store),
            store,
            spotify_token: AppToken::default(),
            ports,
            config,
        }))
    }

    /// What carries calls to every upstream.
    pub(crate) fn transport(&self) -> &Transport {
        let transport = || limits::transport(&self.config, &self.ports, &self.store);
        self.transport.get_or_init(transport)
    }

    /// The one door to every upstream.
    pub(crate) fn upstreams(&self) -> &Orchestrator {
        &self.transport().orchestrator
    }

    /// How often a caller may ask, where that is limited.
    pub(crate) fn caller_limits(&self) -> Option<&CallerLimits> {
        let limits = || CallerLimits::new(&self.config, &self.store);
        self.caller_limits.get_or_init(limits).as_ref()
    }
}

impl std::ops::Deref for AppState {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

/// The application, ready to answer.
///
/// Cheap to make, since a component is a new instance for every request:
/// nothing is built before it is needed.
pub struct App {
    pub(crate) state: AppState,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl App {
    /// An application on `ports`, configured by the variables that `source` knows.
    /// Each is read when it is first needed. Where one is malformed, the routes that
    /// need it answer 503 and name it.
    pub fn new(
        ports: Ports,
        source: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            state: AppState::new(ports, Config::new(source)),
        }
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
        api::answer(&self.state, request.map(Body::new)).await
    }
}

/// The clock that bodies take their time from.
impl FromRef<AppState> for Arc<dyn Clock> {
    fn from_ref(app: &AppState) -> Self {
        Self::clone(&app.ports.clock)
    }
}
