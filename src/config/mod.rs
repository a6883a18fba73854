//! The typed environment.
//!
//! Variables are read once, through whatever the host offers, into a
//! [`Config`]. Every variable has a default (`""` means unset), so that the
//! application always starts. What is malformed is collected, never guessed at:
//! [`ConfigErrors`] names each variable at once.

mod frontend;
mod load;
mod thinking;

use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;
use tracing::level_filters::LevelFilter;

pub use frontend::Frontend;
pub use load::{ConfigErrors, VARIABLES, VariableError};
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

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the application runs.
    pub environment: Environment,
    /// The Messages API.
    pub anthropic: AnthropicConfig,
    /// The catalogue, and its accounts service.
    pub spotify: SpotifyConfig,
    /// BPM.
    pub deezer_base_url: Origin,
    /// Tags and listeners.
    pub lastfm: LastfmConfig,
    /// Where users reach the application; makes the OAuth redirect.
    pub public_url: Origin,
    /// Pages of which origins may ask, beside the application's own.
    pub frontend_url: Frontend,
    /// Opens the operator's routes and, in production, `debug`.
    pub admin_token: AdminToken,
    /// Silence on a stream after which a heartbeat is written.
    pub heartbeat: Duration,
    /// A client that takes no byte for this long is treated as gone.
    pub client_stall: Duration,
    /// What the limits are set to.
    pub limits: LimitsConfig,
    /// The header that carries the client's address, set by a proxy that
    /// overwrites it. Unset: the address that the host gives.
    pub client_ip_header: Option<HeaderName>,
    /// After this a run is ended with what it has. `None`: no limit.
    pub request_deadline: Option<Duration>,
    /// How long an upstream may take to connect, to its head, between reads.
    pub upstream_timeouts: Timeouts,
    /// How long the model's answer may go without progress.
    pub upstream_progress: Duration,
    /// Variables that are set and will not be read any more in the next release,
    /// each with the one that takes its place.
    pub deprecated: Vec<(&'static str, &'static str)>,
    /// What is logged. The host reads it itself, before there is a request.
    pub log_level: LevelFilter,
}

impl Config {
    /// Reads the variables that `source` knows; `None` and `""` mean unset.
    ///
    /// # Errors
    /// Every malformed variable, by name. Values are never part of an error.
    pub fn load(source: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        load::load(&source)
    }
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

/// Tags and listeners.
#[derive(Clone, Debug)]
pub struct LastfmConfig {
    /// Without it Last.fm is off.
    pub api_key: Option<Secret>,
    /// `https://ws.audioscrobbler.com`, or a stand-in.
    pub base_url: Origin,
}

/// What the limits are set to.
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
    /// Requests per caller; `None` is off.
    pub caller: Option<CallerLimit>,
    /// Chats and enrichments of one caller at a time, where requests are limited.
    pub caller_runs: NonZeroU32,
    /// How long a chat waits for a free slot.
    pub queue_deadline: Duration,
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
