//! The limits of upstream calls, as configured.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::config::{self, Config, LimitScope};
use spinlane_client::Transport;
use spinlane_core::limit::{
    CallerLimit, CallerRuns, LaneConfig, LaneName, Limits, Orchestrator, Quota, Rate, Scope,
};
use spinlane_core::ports::Ports;
use spinlane_core::store::Store;

/// What carries calls to every upstream, by the one door.
pub(crate) fn transport(config: &Config, ports: &Ports, store: &Store) -> Transport {
    let orchestrator = Orchestrator::new(limits(config), ports, store);
    let mut transport = Transport::new(ports, &orchestrator);
    let set = config.limits();
    transport.timeouts = set.upstream_timeouts;
    transport.queue_deadline = set.queue_deadline;
    transport.budget = set.subrequest_budget.get();
    transport
}

fn limits(config: &Config) -> Limits {
    let set = config.limits();
    let scope = match set.scope {
        Some(LimitScope::Instance) => Scope::Instance,
        Some(LimitScope::Shared) | None => Scope::Shared,
    };
    let mut limits = Limits::default()
        .with_scope(scope)
        .with_rate(Rate::per_second(set.global_rps), set.global_rps.get())
        .with_other_lanes(lane(config, AT_A_TIME));
    limits.lanes = lanes(config);
    limits
}

/// What these two allow is a rate as well: calls a second, all of which may begin at
/// once after a quiet time.
const DEEZER_RATE: NonZeroU32 = NonZeroU32::new(10).unwrap();
const LASTFM_RATE: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// The lane of Spotify's accounts service: where its Web API asks for a pause of
/// hours, people log in all the same.
pub(crate) const ACCOUNTS: &str = "spotify-accounts";

/// Calls at a time of a lane that has no number of its own.
const AT_A_TIME: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// A lane for each upstream.
fn lanes(config: &Config) -> BTreeMap<LaneName, LaneConfig> {
    let at_a_time = &config.limits().lanes;
    let lane = |at_a_time| lane(config, at_a_time);
    let rated = |lane: LaneConfig, rate: NonZeroU32| lane.rate(Rate::per_second(rate), rate.get());
    BTreeMap::from([
        ("anthropic".into(), lane(at_a_time.anthropic)),
        ("spotify".into(), lane(at_a_time.spotify)),
        (ACCOUNTS.into(), lane(AT_A_TIME)),
        ("deezer".into(), rated(lane(at_a_time.deezer), DEEZER_RATE)),
        ("lastfm".into(), rated(lane(at_a_time.lastfm), LASTFM_RATE)),
    ])
}

fn lane(config: &Config, at_a_time: NonZeroU32) -> LaneConfig {
    LaneConfig::new(at_a_time.get()).timeouts(config.limits().upstream_timeouts)
}

/// What one caller may ask for, over all instances.
#[derive(Clone, Debug)]
pub(crate) struct CallerLimits {
    /// Whatever calls upstreams or writes: chats, enrichments, logins. By user where one
    /// is known, else by address.
    pub(crate) requests: CallerLimit,
    /// The same by the address of those who bring something to show whose it is, before
    /// that is looked at: many users may have one address.
    pub(crate) addresses: CallerLimit,
    /// Stops. Each leaves a word in the store, whether or not there is a run to
    /// read it; and who has used up all requests may still stop what they began.
    pub(crate) stops: CallerLimit,
    /// Chats and enrichments at a time.
    pub(crate) runs: CallerRuns,
    /// Runs that are read again, at a time.
    pub(crate) readers: CallerRuns,
}

/// Requests of an address, and stops, for each request of a caller.
const OF_AN_ADDRESS: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Readers of one caller at a time.
const READERS: NonZeroU32 = NonZeroU32::new(5).unwrap();

impl CallerLimits {
    /// The limits as configured; `None` where they are off, or where the host has no
    /// counters.
    pub(crate) fn new(config: &Config, store: &Store) -> Option<Self> {
        let config::CallerLimit { requests, window } = config.callers().limit?;
        let limit =
            |series, requests| CallerLimit::new(store, series, Quota::new(requests, window));
        let many = requests.saturating_mul(OF_AN_ADDRESS);
        Some(Self {
            requests: limit("requests", requests)?,
            addresses: limit("addresses", many)?,
            stops: limit("stops", many)?,
            runs: CallerRuns::new(store, config.callers().runs)?,
            readers: CallerRuns::of(store, "readers", READERS)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_upstream_has_a_lane() {
        let config = Config::new(|name| (name == "lane_limits").then(|| "spotify=4".into()));
        let limits = limits(&config);
        let lanes = limits.lanes.iter().map(|(name, lane)| {
            let rate = lane.limits.rate.map(|(_, burst)| burst);
            (name.as_ref(), lane.limits.concurrency, rate)
        });
        let expected = [
            ("anthropic", 2, None),
            ("deezer", 10, Some(10)),
            ("lastfm", 10, Some(5)),
            ("spotify", 4, None),
            ("spotify-accounts", 3, None),
        ];
        assert_eq!(lanes.collect::<Vec<_>>(), expected);
    }
}
