//! A token bucket in integer arithmetic.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::ports::Instant;

/// `tokens` in every `per`: a rational number, so that "3 per second" is
/// exactly that and not one token each 333,333,333 ns.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::Rate;
///
/// let ten = Rate::per_second(NonZeroU32::new(10).unwrap());
/// assert_eq!(ten.time_for(5), Duration::from_millis(500));
/// let slow = Rate::new(100, Duration::from_secs(3_600))?;
/// assert_eq!(slow.time_for(1), Duration::from_secs(36));
/// # Ok::<(), spinlane_core::limit::InvalidRate>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    tokens: u32,
    /// Nanoseconds; never 0.
    per: u64,
}

/// A rate that no bucket can keep.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::{InvalidRate, Rate};
///
/// // As somebody has configured it.
/// let (tokens, minutes) = (0, 1);
/// let rate = Rate::new(tokens, Duration::from_secs(60 * minutes));
/// assert_eq!(rate, Err(InvalidRate));
/// assert!(InvalidRate.to_string().starts_with("a rate needs at least one token"));
/// ```
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
///
/// ```
/// use std::num::NonZeroU32;
///
/// use spinlane_core::limit::{Rate, TokenBucket, Wait};
/// use spinlane_core::ports::Instant;
///
/// let three = Rate::per_second(NonZeroU32::new(3).unwrap());
/// let (mut bucket, now) = (TokenBucket::new(three, 1), Instant::default());
/// assert_eq!(bucket.try_acquire(now), Ok(()));
/// let Err(Wait { after }) = bucket.try_acquire(now) else { panic!("there was one") };
/// assert_eq!(bucket.try_acquire(now + after), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The same call succeeds after exactly this long, and not a nanosecond
    /// earlier, unless somebody else takes tokens meanwhile.
    pub after: Duration,
}

/// A token bucket: over any interval `t` it admits at most `rate × t + burst`.
///
/// Kept as the theoretical arrival time of GCRA, in units of `1 / tokens` ns
/// ("ticks"): there one token costs a whole number of units at any rational
/// rate, so refill is never rounded and does not drift. Refill is a matter of
/// subtraction; no timer ticks.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::{Rate, TokenBucket};
/// use spinlane_core::ports::Instant;
///
/// let one = Rate::per_second(NonZeroU32::MIN);
/// let (mut bucket, now) = (TokenBucket::new(one, 2), Instant::default());
/// assert!(bucket.try_acquire(now).is_ok() && bucket.try_acquire(now).is_ok());
/// let wait = bucket.try_acquire(now).unwrap_err();
/// assert_eq!(wait.after, Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: Rate,
    burst: u32,
    /// When the bucket will be full again, in ticks.
    full_at: u128,
}

impl TokenBucket {
    /// A full bucket. A `burst` of 0 is taken as 1: such a bucket would never
    /// admit anything.
    pub fn new(rate: Rate, burst: u32) -> Self {
        Self {
            rate,
            burst: burst.max(1),
            full_at: 0,
        }
    }

