//! Limits on upstream calls.

mod budget;

pub use budget::Budget;
