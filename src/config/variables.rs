//! Every variable, once: what it is called, what is used where it is not set, how it is
//! read, and what it is for. The rest follows from here: what is read together, the
//! README's table, what a manifest must declare.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

use http::HeaderName;
use tracing::level_filters::LevelFilter;

use super::parse;
use super::read::{Read, Reader, read};
use super::{
    AdminToken, CallerLimit, Config, ConfigErrors, Environment, Frontend, LaneLimits, LimitScope,
    Origin, Secret, Thinking, VariableError, thinking,
};
use spinlane_core::ports::Timeouts;

/// A variable, as one is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// What it is called in a manifest. As an environment variable it is in upper case,
    /// with the host's prefix.
    pub name: &'static str,
    /// What is read where it is not set; empty where it then stays unset.
    pub default: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Whether its value must not be shown.
    pub is_secret: bool,
}

impl Variable {
    /// The one that is called `name`, where there is one.
    pub fn named(name: &str) -> Option<&'static Self> {
        VARIABLES.iter().find(|variable| variable.name == name)
    }
}

/// Makes of the table the groups' types, how they are read and kept, and the list of
/// all variables. An entry is `field: Type = "name" or "default" as parser`; without a
/// default the type is an `Option`. Its comment is what users are told, too.
macro_rules! variables {
    (@read $read:ident $name:literal as $parse:expr) => {
        $read.optional($name, $parse)
    };
    (@read $read:ident $name:literal or $default:literal as $parse:expr) => {
        $read.or($name, $default, $parse)
    };
    ($(
        $(#[doc = $group_doc:literal])+
        $Group:ident $group:ident: $Values:ident {
            $(
                $(#[doc = $about:literal])+
                $field:ident: $type:ty =
                    $($secret:ident)? $name:literal $(or $default:literal)? as $parse:expr,
            )+
        }
    )+) => {
        /// Every variable, in the order in which what is malformed is named.
        pub const VARIABLES: &[Variable] = &[$($(
            Variable {
                name: $name,
                default: concat!($($default)?),
                about: concat!($($about),+).trim_ascii_start(),
                is_secret: !stringify!($($secret)?).is_empty(),
            },
        )+)+];

        $(
            $(#[doc = $group_doc])+
            #[derive(Clone, Debug)]
            pub struct $Values {
                $(
                    $(#[doc = $about])+
                    pub $field: $type,
                )+
            }

            impl $Values {
                fn read(read: &mut Reader<'_>) -> Self {
                    $(let $field = variables!(@read read $name $(or $default)? as $parse);)+
                    Self { $($field),+ }
                }
            }
        )+

        /// A group of variables by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Variables {
            $(
                $(#[doc = $group_doc])+
                $Group,
            )+
        }

        impl Variables {
            /// All of them, in the order in which what is malformed is named.
            pub const ALL: &[Self] = &[$(Self::$Group),+];
        }

        /// What was read of each group, where something was.
        #[derive(Default)]
        pub(super) struct Groups {
            $($group: OnceLock<Read<$Values>>,)+
        }

        impl Config {
            fn errors(&self, group: Variables) -> &[VariableError] {
                match group {
                    $(Variables::$Group => {
                        let group = &self.groups.$group;
                        &group.get_or_init(|| read(&self.source, $Values::read)).errors
                    })+
                }
            }

            $(
                $(#[doc = $group_doc])+
                pub fn $group(&self) -> &$Values {
                    let group = &self.groups.$group;
                    &group.get_or_init(|| read(&self.source, $Values::read)).value
                }
            )+
        }
    };
}

variables! {
    /// The Messages API.
    Anthropic anthropic: AnthropicConfig {
        /// The model's key; without it the chat answers 503.
        api_key: Option<Secret> = secret "anthropic_api_key" as parse::secret,
        /// Where the model is asked. Base URLs are origins, without a path.
        base_url: Origin = "anthropic_base_url" or "https://api.anthropic.com" as parse::origin,
        /// The model that talks.
        model: String = "anthropic_model" or "claude-sonnet-4-6" as parse::visible,
        /// Whether it thinks before it answers: `off`, which it is if left out; `adaptive`,
        /// `adaptive:low`, `adaptive:medium` or `adaptive:high` for models from generation 4.6
        /// on; a number of tokens (1024 to 32000) for models up to it.
        thinking: Option<Thinking> =
            "anthropic_thinking" as |text: &str| thinking::parse(text, &model),
        /// The former name of `anthropic_thinking`, read for one release more, with a warning in
        /// the log.
        thinking_tokens: Option<Thinking> =
            "anthropic_thinking_tokens" as |text: &str| thinking::parse(text, &model),
        /// How long the model's answer may go without a part of it; pings do not count.
        progress: Duration = "upstream_progress_ms" or "120000" as parse::millis(1),
    }

    /// The catalogue, and its accounts service.
    Spotify spotify: SpotifyConfig {
        /// The application at Spotify: for its catalogue, and for connecting accounts.
        client_id: Option<String> = "spotify_client_id" as parse::visible,
        /// Its secret.
        client_secret: Option<Secret> = secret "spotify_client_secret" as parse::secret,
        /// The catalogue itself.
        api_url: Origin = "spotify_api_url" or "https://api.spotify.com" as parse::origin,
        /// The accounts service, where tokens come from.
        accounts_url: Origin =
            "spotify_accounts_url" or "https://accounts.spotify.com" as parse::origin,
    }

    /// Tempo.
    Deezer deezer: DeezerConfig {
        /// Where tempo comes from.
        base_url: Origin = "deezer_base_url" or "https://api.deezer.com" as parse::origin,
    }

    /// Tags and listeners.
    Lastfm lastfm: LastfmConfig {
        /// Tags and listeners; without it Last.fm is off.
        api_key: Option<Secret> = secret "lastfm_api_key" as parse::secret,
        /// Where tags and listeners come from.
        base_url: Origin = "lastfm_base_url" or "https://ws.audioscrobbler.com" as parse::origin,
    }

    /// Where the application is reached.
    Edge edge: EdgeConfig {
        /// Where users reach the application; Spotify returns to it.
        public_url: Origin = "public_url" or "http://127.0.0.1:3000" as parse::origin,
    }

    /// Whose pages may use it.
    Pages pages: PagesConfig {
        /// Whose pages may ask beside the application's own: `*`, every origin's, without
        /// credentials; one origin: its pages alone, with credentials; `same-origin`: nobody's. A
        /// page may send whatever header fields it asks for.
        frontend_url: Frontend = "frontend_url" or "*" as Frontend::parse,
    }

    /// What is the operator's.
    Operator operator: OperatorConfig {
        /// `development` opens `debug` and the whole `/api/status` to everybody, which
        /// `production` keeps for the operator (`staging` is as `development`, under another name
        /// in the log). `cargo xtask up` sets `development`.
        environment: Environment = "environment" or "production" as parse::environment,
        /// At least 16 characters; opens `POST /api/admin/sweep`, and in production `debug` and
        /// the whole `/api/status` (header `x-admin-token`). A shorter one opens nothing, and the
        /// log says so.
        admin_token: AdminToken = secret "admin_token" or "" as parse::admin_token,
    }

    /// What is logged. The host reads it itself, before there is a request.
    Log log: LogConfig {
        /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
        level: LevelFilter = "log_level" or "info" as parse::log_level,
    }

    /// What is streamed.
    Streams streams: StreamsConfig {
        /// Silence on a stream after which a heartbeat is written.
        heartbeat: Duration = "heartbeat_ms" or "15000" as parse::millis(1),
        /// A client that takes no byte for this long is treated as gone.
        client_stall: Duration = "client_stall_ms" or "30000" as parse::millis(1),
        /// After this a run ends with what it has; 0: it has no limit.
        request_deadline: Option<Duration> = "request_deadline_ms" or "0" as parse::deadline,
        /// A run whose client has gone, and that nobody else reads for so long, ends; 0: a run
        /// ends with its client, and none can be read again.
        abandon: Option<Duration> = "abandon_ms" or "60000" as parse::deadline,
    }

    /// The limits of upstream calls.
    Limits limits: LimitsConfig {
        /// `shared`, over all instances, which it is where there are counters; `instance`: limits
        /// within one instance only.
        scope: Option<LimitScope> = "limit_scope" as parse::limit_scope,
        /// Upstream calls a second.
        global_rps: NonZeroU32 = "global_rps" or "40" as parse::count(10_000),
        /// Calls at a time; name those that differ.
        lanes: LaneLimits =
            "lane_limits" or "anthropic=2,spotify=5,deezer=10,lastfm=10" as parse::lane_limits,
        /// Upstream calls of one request.
        subrequest_budget: NonZeroU32 = "subrequest_budget" or "950" as parse::count(100_000),
        /// How long a call waits for a slot.
        queue_deadline: Duration = "queue_deadline_ms" or "30000" as parse::millis(0),
        /// To connect, to the head, between reads.
        upstream_timeouts: Timeouts =
            "upstream_timeouts_ms" or "5000,60000,60000" as parse::upstream_timeouts,
    }

    /// How often a caller may ask, and who that is.
    Callers callers: CallersConfig {
        /// Requests of one caller; `off`: no quota, no count of addresses, no limit of runs.
        limit: Option<CallerLimit> = "caller_limit" or "20/10m" as parse::caller_limit,
        /// Chats and enrichments of one caller at a time.
        runs: NonZeroU32 = "caller_runs" or "2" as parse::count(1_000),
        /// The header that a proxy overwrites with the client's address.
        client_ip_header: Option<HeaderName> = "client_ip_header" as parse::header,
    }
}

impl Config {
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
}

impl AnthropicConfig {
    /// Whether the model thinks before it answers.
    pub fn thinking(&self) -> Thinking {
        let set = self.thinking.or(self.thinking_tokens);
        set.unwrap_or_else(|| thinking::off(&self.model))
    }

    /// Variables that are set and will not be read any more in the next release, each
    /// with the one that takes its place.
    pub fn deprecated(&self) -> Option<(&'static str, &'static str)> {
        let replaced = ("anthropic_thinking_tokens", "anthropic_thinking");
        self.thinking_tokens.map(|_| replaced)
    }
}

#[cfg(test)]
mod tests;
