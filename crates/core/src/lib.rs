//! Spinlane's rules: no I/O, no host types, no clock reads.
//!
//! They reach the world through [`ports`], so everything here runs natively under
//! `cargo test`, in virtual time (`testing`, behind the feature of that name), and is
//! compiled into a component unchanged. Native programs can use it as well.
//!
//! - [`sse`]: event streams, written and read.
//! - [`limit`]: budget, lanes and rates of upstream calls; quotas of callers.
//! - [`store`], [`cache`]: what instances have in common, and what expires in it.
//! - [`resources`]: the three in one constructor.
//! - [`runlog`]: what runs have said, kept in the store to be read again.
//! - [`error`]: the error object, and the codes that programs decide by.
//! - [`abort`], [`scope`], [`trace`], [`request_id`], [`log`], [`redact`]: what a
//!   request carries, and what its log may say.
//! - [`media_type`], [`hex`], [`seal`], [`turn`]: small things that several of these need.

pub mod abort;
pub mod cache;
pub mod error;
pub mod hex;
pub mod limit;
pub mod log;
pub mod media_type;
pub mod ports;
pub mod redact;
pub mod request_id;
pub mod resources;
pub mod runlog;
pub mod scope;
pub mod seal;
pub mod sse;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trace;
pub mod turn;
mod waiters;
