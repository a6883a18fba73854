//! The typed environment.
//!
//! Variables are read when they are first needed, through whatever the host
//! offers. Every variable has a default (`""` means unset), so that the
//! application always starts. What is malformed is collected, never guessed at:
//! [`ConfigErrors`] names each variable that a route needs at once.

mod frontend;
mod load;
mod thinking;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

use http::HeaderName;
use tracing::level_filters::LevelFilter;

pub use frontend::Frontend;
pub use load::{ConfigErrors, VARIABLES, VariableError};
use load::{Read, Reader};
pub use spinlane_client::{Origin, Secret};
pub use thinking::{Effort, Thinking};

use spinlane_core::ports::Timeouts;

/// The real services, which base URLs default to.
pub mod real {
    /// The Messages API.
    pub const ANTHROPIC: &str = "https://api.anthropic.com";
    /// The catalogue.
    pub const SPOTIFY: &str = "https://api.spotify.com";
    /// The catalogue's accounts service.
    pub const SPOTIFY_ACCOUNTS: &str = "https://accounts.spotify.com";
    /// BPM.
    pub const DEEZER: &str = "https://api.deezer.com";
    /// Tags and listeners.
    pub const LASTFM: &str = "https://ws.audioscrobbler.com";
}

/// Gives the value of a variable by its name, where it has one.
pub(super) type Source = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Everything that can be configured.
///
/// A variable is read when it is first needed, since each read is a call of the
/// host: those of one group together, and once. One that is malformed counts as
/// not set, so [`check`](Self::check) the groups that a route needs before it does
/// anything.
pub struct Config {
    source: Box<Source>,
    edge: Group<EdgeConfig>,
    operator: Group<OperatorConfig>,
    callers: Group<CallersConfig>,
    limits: Group<LimitsConfig>,
    streams: Group<StreamsConfig>,
    anthropic: Group<AnthropicConfig>,
    spotify: Group<SpotifyConfig>,
    deezer: Group<DeezerConfig>,
    lastfm: Group<LastfmConfig>,
    log_level: Group<LevelFilter>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

/// Variables that are read together, and what was wrong with them.
type Group<T> = OnceLock<Read<T>>;

/// A group of variables by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variables {
    /// Where it is reached, and by whose pages: [`Config::edge`].
    Edge,
    /// What is the operator's: [`Config::operator`].
    Operator,
    /// How often a caller may ask: [`Config::callers`].
    Callers,
    /// The limits of upstream calls: [`Config::limits`].
    Limits,
    /// What is streamed: [`Config::streams`].
    Streams,
    /// The Messages API: [`Config::anthropic`].
    Anthropic,
    /// The catalogue: [`Config::spotify`].
    Spotify,
    /// Tempo: [`Config::deezer`].
    Deezer,
    /// Tags: [`Config::lastfm`].
    Lastfm,
    /// What is logged.
    Log,
}

impl Variables {
    /// All of them, in the order in which what is malformed is named.
    pub const ALL: &[Self] = &[
        Self::Edge,
        Self::Operator,
        Self::Callers,
        Self::Streams,
        Self::Limits,
        Self::Anthropic,
        Self::Spotify,
        Self::Deezer,
        Self::Lastfm,
        Self::Log,
    ];
}

impl Config {
    /// What `source` knows; `None` and `""` mean unset. Nothing is read yet.
    pub fn new(source: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self {
            source: Box::new(source),
            edge: Group::new(),
            operator: Group::new(),
            callers: Group::new(),
            limits: Group::new(),
            streams: Group::new(),
            anthropic: Group::new(),
            spotify: Group::new(),
            deezer: Group::new(),
            lastfm: Group::new(),
            log_level: Group::new(),
        }
    }

    /// Reads `groups`, where they have not been read yet.
    ///
    /// # Errors
    /// Every malformed variable of them, by name. Values are never part of an error.
    pub fn check(&self, groups: &[Variables]) -> Result<(), ConfigErrors> {
        let errors = groups.iter().flat_map(|group| self.errors(*group)).cloned();
        let variables: Vec<_> = errors.collect();
        match variables.is_empty() {
            true => Ok(()),
            false => Err(ConfigErrors { variables }),
        }
    }

    fn errors(&self, group: Variables) -> &[VariableError] {
        match group {
            Variables::Edge => &self.read(&self.edge, load::edge).errors,
            Variables::Operator => &self.read(&self.operator, load::operator).errors,
            Variables::Callers => &self.read(&self.callers, load::callers).errors,
            Variables::Limits => &self.read(&self.limits, load::limits).errors,
            Variables::Streams => &self.read(&self.streams, load::streams).errors,
            Variables::Anthropic => &self.read(&self.anthropic, load::anthropic).errors,
            Variables::Spotify => &self.read(&self.spotify, load::spotify).errors,
            Variables::Deezer => &self.read(&self.deezer, load::deezer).errors,
            Variables::Lastfm => &self.read(&self.lastfm, load::lastfm).errors,
            // The host reads it itself, before there is a request.
            Variables::Log => &self.read(&self.log_level, load::log).errors,
        }
    }

