//! The parts without the DJ, in the fixture's component: limits, cache, waits.

mod cache;
mod fixture;
mod limits;
mod relay;
mod waits;
