//! Pure rules: no I/O, no host types, no clock reads.
//!
//! Everything here runs natively under `cargo test`, in virtual time (see
//! [`testing`]), and is compiled into the component unchanged.

pub mod abort;
pub mod cache;
pub(crate) mod hex;
pub mod limit;
pub mod log;
pub mod ports;
pub mod redact;
pub mod request_id;
pub mod scope;
pub mod sse;
pub mod store;
pub mod testing;
pub mod trace;
pub(crate) mod turn;
