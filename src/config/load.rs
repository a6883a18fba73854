//! From variables to a [`Config`].

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use tracing::level_filters::LevelFilter;

use super::{
    AdminToken, AnthropicConfig, CallerLimit, CallersConfig, DeezerConfig, EdgeConfig, Environment,
    Frontend, LaneLimits, LastfmConfig, LimitScope, LimitsConfig, OperatorConfig, Origin, Secret,
    Source, SpotifyConfig, StreamsConfig, real, thinking,
};
use spinlane_core::ports::Timeouts;

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

/// The variables, of those that were read, that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// Each of them; there is one at least.
    pub variables: Vec<VariableError>,
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

/// What was read of a group.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) value: T,
    pub(super) errors: Vec<VariableError>,
}

/// Reads what `load` names.
pub(super) fn read<T>(source: &Source, load: fn(&mut Reader<'_>) -> T) -> Read<T> {
    let errors = Vec::new();
    let mut reader = Reader { source, errors };
    let value = load(&mut reader);
    let errors = reader.errors;
    Read { value, errors }
}

pub(super) fn edge(read: &mut Reader<'_>) -> EdgeConfig {
    EdgeConfig {
        public_url: read.origin("public_url", "http://127.0.0.1:3000"),
        frontend_url: read.or("frontend_url", Frontend::Any, Frontend::parse),
    }
}

pub(super) fn operator(read: &mut Reader<'_>) -> OperatorConfig {
    OperatorConfig {
        environment: read.or("environment", Environment::Production, environment),
        admin_token: read.or("admin_token", AdminToken::Unset, admin_token),
    }
}

pub(super) fn callers(read: &mut Reader<'_>) -> CallersConfig {
    CallersConfig {
        limit: read.or("caller_limit", Some(CallerLimit::default()), caller_limit),
        runs: read.or("caller_runs", count(2), |text| positive(text, 1_000)),
        client_ip_header: read.optional("client_ip_header", |text| {
            HeaderName::from_str(text).map_err(|_| "must be the name of a header".into())
        }),
    }
}

pub(super) fn streams(read: &mut Reader<'_>) -> StreamsConfig {
    StreamsConfig {
        heartbeat: read.millis("heartbeat_ms", 15_000, 1..=HOUR_MS),
        client_stall: read.millis("client_stall_ms", 30_000, 1..=HOUR_MS),
        request_deadline: Some(read.millis("request_deadline_ms", 0, 0..=HOUR_MS))
            .filter(|deadline| !deadline.is_zero()),
    }
}

pub(super) fn anthropic(read: &mut Reader<'_>) -> AnthropicConfig {
    let model = read.or("anthropic_model", MODEL.into(), visible);
    let parse = |text: &str| thinking::parse(text, &model);
    let new = read.optional("anthropic_thinking", parse);
    let old = read.optional("anthropic_thinking_tokens", parse);
    let replaced = ("anthropic_thinking_tokens", "anthropic_thinking");
    AnthropicConfig {
        api_key: read.secret("anthropic_api_key"),
        base_url: read.origin("anthropic_base_url", real::ANTHROPIC),
        deprecated: old.is_some().then_some(replaced).into_iter().collect(),
        thinking: new.or(old).unwrap_or_else(|| thinking::off(&model)),
        progress: read.millis("upstream_progress_ms", 120_000, 1..=HOUR_MS),
        model,
    }
}

pub(super) fn spotify(read: &mut Reader<'_>) -> SpotifyConfig {
    SpotifyConfig {
        client_id: read.optional("spotify_client_id", visible),
        client_secret: read.secret("spotify_client_secret"),
        api_url: read.origin("spotify_api_url", real::SPOTIFY),
        accounts_url: read.origin("spotify_accounts_url", real::SPOTIFY_ACCOUNTS),
    }
}

pub(super) fn deezer(read: &mut Reader<'_>) -> DeezerConfig {
    DeezerConfig {
        base_url: read.origin("deezer_base_url", real::DEEZER),
    }
}

pub(super) fn lastfm(read: &mut Reader<'_>) -> LastfmConfig {
    LastfmConfig {
        api_key: read.secret("lastfm_api_key"),
        base_url: read.origin("lastfm_base_url", real::LASTFM),
    }
}

pub(super) fn log(read: &mut Reader<'_>) -> LevelFilter {
    read.or("log_level", LevelFilter::INFO, log_level)
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

pub(super) fn limits(read: &mut Reader<'_>) -> LimitsConfig {
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
        queue_deadline: read.millis("queue_deadline_ms", 30_000, 0..=HOUR_MS),
        upstream_timeouts: read.or("upstream_timeouts_ms", timeouts(60_000, 60_000), |text| {
            upstream_timeouts(text)
        }),
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
pub(super) struct Reader<'a> {
    source: &'a Source,
    errors: Vec<VariableError>,
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
    Timeouts::DEFAULT
        .connect(Duration::from_millis(first_byte.min(5_000)))
        .first_byte(Duration::from_millis(first_byte))
        .idle(Duration::from_millis(idle))
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
        Some([connect, first_byte, idle]) => {
            let connect = Duration::from_millis(*connect);
            Ok(timeouts(*first_byte, *idle).connect(connect))
        }
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
mod tests;
