//! The upstream services, as typed calls.

pub(crate) mod anthropic;
mod api;
pub(crate) mod deezer;
mod error;
pub(crate) mod lastfm;
pub(crate) mod spotify;

pub(crate) use error::{Failure, Refusal, Service, UpstreamError};
