//! Limits on upstream calls.

mod bucket;
mod budget;
mod lane;

pub use bucket::{InvalidRate, NotTaken, Rate, TokenBucket, TooHeavy, Wait};
pub use budget::{Budget, BudgetExhausted, Taken};
pub use lane::{
    Acquire, Ask, Lane, LaneError, LaneLimits, LaneName, LaneSnapshot, Permit, Priority,
};
