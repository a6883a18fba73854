//! What the tests of this crate stand on.

use std::sync::Arc;

use spinlane_core::limit::{Limits, Observer};
use spinlane_core::store::Store;
use spinlane_core::testing::World;

use crate::Transport;

/// Calls in `world`.
pub(crate) fn transport(world: &World) -> Transport {
    let ports = world.ports();
    Transport::limited(&ports, &Store::open(&ports), Limits::default())
}

/// An observer that nobody looks at.
pub(crate) fn nobody() -> Arc<dyn Observer> {
    Arc::new(())
}
