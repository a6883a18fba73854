//! The upstream services, as typed calls.

pub(crate) mod anthropic;
mod error;

pub(crate) use error::{Failure, Service, UpstreamError};
