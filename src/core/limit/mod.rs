//! Limits on upstream calls.

mod bucket;
mod budget;

pub use bucket::{InvalidRate, NotTaken, Rate, TokenBucket, TooHeavy, Wait};
pub use budget::{Budget, BudgetExhausted, Taken};
