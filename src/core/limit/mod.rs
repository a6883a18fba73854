//! Limits on upstream calls.

mod adaptive;
mod body;
mod bucket;
mod budget;
mod call;
mod caller;
mod config;
mod gate;
mod global;
mod lane;
mod orchestrator;
mod retry;
pub mod shared;

pub use adaptive::{Adaptive, AdaptiveLimits, Sample};
pub use bucket::{InvalidRate, NotTaken, Rate, TokenBucket, TooHeavy, Wait};
pub use budget::{Budget, BudgetExhausted, Taken};
pub use call::{Answered, Call, CallError, CallStats, Inspect, Observer};
pub use caller::{CallerLimit, Decision, Quota};
pub use config::{LaneConfig, Limits, Scope};
pub use global::{GLOBAL, Global};
pub use lane::{
    Acquire, Ask, Lane, LaneError, LaneLimits, LaneName, LaneSnapshot, Permit, Priority,
};
pub use orchestrator::{LaneStatus, Orchestrator};
pub use retry::{RetryPolicy, Verdict, classify, is_retryable, retry_after};
