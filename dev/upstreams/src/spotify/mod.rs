//! Spotify: the Web API, and beside it on a port of its own the accounts
//! service. Both know the same tokens.

mod accounts;
mod browse;
mod consent;
mod edit;
mod objects;
mod playlists;
mod tokens;
mod world;

pub(crate) use accounts::{routes as accounts_routes, wrong as accounts_wrong};
pub use playlists::Playlists;
pub use tokens::{Granted, Tokens};
pub(crate) use world::{World, images, routes, wrong};

#[cfg(test)]
mod tests;
