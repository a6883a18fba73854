//! A token bucket in integer arithmetic.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::core::ports::Instant;

/// `tokens` in every `per`: a rational number, so that "3 per second" is
/// exactly that and not one token each 333,333,333 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    tokens: u32,
    /// Nanoseconds; never 0.
    per: u64,
}

/// A rate that no bucket can keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate needs at least one token in a period of 1 ns to 584 years")]
pub struct InvalidRate;

impl Rate {
    /// `tokens` in every `per`.
    ///
    /// # Errors
    /// [`InvalidRate`] when either is zero or the period exceeds 584 years.
    pub fn new(tokens: u32, per: Duration) -> Result<Self, InvalidRate> {
        match u64::try_from(per.as_nanos()) {
            Ok(per) if per > 0 && tokens > 0 => Ok(Self { tokens, per }),
            _ => Err(InvalidRate),
        }
    }

    /// `tokens` in every second.
    pub const fn per_second(tokens: NonZeroU32) -> Self {
        Self {
            tokens: tokens.get(),
            per: 1_000_000_000,
        }
    }

    /// The rate's tokens.
    pub const fn tokens(self) -> u32 {
        self.tokens
    }

    /// The period in which they are due.
    pub const fn per(self) -> Duration {
        Duration::from_nanos(self.per)
    }

    /// How long `tokens` take to come, rounded up to the nanosecond.
    pub fn time_for(self, tokens: u64) -> Duration {
        let nanos = (u128::from(tokens) * u128::from(self.per)).div_ceil(self.tokens.into());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The tokens are not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The same call succeeds after exactly this long, and not a nanosecond
    /// earlier, unless somebody else takes tokens meanwhile.
    pub after: Duration,
}

/// Why tokens were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Not yet.
    #[error("the next call may start in {} ms", .0.after.as_millis())]
    Wait(Wait),
    /// Never: heavier than the bucket is large.
    #[error(transparent)]
    TooHeavy(#[from] TooHeavy),
}

/// More tokens asked at once than the rate's burst allows: no wait would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a call of weight {weight} can never start where {heaviest} is the heaviest: split it, or raise the burst"
)]
pub struct TooHeavy {
    /// Tokens asked for.
    pub weight: u32,
    /// Tokens that a call may take at once: the burst, or about a quarter of it
    /// in the shared scope.
    pub heaviest: u32,
}

/// A token bucket: over any interval `t` it admits at most `rate × t + burst`.
///
/// Kept as the theoretical arrival time of GCRA, in units of `1 / tokens` ns
/// ("ticks"): there one token costs a whole number of units at any rational
/// rate, so refill is never rounded and does not drift. Refill is a matter of
/// subtraction; no timer ticks.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: Rate,
    burst: u32,
    /// When the bucket will be full again, in ticks.
    full_at: u128,
    paused_until: Instant,
}

impl TokenBucket {
    /// A full bucket. A `burst` of 0 is taken as 1: such a bucket would never
    /// admit anything.
    pub fn new(rate: Rate, burst: u32) -> Self {
        Self {
            rate,
            burst: burst.max(1),
            full_at: 0,
            paused_until: Instant::default(),
        }
    }

