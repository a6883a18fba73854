//! When the store is in trouble it is left alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::core::ports::{Instant, StoreError};

/// A call that takes longer means trouble: it blocks the whole guest.
pub(super) const SLOW: Duration = Duration::from_millis(250);

/// A call that takes less is no more than slow: many come at once.
const VERY_SLOW: Duration = Duration::from_secs(1);

/// For how long a store in trouble is left alone.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// Whether a store may be used. One value watches over one store.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The store is left alone until then.
    until: Option<Instant>,
    /// Whether it was only that a call took long, and not very long.
    slow: bool,
    /// Whether the present trouble was logged.
    warned: bool,
}

impl Health {
    /// A store in good health.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store may be called.
    pub fn may_use(&self, now: Instant) -> bool {
        self.state().until.is_none_or(|until| now >= until)
    }

    /// Whether the store may be called by who keeps others from calling it, or
    /// an upstream: as long as it answers, within a second. A crowd makes stores
    /// slow, and must not be let through because of that.
    pub fn may_use_for_crowd(&self, now: Instant) -> bool {
        let state = self.state();
        state.slow || state.until.is_none_or(|until| now >= until)
    }

    /// Tells how a call went. Trouble is logged once, until a call goes well
    /// again.
    pub fn report(&self, now: Instant, took: Duration, error: Option<&StoreError>) {
        let mut state = self.state();
        if error.is_none() && took <= SLOW {
            *state = State::default();
            return;
        }
        state.until = Some(now + PAUSE);
        state.slow = error.is_none() && took < VERY_SLOW;
        if !std::mem::replace(&mut state.warned, true) {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let error = error.map(ToString::to_string);
            tracing::warn!(
                took_ms,
                error,
                "the key-value store is in trouble and left alone for a while: limits hold \
                 within this instance only, the cache is off"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_pauses_and_health_returns() {
        let health = Health::new();
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        assert!(health.may_use(at(0)));
        health.report(at(0), SLOW, None);
        assert!(health.may_use(at(0)));
        health.report(at(1), SLOW + Duration::from_millis(1), None);
        assert!(!health.may_use(at(5_000)));
        assert!(health.may_use_for_crowd(at(5_000)));
        assert!(health.may_use(at(5_001)));
        let fault = StoreError::Unavailable("gone".into());
        health.report(at(5_001), Duration::ZERO, Some(&fault));
        assert!(!health.may_use(at(10_000)));
        assert!(!health.may_use_for_crowd(at(10_000)));
        health.report(at(10_001), Duration::ZERO, None);
        assert!(health.may_use(at(10_001)));
    }
}
