//! What the tests of this crate stand on.

use std::sync::Arc;

use spinlane_core::limit::{LaneConfig, Limits, Observer};
use spinlane_core::resources::Resources;
use spinlane_core::testing::World;

use crate::Transport;

/// Calls in `world`.
pub(crate) fn transport(world: &World) -> Transport {
    let ports = world.ports();
    let limits = Limits::default().with_other_lanes(LaneConfig::new(3));
    Transport::new(&ports, &Resources::open(&ports, limits).upstreams)
}

/// An observer that nobody looks at.
pub(crate) fn nobody() -> Arc<dyn Observer> {
    Arc::new(())
}
