//! Runs that outlive their connections: in the real component, over hosts, on stores in
//! trouble, and where there is nothing to outlive them.

#[path = "runs/again.rs"]
mod again;
#[path = "runs/ends.rs"]
mod ends;
#[path = "runs/keys.rs"]
mod keys;
#[path = "runs/plain.rs"]
mod plain;
#[path = "runs/private.rs"]
mod private;
#[path = "runs/trouble.rs"]
mod trouble;
