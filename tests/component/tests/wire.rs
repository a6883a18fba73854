//! What clients see on the wire, in the embedded host and in others.

mod embedded;
mod hostile;
mod hosts;
mod segments;
