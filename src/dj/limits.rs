//! The limits of upstream calls, as configured.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::config::{self, Config, LimitScope};
use crate::core::limit::shared::{Health, Shared};
use crate::core::limit::{CallerLimit, LaneConfig, Limits, Orchestrator, Quota, Rate, Scope};
use crate::core::ports::Ports;

/// The orchestrator in front of every upstream.
pub(crate) fn orchestrator(config: &Config, ports: &Ports, health: Arc<Health>) -> Orchestrator {
    Orchestrator::with_health(limits(config), ports.clone(), health)
}

fn limits(config: &Config) -> Limits {
    let set = &config.limits;
    let defaults = Limits::default();
    let lanes = [
        ("anthropic", set.lanes.anthropic),
        ("spotify", set.lanes.spotify),
        ("deezer", set.lanes.deezer),
        ("lastfm", set.lanes.lastfm),
    ];
    let lane = |(name, concurrency): (&'static str, NonZeroU32)| {
        let mut lane: LaneConfig = *defaults.lane(name);
        lane.limits.concurrency = concurrency.get();
        lane.timeouts = config.upstream_timeouts;
        (name.into(), lane)
    };
    Limits {
        scope: match set.scope {
            Some(LimitScope::Instance) => Scope::Instance,
            Some(LimitScope::Shared) | None => Scope::Shared,
        },
        rate: Rate::per_second(set.global_rps),
        burst: set.global_rps.get(),
        lanes: lanes.map(lane).into(),
        ..defaults
    }
}

/// The quota of the chat's callers; `None` where it is off, or where the host
/// has no counters.
pub(crate) fn caller_limit(
    config: &Config,
    ports: &Ports,
    health: Arc<Health>,
) -> Option<CallerLimit> {
    let config::CallerLimit { requests, window } = config.limits.caller?;
    let shared = Shared::new(ports, health)?;
    Some(CallerLimit::new(shared, "chat", Quota { requests, window }))
}
