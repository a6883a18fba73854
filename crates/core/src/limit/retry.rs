//! When to try again: classes of answers, `Retry-After`, backoff.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use http::response;

use crate::ports::{Entropy, HttpError, TimeoutPhase};

/// How often a call is tried, and how long to wait in between.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::{Limits, RetryPolicy};
///
/// let patient = RetryPolicy::new(5).waiting(Duration::from_secs(1), Duration::from_secs(30));
/// let limits = Limits::default().with_retry(patient);
/// assert_eq!(limits.retry.attempts, 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// What the first wait is drawn from: zero to this.
    pub base: Duration,
    /// What no wait exceeds.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    /// 3 attempts, 500 ms doubling up to 8 s.
    fn default() -> Self {
        Self::new(3)
    }
}

impl RetryPolicy {
    /// So many attempts, with waits of 500 ms doubling up to 8 s. One: no call is
    /// repeated.
    pub const fn new(attempts: u32) -> Self {
        Self {
            attempts,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(8),
        }
    }

    /// The same, with waits from `base` doubling up to `cap`.
    #[must_use]
    pub const fn waiting(mut self, base: Duration, cap: Duration) -> Self {
        (self.base, self.cap) = (base, cap);
        self
    }

    /// The wait after `attempt` (from 1) has failed: uniformly random between
    /// zero and the exponential ceiling ("full jitter"), so that callers that
    /// failed together do not come back together.
    pub fn backoff(&self, attempt: u32, entropy: &dyn Entropy) -> Duration {
        let factor = 1u32
            .checked_shl(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX);
        jitter(self.base.saturating_mul(factor).min(self.cap), entropy)
    }
}

/// Uniformly random between zero and `ceiling`.
pub(crate) fn jitter(ceiling: Duration, entropy: &dyn Entropy) -> Duration {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    let ceiling = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
    let nanos = (u128::from(ceiling) * u128::from(u64::from_le_bytes(bytes))) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(ceiling))
}

/// What an answer means to the limits, whatever its status says.
///
/// ```
/// use spinlane_core::limit::{Verdict, classify};
/// use std::time::Duration;
///
/// let answer = http::Response::builder().status(429).header("retry-after", "7");
/// let (head, ()) = answer.body(())?.into_parts();
/// let wait = Some(Duration::from_secs(7));
/// assert_eq!(classify(&head, Duration::ZERO), Verdict::Overloaded { retry_after: wait });
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An answer. What it says is the client's business.
    Good,
    /// An answer that says: there is no such thing.
    Absent,
    /// The upstream asks for fewer calls: worth another attempt, and a pause
    /// of the lane when it says for how long.
    Overloaded {
        /// How long to stay away.
        retry_after: Option<Duration>,
    },
    /// No use.
    Failed {
        /// Whether another attempt may end better.
        retryable: bool,
    },
}

impl Verdict {
    /// Whether another attempt may end better.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Overloaded { .. } | Self::Failed { retryable: true }
        )
    }
}

/// Reads the verdict from a response head; `unix` is the wall clock's time.
///
/// 429 and 529 are overload, as is 503 that says when to come back. 408, 409
/// and every other 5xx are worth another attempt, those included that only
/// proxies know (520 to 527, 530); 501 and 505 are not, since they would be the
/// same again. 404 and 410 are [`Verdict::Absent`].
pub fn classify(head: &response::Parts, unix: Duration) -> Verdict {
    let wait = retry_after(&head.headers, unix);
    match (head.status.as_u16(), wait) {
        (429 | 529, retry_after) | (503, retry_after @ Some(_)) => {
            Verdict::Overloaded { retry_after }
        }
        (404 | 410, _) => Verdict::Absent,
        (501 | 505, _) => Verdict::Failed { retryable: false },
        (408 | 409 | 500..=599, _) => Verdict::Failed { retryable: true },
        _ if head.status.is_client_error() => Verdict::Failed { retryable: false },
        _ => Verdict::Good,
    }
}

/// Whether a call that ended in `error` before its head is worth another
/// attempt: not connected, or nothing heard. Its request may have been carried
/// out all the same, which is why only repeatable calls get here.
pub const fn is_retryable(error: &HttpError) -> bool {
    match error {
        HttpError::Connect(_) | HttpError::Broken(_) => true,
        HttpError::Timeout(phase) => {
            matches!(phase, TimeoutPhase::Connect | TimeoutPhase::FirstByte)
        }
        HttpError::Denied | HttpError::Invalid(_) => false,
    }
}

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// How long the upstream asks to be left alone: `retry-after-ms`, else
/// `Retry-After` in seconds or as an HTTP date (a past one is zero). `None`
/// when it does not say, or not in words that can be understood.
pub fn retry_after(headers: &HeaderMap, unix: Duration) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(wait) = text(&RETRY_AFTER_MS).and_then(|text| number(text, 1_000_000)) {
        return Some(wait);
    }
    let text = text(&RETRY_AFTER)?;
    number(text, 1_000_000_000).or_else(|| {
        let date = httpdate::parse_http_date(text).ok()?;
        let at = date.duration_since(UNIX_EPOCH).ok()?;
        Some(at.saturating_sub(unix))
    })
}

