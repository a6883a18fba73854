//! How often a caller may ask: the count, and what the answer's head says of it.
//!
//! While the store is in trouble what is counted is refused: waving callers through
//! would leave the operator unprotected just then.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::limit::{CallerLimit, CallerRuns, Decision, Running};
pub use spinlane_core::limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use spinlane_core::log::millis;
use spinlane_core::ports::StoreError;

/// Spin appends the peer's address under this name.
pub const SPIN_CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// Callers without an address share this.
const UNKNOWN: &str = "unknown";

/// When a caller with as many runs as it may have may try again: runs end at any time.
const RUNS_RETRY: Duration = Duration::from_secs(2);

/// What a request has left, for its answer's head.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use http::HeaderMap;
/// use spinlane_core::limit::{CallerLimit, Quota};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
/// use spinlane_http::quota;
///
/// let world = World::new();
/// let one_a_minute = Quota::new(NonZeroU32::MIN, Duration::from_secs(60));
/// let limit = CallerLimit::new(&Store::open(&world.ports()), "asks", one_a_minute);
/// let limit = limit.expect("this host has counters");
/// let check = || world.run(quota::check(&limit, "asks", "192.0.2.7", 1));
/// let head: HeaderMap = check().unwrap().headers().collect();
/// assert_eq!(head["ratelimit-policy"], "\"asks\";q=1;w=60");
/// assert_eq!(check().unwrap_err().status(), 429);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// What is counted, as the quota is called.
    what: &'static str,
    decision: Decision,
}

/// Counts `units` of `caller` against `limit`, which is called `what`.
///
/// # Errors
/// 429 when it has used its quota, 503 when the store does not say.
pub async fn check(
    limit: &CallerLimit,
    what: &'static str,
    caller: &str,
    units: u32,
) -> Result<Allowance, Problem> {
    let decision = limit.check(caller, units).await;
    let allowance = Allowance {
        what,
        decision: decision.map_err(|error| uncounted(&error))?,
    };
    match allowance.decision.allowed {
        true => Ok(allowance),
        false => Err(allowance.refuse()),
    }
}

/// Refuses who has used up its quota, and counts nothing.
///
/// # Errors
/// 429 when it has, 503 when the store does not say.
pub async fn refuse_used_up(
    limit: &CallerLimit,
    what: &'static str,
    caller: &str,
) -> Result<(), Problem> {
    let used_up = limit.is_used_up(caller).await;
    match used_up.map_err(|error| uncounted(&error))? {
        None => Ok(()),
        Some(decision) => Err(Allowance { what, decision }.refuse()),
    }
}

/// Begins a run of `caller`. `too_many` says what has to end first.
///
/// # Errors
/// 429 when it has as many as it may, 503 when the store does not say.
pub async fn begin_run(
    runs: &CallerRuns,
    caller: &str,
    too_many: impl FnOnce(u32) -> String,
) -> Result<Running, Problem> {
    let begun = runs.begin(caller).await;
    match begun.map_err(|error| uncounted(&error))? {
        Some(running) => Ok(running),
        None => {
            let most = runs.most().get();
            let error = ErrorObject::new(code::TOO_MANY_RUNS, too_many(most));
            let mut error = error.with("max", most);
            error.retry_after_ms = Some(millis(RUNS_RETRY));
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, error))
        }
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
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        self.decision.headers(self.what)
    }

    fn refuse(&self) -> Problem {
        let Self { what, decision } = self;
        let (quota, wait) = (decision.quota, decision.reset);
        let (requests, window) = (quota.requests, quota.window);
        let allowed = format!("{requests} {what} in {} s are allowed", seconds(window));
        let message = match decision.remaining {
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

/// The name of the caller in the count, by the address in the field `name`; of IPv6 the
/// network of a household (/64).
pub fn caller_of(headers: &HeaderMap, name: &HeaderName) -> String {
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
    use spinlane_core::limit::Quota;

    use super::*;

    fn named(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SPIN_CLIENT_ADDR, value.parse().unwrap());
        }
        caller_of(&headers, &SPIN_CLIENT_ADDR)
    }

    #[test]
    fn who_waits_as_long_as_it_is_told_is_not_too_early() {
        let allowance = Allowance {
            what: "requests",
            decision: Decision {
                allowed: false,
                remaining: 0,
                reset: Duration::from_nanos(1_500_000_001),
                quota: Quota::new(std::num::NonZeroU32::MIN, Duration::from_secs(600)),
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
        let mut headers = HeaderMap::new();
        headers.append(SPIN_CLIENT_ADDR, "10.0.0.1:1".parse().unwrap());
        headers.append("x-real-ip", "192.0.2.9".parse().unwrap());
        assert_eq!(
            caller_of(&headers, &HeaderName::from_static("x-real-ip")),
            "192.0.2.9"
        );
    }
}
