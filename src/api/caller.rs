//! Who asks, and how often they may.
//!
//! An address is counted before anything else of a request is read ([`admit`]), and
//! who it is when that is known ([`count`]). While the store is in trouble what is
//! counted is refused: waving callers through would leave the operator unprotected
//! just then.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::problem::Problem;
use super::routes;
use crate::AppState;
use crate::auth::{Credentials, MaybeSession, UserSession};
use crate::config::Config;
use crate::error::{ErrorObject, code};
use crate::limits::CallerLimits;
use spinlane_core::limit::{CallerLimit, Decision, Quota, Running};
use spinlane_core::log::millis;
use spinlane_core::ports::StoreError;

/// Spin appends the peer's address under this name.
const SPIN_CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

// The header fields of the IETF draft "RateLimit header fields for HTTP".
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Callers without an address share this.
const UNKNOWN: &str = "unknown";

/// What is counted, as the quotas are called.
const REQUESTS: &str = "requests";
const STOPS: &str = "stops";

/// When a caller with as many runs as it may have may try again: runs end at any time.
const RUNS_RETRY: Duration = Duration::from_secs(2);

/// What a request has left, for its answer's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// What is counted, as the quota is called.
    what: &'static str,
    quota: Quota,
    decision: Decision,
}

/// How a request was counted before anything but its head was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Admitted {
    /// By its address, against the quota itself: it brings nothing to show whose it
    /// is, so nothing more will be known.
    AsCaller(Allowance),
    /// By its address, against more than the quota: who it is is counted as well, when
    /// that is known.
    ByAddress,
    /// Not at all: the route is free, or there is no limit.
    Freely,
}

/// Counts the address that sent `headers`, before the body and the session are read.
///
/// # Errors
/// 429 when it has used its quota, 503 when the store does not say.
pub(super) async fn admit(
    app: &AppState,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Admitted, Problem> {
    let route = routes::template(path).filter(|_| method == Method::POST);
    let Some(route) = route else {
        return Ok(Admitted::Freely);
    };
    let Some(limits) = app.caller_limits() else {
        return Ok(Admitted::Freely);
    };
    let address = address_of(&app.config, headers);
    if route == routes::STOP {
        check(&limits.stops, STOPS, &address, 1).await?;
        return Ok(Admitted::ByAddress);
    }
    match Credentials::of(headers) {
        None => {
            let allowance = check(&limits.requests, REQUESTS, &address, 1).await?;
            Ok(Admitted::AsCaller(allowance))
        }
        Some(_) => {
            check(&limits.addresses, REQUESTS, &address, 1).await?;
            Ok(Admitted::ByAddress)
        }
    }
}

/// Counts what a request of `session`'s user is worth, or of the address that sent
/// `headers` where nobody is known. `None` where there is no limit.
///
/// # Errors
/// 429 when the caller has used its quota, 503 when the store does not say.
pub(super) async fn count(
    app: &AppState,
    headers: &HeaderMap,
    admitted: Admitted,
    session: &MaybeSession,
    units: u32,
) -> Result<Option<Allowance>, Problem> {
    let Some(limits) = app.caller_limits() else {
        return Ok(None);
    };
    // More than there is would never be let in.
    let units = units.min(limits.requests.quota().requests.get());
    let units = match admitted {
        Admitted::AsCaller(allowance) if units <= 1 => return Ok(Some(allowance)),
        // The first was counted already.
        Admitted::AsCaller(_) => units - 1,
        Admitted::ByAddress | Admitted::Freely => units,
    };
    let caller = name(app, headers, session);
    check(&limits.requests, REQUESTS, &caller, units)
        .await
        .map(Some)
}

/// Counts one that is not a POST, by its address.
///
/// # Errors
/// 429 when it has used its quota, 503 when the store does not say.
pub(super) async fn count_address(app: &AppState, headers: &HeaderMap) -> Result<(), Problem> {
    let nobody = MaybeSession::Absent(None);
    count(app, headers, Admitted::Freely, &nobody, 1).await?;
    Ok(())
}

/// Refuses who has used up its quota, and counts nothing.
///
/// # Errors
/// 429 when the address has used its quota, 503 when the store does not say.
pub(super) async fn refuse_used_up(app: &AppState, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(CallerLimits { requests, .. }) = app.caller_limits() else {
        return Ok(());
    };
    let address = address_of(&app.config, headers);
    let used_up = requests.is_used_up(&address).await;
    match used_up.map_err(|error| uncounted(&error))? {
        None => Ok(()),
        Some(decision) => Err(Allowance {
            what: REQUESTS,
            quota: requests.quota(),
            decision,
        }
        .refuse()),
    }
}

/// Begins a run of `session`'s user, or of the address that sent `headers`. `None`
/// where there is no limit.
///
/// # Errors
/// 429 when the caller has as many runs as it may, 503 when the store does not say.
pub(super) async fn begin_run(
    app: &AppState,
    headers: &HeaderMap,
    session: &MaybeSession,
) -> Result<Option<Running>, Problem> {
    let Some(CallerLimits { runs, .. }) = app.caller_limits() else {
        return Ok(None);
    };
    let begun = runs.begin(&name(app, headers, session)).await;
    match begun.map_err(|error| uncounted(&error))? {
        Some(running) => Ok(Some(running)),
        None => Err(too_many_runs(runs.most().get())),
    }
}

fn too_many_runs(most: u32) -> Problem {
    let message = format!(
        "{most} chats and enrichments at a time are allowed: wait until one of yours has \
         ended, or stop it"
    );
    let mut error = ErrorObject::new(code::TOO_MANY_RUNS, message).with("max", most);
    error.retry_after_ms = Some(millis(RUNS_RETRY));
    Problem::new(StatusCode::TOO_MANY_REQUESTS, error)
}

async fn check(
    limit: &CallerLimit,
    what: &'static str,
    caller: &str,
    units: u32,
) -> Result<Allowance, Problem> {
    let decision = limit.check(caller, units).await;
    let allowance = Allowance {
        what,
        quota: limit.quota(),
        decision: decision.map_err(|error| uncounted(&error))?,
    };
    match allowance.decision.allowed {
        true => Ok(allowance),
        false => Err(allowance.refuse()),
    }
}

fn uncounted(error: &StoreError) -> Problem {
    tracing::warn!(%error, "a request could not be counted");
    Problem::store_unavailable(
        "the key-value store does not answer, and requests are counted in it: try again in a \
         moment",
    )
}

impl Allowance {
    /// `RateLimit` and `RateLimit-Policy`.
    pub(super) fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let Self { what, quota, .. } = self;
        let Quota { requests, window } = quota;
        let policy = format!("\"{what}\";q={requests};w={}", seconds(*window));
        let Decision {
            remaining, reset, ..
        } = self.decision;
        let left = format!("\"{what}\";r={remaining};t={}", seconds(reset));
        let fields = [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)];
        let field = |(name, value): (_, String)| Some((name, HeaderValue::try_from(value).ok()?));
        fields.into_iter().filter_map(field)
    }

    fn refuse(&self) -> Problem {
        let Self { what, quota, .. } = self;
        let Quota { requests, window } = quota;
        let wait = self.decision.reset;
        let allowed = format!("{requests} {what} in {} s are allowed", seconds(*window));
        let message = match self.decision.remaining {
            0 => format!("{allowed}: try again in {} s", seconds(wait)),
            left => format!(
                "{allowed}, and this is worth more than the {left} that are left: ask for \
                 less, or try again in {} s",
                seconds(wait)
            ),
        };
        let mut error = ErrorObject::new(code::TOO_MANY_REQUESTS, message);
        // Rounded up as well.
        error.retry_after_ms = Some(millis(wait + Duration::from_nanos(999_999)));
        Problem::new(StatusCode::TOO_MANY_REQUESTS, error).with_headers(self.headers())
    }
}

