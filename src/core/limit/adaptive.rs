//! A lane's limit that follows its upstream: additive increase, multiplicative
//! decrease.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::core::ports::Instant;

/// Between what a lane's limit moves, and what makes it move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveLimits {
    /// The limit never falls below; 0 counts as 1.
    pub min: u32,
    /// An answer whose head takes longer counts as overload. A fixed bound: a
    /// baseline learned from an upstream that is slow for long would drift
    /// with it, and end up calling the overload normal.
    pub slow: Duration,
}

/// How an attempt went, from launch to response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was launched.
    pub launched: Instant,
    /// When its head, or its failure, was there.
    pub ended: Instant,
    /// The upstream asked for fewer calls, or did not answer in time. (A
    /// timeout is not a long latency: counted as such, an upstream that times
    /// out at a steady pace would look healthy.)
    pub overloaded: bool,
    /// Calls in the lane at that time, this one included.
    pub in_flight: u32,
}

/// One lane's limit. It starts at the configured one, which it never exceeds.
///
/// - A good answer while at least half of the limit is in use raises it by
///   `1 / limit`: by one for each round of calls. A lane that nobody fills
///   learns nothing, so its limit stays. Both are counted within an instance:
///   where each makes few calls the limit does not rise step by step, but is
///   back at the configured one when there was no overload for a minute.
/// - Overload lowers it to nine tenths, at least by one, once for all
///   calls that were under way together: they met the same overload.
#[derive(Debug)]
pub struct Adaptive {
    limits: AdaptiveLimits,
    max: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: u32,
    /// Good answers since the limit last changed.
    good: u32,
    lowered: Option<Instant>,
}

impl Adaptive {
    /// A limit that starts at `max`.
    pub fn new(limits: AdaptiveLimits, max: u32) -> Self {
        let max = max.max(1);
        let limits = AdaptiveLimits {
            min: limits.min.clamp(1, max),
            ..limits
        };
        let state = State {
            limit: max,
            good: 0,
            lowered: None,
        };
        Self {
            limits,
            max,
            state: Mutex::new(state),
        }
    }

    /// The limit now.
    pub fn limit(&self) -> u32 {
        self.with(|state| state.limit)
    }

    /// Takes over what another instance has learned.
    pub fn adopt(&self, limit: u32) -> u32 {
        self.with(|state| {
            if limit != state.limit {
                state.limit = limit.clamp(self.limits.min, self.max);
                state.good = 0;
            }
            state.limit
        })
    }

    /// Learns from `sample`. Returns the limit where others have to know of it:
    /// it has changed, or overload has held it at its minimum.
    pub fn learn(&self, sample: Sample) -> Option<u32> {
        let bad = sample.overloaded || sample.ended - sample.launched > self.limits.slow;
        self.with(|state| {
            let learned = match bad {
                true => self.lower(state, sample),
                false => self.raise(state, sample),
            };
            learned.then_some(state.limit)
        })
    }

    /// Whether `sample` counts. It does at the minimum too, or what was learned
    /// would be forgotten while the overload lasts.
    fn lower(&self, state: &mut State, sample: Sample) -> bool {
        // Launched before the last decrease: it has been answered for.
        if state.lowered.is_some_and(|at| sample.launched <= at) {
            return false;
        }
        let tenths = u64::from(state.limit) * 9 / 10;
        let lower = u32::try_from(tenths).unwrap_or(u32::MAX);
        state.limit = lower.min(state.limit - 1).max(self.limits.min);
        state.lowered = Some(sample.ended);
        state.good = 0;
        true
    }

    /// Whether the limit has risen.
    fn raise(&self, state: &mut State, sample: Sample) -> bool {
        if state.limit >= self.max || sample.in_flight.saturating_mul(2) < state.limit {
            return false;
        }
        state.good += 1;
        let risen = state.good >= state.limit;
        if risen {
            state.limit += 1;
            state.good = 0;
        }
        risen
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn adaptive(min: u32, max: u32) -> Adaptive {
        let slow = Duration::from_secs(2);
        Adaptive::new(AdaptiveLimits { min, slow }, max)
    }

    fn sample(launched: u64, took: u64, overloaded: bool, in_flight: u32) -> Sample {
        Sample {
            launched: at(launched),
            ended: at(launched + took),
            overloaded,
            in_flight,
        }
    }

    #[test]
    fn overload_lowers_once_for_calls_that_met_it_together() {
        let limit = adaptive(1, 20);
        assert_eq!(limit.learn(sample(0, 100, true, 20)), Some(18));
        for launched in [0, 50, 100] {
            assert_eq!(limit.learn(sample(launched, 100, true, 18)), None);
        }
        assert_eq!(limit.learn(sample(101, 100, true, 18)), Some(16));
        assert_eq!(limit.limit(), 16);
    }

    #[test]
    fn slowness_is_overload() {
        let limit = adaptive(3, 4);
        assert_eq!(limit.learn(sample(0, 2_000, false, 4)), None);
        assert_eq!(limit.learn(sample(0, 2_001, false, 4)), Some(3));
        assert_eq!(
            limit.learn(sample(3_000, 9_000, false, 4)),
            Some(3),
            "the minimum, told again"
        );
    }

    #[test]
    fn a_round_of_good_answers_raises_by_one() {
        let limit = adaptive(1, 5);
        let _ = limit.learn(sample(0, 1, true, 5));
        assert_eq!(limit.limit(), 4);
        for _ in 0..3 {
            assert_eq!(limit.learn(sample(10, 1, false, 2)), None);
        }
        assert_eq!(limit.learn(sample(10, 1, false, 1)), None, "half idle");
        assert_eq!(limit.learn(sample(10, 1, false, 2)), Some(5));
        for _ in 0..20 {
            assert_eq!(limit.learn(sample(10, 1, false, 5)), None, "the maximum");
        }
    }

    /// An upstream that is overloaded by more than `capacity` calls at once.
    #[test]
    fn it_settles_around_what_the_upstream_bears() {
        let (limit, capacity) = (adaptive(1, 40), 10);
        let mut inside = 0;
        for round in 0..2_000u64 {
            let calls = limit.limit();
            let overloaded = calls > capacity;
            inside += u32::from(!overloaded && calls >= capacity - 2);
            for _ in 0..calls {
                let _ = limit.learn(sample(round * 10 + 1, 5, overloaded, calls));
            }
        }
        assert!(limit.limit() <= capacity + 1);
        assert!(inside > 1_000, "{inside} of 2,000 rounds well used");
    }

    proptest! {
        #[test]
        fn it_stays_between_its_bounds(
            min in 0..30u32, max in 0..30u32,
            samples in prop::collection::vec((0..10_000u64, 0..5_000u64, any::<bool>(), 0..40u32), 0..300),
        ) {
            let limit = adaptive(min, max);
            for (launched, took, overloaded, in_flight) in samples {
                let before = limit.limit();
                let changed = limit.learn(sample(launched, took, overloaded, in_flight));
                let minimum = limit.limit() == min.clamp(1, max.max(1));
                prop_assert!(changed.is_none_or(|changed| changed == limit.limit()));
                prop_assert!(changed.is_some() || limit.limit() == before);
                prop_assert!(changed.is_none() || limit.limit() != before || minimum);
                prop_assert!(limit.limit() <= max.max(1));
                prop_assert!(limit.limit() >= min.clamp(1, max.max(1)));
            }
        }
    }
}
