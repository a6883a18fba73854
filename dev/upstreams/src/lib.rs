//! Stand-ins for the upstream services that the DJ talks to.
//!
//! They speak the services' public wire formats, so that official clients work
//! with them, answer from a seed, and misbehave when told to: see
//! [`anthropic::Script`] for the model and [`Fault`] for the others. Each
//! listens on a port of its own on 127.0.0.1, as base URLs are origins without
//! a path. Songs, artists and playlists are invented: see [`catalogue`].

mod answer;
pub mod anthropic;
mod calls;
pub mod catalogue;
mod deezer;
mod dice;
mod fault;
mod lastfm;
mod params;
mod service;
mod sink;
mod spotify;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use anthropic::Anthropic;
pub use calls::{Call, Counts, Outcome};
pub use catalogue::Catalogue;
pub use deezer::Quota;
pub use fault::Fault;
pub use service::Service;
pub use sink::{Reply, Sink};
pub use spotify::{Granted, Playlists, Tokens};

/// What the stand-ins take as a key, a client's name or its secret. Except for
/// `invalid` they take anything else, too.
pub const KEY: &str = "simulated";

/// How the stand-ins are set up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The same seed gives the same answers.
    pub seed: u64,
    /// Where the Messages API listens; port 0 takes a free one.
    pub anthropic: SocketAddr,
    /// Where Spotify's Web API does.
    pub spotify: SocketAddr,
    /// Where Spotify's accounts service does.
    pub spotify_accounts: SocketAddr,
    /// Where Deezer does.
    pub deezer: SocketAddr,
    /// Where Last.fm does.
    pub lastfm: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
        Self {
            seed: 1,
            anthropic: anywhere,
            spotify: anywhere,
            spotify_accounts: anywhere,
            deezer: anywhere,
            lastfm: anywhere,
        }
    }
}

/// Running stand-ins. Dropping it stops them.
#[derive(Debug)]
pub struct Upstreams {
    anthropic: Anthropic,
    spotify: Service,
    spotify_accounts: Service,
    deezer: Service,
    lastfm: Service,
    catalogue: Arc<Catalogue>,
    tokens: Tokens,
    playlists: Playlists,
    world: spotify::World,
    deezer_quota: Quota,
    servers: Vec<JoinHandle<()>>,
}

impl Upstreams {
    /// Starts all of them.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let catalogue = Catalogue::of(options.seed);
        let tokens = Tokens::new(options.seed);
        let playlists = Playlists::new(catalogue.clone(), options.seed);
        let deezer_quota = Quota::default();

        let at = TcpListener::bind(options.anthropic).await?;
        let anthropic = Anthropic::new(at.local_addr()?, options.seed);
        let mut servers = vec![serve(at, anthropic.router())];

        let at = TcpListener::bind(options.spotify).await?;
        let spotify = Service::new(at.local_addr()?, spotify::wrong);
        let world = spotify::World::new(
            spotify.origin(),
            catalogue.clone(),
            playlists.clone(),
            tokens.clone(),
        );
        let routes = spotify.router(spotify::routes(world.clone()));
        servers.push(serve(at, routes.merge(spotify::images())));

        let at = TcpListener::bind(options.spotify_accounts).await?;
        let spotify_accounts = Service::new(at.local_addr()?, spotify::accounts_wrong);
        let routes = spotify::accounts_routes(&spotify_accounts, tokens.clone());
        servers.push(serve(at, routes));

        let at = TcpListener::bind(options.deezer).await?;
        let deezer = Service::new(at.local_addr()?, deezer::wrong);
        let routes = deezer::routes(catalogue.clone(), deezer_quota.clone());
        servers.push(serve(at, deezer.router(routes)));

        let at = TcpListener::bind(options.lastfm).await?;
        let lastfm = Service::new(at.local_addr()?, lastfm::wrong);
        servers.push(serve(at, lastfm.router(lastfm::routes(catalogue.clone()))));

        Ok(Self {
            anthropic,
            spotify,
            spotify_accounts,
            deezer,
            lastfm,
            catalogue,
            tokens,
            playlists,
            world,
            deezer_quota,
            servers,
        })
    }

    /// The Messages API.
    pub fn anthropic(&self) -> &Anthropic {
        &self.anthropic
    }

    /// Spotify's Web API.
    pub fn spotify(&self) -> &Service {
        &self.spotify
    }

    /// Spotify's accounts service.
    pub fn spotify_accounts(&self) -> &Service {
        &self.spotify_accounts
    }

    /// Deezer.
    pub fn deezer(&self) -> &Service {
        &self.deezer
    }

    /// Last.fm.
    pub fn lastfm(&self) -> &Service {
        &self.lastfm
    }

    /// The songs that they all know of.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Spotify's tokens: their lives, and new ones.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Spotify's playlists, as they are now.
    pub fn playlists(&self) -> &Playlists {
        &self.playlists
    }

    /// Treats Spotify's callers as applications in development mode, which
    /// since February 2026 have fewer routes and fields; `false` at first.
    pub fn spotify_development_mode(&self, on: bool) {
        self.world.development_mode(on);
    }

    /// How many calls Deezer answers; all of them at first.
    pub fn deezer_quota(&self) -> &Quota {
        &self.deezer_quota
    }

    /// How long every call takes, the model's excepted.
    pub fn latency(&self, time: Duration) {
        for service in self.services() {
            service.latency(time);
        }
    }

    /// All of them as they were at the start, with nothing counted.
    pub fn reset(&self) {
        self.anthropic.reset();
        for service in self.services() {
            service.reset();
        }
        self.tokens.reset();
        self.playlists.reset();
        self.deezer_quota.set(None);
        self.spotify_development_mode(false);
    }

    fn services(&self) -> [&Service; 4] {
        [
            &self.spotify,
            &self.spotify_accounts,
            &self.deezer,
            &self.lastfm,
        ]
    }
}

impl Drop for Upstreams {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

fn serve(listener: TcpListener, router: Router) -> JoinHandle<()> {
    // Deltas are small and must leave at once.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    })
}

#[cfg(test)]
mod tests;
