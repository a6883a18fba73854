//! What the component tests share: the component in a host, the simulated
//! upstreams beside it, and a client that reads event streams.
//!
//! The tests are run by `cargo xtask test`, which builds the components and
//! says where they are. They run in real time and wait for events; a time limit
//! is only ever asserted where the product promises one.

pub mod browser;
pub mod chat;
pub mod hosts;
pub mod load;
pub mod panics;
pub mod redis;
pub mod runs;
pub mod suite;
pub mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use spinlane_host::{Builder, Host};
use spinlane_upstreams::{Options, Upstreams};
use tokio::sync::{Mutex, MutexGuard};

/// How long an event may take that no promise is about: long, since a loaded
/// machine is slow, and only ever waited out by a failing test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The key that is given to the component, and must never be seen again.
pub const KEY: &str = "sk-component-test-0123456789";

/// An operator's token that is long enough to be one.
pub const OPERATOR: &str = "the-operators-own-token";

/// A file that `cargo xtask test` has built.
///
/// # Panics
/// When it was not told where.
pub fn built(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    path.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`"))
        .into()
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The embedded host with what `manifest` says, running the component that
/// `variable` names. Its machine code is kept beside it: the host that tests use
/// is not optimised, and takes a minute to compile a component of this size.
fn host(manifest: &str, variable: &str) -> Builder {
    let component = built(variable);
    let code = component.with_file_name("compiled");
    Host::builder(repository(manifest))
        .component(component)
        .cache_dir(code)
}

/// The embedded host, set up for the DJ. Tests ask more often than a caller
/// may: those of the callers' limit set it themselves.
pub fn dj_host(anthropic: &str) -> Builder {
    host("spin.toml", "SPINLANE_COMPONENT")
        .variable("anthropic_api_key", KEY)
        .variable("anthropic_base_url", anthropic)
        .variable("caller_limit", "off")
}

/// The same, with all its upstreams simulated, and all keys set.
pub fn with_upstreams(upstreams: &Upstreams) -> Builder {
    let host = dj_host(&upstreams.anthropic().origin());
    let variables = catalogue_variables(upstreams).into_iter();
    variables.fold(host, |host, (name, value)| host.variable(name, value))
}

/// What leads to all upstreams but the model's service.
pub fn catalogue_variables(upstreams: &Upstreams) -> [(&'static str, String); 7] {
    [
        ("spotify_client_id", "component-test".into()),
        ("spotify_client_secret", KEY.into()),
        ("spotify_api_url", upstreams.spotify().origin()),
        (
            "spotify_accounts_url",
            upstreams.spotify_accounts().origin(),
        ),
        ("deezer_base_url", upstreams.deezer().origin()),
        ("lastfm_api_key", KEY.into()),
        ("lastfm_base_url", upstreams.lastfm().origin()),
    ]
}

/// The same, under an address that Spotify may send users back to.
fn public_host(upstreams: &Upstreams) -> Builder {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, hosts::free_port()));
    with_upstreams(upstreams)
        .listen(address)
        .variable("public_url", format!("http://{address}"))
}

/// The DJ in the embedded host, with its upstreams.
#[derive(Debug)]
pub struct Dj {
    /// The host.
    pub host: Host,
    /// The upstreams.
    pub upstreams: Upstreams,
}

impl Dj {
    /// Starts both.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let upstreams = start_upstreams().await;
        let host = with_upstreams(&upstreams);
        Self::run(host, upstreams, variables).await
    }

    /// The same under an address that Spotify may send users back to.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start_public(variables: &[(&str, &str)]) -> Self {
        let upstreams = start_upstreams().await;
        let host = public_host(&upstreams);
        Self::run(host, upstreams, variables).await
    }

    /// The same with its store at `store`.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start_public_on(store: impl Into<PathBuf>, variables: &[(&str, &str)]) -> Self {
        let upstreams = start_upstreams().await;
        let host = public_host(&upstreams).store(store);
        Self::run(host, upstreams, variables).await
    }

    async fn run(mut host: Builder, upstreams: Upstreams, variables: &[(&str, &str)]) -> Self {
        for (name, value) in variables {
            host = host.variable(*name, *value);
        }
        let host = host.start().await.expect("the host starts");
        Self { host, upstreams }
    }

    /// Where the DJ answers.
    pub fn origin(&self) -> String {
        self.host.url("")
    }
}

/// Waits until all instances have ended, and with them what was left for after
/// the response.
///
/// # Panics
/// When they do not, and when one has ended by a trap.
pub async fn settled(host: &Host) {
    let ended = host
        .wait_for_instances(PATIENCE, |instances| instances.live == 0)
        .await;
    assert_eq!(ended.map(|instances| instances.trapped), Ok(0));
}

/// What a GET of `path` is answered with.
///
/// # Panics
/// When there is no answer.
pub async fn get(host: &Host, path: &str) -> (u16, String) {
    let response = reqwest::get(host.url(path)).await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.unwrap_or_default())
}

/// A GET that names itself: its id is [`REQUEST_ID`].
///
/// # Panics
/// When there is no answer.
pub async fn get_named(url: impl reqwest::IntoUrl) -> reqwest::Response {
    let request = reqwest::Client::new().get(url);
    let request = request.header("x-request-id", REQUEST_ID);
    request.send().await.expect("an answer")
}

/// What a request is called by [`get_named`].
pub const REQUEST_ID: &str = "one-of-a-kind";

/// Held by a test that brings a crowd: two at once would make the store so slow
/// that it is left alone, and with it what is in it.
pub async fn alone() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::const_new(());
    CROWD.lock().await
}

/// Starts the simulated upstreams.
///
/// # Panics
/// When that fails.
pub async fn start_upstreams() -> Upstreams {
    let upstreams = Upstreams::start(Options::default()).await;
    upstreams.expect("the upstreams start")
}

/// The embedded host, set up for the example.
pub fn relay_host(upstreams: &Upstreams) -> Builder {
    host("examples/relay/spin.toml", "SPINLANE_RELAY")
        .variable("anthropic_api_key", KEY)
        .variable("anthropic_base_url", upstreams.anthropic().origin())
        .variable("deezer_base_url", upstreams.deezer().origin())
}

/// The fixture in the embedded host.
///
/// # Panics
/// When it does not start.
pub async fn fixture() -> Host {
    fixture_host().start().await.expect("the host starts")
}

/// The embedded host, set up for the fixture.
pub fn fixture_host() -> Builder {
    host("tests/fixture/spin.toml", "SPINLANE_FIXTURE")
}
