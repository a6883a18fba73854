//! From variables to a [`Config`].

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use tracing::level_filters::LevelFilter;

use super::{
    AdminToken, AnthropicConfig, CallerLimit, Config, Environment, Frontend, LaneLimits,
    LastfmConfig, LimitScope, LimitsConfig, Origin, Secret, SpotifyConfig, real, thinking,
};
use crate::core::ports::Timeouts;

/// Every variable that is read, for manifests and documentation to be checked
/// against.
pub const VARIABLES: [&str; 30] = [
    "anthropic_api_key",
    "anthropic_base_url",
    "anthropic_model",
    "anthropic_thinking",
    "anthropic_thinking_tokens",
    "spotify_client_id",
    "spotify_client_secret",
    "spotify_api_url",
    "spotify_accounts_url",
    "deezer_base_url",
    "lastfm_api_key",
    "lastfm_base_url",
    "public_url",
    "frontend_url",
    "environment",
    "admin_token",
    "heartbeat_ms",
    "client_stall_ms",
    "limit_scope",
    "global_rps",
    "lane_limits",
    "subrequest_budget",
    "caller_limit",
    "caller_runs",
    "client_ip_header",
    "queue_deadline_ms",
    "request_deadline_ms",
    "upstream_timeouts_ms",
    "upstream_progress_ms",
    "log_level",
];

/// The longest duration that a variable may ask for: an hour.
const HOUR_MS: u64 = 3_600_000;

/// The model that talks unless another is named.
const MODEL: &str = "claude-sonnet-4-6";

/// One variable that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableError {
    /// The variable's name.
    pub name: &'static str,
    /// What is expected instead. Never holds the value.
    pub expected: String,
}

/// All variables that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// Each of them; there is one at least.
    pub variables: Vec<VariableError>,
    /// Whose pages may be told of them.
    pub frontend_url: Frontend,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, VariableError { name, expected }) in self.variables.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}`{name}` {expected}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

pub(super) fn load(source: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    let mut read = Reader {
        source,
        errors: Vec::new(),
        deprecated: Vec::new(),
    };
    let config = Config {
        environment: read.or("environment", Environment::Production, environment),
        anthropic: anthropic(&mut read),
        spotify: SpotifyConfig {
            client_id: read.optional("spotify_client_id", visible),
            client_secret: read.secret("spotify_client_secret"),
            api_url: read.origin("spotify_api_url", real::SPOTIFY),
            accounts_url: read.origin("spotify_accounts_url", real::SPOTIFY_ACCOUNTS),
        },
        deezer_base_url: read.origin("deezer_base_url", real::DEEZER),
        lastfm: LastfmConfig {
            api_key: read.secret("lastfm_api_key"),
            base_url: read.origin("lastfm_base_url", real::LASTFM),
        },
        public_url: read.origin("public_url", "http://127.0.0.1:3000"),
        frontend_url: read.or("frontend_url", Frontend::Any, Frontend::parse),
        admin_token: read.or("admin_token", AdminToken::Unset, admin_token),
        heartbeat: read.millis("heartbeat_ms", 15_000, 1..=HOUR_MS),
        client_stall: read.millis("client_stall_ms", 30_000, 1..=HOUR_MS),
        limits: limits(&mut read),
        client_ip_header: read.optional("client_ip_header", |text| {
            HeaderName::from_str(text).map_err(|_| "must be the name of a header".into())
        }),
        request_deadline: Some(read.millis("request_deadline_ms", 0, 0..=HOUR_MS))
            .filter(|deadline| !deadline.is_zero()),
        log_level: read.or("log_level", LevelFilter::INFO, log_level),
        upstream_timeouts: read.or("upstream_timeouts_ms", timeouts(60_000, 60_000), |text| {
            upstream_timeouts(text)
        }),
        upstream_progress: read.millis("upstream_progress_ms", 120_000, 1..=HOUR_MS),
        deprecated: read.deprecated,
    };
    match read.errors.is_empty() {
        true => Ok(config),
        false => Err(ConfigErrors {
            frontend_url: config.frontend_url,
            variables: read.errors,
        }),
    }
}

