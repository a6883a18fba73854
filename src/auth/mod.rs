//! Who a user is: login with Spotify, sessions, and the access that they give.
//!
//! The routes are in [`super::api`]; here is what they stand on.
//!
//! - A login is OAuth 2.0, authorization code with PKCE (S256): [`login`].
//! - What the user has allowed is a session's record: a [`Grant`], encrypted
//!   under the session's own token by [`spinlane_core::cache::session`].
//! - The page has the token in a cookie ([`cookie`]), everybody else sends it as
//!   `Authorization: Bearer`.
//! - Handlers take a [`MaybeSession`] and get a [`UserSession`], which gives
//!   Spotify's client its access tokens, and keeps them when they were renewed.
//!
//! [`Grant`]: crate::clients::spotify::Grant

pub(crate) mod code;
pub(crate) mod cookie;
pub(crate) mod login;
pub(crate) mod page;
pub(crate) mod same_site;
mod session;
#[cfg(test)]
mod tests;
mod user;

use std::sync::Arc;

pub(crate) use session::{Credentials, MaybeSession, cross_site, store_unavailable};
pub(crate) use user::UserSession;

use crate::clients::spotify::AccessTokens;
use crate::config::Secret;
use spinlane_client::UpstreamError;
use spinlane_core::limit::Observer;
use spinlane_core::ports::BoxFuture;

/// Nobody is told how a call goes.
struct Silent;

impl Observer for Silent {}

/// The observer of calls that nobody follows.
pub(crate) fn silent() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

/// The token that was granted just now, which is good or nothing is.
pub(crate) struct Granted(pub(crate) Secret);

impl AccessTokens for Granted {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Result<Secret, UpstreamError>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}
