//! The parts without the DJ, in components of their own: the fixture, and the example.

mod cache;
mod costs;
mod fixture;
mod limits;
mod relay;
mod waits;
