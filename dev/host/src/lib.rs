//! An embedded wasmtime host that runs a `spin.toml` as Spin would: a new
//! instance for every request, its variables, its outbound hosts, its
//! key-value store with atomic counters on SQLite or Redis.
//!
//! It is for a fresh machine (`cargo xtask up`) and for tests, which have
//! handles here that the command line has not: the number of live instances,
//! faults of the store, the wall clock.

mod engine;
mod guest;
mod headers;
mod kv;
mod logs;
mod manifest;
mod outbound;
mod server;
mod variables;
mod wit;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

pub use kv::{SPIN_INCREMENT, StoreCall, StoreControl};
pub use server::Instances;

use engine::Pool;
use guest::{WallClock, World};
use kv::Store;
use logs::Logs;
use manifest::Manifest;
use server::Server;
use variables::Variables;
use wit::Capabilities;

/// How many instances Spin holds at a time, and so does this host.
const MAX_INSTANCES: u32 = 1_000;

/// How a host is to be set up.
pub struct Builder {
    manifest: PathBuf,
    component: Option<PathBuf>,
    variables: BTreeMap<String, String>,
    environment: Vec<(String, String)>,
    listen: SocketAddr,
    store: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    max_instances: u32,
    print_logs: bool,
    as_spin: bool,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Variables hold secrets, and so may the store's address.
        f.debug_struct("Builder")
            .field("manifest", &self.manifest)
            .field("component", &self.component)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Runs this file instead of the manifest's.
    #[must_use]
    pub fn component(mut self, file: impl Into<PathBuf>) -> Self {
        self.component = Some(file.into());
        self
    }

    /// Sets a variable that the manifest declares.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Takes `SPIN_VARIABLE_*` from here. Without it the environment is not
    /// read.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = variables.into_iter().collect();
        self
    }

    /// Where to listen; by default a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Keeps the store in this SQLite file, or at this `redis://` address; by
    /// default in memory.
    #[must_use]
    pub fn store(mut self, file: impl Into<PathBuf>) -> Self {
        self.store = Some(file.into());
        self
    }

    /// Keeps compiled code in this folder between runs.
    #[must_use]
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// Instances at a time (default 1,000); more requests are answered 503.
    #[must_use]
    pub fn max_instances(mut self, instances: u32) -> Self {
        self.max_instances = instances;
        self
    }

    /// Slow where Spin 4 is as well: small segments wait for acknowledgements (no
    /// `TCP_NODELAY`), what an instance leaves behind is cleared by copying, and
    /// an increment of the store takes as long as on its SQLite.
    #[must_use]
    pub fn as_spin(mut self, as_spin: bool) -> Self {
        self.as_spin = as_spin;
        self
    }

    /// Prints what components log to standard error, in place of keeping it for
    /// [`Host::logs`].
    #[must_use]
    pub fn print_logs(mut self, print: bool) -> Self {
        self.print_logs = print;
        self
    }

    /// Starts the host.
    ///
    /// # Errors
    /// What is wrong with the manifest, the variables, the component, the
    /// store or the address.
    pub async fn start(self) -> Result<Host> {
        let manifest = Manifest::load(&self.manifest)?;
        let values = Variables::new(manifest.declared(), self.environment, self.variables)?;
        let resolved = manifest.resolve(&values)?;
        let file = self.component.unwrap_or(resolved.source);
        let cache_dir = self.cache_dir;
        let max_instances = self.max_instances;
        let pool = if self.as_spin {
            Pool::Spin
        } else {
            Pool::Sparing
        };
        // Compiling takes seconds: not on a thread that serves.
        let pre = tokio::task::spawn_blocking(move || {
            let component = engine::component(&file, max_instances, pool, cache_dir.as_deref())?;
            let linker = guest::linker(component.engine())?;
            let pre = linker.instantiate_pre(&component)?;
            anyhow::Ok(ProxyPre::new(pre)?)
        })
        .await??;
        let store = Store::open(self.store.as_deref()).await?;
        if self.as_spin {
            store.control().increment_cost(Some(SPIN_INCREMENT));
        }
        let world = World {
            capabilities: Capabilities {
                variables: Arc::new(resolved.variables),
                stores: resolved.stores.into(),
                store,
            },
            allowed_hosts: Arc::new(resolved.allowed_hosts),
            logs: Logs::new(self.print_logs),
            wall_clock: WallClock::default(),
            peak_memory: Arc::new(AtomicUsize::new(0)),
        };
        let listener = TcpListener::bind(self.listen).await.with_context(|| {
            format!(
                "cannot listen on {}; choose another with --listen",
                self.listen
            )
        })?;
        let addr = listener.local_addr()?;
        let server = Arc::new(Server::new(pre, world, self.max_instances, !self.as_spin));
        server.serve(listener);
        Ok(Host { server, addr })
    }
}

/// A running host. Dropping it ends everything that it runs, at once.
pub struct Host {
    server: Arc<Server>,
    addr: SocketAddr,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("addr", &self.addr)
            .field("instances", &self.instances())
            .finish_non_exhaustive()
    }
}

impl Host {
    /// A host of the application that this manifest describes.
    pub fn builder(manifest: impl AsRef<Path>) -> Builder {
        Builder {
            manifest: manifest.as_ref().into(),
            component: None,
            variables: BTreeMap::new(),
            environment: Vec::new(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            store: None,
            cache_dir: None,
            max_instances: MAX_INSTANCES,
            print_logs: false,
            as_spin: false,
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How many instances there are and have been.
    pub fn instances(&self) -> Instances {
        *self.server.instances().borrow()
    }

    /// Waits until the instances are as `condition` says.
    ///
    /// # Errors
    /// How they are when that took too long.
    pub async fn wait_for_instances(
        &self,
        within: Duration,
        mut condition: impl FnMut(&Instances) -> bool,
    ) -> Result<Instances, Instances> {
        let mut instances = self.server.instances();
        let wait = instances.wait_for(|now| condition(now));
        match tokio::time::timeout(within, wait).await {
            Ok(Ok(now)) => Ok(*now),
            _ => Err(self.instances()),
        }
    }

    /// The largest linear memory, in bytes, that any instance has had.
    pub fn peak_memory(&self) -> usize {
        self.server.world().peak_memory.load(Ordering::Relaxed)
    }

    /// What instances have logged, by lines.
    pub fn logs(&self) -> Vec<String> {
        self.server.world().logs.lines()
    }

    /// The first logged line that holds `needle`, which may still come.
    pub async fn wait_for_log(&self, within: Duration, needle: &str) -> Option<String> {
        self.server.world().logs.wait_for(within, needle).await
    }

    /// The key-value store.
    pub fn store(&self) -> &StoreControl {
        self.server.world().capabilities.store.control()
    }

    /// Moves the wall clock that components see forwards.
    pub fn advance_wall_clock(&self, by: Duration) {
        self.server.world().wall_clock.advance(by);
    }

    /// Takes no more connections, lets what runs end for up to 5 s, then ends
    /// it.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.kill();
    }
}
