//! The upstream services, as typed calls.

pub(crate) mod deezer;
pub(crate) mod lastfm;
pub(crate) mod spotify;
#[cfg(test)]
mod tests;