    fn read<'a, T>(&'a self, group: &'a Group<T>, load: fn(&mut Reader<'_>) -> T) -> &'a Read<T> {
        group.get_or_init(|| load::read(&self.source, load))
    }

    /// Where it is reached, and by whose pages.
    pub fn edge(&self) -> &EdgeConfig {
        &self.read(&self.edge, load::edge).value
    }

    /// What is the operator's.
    pub fn operator(&self) -> &OperatorConfig {
        &self.read(&self.operator, load::operator).value
    }

    /// How often a caller may ask, and who that is.
    pub fn callers(&self) -> &CallersConfig {
        &self.read(&self.callers, load::callers).value
    }

    /// The limits of upstream calls.
    pub fn limits(&self) -> &LimitsConfig {
        &self.read(&self.limits, load::limits).value
    }

    /// What is streamed.
    pub fn streams(&self) -> &StreamsConfig {
        &self.read(&self.streams, load::streams).value
    }

    /// The Messages API.
    pub fn anthropic(&self) -> &AnthropicConfig {
        &self.read(&self.anthropic, load::anthropic).value
    }

    /// The catalogue, and its accounts service.
    pub fn spotify(&self) -> &SpotifyConfig {
        &self.read(&self.spotify, load::spotify).value
    }

    /// Tempo.
    pub fn deezer(&self) -> &DeezerConfig {
        &self.read(&self.deezer, load::deezer).value
    }

    /// Tags and listeners.
    pub fn lastfm(&self) -> &LastfmConfig {
        &self.read(&self.lastfm, load::lastfm).value
    }
}

/// Where the application is reached, and by whose pages.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Where users reach it; makes the OAuth redirect.
    pub public_url: Origin,
    /// Pages of which origins may ask, beside the application's own.
    pub frontend_url: Frontend,
}

/// What is the operator's.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// Where the application runs.
    pub environment: Environment,
    /// Opens the operator's routes and, in production, `debug`.
    pub admin_token: AdminToken,
}

/// How often a caller may ask, and who that is.
#[derive(Clone, Debug)]
pub struct CallersConfig {
    /// Requests per caller; `None` is off.
    pub limit: Option<CallerLimit>,
    /// Chats and enrichments of one caller at a time, where requests are limited.
    pub runs: NonZeroU32,
    /// The header that carries the client's address, set by a proxy that
    /// overwrites it. Unset: the address that the host gives.
    pub client_ip_header: Option<HeaderName>,
}

/// What is streamed.
#[derive(Clone, Debug)]
pub struct StreamsConfig {
    /// Silence on a stream after which a heartbeat is written.
    pub heartbeat: Duration,
    /// A client that takes no byte for this long is treated as gone.
    pub client_stall: Duration,
    /// After this a run is ended with what it has. `None`: no limit.
    pub request_deadline: Option<Duration>,
}

/// The operator's token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminToken {
    /// There is none: the operator's routes are closed.
    #[default]
    Unset,
    /// One that could be guessed: they are closed as well, and the log says why.
    TooShort,
    /// It opens them.
    Set(Secret),
}

impl AdminToken {
    /// Characters that it has at least: guessing one of those that are
    /// random takes longer than anybody has.
    pub const MIN_LENGTH: usize = 16;

    /// The token that is good, where there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Set(secret) => Some(secret),
            Self::Unset | Self::TooShort => None,
        }
    }
}

/// Where the application runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// On somebody's desk: `debug` and the whole status are open to everyone.
    Development,
    /// Before the release: as development, but named differently in logs.
    Staging,
    /// Before real users: they are the operator's.
    Production,
}

impl Environment {
    /// As written in the variable and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// The Messages API.
#[derive(Clone, Debug)]
pub struct AnthropicConfig {
    /// Without it the chat answers 503.
    pub api_key: Option<Secret>,
    /// `https://api.anthropic.com`, or a stand-in.
    pub base_url: Origin,
    /// The model that talks.
    pub model: String,
    /// Whether it thinks before it answers.
    pub thinking: Thinking,
    /// How long an answer may go without progress.
    pub progress: Duration,
    /// Variables that are set and will not be read any more in the next release,
    /// each with the one that takes its place.
    pub deprecated: Vec<(&'static str, &'static str)>,
}

/// The catalogue, and its accounts service.
#[derive(Clone, Debug)]
pub struct SpotifyConfig {
    /// The application's public id.
    pub client_id: Option<String>,
    /// The application's secret.
    pub client_secret: Option<Secret>,
    /// `https://api.spotify.com`, or a stand-in.
    pub api_url: Origin,
    /// `https://accounts.spotify.com`, or a stand-in.
    pub accounts_url: Origin,
}

/// Tempo.
#[derive(Clone, Debug)]
pub struct DeezerConfig {
    /// `https://api.deezer.com`, or a stand-in.
    pub base_url: Origin,
}

/// Tags and listeners.
#[derive(Clone, Debug)]
pub struct LastfmConfig {
    /// Without it Last.fm is off.
    pub api_key: Option<Secret>,
    /// `https://ws.audioscrobbler.com`, or a stand-in.
    pub base_url: Origin,
}

/// The limits of upstream calls.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// `None`: shared where the host has counters, else per instance.
    pub scope: Option<LimitScope>,
    /// Upstream calls per second over all lanes.
    pub global_rps: NonZeroU32,
    /// Concurrent calls per upstream.
    pub lanes: LaneLimits,
    /// Upstream calls that one request may make.
    pub subrequest_budget: u32,
    /// How long a chat waits for a free slot.
    pub queue_deadline: Duration,
    /// How long an upstream may take to connect, to its head, between reads.
    pub upstream_timeouts: Timeouts,
}

/// Where limits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitScope {
    /// In this component instance only.
    Instance,
    /// Over all instances, in the key-value store.
    Shared,
}

/// Concurrent calls per upstream, each from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// The Messages API.
    pub anthropic: NonZeroU32,
    /// The catalogue and its accounts service.
    pub spotify: NonZeroU32,
    /// BPM.
    pub deezer: NonZeroU32,
    /// Tags.
    pub lastfm: NonZeroU32,
}

/// So many requests per caller in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerLimit {
    /// How many.
    pub requests: NonZeroU32,
    /// In how much time.
    pub window: Duration,
}