/// A decimal number of units of `unit` nanoseconds; a fraction rounds up to the
/// next whole unit.
fn number(text: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let up = u64::from(fraction.bytes().any(|digit| digit != b'0'));
    let units = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_add(up);
    Some(Duration::from_nanos(units.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;
    use http::HeaderValue;
    use proptest::prelude::*;

    /// 1994-11-06T08:49:37Z.
    const UNIX: Duration = Duration::from_secs(784_111_777);

    fn parse(name: &'static str, value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        retry_after(&headers, UNIX)
    }

    fn verdict(status: u16, retry_after: Option<&str>) -> Verdict {
        let mut response = http::Response::builder().status(status);
        if let Some(value) = retry_after {
            response = response.header(RETRY_AFTER, value);
        }
        classify(&response.body(()).unwrap().into_parts().0, UNIX)
    }

    #[test]
    fn seconds_dates_and_milliseconds() {
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(parse("retry-after", "2"), secs(2));
        assert_eq!(parse("retry-after", " 0 "), secs(0));
        assert_eq!(parse("retry-after", "1.2"), secs(2));
        assert_eq!(
            parse("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"),
            secs(10)
        );
        assert_eq!(
            parse("retry-after", "Sunday, 06-Nov-94 08:49:47 GMT"),
            secs(10)
        );
        assert_eq!(
            parse("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"),
            secs(0)
        );
        let ms = Duration::from_millis(1_500);
        assert_eq!(parse("retry-after-ms", "1500"), Some(ms));
        for nonsense in ["", "-1", "soon", "1e9", ".", "1.x", "Sun, 06 Nov"] {
            assert_eq!(parse("retry-after", nonsense), None, "{nonsense}");
        }
        let never = Duration::from_nanos(u64::MAX);
        assert_eq!(parse("retry-after", "99999999999999999999999"), Some(never));
    }

    #[test]
    fn milliseconds_win_where_they_can_be_read() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from_static("250"));
        let wait = retry_after(&headers, UNIX);
        assert_eq!(wait, Some(Duration::from_millis(250)));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from_static("?"));
        assert_eq!(retry_after(&headers, UNIX), Some(Duration::from_secs(7)));
    }

    #[test]
    fn classes_of_answers() {
        for status in [408, 409, 500, 502, 503, 504, 506, 511, 520, 527, 530, 599] {
            assert_eq!(verdict(status, None), Verdict::Failed { retryable: true });
        }
        for status in [400, 401, 403, 422, 501, 505] {
            assert_eq!(verdict(status, None), Verdict::Failed { retryable: false });
        }
        for status in [429, 529] {
            let retry_after = None;
            assert_eq!(verdict(status, None), Verdict::Overloaded { retry_after });
        }
        let retry_after = Some(Duration::from_secs(3));
        assert_eq!(verdict(503, Some("3")), Verdict::Overloaded { retry_after });
        assert_eq!(verdict(404, None), Verdict::Absent);
        assert_eq!(verdict(200, Some("3")), Verdict::Good);
        assert_eq!(verdict(304, None), Verdict::Good);
    }

    #[test]
    fn errors_before_the_head() {
        assert!(is_retryable(&HttpError::Connect(String::new())));
        assert!(is_retryable(&HttpError::Timeout(TimeoutPhase::FirstByte)));
        assert!(!is_retryable(&HttpError::Timeout(TimeoutPhase::Idle)));
        assert!(!is_retryable(&HttpError::Denied));
    }

    proptest! {
        #[test]
        fn backoff_is_within_its_ceiling(seed: u64, attempt in 1..100u32) {
            let policy = RetryPolicy::default();
            let ceiling = match attempt {
                1 => policy.base,
                2 => policy.base * 2,
                3 => policy.base * 4,
                4 => policy.base * 8,
                _ => policy.cap,
            };
            let wait = policy.backoff(attempt, &SeededEntropy::new(seed));
            prop_assert!(wait <= ceiling);
        }

        #[test]
        fn any_header_is_survived(value in "\\PC{0,40}") {
            if let Ok(value) = HeaderValue::from_str(&value) {
                let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
                let _ = retry_after(&headers, UNIX);
            }
        }
    }

    #[test]
    fn backoff_spreads_over_its_range() {
        let entropy = SeededEntropy::new(3);
        let policy = RetryPolicy::default();
        let waits: Vec<_> = (0..1_000).map(|_| policy.backoff(1, &entropy)).collect();
        let sum: Duration = waits.iter().sum();
        assert!((sum / 1_000).abs_diff(policy.base / 2) < policy.base / 20);
    }
}
