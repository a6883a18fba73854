//! What the tests of this crate stand on.

use std::sync::Arc;

use spinlane_core::limit::{Limits, Observer, Orchestrator};
use spinlane_core::store::Store;
use spinlane_core::testing::World;

use crate::Transport;

/// Calls in `world`.
pub(crate) fn transport(world: &World) -> Transport {
    let ports = world.ports();
    let store = Store::open(&ports);
    let orchestrator = Orchestrator::new(Limits::default(), &ports, &store);
    Transport::new(&ports, &orchestrator)
}

/// An observer that nobody looks at.
pub(crate) fn nobody() -> Arc<dyn Observer> {
    struct Nobody;
    impl Observer for Nobody {}
    Arc::new(Nobody)
}
