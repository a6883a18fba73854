//! Stand-ins for the upstream services that the DJ talks to.
//!
//! They speak the services' public wire formats, so that official clients work
//! with them, answer from a seed, and misbehave when told to: see
//! [`anthropic::Script`]. Each listens on a port of its own on 127.0.0.1, as
//! base URLs are origins without a path.

mod answer;
pub mod anthropic;
mod calls;
mod sink;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use anthropic::Anthropic;
pub use calls::{Call, Counts, Outcome};
pub use sink::{Reply, Sink};

/// How the stand-ins are set up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The same seed gives the same answers.
    pub seed: u64,
    /// Where the Messages API listens; port 0 takes a free one.
    pub anthropic: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            anthropic: (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }
}

/// Running stand-ins. Dropping it stops them.
#[derive(Debug)]
pub struct Upstreams {
    anthropic: Anthropic,
    servers: Vec<JoinHandle<()>>,
}

impl Upstreams {
    /// Starts all of them.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.anthropic).await?;
        let anthropic = Anthropic::new(listener.local_addr()?, options.seed);
        let servers = vec![serve(listener, anthropic.router())];
        Ok(Self { anthropic, servers })
    }

    /// The Messages API.
    pub fn anthropic(&self) -> &Anthropic {
        &self.anthropic
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
