//! What a kind of value is called, and for how long it is kept.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// For how long values are served. All times count from when a value was
/// stored, on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A value that was found is served for so long, and no longer.
    pub hit: Duration,
    /// "There is none" is an answer for so long, and no longer. Until then
    /// nobody is asked again.
    pub miss: Duration,
    /// The last part of `hit`, in which a value is still served while it is
    /// refreshed, and for as long as it cannot be.
    pub stale: Duration,
    /// That part begins earlier by up to so many hundredths of `hit`, by
    /// chance, so that values stored together are not refreshed together.
    pub jitter_percent: u8,
    /// Whether instances that miss the same value at the same time let one of
    /// them ask. Costs an increment for each miss.
    pub one_asks: bool,
}

impl Policy {
    /// Hits 90 days, the last 7 of them stale and up to 9 days earlier by
    /// chance; misses 5 minutes.
    pub const DEFAULT: Self = Self {
        hit: Duration::from_secs(90 * DAY.as_secs()),
        miss: Duration::from_secs(5 * 60),
        stale: Duration::from_secs(7 * DAY.as_secs()),
        jitter_percent: 10,
        one_asks: true,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A kind of value: its namespace in the store, the version of its form, and
/// its [`Policy`].
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
