//! Limits on upstream calls: one door, [`Orchestrator::run`], and behind it
//! three layers in this order.
//!
//! 1. [`Budget`]: calls that one request may make.
//! 2. [`Lane`]: calls of one upstream at a time, and its rate where it has one;
//!    first in, first out within a [`Priority`]. The slot is held until the
//!    answer's body has ended.
//! 3. [`Global`]: calls of all lanes a second, and launches at a time.
//!
//! With [`Scope::Shared`] lanes and rates hold over all instances that have the
//! store in common ([`shared`]).
//!
//! ```
//! use std::num::NonZeroU32;
//!
//! use spinlane_core::limit::{Budget, Call, LaneConfig, Limits, Orchestrator, Priority, Rate};
//! use spinlane_core::ports::HttpError;
//! use spinlane_core::store::Store;
//! use spinlane_core::testing::{ScriptedHttp, World};
//! # use futures::{StreamExt, stream};
//!
//! // Two calls at a time and ten a second, of which five may begin at once.
//! let ten = Rate::per_second(NonZeroU32::new(10).unwrap());
//! let search = LaneConfig::new(2).rate(ten, 5);
//! let limits = Limits::default().with_lane("search", search);
//!
//! // In a component the ports come from the host.
//! let world = World::with_http(ScriptedHttp::new(|_| async {
//!     Ok::<_, HttpError>(http::Response::new(stream::empty().boxed()))
//! }));
//! let ports = world.ports();
//! let upstreams = Orchestrator::new(limits, &ports, &Store::open(&ports));
//!
//! let budget = Budget::new(50);
//! let call = Call::get("search", "https://search.example/", budget.clone())?;
//! let call = call.priority(Priority::Background);
//! let answered = world.run(upstreams.run(call))?;
//! assert_eq!((answered.stats.attempts, budget.used()), (1, 1));
//! // At most so many bytes of it are read; its slot is free then.
//! assert!(world.run(answered.bytes(4096))?.is_empty());
//!
//! // Limits change while they are in use, in this instance. What all instances
//! // have in common comes from their configuration.
//! let search = upstreams.lane(&"search".into()).expect("it is configured");
//! search.set_limit(1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod bucket;
mod budget;
mod call;
mod caller;
mod config;
mod decision;
mod gate;
mod global;
mod lane;
mod orchestrator;
mod retry;
mod running;
pub mod shared;

pub use bucket::{InvalidRate, Rate, TokenBucket, Wait};
pub use budget::{Budget, BudgetExhausted, Taken};
pub use call::{
    AnswerError, Answered, Beginning, BusyCause, Call, CallError, CallStats, Inspect, Observer,
};
pub use caller::CallerLimit;
pub use config::{LaneConfig, Limits, Scope};
pub use decision::{Decision, Quota, RATE_LIMIT, RATE_LIMIT_POLICY};
pub use global::{GLOBAL, Global};
pub use lane::{
    Acquire, Ask, Lane, LaneError, LaneLimits, LaneName, LaneSnapshot, Permit, Priority,
};
pub use orchestrator::{LaneStatus, Orchestrator};
#[cfg(any(test, feature = "testing"))]
pub(crate) use retry::jitter;
pub use retry::{RetryPolicy, Verdict, classify, is_retryable, retry_after};
pub use running::{CallerRuns, Running};
