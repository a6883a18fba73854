//! When the store is in trouble it is left alone.
//!
//! A call of the store blocks the guest and cannot be interrupted. So one that
//! fails is not followed by others at once, each of which may take as long to
//! fail. One that succeeds is believed, however late it comes: a crowd makes a
//! store slow, and a limit that opens then lets just that crowd through. What a
//! slow store is not used for is the cache, which is there to save time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ports::{Instant, LEFT_ALONE, StoreError};

/// A call that takes longer means a slow store.
const SLOW: Duration = Duration::from_millis(250);

/// For how long the slowest call counts.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What an instance has learned of its store.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    /// The store is left alone until then.
    left_alone: Option<Instant>,
    /// The cache is off until then.
    slow: Option<Instant>,
    /// Each is said once, until a call goes well again.
    said_failing: bool,
    said_slow: bool,
    /// The slowest call of late, and when it was.
    slowest: (Instant, Duration),
}

impl Health {
    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the store is left alone still.
    pub(super) fn left_alone(&self, now: Instant) -> Option<Duration> {
        let until = self.learned().left_alone?;
        (now < until).then(|| until - now)
    }

    /// Whether the store is neither slow nor left alone.
    pub(super) fn is_quick(&self, now: Instant) -> bool {
        let learned = self.learned();
        let over = |until: Option<Instant>| until.is_none_or(|until| now >= until);
        over(learned.left_alone) && over(learned.slow)
    }

    /// How long the slowest call took of late.
    pub(super) fn slowest(&self) -> Duration {
        self.learned().slowest.1
    }

    /// Tells how a call went that has just ended.
    pub(super) fn report(&self, now: Instant, took: Duration, error: Option<&StoreError>) {
        let mut learned = self.learned();
        let (when, slowest) = learned.slowest;
        if took >= slowest || now - when > REMEMBERED {
            learned.slowest = (now, took);
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // A store that refuses has answered.
        if let Some(error @ StoreError::Unavailable(_)) = error {
            learned.left_alone = Some(now + LEFT_ALONE);
            if !std::mem::replace(&mut learned.said_failing, true) {
                tracing::warn!(
                    took_ms,
                    %error,
                    "the key-value store fails and is left alone for a while: upstream limits hold \
                     within this instance only, the cache is off, what needs the store is refused"
                );
            }
            return;
        }
        (learned.left_alone, learned.said_failing) = (None, false);
        if took <= SLOW {
            (learned.slow, learned.said_slow) = (None, false);
            return;
        }
        learned.slow = Some(now + LEFT_ALONE);
        if !std::mem::replace(&mut learned.said_slow, true) {
            tracing::warn!(
                took_ms,
                "the key-value store is slow: the cache is off for a while, limits hold"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn who_fails_is_left_alone_and_asked_again() {
        let health = Health::default();
        let fault = StoreError::Unavailable("gone".into());
        health.report(at(1), TICK, Some(&fault));
        assert_eq!(health.left_alone(at(2)), Some(LEFT_ALONE - TICK));
        assert!(!health.is_quick(at(2)));
        assert_eq!(health.left_alone(at(5_001)), None);
        health.report(at(5_001), TICK, Some(&fault));
        assert_eq!(health.left_alone(at(10_000)), Some(TICK));
        health.report(at(10_000), TICK, None);
        assert_eq!(health.left_alone(at(10_000)), None);
        assert!(health.is_quick(at(10_000)));
    }

    #[test]
    fn who_answers_late_is_believed_and_not_quick() {
        let health = Health::default();
        health.report(at(0), SLOW, None);
        assert!(health.is_quick(at(0)));
        for took in [SLOW + TICK, Duration::from_secs(60)] {
            health.report(at(0), took, None);
            assert_eq!(health.left_alone(at(0)), None);
            assert!(!health.is_quick(at(4_999)));
            assert!(health.is_quick(at(5_000)));
        }
        health.report(at(1), TICK, None);
        assert!(health.is_quick(at(1)));
    }

    #[test]
    fn who_refuses_has_answered() {
        let health = Health::default();
        let refused = StoreError::Refused("no room".into());
        health.report(at(0), TICK, Some(&refused));
        assert!(health.is_quick(at(0)));
    }

    #[test]
    fn the_slowest_call_is_forgotten_after_a_while() {
        let health = Health::default();
        health.report(at(0), 3 * TICK, None);
        health.report(at(60_000), TICK, None);
        assert_eq!(health.slowest(), 3 * TICK);
        health.report(at(60_001), TICK, None);
        assert_eq!(health.slowest(), TICK);
    }
}
