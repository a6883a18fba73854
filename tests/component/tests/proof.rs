//! That it keeps working: hosts that are killed, and a store that goes and comes back.

#[path = "proof/crash.rs"]
mod crash;
#[path = "proof/outage.rs"]
mod outage;
#[path = "proof/survivor.rs"]
mod survivor;
