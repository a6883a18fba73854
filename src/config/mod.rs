//! The typed environment.
//!
//! Variables are read when they are first needed, through whatever the host
//! offers. Every variable has a default (`""` means unset), so that the
//! application always starts. What is malformed is collected, never guessed at:
//! [`ConfigErrors`] names each variable that a route needs at once.

mod frontend;
mod parse;
mod read;
mod thinking;
mod variables;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

pub use frontend::Frontend;
pub use read::{ConfigErrors, VariableError};
pub use spinlane_client::{Origin, Secret};
pub use thinking::{Effort, Thinking};
use variables::Groups;
pub use variables::{
    AnthropicConfig, CallersConfig, DeezerConfig, EdgeConfig, LastfmConfig, LimitsConfig,
    LogConfig, OperatorConfig, PagesConfig, SpotifyConfig, StreamsConfig, VARIABLES, Variable,
    Variables,
};

/// Gives the value of a variable by its name, where it has one.
type Source = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Everything that can be configured.
///
/// A variable is read when it is first needed, since each read is a call of the
/// host: those of one group together, and once. One that is malformed counts as
/// not set, so [`check`](Self::check) the groups that a route needs before it does
/// anything.
pub struct Config {
    source: Box<Source>,
    groups: Groups,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

impl Config {
    /// What `source` knows; `None` and `""` mean unset. Nothing is read yet.
    pub fn new(source: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self {
            source: Box::new(source),
            groups: Groups::default(),
        }
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
    /// It runs on somebody's desk: `debug` and the whole status are open to everyone.
    Development,
    /// It runs before the release: as development, but named differently in logs.
    Staging,
    /// It has real users: both are the operator's.
    Production,
}

impl Environment {
    /// The word that the variable and logs have.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// Where limits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitScope {
    /// They hold in this component instance only.
    Instance,
    /// They hold over all instances, by the key-value store.
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

/// A number of requests that a caller has in a period of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerLimit {
    /// How many they are.
    pub requests: NonZeroU32,
    /// The time in which.
    pub window: Duration,
}
