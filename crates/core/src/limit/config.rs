//! The limits, as configured.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::bucket::Rate;
use super::lane::{LaneLimits, LaneName};
use super::retry::RetryPolicy;
use crate::ports::Timeouts;

/// Where the state of lanes and rates is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// In the memory of this instance: exact, and blind to other instances.
    Instance,
    /// In the host's counters, for all instances that share the store. Where
    /// the host has no counters this is [`Scope::Instance`].
    #[default]
    Shared,
}

/// One lane's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// What it admits.
    pub limits: LaneLimits,
    /// How long its calls may take.
    pub timeouts: Timeouts,
}

impl LaneConfig {
    /// So many calls at a time.
    pub fn new(concurrency: u32) -> Self {
        Self {
            limits: LaneLimits::concurrency(concurrency),
            timeouts: Timeouts::default(),
        }
    }

    /// The same with a rate of `per_second`, the burst being a second's worth.
    pub fn rate(self, per_second: NonZeroU32) -> Self {
        let rate = Some((Rate::per_second(per_second), per_second.get()));
        Self {
            limits: LaneLimits {
                rate,
                ..self.limits
            },
            ..self
        }
    }
}

/// All limits.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A lane that has no entry. It is there from its first call on.
    pub other_lanes: LaneConfig,
    /// Attempts and backoff.
    pub retry: RetryPolicy,
    /// The longest pause that an upstream's `Retry-After` is granted; after it
    /// one call goes out and learns anew.
    pub longest_pause: Duration,
}

/// Calls a second over all lanes.
const RATE: NonZeroU32 = NonZeroU32::new(40).unwrap();

impl Default for Limits {
    /// 40 calls a second over all lanes, each lane with 3 calls at a time until
    /// it is given an entry of its own.
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            rate: Rate::per_second(RATE),
            burst: RATE.get(),
            launches: 10,
            queue: 10_000,
            lanes: BTreeMap::new(),
            other_lanes: LaneConfig::new(3),
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

    /// The configuration of lane `name`.
    pub fn lane(&self, name: &str) -> &LaneConfig {
        self.lanes.get(name).unwrap_or(&self.other_lanes)
    }
}
