//! What one caller, one model or one upstream may not do to the others: each defence
//! as a client meets it, in the real component.

#[path = "guard/callers.rs"]
mod callers;
#[path = "guard/heads.rs"]
mod heads;
#[path = "guard/load.rs"]
mod load;
#[path = "guard/operator.rs"]
mod operator;
#[path = "guard/upstreams.rs"]
mod upstreams;
#[path = "guard/writes.rs"]
mod writes;
