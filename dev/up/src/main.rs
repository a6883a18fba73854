//! The DJ on this machine.
fn main() {}
