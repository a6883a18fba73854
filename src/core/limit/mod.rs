//! Limits on upstream calls.

mod bucket;
mod budget;
mod global;
mod lane;
mod retry;
pub mod shared;

pub use bucket::{InvalidRate, NotTaken, Rate, TokenBucket, TooHeavy, Wait};
pub use budget::{Budget, BudgetExhausted, Taken};
pub use global::{GLOBAL, Global};
pub use lane::{
    Acquire, Ask, Lane, LaneError, LaneLimits, LaneName, LaneSnapshot, Permit, Priority,
};
pub use retry::{RetryPolicy, Verdict, classify, is_retryable, retry_after};
