//! What a kind of value is called, and for how long it is kept.

use std::time::Duration;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// The refresh of a value begins earlier by up to so many hundredths of the time
/// before it, by chance, so that values stored together are not refreshed
/// together.
const JITTER_PERCENT: u32 = 10;

/// For how long values are served. All times count from when a value was
/// stored, on the wall clock.
///
/// ```
/// # use std::time::Duration;
/// use spinlane_core::cache::{Kind, Policy};
///
/// const DAY: Duration = Duration::from_secs(86_400);
/// const MONTH: Duration = Duration::from_secs(30 * 86_400);
///
/// // Kept for 30 days; in the last of them served while it is refreshed.
/// static CHARTS: Kind = Kind::new("charts", 1).with_policy(Policy::keep(MONTH).refresh_in_last(DAY));
/// # const _: () = assert!(CHARTS.policy().life().as_secs() == 30 * 86_400);
/// ```
///
/// A value that would be refreshed at every hit is not saved at all: it does
/// not compile.
///
/// ```compile_fail
/// # use std::time::Duration;
/// # use spinlane_core::cache::{Kind, Policy};
/// const HOUR: Duration = Duration::from_secs(3_600);
///
/// static CHARTS: Kind = Kind::new("charts", 1).with_policy(Policy::keep(HOUR).refresh_in_last(HOUR));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    life: Duration,
    stale: Duration,
    negative: Duration,
    fetch_lease: bool,
}

impl Policy {
    /// Kept for 90 days, refreshed in the last 7; that there is none for 5
    /// minutes.
    pub const DEFAULT: Self =
        Self::keep(Duration::from_secs(90 * DAY)).refresh_in_last(Duration::from_secs(7 * DAY));

    /// A value is served for so long, and no longer. That there is none is
    /// remembered for 5 minutes, and for no longer than a value.
    ///
    /// # Panics
    /// For no time at all. Make kinds `static`, and it does not compile.
    pub const fn keep(life: Duration) -> Self {
        assert!(!life.is_zero(), "a value is kept for some time");
        Self {
            life,
            stale: Duration::ZERO,
            negative: shorter(Duration::from_secs(5 * MINUTE), life),
            fetch_lease: true,
        }
    }

    /// In the last part of its life, this long, a value is still served while it
    /// is refreshed, and for as long as it cannot be. That part begins earlier,
    /// by chance, by up to a tenth of what comes before it.
    ///
    /// # Panics
    /// When it is not shorter than the life: every hit would be refreshed. Make
    /// kinds `static`, and it does not compile.
    #[must_use]
    pub const fn refresh_in_last(self, stale: Duration) -> Self {
        assert!(
            stale.as_nanos() < self.life.as_nanos(),
            "a value is fresh for some time"
        );
        Self { stale, ..self }
    }

    /// "There is none" is an answer for so long, and no longer. Until then
    /// nobody is asked again.
    #[must_use]
    pub const fn negative(self, negative: Duration) -> Self {
        Self { negative, ..self }
    }

    /// Instances that miss the same value at the same time each ask for it,
    /// instead of letting one do so. Saves the increment that each miss costs.
    #[must_use]
    pub const fn without_fetch_lease(self) -> Self {
        Self {
            fetch_lease: false,
            ..self
        }
    }

    /// For how long a value is served.
    pub const fn life(&self) -> Duration {
        self.life
    }

    /// For how long "there is none" is.
    pub(super) const fn negative_life(&self) -> Duration {
        self.negative
    }

    /// Whether one instance asks for all.
    pub(super) const fn has_fetch_lease(&self) -> bool {
        self.fetch_lease
    }

    /// For how long a value is fresh; `chance` is from 0 to 1.
    pub(super) fn fresh(&self, chance: f64) -> Duration {
        let fresh = self.life.saturating_sub(self.stale);
        if self.stale.is_zero() {
            return fresh;
        }
        let most = fresh.saturating_mul(JITTER_PERCENT) / 100;
        fresh.saturating_sub(most.mul_f64(chance.clamp(0.0, 1.0)))
    }
}

const fn shorter(one: Duration, other: Duration) -> Duration {
    match one.as_nanos() < other.as_nanos() {
        true => one,
        false => other,
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A kind of value: its namespace in the store, the version of its form, and
/// its [`Policy`].
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::cache::{Kind, Policy};
///
/// const HOUR: Duration = Duration::from_secs(3_600);
///
/// static CHARTS: Kind = Kind::new("charts", 1).with_policy(Policy::keep(HOUR));
/// assert_eq!((CHARTS.namespace(), CHARTS.policy().life()), ("charts", HOUR));
/// ```
#[derive(Debug)]
pub struct Kind {
    /// Begins the keys of the store.
    pub(super) namespace: &'static str,
    /// What was stored as another version is a miss.
    pub(super) version: u16,
    pub(super) policy: Policy,
}

impl Kind {
    /// A kind with the default policy. Raise `version` when the form of the
    /// value changes: what is in the store is a miss then.
    ///
    /// # Panics
    /// When `namespace` has anything but lower-case letters, digits and `-`.
    /// Make kinds `static`, and it does not compile.
    pub const fn new(namespace: &'static str, version: u16) -> Self {
        let bytes = namespace.as_bytes();
        assert!(!bytes.is_empty(), "a namespace has a name");
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-'),
                "a namespace has lower-case letters, digits and `-` only"
            );
            at += 1;
        }
        Self {
            namespace,
            version,
            policy: Policy::DEFAULT,
        }
    }

    /// The same kind with another policy.
    #[must_use]
    pub const fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// What it is called.
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// For how long its values are kept.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: Duration = Duration::from_secs(MINUTE);

    #[test]
    fn a_value_without_a_stale_part_is_fresh_to_its_end() {
        let policy = Policy::keep(10 * MINUTES);
        assert_eq!(policy.fresh(0.0), 10 * MINUTES);
        assert_eq!(policy.fresh(1.0), 10 * MINUTES);
        assert_eq!(policy.negative_life(), 5 * MINUTES);
        assert_eq!(Policy::keep(MINUTES).negative_life(), MINUTES);
    }

    /// However long the stale part is, most of what comes before is fresh.
    #[test]
    fn a_hit_is_not_refreshed_at_once() {
        for stale in [1, 5, 9] {
            let policy = Policy::keep(10 * MINUTES).refresh_in_last(stale * MINUTES);
            let fresh = 10 * MINUTES - stale * MINUTES;
            assert_eq!(policy.fresh(0.0), fresh);
            assert_eq!(policy.fresh(0.5), fresh * 95 / 100);
            assert_eq!(policy.fresh(1.0), fresh * 9 / 10);
        }
    }
}
