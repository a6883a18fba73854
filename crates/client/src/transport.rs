//! What carries the calls of an application.

use std::sync::Arc;
use std::time::Duration;

use spinlane_core::limit::{Budget, Orchestrator};
use spinlane_core::ports::{Clock, Ports, Spawner, Timeouts};

/// What every call needs of the application that makes it. Clones are the same.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_client::Transport;
/// use spinlane_core::limit::{LaneConfig, Limits};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::World;
///
/// let ports = World::new().ports();
/// let limits = Limits::default().with_other_lanes(LaneConfig::new(3));
/// let resources = Resources::open(&ports, limits);
/// let mut transport = Transport::new(&ports, &resources.upstreams);
/// transport.queue_deadline = Duration::from_secs(5);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Transport {
    /// The one door to every upstream.
    pub orchestrator: Orchestrator,
    /// Time, for logs and for what stalls.
    pub clock: Arc<dyn Clock>,
    /// Runs what goes on beside a request.
    pub spawner: Arc<dyn Spawner>,
    /// How long one of many calls at once may take; a lane has its own for the others.
    pub timeouts: Timeouts,
    /// How long a call waits for its turn, 30 s at first.
    pub queue_deadline: Duration,
    /// Upstream calls that may be made outside a request, which has a budget of its own.
    pub budget: u32,
}

impl Transport {
    /// Calls through `orchestrator`, with defaults for the rest.
    pub fn new(ports: &Ports, orchestrator: &Orchestrator) -> Self {
        Self {
            orchestrator: orchestrator.clone(),
            clock: Arc::clone(&ports.clock),
            spawner: Arc::clone(&ports.spawner),
            timeouts: Timeouts::default(),
            queue_deadline: Duration::from_secs(30),
            budget: Budget::DEFAULT,
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("timeouts", &self.timeouts)
            .field("queue_deadline", &self.queue_deadline)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
