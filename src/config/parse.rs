//! Makes a variable's value of its text.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use tracing::level_filters::LevelFilter;

use super::{
    AdminToken, CallerLimit, Environment, LaneLimits, LimitScope, Origin, Secret, Variable,
};
use spinlane_core::ports::Timeouts;

/// A value, or what is expected instead.
pub(super) type Parsed<T> = Result<T, String>;

/// The longest duration that a variable may ask for: an hour.
const HOUR_MS: u64 = 3_600_000;

pub(super) fn secret(text: &str) -> Parsed<Secret> {
    visible(text).map(Secret::new)
}

pub(super) fn header(text: &str) -> Parsed<HeaderName> {
    HeaderName::from_str(text).map_err(|_| "must be the name of a header".into())
}

pub(super) fn limit_scope(text: &str) -> Parsed<LimitScope> {
    match text {
        "instance" => Ok(LimitScope::Instance),
        "shared" => Ok(LimitScope::Shared),
        _ => Err("must be `shared` or `instance`".into()),
    }
}

pub(super) fn admin_token(text: &str) -> Parsed<AdminToken> {
    let token = visible(text)?;
    Ok(match token.len() {
        0 => AdminToken::Unset,
        1..AdminToken::MIN_LENGTH => AdminToken::TooShort,
        _ => AdminToken::Set(Secret::new(token)),
    })
}

pub(super) fn log_level(text: &str) -> Parsed<LevelFilter> {
    // `tracing` takes numbers as well.
    let word = text.bytes().all(|byte| byte.is_ascii_lowercase());
    let level = text.parse().ok().filter(|_| word);
    level.ok_or_else(|| "must be `off`, `error`, `warn`, `info`, `debug` or `trace`".into())
}

/// Milliseconds from `least` to an hour.
pub(super) fn millis(least: u64) -> impl Fn(&str) -> Parsed<Duration> {
    move |text| {
        let millis = text.parse().ok();
        let millis = millis.filter(|millis| (least..=HOUR_MS).contains(millis));
        millis.map(Duration::from_millis).ok_or_else(|| {
            format!("must be a whole number of milliseconds from {least} to {HOUR_MS}")
        })
    }
}

/// The same, where 0 is none.
pub(super) fn deadline(text: &str) -> Parsed<Option<Duration>> {
    let deadline = millis(0)(text)?;
    Ok(Some(deadline).filter(|deadline| !deadline.is_zero()))
}

pub(super) fn environment(text: &str) -> Parsed<Environment> {
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

pub(super) fn origin(text: &str) -> Parsed<Origin> {
    Origin::parse(text).map_err(Into::into)
}

/// Text that can stand in a header.
pub(super) fn visible(text: &str) -> Parsed<String> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => Err("must be visible ASCII characters without spaces".into()),
    }
}

fn positive(text: &str, most: u32) -> Option<NonZeroU32> {
    let value: Option<NonZeroU32> = text.parse().ok();
    value.filter(|value| value.get() <= most)
}

/// A whole number from 1 to `most`.
pub(super) fn count(most: u32) -> impl Fn(&str) -> Parsed<NonZeroU32> {
    move |text| {
        positive(text, most).ok_or_else(|| format!("must be a whole number from 1 to {most}"))
    }
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
pub(super) fn upstream_timeouts(text: &str) -> Parsed<Timeouts> {
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
pub(super) fn lane_limits(text: &str) -> Parsed<LaneLimits> {
    let default = Variable::named("lane_limits").map_or("", |variable| variable.default);
    // The default names each of them.
    let mut lanes = LaneLimits {
        anthropic: NonZeroU32::MIN,
        spotify: NonZeroU32::MIN,
        deezer: NonZeroU32::MIN,
        lastfm: NonZeroU32::MIN,
    };
    for entry in default.split(',').chain(text.split(',')) {
        let parsed = entry
            .split_once('=')
            .and_then(|(name, limit)| Some((name.trim(), positive(limit.trim(), 100)?)));
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
pub(super) fn caller_limit(text: &str) -> Parsed<Option<CallerLimit>> {
    if text == "off" {
        return Ok(None);
    }
    let parse = || {
        let (requests, window) = text.split_once('/')?;
        let requests = positive(requests.trim(), 1_000_000)?;
        let window = window.trim();
        let (amount, seconds) = [("s", 1), ("m", 60), ("h", 3600)]
            .into_iter()
            .find_map(|(unit, seconds)| Some((window.strip_suffix(unit)?, seconds)))?;
        let amount = positive(amount, 1_000)?;
        Some(CallerLimit {
            requests,
            window: Duration::from_secs(u64::from(amount.get()) * seconds),
        })
    };
    parse()
        .map(Some)
        .ok_or_else(|| "must be such as `20/10m` (requests per s, m or h), or `off`".into())
}
