//! Who asks, and how often they may.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::problem::Problem;
use crate::core::limit::{CallerLimit, Decision, Quota};
use crate::core::ports::StoreError;
use crate::dj::auth::{MaybeSession, UserSession};
use crate::dj::config::Config;
use crate::dj::error::{Code, ErrorObject};
use crate::dj::{AppState, millis};

/// Spin appends the peer's address under this name.
const SPIN_CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

// The header fields of the IETF draft "RateLimit header fields for HTTP".
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Callers without an address share this.
const UNKNOWN: &str = "unknown";

/// What a request has left, for its answer's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// What is counted, as the quota is called.
    what: &'static str,
    quota: Quota,
    decision: Decision,
}

/// Counts a request of `session`'s user, or of the address that sent `headers`
/// where nobody is known. `None` where there is no limit.
///
/// # Errors
/// 429 when the caller has used its quota, 503 when the store does not say.
pub(super) async fn count(
    app: &AppState,
    headers: &HeaderMap,
    session: &MaybeSession,
) -> Result<Option<Allowance>, Problem> {
    let Some(limits) = &app.caller_limits else {
        return Ok(None);
    };
    let user = session.user().map(UserSession::caller);
    let caller = user.unwrap_or_else(|| caller(&app.config, headers));
    check(&limits.requests, "requests", &caller).await
}

/// Counts a stop of the address that sent `headers`: to stop a run takes its id
/// and no session.
///
/// # Errors
/// 429 when the caller has used its quota, 503 when the store does not say.
pub(super) async fn count_stop(
    app: &AppState,
    headers: &HeaderMap,
) -> Result<Option<Allowance>, Problem> {
    let Some(limits) = &app.caller_limits else {
        return Ok(None);
    };
    check(&limits.stops, "stops", &caller(&app.config, headers)).await
}

async fn check(
    limit: &CallerLimit,
    what: &'static str,
    caller: &str,
) -> Result<Option<Allowance>, Problem> {
    let decision = limit
        .check(caller)
        .await
        .map_err(|error| uncounted(&error))?;
    let allowance = Allowance {
        what,
        quota: limit.quota(),
        decision,
    };
    match decision.allowed {
        true => Ok(Some(allowance)),
        false => Err(allowance.refuse()),
    }
}

/// Waving callers through would leave the operator unprotected just while the
/// store is in trouble.
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
        let message = format!(
            "{requests} {what} in {} s are allowed: try again in {} s",
            seconds(*window),
            seconds(wait)
        );
        let mut error = ErrorObject::new(Code::TooManyRequests, message);
        // Rounded up as well.
        error.retry_after_ms = Some(millis(wait + Duration::from_nanos(999_999)));
        Problem::new(StatusCode::TOO_MANY_REQUESTS, error).with_headers(self.headers())
    }
}

/// Rounded up: who comes back then is let in.
fn seconds(time: Duration) -> u128 {
    time.as_nanos().div_ceil(1_000_000_000)
}

/// The caller's name in the count: its address, IPv6 by the network of a
/// household (/64).
fn caller(config: &Config, headers: &HeaderMap) -> String {
    let spin = SPIN_CLIENT_ADDR;
    let name = config.client_ip_header.as_ref().unwrap_or(&spin);
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
        let config = Config::load(|_| None).unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SPIN_CLIENT_ADDR, value.parse().unwrap());
        }
        caller(&config, &headers)
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
        let config = Config::load(|name| (name == "client_ip_header").then(|| "x-real-ip".into()));
        let mut headers = HeaderMap::new();
        headers.append(SPIN_CLIENT_ADDR, "10.0.0.1:1".parse().unwrap());
        headers.append("x-real-ip", "192.0.2.9".parse().unwrap());
        assert_eq!(caller(&config.unwrap(), &headers), "192.0.2.9");
    }
}