fn anthropic(read: &mut Reader<'_>) -> AnthropicConfig {
    let model = read.or("anthropic_model", MODEL.into(), visible);
    let parse = |text: &str| thinking::parse(text, &model);
    let new = read.optional("anthropic_thinking", parse);
    let old = read.replaced("anthropic_thinking_tokens", "anthropic_thinking", parse);
    AnthropicConfig {
        api_key: read.secret("anthropic_api_key"),
        base_url: read.origin("anthropic_base_url", real::ANTHROPIC),
        thinking: new.or(old).unwrap_or_else(|| thinking::off(&model)),
        model,
    }
}

fn admin_token(text: &str) -> Parsed<AdminToken> {
    let token = visible(text)?;
    Ok(match token.len() < AdminToken::MIN_LENGTH {
        true => AdminToken::TooShort,
        false => AdminToken::Set(Secret::new(token)),
    })
}

fn log_level(text: &str) -> Result<LevelFilter, String> {
    // `tracing` takes numbers as well.
    let word = text.bytes().all(|byte| byte.is_ascii_lowercase());
    let level = text.parse().ok().filter(|_| word);
    level.ok_or_else(|| "must be `off`, `error`, `warn`, `info`, `debug` or `trace`".into())
}

fn limits(read: &mut Reader<'_>) -> LimitsConfig {
    LimitsConfig {
        scope: read.optional("limit_scope", |text| match text {
            "instance" => Ok(LimitScope::Instance),
            "shared" => Ok(LimitScope::Shared),
            _ => Err("must be `shared` or `instance`".into()),
        }),
        global_rps: read.or("global_rps", count(40), |text| positive(text, 10_000)),
        lanes: read.or("lane_limits", LaneLimits::default(), lane_limits),
        subrequest_budget: read
            .or("subrequest_budget", count(950), |text| {
                positive(text, 100_000)
            })
            .get(),
        caller: read.or("caller_limit", Some(CallerLimit::default()), caller_limit),
        caller_runs: read.or("caller_runs", count(2), |text| positive(text, 1_000)),
        queue_deadline: read.millis("queue_deadline_ms", 30_000, 0..=HOUR_MS),
    }
}

impl Default for LaneLimits {
    /// anthropic 2, spotify 5, deezer 10, lastfm 10.
    fn default() -> Self {
        Self {
            anthropic: count(2),
            spotify: count(5),
            deezer: count(10),
            lastfm: count(10),
        }
    }
}

impl Default for CallerLimit {
    /// 20 in 10 minutes.
    fn default() -> Self {
        Self {
            requests: count(20),
            window: Duration::from_secs(600),
        }
    }
}

/// Reads variables and remembers what was wrong with them.
struct Reader<'a> {
    source: &'a dyn Fn(&str) -> Option<String>,
    errors: Vec<VariableError>,
    deprecated: Vec<(&'static str, &'static str)>,
}

type Parsed<T> = Result<T, String>;

impl Reader<'_> {
    fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        debug_assert!(VARIABLES.contains(&name), "{name} is not listed");
        let text = (self.source)(name)?;
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.errors.push(VariableError { name, expected });
                None
            }
        }
    }

    fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> T {
        self.optional(name, parse).unwrap_or(default)
    }

    /// A variable that `by` has taken the place of.
    fn replaced<T>(
        &mut self,
        name: &'static str,
        by: &'static str,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        let value = self.optional(name, parse)?;
        self.deprecated.push((name, by));
        Some(value)
    }

    fn secret(&mut self, name: &'static str) -> Option<Secret> {
        self.optional(name, |text| visible(text).map(Secret::new))
    }

    fn origin(&mut self, name: &'static str, default: &'static str) -> Origin {
        self.optional(name, origin)
            .unwrap_or_else(|| Origin::known(default))
    }

    fn millis(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.or(name, default, |text| {
            text.parse()
                .ok()
                .filter(|millis| range.contains(millis))
                .ok_or_else(|| {
                    let (from, to) = (range.start(), range.end());
                    format!("must be a whole number of milliseconds from {from} to {to}")
                })
        }))
    }
}

