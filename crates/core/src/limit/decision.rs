//! What became of a request that was counted, and how its answer says so.

use std::num::NonZeroU32;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue, RETRY_AFTER};

// The header fields of the IETF draft "RateLimit header fields for HTTP".
/// What is left of a quota.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The quota.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// So many requests in so much time.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::{CallerLimit, Quota};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// /// Twenty in ten minutes.
/// const ASKS: Quota = Quota::new(NonZeroU32::new(20).unwrap(), Duration::from_secs(600));
///
/// let world = World::new();
/// let limit = CallerLimit::new(&Store::open(&world.ports()), "asks", ASKS);
/// let limit = limit.expect("this host has counters");
/// // One that is worth three.
/// let decision = world.run(limit.check("192.0.2.7", 3))?;
/// assert_eq!((decision.quota, decision.remaining), (ASKS, 17));
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// How many.
    pub requests: NonZeroU32,
    /// In how much time.
    pub window: Duration,
}

impl Quota {
    /// `requests` in each `window`.
    pub const fn new(requests: NonZeroU32, window: Duration) -> Self {
        Self { requests, window }
    }
}

/// What became of one request.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use http::HeaderMap;
/// use spinlane_core::limit::{Decision, Quota};
///
/// let quota = Quota::new(NonZeroU32::new(20).unwrap(), Duration::from_secs(600));
/// let reset = Duration::from_millis(94_500);
/// let decision = Decision { allowed: true, remaining: 19, reset, quota };
/// let fields: HeaderMap = decision.headers("asks").collect();
/// assert_eq!(fields["ratelimit-policy"], "\"asks\";q=20;w=600");
/// assert_eq!(fields["ratelimit"], "\"asks\";r=19;t=95");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may go on.
    pub allowed: bool,
    /// Requests that the caller has left in this window.
    pub remaining: u32,
    /// When the next window begins.
    pub reset: Duration,
    /// What it was counted against.
    pub quota: Quota,
}

impl Decision {
    /// `RateLimit-Policy` and `RateLimit`, in which the quota is called `name`. Times are
    /// whole seconds, rounded up: who comes back then is let in.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let Quota { requests, window } = self.quota;
        let policy = format!("\"{name}\";q={requests};w={}", seconds(window));
        let (left, reset) = (self.remaining, seconds(self.reset));
        let left = format!("\"{name}\";r={left};t={reset}");
        let fields = [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)];
        let field = |(name, value): (_, String)| Some((name, HeaderValue::try_from(value).ok()?));
        fields.into_iter().filter_map(field)
    }

    /// Says it in the head of `response`, whatever that is: [`headers`](Self::headers),
    /// and `Retry-After` where the request was refused. The status is the caller's to
    /// set.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use std::time::Duration;
    ///
    /// use spinlane_core::limit::{CallerLimit, Quota};
    /// use spinlane_core::store::Store;
    /// use spinlane_core::testing::World;
    ///
    /// let world = World::new();
    /// let quota = Quota::new(NonZeroU32::MIN, Duration::from_secs(60));
    /// let limit = CallerLimit::new(&Store::open(&world.ports()), "asks", quota);
    /// let limit = limit.expect("this host has counters");
    /// for status in [200, 429] {
    ///     let decision = world.run(limit.check("192.0.2.7", 1))?;
    ///     let mut response = http::Response::new(());
    ///     decision.apply("asks", &mut response);
    ///     assert_eq!(response.headers()["ratelimit-policy"], "\"asks\";q=1;w=60");
    ///     assert_eq!(response.headers().contains_key("retry-after"), status == 429);
    /// }
    /// # Ok::<(), spinlane_core::ports::StoreError>(())
    /// ```
    pub fn apply<B>(&self, name: &str, response: &mut http::Response<B>) {
        let head = response.headers_mut();
        head.extend(self.headers(name).map(|(name, value)| (Some(name), value)));
        if !self.allowed
            && let Ok(wait) = HeaderValue::try_from(seconds(self.reset).to_string())
        {
            head.insert(RETRY_AFTER, wait);
        }
    }
}

/// Rounded up.
fn seconds(time: Duration) -> u128 {
    time.as_nanos().div_ceil(1_000_000_000)
}
