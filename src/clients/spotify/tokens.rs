//! Access tokens, as long as they are good, and new ones after that: the same for the
//! application's own grant and for a user's, which are kept in different places.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::lock::Mutex;

use super::accounts::TokenSet;
use super::grant::Grant;
use super::renewal::Renewal;
use crate::AppState;
use crate::config::Secret;
use spinlane_client::UpstreamError;
use spinlane_core::cache::session::SessionError;
use spinlane_core::ports::BoxFuture;

/// A source of access tokens.
pub(crate) trait AccessTokens: Send + Sync {
    /// A token that is good as far as is known, and not the one that was `refused`.
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, UpstreamError>>;
}

/// The place where a grant is kept for all instances, and the way to get it.
pub(crate) trait TokenStore: Send + Sync {
    /// What is kept now. `None` when there is nothing, or nobody can say.
    ///
    /// # Errors
    /// When there will be nothing any more: its owner has ended it.
    fn load(&self) -> BoxFuture<'_, Result<Option<Grant>, Ended>>;

    /// Keeps `grant`.
    ///
    /// # Errors
    /// When it could not be kept: it was ended, or the store fails.
    fn keep<'a>(&'a self, grant: &'a Grant) -> BoxFuture<'a, Result<(), SessionError>>;

    /// Asks for tokens in place of `old`.
    ///
    /// # Errors
    /// When there is no good answer.
    fn ask<'a>(&'a self, old: Option<&'a Grant>) -> BoxFuture<'a, Result<TokenSet, UpstreamError>>;

    /// Names the grant among all, where a renewal makes the tokens before it worthless:
    /// then one instance at a time may renew it. `None` where any number may be good.
    fn exclusive(&self) -> Option<&str>;

    /// Ends it: it is not renewed any more.
    fn end(&self) -> BoxFuture<'_, ()>;
}

/// The owner of a grant has ended it.
pub(crate) struct Ended;

/// What an instance knows of a grant.
#[derive(Debug, Default)]
pub(crate) struct Held {
    grant: Option<Grant>,
    /// Whether its access token was refused, and must not be given again.
    refused: bool,
}

impl From<Grant> for Held {
    fn from(grant: Grant) -> Self {
        Self {
            grant: Some(grant),
            refused: false,
        }
    }
}

impl Held {
    fn usable(&self, now: Duration) -> Option<&Secret> {
        let grant = self.grant.as_ref().filter(|_| !self.refused);
        grant.and_then(|grant| grant.usable(now))
    }
}

/// The access tokens of one grant.
pub(crate) struct Tokens {
    app: AppState,
    store: Arc<dyn TokenStore>,
    /// Locked while the grant is being renewed, so that an instance does it once.
    held: Arc<Mutex<Held>>,
}

impl Tokens {
    /// The tokens of the grant in `store`, of which `held` is known here.
    pub(crate) fn new(app: &AppState, store: Arc<dyn TokenStore>, held: Arc<Mutex<Held>>) -> Self {
        let app = app.clone();
        Self { app, store, held }
    }
}

impl AccessTokens for Tokens {
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, UpstreamError>> {
        async move {
            // Whoever comes meanwhile waits here, and then finds the token.
            let mut held = self.held.lock().await;
            let access = held.grant.as_ref().map(Grant::access);
            held.refused |= refused.is_some() && refused == access;
            if let Some(access) = held.usable(self.app.ports.clock.unix()) {
                return Ok(access.clone());
            }
            let renewal = Renewal::new(&self.app, &self.store);
            let grant = renewal.grant(held.grant.clone()).await?;
            let access = grant.access().clone();
            *held = grant.into();
            Ok(access)
        }
        .boxed()
    }
}