fn environment(text: &str) -> Parsed<Environment> {
    [
        Environment::Development,
        Environment::Staging,
        Environment::Production,
    ]
    .into_iter()
    .find(|environment| environment.as_str() == text)
    // A typo must not open what production closes.
    .ok_or_else(|| "must be `development`, `staging` or `production`".into())
}

fn origin(text: &str) -> Parsed<Origin> {
    Origin::parse(text).map_err(Into::into)
}

/// Text that can stand in a header.
fn visible(text: &str) -> Parsed<String> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => Err("must be visible ASCII characters without spaces".into()),
    }
}

const fn count(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

fn positive(text: &str, max: u32) -> Parsed<NonZeroU32> {
    text.parse()
        .ok()
        .filter(|value: &NonZeroU32| value.get() <= max)
        .ok_or_else(|| format!("must be a whole number from 1 to {max}"))
}

/// Connecting has its own limit, which the others may lower.
fn timeouts(first_byte: u64, idle: u64) -> Timeouts {
    Timeouts {
        connect: Duration::from_millis(first_byte.min(5_000)),
        first_byte: Duration::from_millis(first_byte),
        idle: Duration::from_millis(idle),
    }
}

/// `60000` for head and silence alike, or `5000,60000,30000` for connection,
/// head and silence.
fn upstream_timeouts(text: &str) -> Parsed<Timeouts> {
    let numbers: Option<Vec<u64>> = text
        .split(',')
        .map(|number| number.trim().parse().ok())
        .map(|number| number.filter(|number| (1..=HOUR_MS).contains(number)))
        .collect();
    match numbers.as_deref() {
        Some([all]) => Ok(timeouts(*all, *all)),
        Some([connect, first_byte, idle]) => Ok(Timeouts {
            connect: Duration::from_millis(*connect),
            ..timeouts(*first_byte, *idle)
        }),
        _ => Err(format!(
            "must be milliseconds from 1 to {HOUR_MS}, such as `60000`, or \
             `5000,60000,60000` for connection, response head and silence"
        )),
    }
}

/// `anthropic=2,spotify=5`; lanes that are not named keep their default.
fn lane_limits(text: &str) -> Parsed<LaneLimits> {
    let mut lanes = LaneLimits::default();
    for entry in text.split(',') {
        let parsed = entry
            .split_once('=')
            .and_then(|(name, limit)| Some((name.trim(), positive(limit.trim(), 100).ok()?)));
        match parsed {
            Some(("anthropic", limit)) => lanes.anthropic = limit,
            Some(("spotify", limit)) => lanes.spotify = limit,
            Some(("deezer", limit)) => lanes.deezer = limit,
            Some(("lastfm", limit)) => lanes.lastfm = limit,
            _ => {
                return Err(
                    "must be a list such as `anthropic=2,spotify=5`: lanes anthropic, \
                     spotify, deezer, lastfm, each from 1 to 100"
                        .into(),
                );
            }
        }
    }
    Ok(lanes)
}

/// `20/10m`, or `off`.
fn caller_limit(text: &str) -> Parsed<Option<CallerLimit>> {
    if text == "off" {
        return Ok(None);
    }
    let parse = || {
        let (requests, window) = text.split_once('/')?;
        let requests = positive(requests.trim(), 1_000_000).ok()?;
        let window = window.trim();
        let (amount, seconds) = [("s", 1), ("m", 60), ("h", 3600)]
            .into_iter()
            .find_map(|(unit, seconds)| Some((window.strip_suffix(unit)?, seconds)))?;
        let amount = positive(amount, 1_000).ok()?;
        Some(CallerLimit {
            requests,
            window: Duration::from_secs(u64::from(amount.get()) * seconds),
        })
    };
    parse()
        .map(Some)
        .ok_or_else(|| "must be such as `20/10m` (requests per s, m or h), or `off`".into())
}

#[cfg(test)]
mod tests {
    use super::super::{Effort, Thinking};
    use super::*;

    fn with(pairs: &[(&'static str, &'static str)]) -> Result<Config, ConfigErrors> {
        Config::load(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn broken(pairs: &[(&'static str, &'static str)]) -> Vec<&'static str> {
        let errors = with(pairs).err().map(|errors| errors.variables);
        let errors = errors.unwrap_or_default().into_iter();
        errors.map(|error| error.name).collect()
    }

    #[test]
    fn starts_with_nothing_set() {
        for source in [
            |_: &str| None,
            |_: &str| Some(String::new()),
            |_: &str| Some("  ".into()),
        ] {
            let config = Config::load(source).unwrap();
            assert!(config.anthropic.api_key.is_none());
            assert_eq!(config.environment, Environment::Production);
            assert_eq!(config.frontend_url, Frontend::Any);
            assert_eq!(config.admin_token, AdminToken::Unset);
            assert_eq!(
                config.anthropic.base_url.as_str(),
                "https://api.anthropic.com"
            );
            assert_eq!(config.heartbeat, Duration::from_secs(15));
            assert_eq!(config.limits.subrequest_budget, 950);
            assert_eq!(config.limits.caller, Some(CallerLimit::default()));
            assert_eq!(config.limits.caller_runs.get(), 2);
            assert_eq!(config.request_deadline, None);
            assert_eq!(config.upstream_timeouts, timeouts(60_000, 60_000));
            assert_eq!(config.upstream_timeouts.connect, Duration::from_secs(5));
        }
    }

    #[test]
    fn every_listed_variable_is_read() {
        let seen = std::cell::RefCell::new(Vec::new());
        let loaded = Config::load(|name| {
            seen.borrow_mut().push(name.to_owned());
            None
        });
        assert!(loaded.is_ok());
        let mut seen = seen.into_inner();
        let mut listed: Vec<String> = VARIABLES.map(Into::into).to_vec();
        seen.sort();
        listed.sort();
        assert_eq!(seen, listed);
    }

    #[test]
    fn every_listed_variable_is_in_the_manifest_and_explained() {
        let manifest = include_str!("../../../spin.toml");
        let readme = include_str!("../../../README.md");
        for name in VARIABLES {
            let declared = format!("\n{name} = {{ default = ");
            let handed_on = format!("\n{name} = \"{{{{ {name} }}}}\"\n");
            assert!(manifest.contains(&declared), "{name}");
            assert!(manifest.contains(&handed_on), "{name}");
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
        let model = format!("| `anthropic_model` | `{MODEL}` |");
        assert!(readme.contains(&model), "{model}");
    }

    #[test]
    fn values_are_typed() {
        let config = with(&[
            ("environment", "development"),
            ("anthropic_thinking", "adaptive:low"),
            ("lane_limits", "deezer=3, anthropic=1"),
            ("caller_limit", "5/2h"),
            ("request_deadline_ms", "28000"),
            ("upstream_timeouts_ms", "200, 300,400"),
            ("limit_scope", "instance"),
            ("client_ip_header", "X-Real-IP"),
            ("log_level", "trace"),
            ("frontend_url", "https://dj.example/"),
        ])
        .unwrap();
        assert_eq!(config.environment, Environment::Development);
        assert_eq!(config.log_level, LevelFilter::TRACE);
        let thinking = config.anthropic.thinking;
        assert_eq!(thinking, Thinking::Adaptive(Some(Effort::Low)));
        assert_eq!(config.limits.lanes.deezer.get(), 3);
        assert_eq!(config.limits.lanes.anthropic.get(), 1);
        assert_eq!(config.limits.lanes.spotify.get(), 5);
        let caller = config.limits.caller.unwrap();
        assert_eq!((caller.requests.get(), caller.window.as_secs()), (5, 7200));
        assert_eq!(config.request_deadline, Some(Duration::from_secs(28)));
        let Timeouts {
            connect,
            first_byte,
            idle,
        } = config.upstream_timeouts;
        assert_eq!(
            [connect, first_byte, idle].map(|limit| limit.as_millis()),
            [200, 300, 400]
        );
        assert_eq!(config.limits.scope, Some(LimitScope::Instance));
        assert_eq!(
            with(&[("caller_limit", "off")]).unwrap().limits.caller,
            None
        );
    }

    /// For one release, and with a warning.
    #[test]
    fn what_has_a_new_name_is_read_by_the_old_one() {
        let old = ("anthropic_thinking_tokens", "2048");
        let config = with(&[old]).unwrap();
        let tokens = Thinking::Tokens(NonZeroU32::new(2048).unwrap());
        assert_eq!(config.anthropic.thinking, tokens);
        let replaced = [("anthropic_thinking_tokens", "anthropic_thinking")];
        assert_eq!(config.deprecated, replaced);
        let both = with(&[old, ("anthropic_thinking", "off")]).unwrap();
        assert_eq!(both.anthropic.thinking, Thinking::Unasked);
        assert_eq!(both.deprecated, replaced);
        assert!(with(&[]).unwrap().deprecated.is_empty());
        let off = with(&[("anthropic_thinking_tokens", "0")]).unwrap();
        assert_eq!(off.anthropic.thinking, Thinking::Unasked);
    }

    #[test]
    fn all_malformed_values_are_named_at_once() {
        let names = broken(&[
            ("anthropic_base_url", "https://a.example/v1"),
            ("heartbeat_ms", "0"),
            ("lane_limits", "anthropic=0"),
            ("caller_limit", "20"),
            ("environment", "prod"),
            ("admin_token", "two words"),
        ]);
        let mut expected = vec![
            "anthropic_base_url",
            "heartbeat_ms",
            "lane_limits",
            "caller_limit",
            "environment",
            "admin_token",
        ];
        let mut names = names;
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_token_that_could_be_guessed_opens_nothing() {
        let token = |text: &'static str| with(&[("admin_token", text)]).unwrap().admin_token;
        assert_eq!(token("a"), AdminToken::TooShort);
        assert_eq!(token("123456789012345"), AdminToken::TooShort);
        let secret = Secret::new("1234567890123456");
        assert_eq!(token("1234567890123456").secret(), Some(&secret));
        assert_eq!(token(" 123456789012345 ").secret(), None);
    }

    #[test]
    fn hostile_numbers_are_refused() {
        for (name, value) in [
            ("heartbeat_ms", "-1"),
            ("heartbeat_ms", "1.5"),
            ("heartbeat_ms", "99999999999999999999"),
            ("anthropic_thinking_tokens", "1023"),
            ("anthropic_thinking_tokens", "many"),
            ("anthropic_thinking", "adaptive:most"),
            ("upstream_progress_ms", "0"),
            ("global_rps", "0"),
            ("global_rps", "inf"),
            ("subrequest_budget", "4294967296"),
            ("lane_limits", "anthropic=2,unknown=3"),
            ("lane_limits", ","),
            ("caller_limit", "0/10m"),
            ("caller_limit", "5/0m"),
            ("caller_limit", "5/10"),
            ("caller_limit", "5/é"),
            ("caller_runs", "0"),
            ("client_ip_header", "not a header"),
            ("upstream_timeouts_ms", "0"),
            ("upstream_timeouts_ms", "1,2"),
            ("log_level", "3"),
            ("log_level", "loud"),
        ] {
            assert_eq!(broken(&[(name, value)]), [name], "{value}");
        }
    }

    #[test]
    fn errors_and_debug_hold_no_secret() {
        let errors = with(&[("anthropic_api_key", "sk bad key"), ("admin_token", "ß")]);
        let text = format!("{errors:?} {}", errors.as_ref().unwrap_err());
        assert!(!text.contains("sk bad"), "{text}");
        let config = with(&[
            ("anthropic_api_key", "sk-ant-1"),
            ("admin_token", "t0ken-of-the-operator"),
        ]);
        let text = format!("{config:?}");
        assert!(
            !text.contains("sk-ant") && !text.contains("t0ken"),
            "{text}"
        );
    }
}