/// Rounded up: who comes back then is let in.
fn seconds(time: Duration) -> u128 {
    time.as_nanos().div_ceil(1_000_000_000)
}

/// The caller's name in the count: the user's, else that of the address.
fn name(app: &AppState, headers: &HeaderMap, session: &MaybeSession) -> String {
    let user = session.user().map(UserSession::caller);
    user.unwrap_or_else(|| address_of(&app.config, headers))
}

/// The name of an address in the count; of IPv6 the network of a household (/64).
fn address_of(config: &Config, headers: &HeaderMap) -> String {
    let spin = SPIN_CLIENT_ADDR;
    let name = config.callers().client_ip_header.as_ref().unwrap_or(&spin);
    // The last one: a forged one comes first.
    let value = headers.get_all(name).iter().next_back();
    let address = value.and_then(|value| address(value.to_str().ok()?));
    address.map_or_else(|| UNKNOWN.to_owned(), network)
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(with_port)
}

fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(values: &[&str]) -> String {
        let config = Config::new(|_| None);
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SPIN_CLIENT_ADDR, value.parse().unwrap());
        }
        address_of(&config, &headers)
    }

    #[test]
    fn who_waits_as_long_as_it_is_told_is_not_too_early() {
        let allowance = Allowance {
            what: "requests",
            quota: Quota {
                requests: std::num::NonZeroU32::MIN,
                window: Duration::from_secs(600),
            },
            decision: Decision {
                allowed: false,
                remaining: 0,
                reset: Duration::from_nanos(1_500_000_001),
            },
        };
        let error = allowance.refuse().error().clone();
        assert_eq!(error.retry_after_ms, Some(1_501));
        assert_eq!(
            error.message,
            "1 requests in 600 s are allowed: try again in 2 s"
        );
    }

    #[test]
    fn callers_are_told_apart_by_address() {
        assert_eq!(named(&["192.0.2.1:5000"]), named(&["192.0.2.1:6000"]));
        assert_eq!(named(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(named(&["[2001:db8:1:2:3:4:5:6]:80"]), "2001:db8:1:2::/64");
        assert_eq!(named(&["[2001:db8:1:2:9::1]"]), "2001:db8:1:2::/64");
        assert_eq!(named(&["[::ffff:192.0.2.1]:80"]), "192.0.2.1");
    }

    #[test]
    fn a_forged_address_changes_nothing() {
        assert_eq!(named(&["6.6.6.6:1", "192.0.2.1:5000"]), "192.0.2.1");
        assert_eq!(named(&["6.6.6.6:1", "rubbish"]), UNKNOWN);
        assert_eq!(named(&[]), UNKNOWN);
    }

    #[test]
    fn behind_a_proxy_its_header_counts() {
        let config = Config::new(|name| (name == "client_ip_header").then(|| "x-real-ip".into()));
        let mut headers = HeaderMap::new();
        headers.append(SPIN_CLIENT_ADDR, "10.0.0.1:1".parse().unwrap());
        headers.append("x-real-ip", "192.0.2.9".parse().unwrap());
        assert_eq!(address_of(&config, &headers), "192.0.2.9");
    }
}