    /// Takes a token if one is there.
    ///
    /// # Errors
    /// [`Wait`] says exactly how long it takes until one is. Nothing is taken
    /// then.
    pub fn try_acquire(&mut self, now: Instant) -> Result<(), Wait> {
        let full_at = self.full_at.max(self.ticks(now)) + u128::from(self.rate.per);
        let due = self.due(full_at, now);
        if due > now {
            let after = due - now;
            return Err(Wait { after });
        }
        self.full_at = full_at;
        Ok(())
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

    /// Gives back tokens whose owners will never start.
    pub fn give_back(&mut self, tokens: u32) {
        let cost = u128::from(tokens) * u128::from(self.rate.per);
        self.full_at = self.full_at.saturating_sub(cost);
    }

    /// How long a call behind `ahead` others would have to wait: an estimate for
    /// who is turned away.
    pub fn wait_behind(&self, now: Instant, ahead: u64) -> Duration {
        let base = self.full_at.max(self.ticks(now));
        let needed = base + (u128::from(ahead) + 1) * u128::from(self.rate.per);
        self.due(needed, now) - now
    }

    /// Tokens that are there at `now`.
    pub fn available(&self, now: Instant) -> u32 {
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

    /// The rate.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Tokens that a full bucket holds.
    pub const fn burst(&self) -> u32 {
        self.burst
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

    /// Checks every two of `starts`: between them start at most `rate` × t +
    /// `burst`.
    pub(in crate::limit) fn holds(
        starts: &[Duration],
        rate: Rate,
        burst: u32,
    ) -> Result<(), TestCaseError> {
        let mut starts = starts.to_vec();
        starts.sort_unstable();
        let (tokens, per) = (u128::from(rate.tokens), u128::from(rate.per));
        for (first, begin) in starts.iter().enumerate() {
            for (count, end) in (1u128..).zip(&starts[first..]) {
                let span = *end - *begin;
                let may = span.as_nanos() * tokens + u128::from(burst) * per;
                prop_assert!(count * per <= may, "{count} in {span:?}");
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

    /// Takes what a full bucket has.
    fn empty(bucket: &mut TokenBucket, now: Instant) {
        for _ in 0..bucket.available(now) {
            bucket.try_acquire(now).unwrap();
        }
    }

    fn wait(bucket: &mut TokenBucket, now: Instant) -> Duration {
        bucket.try_acquire(now).unwrap_err().after
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_full_burst_then_one_token_each_interval() {
        let mut bucket = TokenBucket::new(rate(40, SECOND), 40);
        empty(&mut bucket, at(5));
        assert_eq!(bucket.available(at(5)), 0);
        assert_eq!(wait(&mut bucket, at(5)), Duration::from_millis(25));
        assert_eq!(bucket.available(at(25_000_005)), 1);
        assert_eq!(bucket.try_acquire(at(25_000_005)), Ok(()));
        assert_eq!(wait(&mut bucket, at(25_000_005)), Duration::from_millis(25));
        let behind = bucket.wait_behind(at(25_000_005), 3);
        assert_eq!(behind, Duration::from_millis(100));
    }

    #[test]
    fn a_burst_of_nothing_is_one_of_one() {
        let bucket = TokenBucket::new(rate(1, SECOND), 0);
        assert_eq!(bucket.available(at(0)), 1);
        assert_eq!(Rate::new(0, SECOND), Err(InvalidRate));
        assert_eq!(Rate::new(1, Duration::ZERO), Err(InvalidRate));
    }

    #[test]
    fn thirds_of_a_second_do_not_drift() {
        let mut bucket = TokenBucket::new(rate(3, SECOND), 2);
        let mut now = at(0);
        for _ in 0..=3_000_000 {
            if let Err(wait) = bucket.try_acquire(now) {
                now += wait.after;
                bucket.try_acquire(now).unwrap();
            }
        }
        let last = rate(3, SECOND).time_for(2_999_999);
        assert_eq!(now - at(0), last);
    }

    #[test]
    fn a_new_rate_keeps_the_tokens_that_are_there() {
        let mut bucket = TokenBucket::new(rate(10, SECOND), 10);
        empty(&mut bucket, at(0));
        bucket.set_rate(at(500_000_000), rate(2, SECOND));
        assert_eq!(bucket.available(at(500_000_000)), 5);
        empty(&mut bucket, at(500_000_000));
        assert_eq!(
            wait(&mut bucket, at(500_000_000)),
            Duration::from_millis(500)
        );
        bucket.set_burst(2);
        assert_eq!(bucket.available(at(500_000_000)), 0);
        bucket.set_burst(20);
        assert_eq!(bucket.available(at(500_000_000)), 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_interval_admits_too_much_and_waits_are_exact(
            tokens in 1..200u32, per in 1..3_000_000_000u64, burst in 1..20u32,
            gaps in proptest::collection::vec(
                prop_oneof![Just(0), 0..50_000_000u64, 0..1_000_000_000u64],
                1..200,
            ),
        ) {
            let rate = rate(tokens, Duration::from_nanos(per));
            let mut bucket = TokenBucket::new(rate, burst);
            let (mut now, mut admitted) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                match bucket.try_acquire(at(now)) {
                    Ok(()) => admitted.push(Duration::from_nanos(now)),
                    Err(wait) => {
                        let due = at(now) + wait.after;
                        let early = at(due.as_nanos() - 1);
                        prop_assert!(bucket.clone().try_acquire(early).is_err());
                        prop_assert!(bucket.clone().try_acquire(due).is_ok());
                        prop_assert_eq!(bucket.wait_behind(at(now), 0), wait.after);
                    }
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
                match bucket.try_acquire(now) {
                    Ok(()) => count += 1,
                    Err(wait) => now += wait.after,
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
            let mut bucket = TokenBucket::new(rate(7, SECOND), 9);
            empty(&mut bucket, at(0));
            for (tokens, per) in rates {
                bucket.set_rate(at(0), rate(tokens, Duration::from_nanos(per)));
                prop_assert_eq!(bucket.available(at(0)), 0);
            }
        }
    }
}
