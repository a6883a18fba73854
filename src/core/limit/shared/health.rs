//! When the store is in trouble it is left alone.
//!
//! A call blocks the whole guest, so what can be done without the store is done
//! without it as soon as it is slow. What holds others back cannot be: a crowd
//! makes a store slow, and a limit that opens then lets just that crowd through.
//! Nor can sessions and flags, which are nowhere else. So there are two bounds,
//! and who asks says which one it means.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::core::ports::{Instant, StoreError};

/// A call that takes longer means a slow store.
pub(super) const SLOW: Duration = Duration::from_millis(250);

/// A call that takes as long means trouble. A thousand instances, which is what
/// Spin allows, make its SQLite store take 0.7 s for an increment: each waits
/// for one call at a time, and these take turns.
const TROUBLE: Duration = Duration::from_secs(1);

/// For how long a store in trouble is left alone.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// Whether a store may be used. One value watches over one store.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

/// What the last call told, from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    #[default]
    Good,
    /// It answers, and takes its time.
    Slow,
    /// It fails, or takes so long that it had better not be asked.
    Trouble,
}

impl Condition {
    fn of(took: Duration, failed: bool) -> Self {
        match took {
            _ if failed => Self::Trouble,
            took if took >= TROUBLE => Self::Trouble,
            took if took > SLOW => Self::Slow,
            _ => Self::Good,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    condition: Condition,
    /// The store is left alone until then.
    until: Option<Instant>,
    /// The worst that was logged since a call went well.
    logged: Condition,
}

impl Health {
    /// A store in good health.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store may be called for what can be done without it.
    pub fn may_use(&self, now: Instant) -> bool {
        self.state().until.is_none_or(|until| now >= until)
    }

    /// Whether the store may be called for what cannot be done without it: a
    /// limit, one who asks for all, a session, a flag. Also while it is no more
    /// than slow.
    pub fn may_use_even_slow(&self, now: Instant) -> bool {
        let state = self.state();
        state.condition == Condition::Slow || state.until.is_none_or(|until| now >= until)
    }

    /// Tells how a call went. Slowness and trouble are logged once each, until a
    /// call goes well again.
    pub fn report(&self, now: Instant, took: Duration, error: Option<&StoreError>) {
        let condition = Condition::of(took, error.is_some());
        let mut state = self.state();
        if condition == Condition::Good {
            *state = State::default();
            return;
        }
        state.condition = condition;
        state.until = Some(now + PAUSE);
        if condition <= state.logged {
            return;
        }
        state.logged = condition;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if condition == Condition::Slow {
            tracing::warn!(
                took_ms,
                "the key-value store is slow: the cache is off for a while, limits hold"
            );
            return;
        }
        let error = error.map(ToString::to_string);
        tracing::warn!(
            took_ms,
            error,
            "the key-value store is in trouble and left alone for a while: limits hold within \
             this instance only, the cache is off"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Whether what can do without the store uses it, and what cannot.
    fn used(health: &Health, millis: u64) -> (bool, bool) {
        let now = at(millis);
        (health.may_use(now), health.may_use_even_slow(now))
    }

    #[test]
    fn trouble_pauses_and_health_returns() {
        let health = Health::new();
        assert_eq!(used(&health, 0), (true, true));
        health.report(at(0), SLOW, None);
        assert_eq!(used(&health, 0), (true, true));
        health.report(at(1), TROUBLE, None);
        assert_eq!(used(&health, 5_000), (false, false));
        assert_eq!(used(&health, 5_001), (true, true));
        let fault = StoreError::Unavailable("gone".into());
        health.report(at(5_001), Duration::ZERO, Some(&fault));
        assert_eq!(used(&health, 10_000), (false, false));
        health.report(at(10_001), Duration::ZERO, None);
        assert_eq!(used(&health, 10_001), (true, true));
    }

    #[test]
    fn what_holds_others_back_uses_a_slow_store() {
        let health = Health::new();
        health.report(at(1), SLOW + TICK, None);
        assert_eq!(used(&health, 1), (false, true));
        // As long as it is slow, and not for five seconds only.
        health.report(at(4_000), TROUBLE - TICK, None);
        assert_eq!(used(&health, 8_999), (false, true));
        assert_eq!(used(&health, 9_000), (true, true));
        health.report(at(9_000), TROUBLE, None);
        assert_eq!(used(&health, 9_000), (false, false));
        // And again when it answers, slowly or well.
        health.report(at(14_000), SLOW + TICK, None);
        assert_eq!(used(&health, 14_000), (false, true));
        health.report(at(14_001), SLOW, None);
        assert_eq!(used(&health, 14_001), (true, true));
    }
}
