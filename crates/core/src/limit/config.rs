//! The limits, as configured.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::bucket::Rate;
use super::lane::{LaneLimits, LaneName};
use super::retry::RetryPolicy;
use crate::ports::Timeouts;

/// Where the state of lanes and rates is kept.
///
/// ```
/// use spinlane_core::limit::{Limits, Scope};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::World;
///
/// let ports = World::new().ports();
/// let is_shared = |limits| Resources::open(&ports, limits).upstreams.is_shared();
/// assert!(is_shared(Limits::default()));
/// assert!(!is_shared(Limits::default().with_scope(Scope::Instance)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// In the memory of this instance: exact, and blind to other instances.
    Instance,
    /// In the host's counters, for all instances that share the store. Where
    /// the host has no counters this is [`Scope::Instance`].
    #[default]
    Shared,
}

/// One lane's configuration: what it admits, and how long its calls may take.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::{LaneConfig, Limits};
/// use spinlane_core::ports::Timeouts;
///
/// let quick = Timeouts::DEFAULT.first_byte(Duration::from_secs(3));
/// let lane = LaneConfig::new(2).queue(100).timeouts(quick);
/// let limits = Limits::default().with_lane("search", lane);
/// assert_eq!(limits.lane("search"), Some(&lane));
/// assert_eq!(limits.lane("serach"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneConfig {
    /// What it admits.
    pub limits: LaneLimits,
    /// How long its calls may take, each attempt by itself.
    pub timeouts: Timeouts,
}

impl LaneConfig {
    /// So many calls at a time, with [`Timeouts::default`] and no rate of its own.
    pub const fn new(concurrency: u32) -> Self {
        Self {
            limits: LaneLimits::concurrency(concurrency),
            timeouts: Timeouts::DEFAULT,
        }
    }

    /// The same with a rate of its own, of which `burst` calls may begin at once after
    /// a quiet time. In the shared scope the burst is at least 2.
    #[must_use]
    pub const fn rate(mut self, rate: Rate, burst: u32) -> Self {
        self.limits = self.limits.rate(rate, burst);
        self
    }

    /// The same, turning callers away when so many wait.
    #[must_use]
    pub const fn queue(mut self, waiting: usize) -> Self {
        self.limits = self.limits.queue(waiting);
        self
    }

    /// The same with these timeouts. Each attempt has them anew: three that hang until
    /// the head is due take three times as long.
    #[must_use]
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }
}

/// All limits.
///
/// A lane has a configuration of its own, or that of all others; a call in a lane that
/// has neither is [refused](super::CallError::UnknownLane), so that a name with a slip
/// in it is no lane without a limit that was thought of.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::{LaneConfig, Limits, Rate};
/// use spinlane_core::ports::Timeouts;
///
/// let five = Rate::per_second(NonZeroU32::new(5).unwrap());
/// let quick = Timeouts::DEFAULT.first_byte(Duration::from_secs(3));
/// let limits = Limits::default()
///     .with_lane("search", LaneConfig::new(2).rate(five, 10).timeouts(quick))
///     .with_other_lanes(LaneConfig::new(3));
/// assert_eq!(limits.lane("search").map(|lane| lane.limits.concurrency), Some(2));
/// assert_eq!(limits.lane("serach").map(|lane| lane.limits.concurrency), Some(3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Where their state is kept.
    pub scope: Scope,
    /// Calls over all lanes.
    pub rate: Rate,
    /// Calls that may start at once after a quiet time.
    pub burst: u32,
    /// Calls at a time that have no response head yet. Of this instance only.
    pub launches: u32,
    /// Calls waiting for the global rate beyond which callers are turned away.
    pub queue: usize,
    /// The lanes by name.
    pub lanes: BTreeMap<LaneName, LaneConfig>,
    /// A lane that has no entry, which is there from its first call on. `None`: there
    /// are no such lanes.
    pub other_lanes: Option<LaneConfig>,
    /// Attempts and backoff.
    pub retry: RetryPolicy,
    /// The longest pause that an upstream's `Retry-After` is granted; after it
    /// one call goes out and learns anew.
    pub longest_pause: Duration,
}

/// Calls a second over all lanes.
const RATE: NonZeroU32 = NonZeroU32::new(40).unwrap();

impl Default for Limits {
    /// 40 calls a second over all lanes, 40 of them at once after a quiet time, and no
    /// lane: [`with_lane`](Self::with_lane) gives it one.
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            rate: Rate::per_second(RATE),
            burst: RATE.get(),
            launches: 10,
            queue: 10_000,
            lanes: BTreeMap::new(),
            other_lanes: None,
            retry: RetryPolicy::default(),
            longest_pause: Duration::from_secs(24 * 3_600),
        }
    }
}

impl Limits {
    /// The same, with a configuration for the lane `name`. In place of one that it
    /// has.
    #[must_use]
    pub fn with_lane(mut self, name: impl Into<LaneName>, lane: LaneConfig) -> Self {
        self.lanes.insert(name.into(), lane);
        self
    }

    /// The same, where every other lane is as `lane` says, each by itself.
    #[must_use]
    pub const fn with_other_lanes(mut self, lane: LaneConfig) -> Self {
        self.other_lanes = Some(lane);
        self
    }

    /// The same with this rate over all lanes, of which `burst` calls may begin at
    /// once after a quiet time.
    #[must_use]
    pub const fn with_rate(mut self, rate: Rate, burst: u32) -> Self {
        (self.rate, self.burst) = (rate, burst);
        self
    }

    /// The same, with calls tried and waited for so in between.
    #[must_use]
    pub const fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The same, kept there.
    #[must_use]
    pub const fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The configuration of lane `name`; `None` where it has none.
    pub fn lane(&self, name: &str) -> Option<&LaneConfig> {
        self.lanes.get(name).or(self.other_lanes.as_ref())
    }
}