    /// Takes `weight` tokens if they are there.
    ///
    /// # Errors
    /// [`NotTaken::Wait`] says exactly how long it takes until they are;
    /// [`NotTaken::TooHeavy`] that they never will be. Neither takes anything.
    pub fn try_acquire(&mut self, now: Instant, weight: u32) -> Result<(), NotTaken> {
        let (due, full_at) = self.place(now, weight)?;
        if due > now {
            let after = due - now;
            return Err(NotTaken::Wait(Wait { after }));
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Takes `weight` tokens now and returns when their owner may start:
    /// `now`, or later when they have still to come. The tokens are gone
    /// whether they are used or not.
    ///
    /// A later [`pause_until`](Self::pause_until) or
    /// [`set_rate`](Self::set_rate) does not move a reservation.
    ///
    /// # Errors
    /// [`TooHeavy`] when the bucket can never hold `weight`.
    pub fn reserve(&mut self, now: Instant, weight: u32) -> Result<Instant, TooHeavy> {
        let (due, full_at) = self.place(now, weight)?;
        self.full_at = full_at;
        Ok(due)
    }

    /// Says that one of the takers starts only now, `pending` tokens in all
    /// (its own included) having been taken whose owners have not started yet.
    ///
    /// Without it, takers that are held up after they took their tokens would
    /// start bunched together and exceed the bound. With it, and with
    /// `pending` kept to the burst, the bound holds for the starts.
    pub fn launch(&mut self, now: Instant, pending: u32) {
        let earliest = self.ticks(now) + u128::from(pending) * u128::from(self.rate.per);
        self.full_at = self.full_at.max(earliest);
    }

    /// Gives back tokens whose owner will never start.
    pub fn give_back(&mut self, weight: u32) {
        let cost = u128::from(weight) * u128::from(self.rate.per);
        self.full_at = self.full_at.saturating_sub(cost);
    }

    /// How long a call of `weight` behind `ahead` other tokens would have to
    /// wait: an estimate for who is turned away.
    pub fn wait_behind(&self, now: Instant, ahead: u64, weight: u32) -> Duration {
        let from = now.max(self.paused_until);
        let base = self.full_at.max(self.ticks(from));
        let needed = base + (u128::from(ahead) + u128::from(weight)) * u128::from(self.rate.per);
        self.due(needed, from) - now
    }

    /// Tokens that are there at `now` (0 while paused).
    pub fn available(&self, now: Instant) -> u32 {
        if now < self.paused_until {
            return 0;
        }
        let debt = self.full_at.saturating_sub(self.ticks(now));
        let missing = debt.div_ceil(u128::from(self.rate.per));
        u32::try_from(u128::from(self.burst).saturating_sub(missing)).unwrap_or(u32::MAX)
    }

    /// Changes the rate from `now` on. The tokens that are there stay.
    pub fn set_rate(&mut self, now: Instant, rate: Rate) {
        let debt = self.full_at.saturating_sub(self.ticks(now));
        let (old, new) = (u128::from(self.rate.per), u128::from(rate.per));
        // Whole tokens and the rest apart: the product cannot overflow.
        let debt = debt / old * new + (debt % old * new).div_ceil(old);
        self.rate = rate;
        self.full_at = self.ticks(now) + debt;
    }

    /// Changes the burst (0 counts as 1). Tokens already taken stay taken.
    pub fn set_burst(&mut self, burst: u32) {
        self.burst = burst.max(1);
    }

    /// Admits nothing before `until`. Tokens go on coming meanwhile, up to the
    /// burst. The later of two pauses holds.
    pub fn pause_until(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(until);
    }

    /// The rate.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Tokens that a full bucket holds.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// When a call of `weight` may start, and `full_at` after it.
    fn place(&self, now: Instant, weight: u32) -> Result<(Instant, u128), TooHeavy> {
        let heaviest = self.burst;
        if weight > heaviest {
            return Err(TooHeavy { weight, heaviest });
        }
        // Within a pause the call is placed at the pause's end, not at `now`:
        // else all that is reserved meanwhile would start together then.
        let from = now.max(self.paused_until);
        let cost = u128::from(weight) * u128::from(self.rate.per);
        let full_at = self.full_at.max(self.ticks(from)) + cost;
        let due = self.due(full_at, from);
        // A reservation starts on a whole nanosecond: when that is later than
        // the exact instant, its tokens count from there.
        Ok((due, full_at.max(self.ticks(due) + cost)))
    }

    /// When a call may start that leaves the bucket to be full at `full_at`.
    fn due(&self, full_at: u128, from: Instant) -> Instant {
        let capacity = u128::from(self.burst) * u128::from(self.rate.per);
        let ticks = full_at.saturating_sub(capacity);
        let nanos = ticks.div_ceil(self.rate.tokens.into());
        from.max(Instant::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }

    fn ticks(&self, at: Instant) -> u128 {
        u128::from(at.as_nanos()) * u128::from(self.rate.tokens)
    }
}

/// What every rate promises, for the tests of all that have one.
#[cfg(test)]
pub(super) mod bound {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Rate;

    /// Checks every two of `starts`, each with its time and its weight: between
    /// them start at most `rate` × t + `burst`.
    pub(in crate::core::limit) fn holds(
        starts: &[(Duration, u32)],
        rate: Rate,
        burst: u32,
    ) -> Result<(), TestCaseError> {
        let mut starts = starts.to_vec();
        starts.sort_unstable();
        let (tokens, per) = (u128::from(rate.tokens), u128::from(rate.per));
        for (first, (begin, _)) in starts.iter().enumerate() {
            let mut sum = 0;
            for (end, weight) in &starts[first..] {
                sum += u128::from(*weight);
                let span = *end - *begin;
                let may = span.as_nanos() * tokens + u128::from(burst) * per;
                prop_assert!(sum * per <= may, "{sum} in {span:?}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::bound::holds;
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn rate(tokens: u32, per: Duration) -> Rate {
        Rate::new(tokens, per).unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn wait(result: Result<(), NotTaken>) -> Duration {
        match result {
            Err(NotTaken::Wait(wait)) => wait.after,
            other => panic!("expected a wait, got {other:?}"),
        }
    }

    #[test]
    fn a_full_burst_then_one_token_each_interval() {
        let mut bucket = TokenBucket::new(rate(40, SECOND), 40);
        assert_eq!(bucket.try_acquire(at(5), 40), Ok(()));
        assert_eq!(bucket.available(at(5)), 0);
        assert_eq!(
            wait(bucket.try_acquire(at(5), 1)),
            Duration::from_millis(25)
        );
        assert_eq!(bucket.available(at(25_000_005)), 1);
        assert_eq!(bucket.try_acquire(at(25_000_005), 1), Ok(()));
        assert_eq!(
            wait(bucket.try_acquire(at(25_000_005), 4)),
            Duration::from_millis(100)
        );
    }

    #[test]
    fn what_can_never_be_admitted_is_said_so() {
        let mut bucket = TokenBucket::new(rate(1, SECOND), 0);
        let (weight, heaviest) = (2, 1);
        let heavy = TooHeavy { weight, heaviest };
        assert_eq!(
            bucket.try_acquire(at(0), weight),
            Err(NotTaken::TooHeavy(heavy))
        );
        assert_eq!(bucket.reserve(at(0), weight), Err(heavy));
        assert_eq!(bucket.available(at(0)), 1);
        assert_eq!(Rate::new(0, SECOND), Err(InvalidRate));
        assert_eq!(Rate::new(1, Duration::ZERO), Err(InvalidRate));
    }

    #[test]
    fn thirds_of_a_second_do_not_drift() {
        let mut bucket = TokenBucket::new(rate(3, SECOND), 2);
        bucket.reserve(at(0), 1).unwrap();
        let mut now = at(0);
        for _ in 0..3_000_000 {
            now = bucket.reserve(now, 1).unwrap();
        }
        let last = Rate::new(3, SECOND).unwrap().time_for(2_999_999);
        assert_eq!(now - at(0), last);
    }

    #[test]
    fn a_new_rate_keeps_the_tokens_that_are_there() {
        let mut bucket = TokenBucket::new(rate(10, SECOND), 10);
        bucket.try_acquire(at(0), 10).unwrap();
        bucket.set_rate(at(500_000_000), rate(2, SECOND));
        assert_eq!(bucket.available(at(500_000_000)), 5);
        bucket.try_acquire(at(500_000_000), 5).unwrap();
        assert_eq!(
            wait(bucket.try_acquire(at(500_000_000), 1)),
            Duration::from_millis(500)
        );
        bucket.set_burst(2);
        assert_eq!(bucket.available(at(500_000_000)), 0);
        bucket.set_burst(20);
        assert_eq!(bucket.available(at(500_000_000)), 10);
    }

    #[test]
    fn a_pause_holds_back_and_does_not_bunch_reservations() {
        let mut bucket = TokenBucket::new(rate(1, SECOND), 2);
        bucket.pause_until(at(5_000_000_000));
        bucket.pause_until(at(1));
        assert_eq!(bucket.available(at(7)), 0);
        assert_eq!(wait(bucket.try_acquire(at(0), 1)), Duration::from_secs(5));
        let due: Vec<_> = (0..4)
            .map(|_| bucket.reserve(at(0), 1).unwrap().as_nanos() / 1_000_000_000)
            .collect();
        assert_eq!(due, [5, 5, 6, 7]);
    }

    /// What a caller does at one point of a random schedule.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Try(u32),
        Reserve(u32),
        Pause(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
        let step = prop_oneof![
            8 => (0..5u32).prop_map(Step::Try),
            3 => (0..5u32).prop_map(Step::Reserve),
            1 => (0..2_000_000_000u64).prop_map(Step::Pause),
        ];
        let gap = prop_oneof![Just(0), 0..50_000_000u64, 0..1_000_000_000u64];
        proptest::collection::vec((gap, step), 1..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_interval_admits_too_much_and_waits_are_exact(
            tokens in 1..200u32, per in 1..3_000_000_000u64, burst in 1..20u32, steps in steps(),
        ) {
            let rate = rate(tokens, Duration::from_nanos(per));
            let mut bucket = TokenBucket::new(rate, burst);
            let (mut now, mut admitted) = (0, Vec::new());
            for (gap, step) in steps {
                now += gap;
                match step {
                    Step::Pause(by) => bucket.pause_until(at(now + by)),
                    Step::Reserve(weight) => {
                        if let Ok(due) = bucket.reserve(at(now), weight) {
                            admitted.push((Duration::from_nanos(due.as_nanos()), weight));
                        }
                    }
                    Step::Try(weight) => match bucket.clone().try_acquire(at(now), weight) {
                        Ok(()) => {
                            bucket.try_acquire(at(now), weight).unwrap();
                            admitted.push((Duration::from_nanos(now), weight));
                        }
                        Err(NotTaken::TooHeavy(_)) => prop_assert!(weight > burst),
                        Err(NotTaken::Wait(wait)) => {
                            let due = at(now) + wait.after;
                            let early = at(due.as_nanos() - 1);
                            prop_assert!(bucket.clone().try_acquire(early, weight).is_err());
                            prop_assert!(bucket.clone().try_acquire(due, weight).is_ok());
                            prop_assert_eq!(bucket.wait_behind(at(now), 0, weight), wait.after);
                        }
                    },
                }
            }
            holds(&admitted, rate, burst)?;
        }

        #[test]
        fn a_greedy_caller_gets_all_that_it_may(
            tokens in 1..1_000u32, per in 1_000_000..3_000_000_000u64, burst in 1..50u32,
        ) {
            let rate = rate(tokens, Duration::from_nanos(per));
            let mut bucket = TokenBucket::new(rate, burst);
            let (mut now, mut count) = (at(0), 0u64);
            while count < 5_000 {
                match bucket.try_acquire(now, 1) {
                    Ok(()) => count += 1,
                    Err(NotTaken::Wait(wait)) => now += wait.after,
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                }
            }
            let may = u128::from(now.as_nanos()) * u128::from(tokens) / u128::from(per)
                + u128::from(burst);
            prop_assert!(u128::from(count) * 1_000 >= may * 999);
        }

        #[test]
        fn changing_the_rate_makes_no_tokens(
            rates in proptest::collection::vec((1..100u32, 1..2_000_000_000u64), 1..50),
        ) {
            let start = rate(7, SECOND);
            let mut bucket = TokenBucket::new(start, 9);
            bucket.try_acquire(at(0), 9).unwrap();
            for (tokens, per) in rates {
                bucket.set_rate(at(0), rate(tokens, Duration::from_nanos(per)));
                prop_assert_eq!(bucket.available(at(0)), 0);
            }
        }
    }
}
