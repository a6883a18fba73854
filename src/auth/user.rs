//! A user's session, and the access to Spotify that it gives.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::lock::Mutex;
use tracing::warn;

use super::silent;
use crate::AppState;
use crate::clients::spotify::accounts::{self, Accounts, TokenSet};
use crate::clients::spotify::{AccessTokens, Ended, Grant, TokenStore, Tokens};
use crate::config::Secret;
use crate::music::User;
use spinlane_client::UpstreamError;
use spinlane_core::cache::session::SessionError;
use spinlane_core::ports::BoxFuture;

/// The session of a user who has connected Spotify. Clones are the same.
#[derive(Clone)]
pub(crate) struct UserSession {
    id: Arc<str>,
    user: Option<Arc<User>>,
    tokens: Arc<Tokens>,
}

/// A grant that is a session's record. Its refresh token may be good once.
struct SessionRecord {
    app: AppState,
    /// What opens the session.
    token: Secret,
    /// Names it.
    id: Arc<str>,
}

impl fmt::Debug for UserSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserSession").field(&self.id).finish()
    }
}

impl UserSession {
    /// The session that `token` opens. Two reads of the store.
    ///
    /// # Errors
    /// When it opens none, and when the store does not answer.
    pub(crate) async fn open(app: &AppState, token: Secret) -> Result<Self, SessionError> {
        let session = app.sessions.load::<Grant>(token.expose()).await?;
        let id: Arc<str> = session.id().into();
        let record = SessionRecord {
            app: app.clone(),
            token,
            id: Arc::clone(&id),
        };
        Ok(Self {
            id,
            user: session.record.user.clone().map(Arc::new),
            tokens: Arc::new(Tokens::new(
                app,
                Arc::new(record),
                Arc::new(Mutex::new(session.record.into())),
            )),
        })
    }

    /// Names its user among all callers: the account where it is known, so that
    /// a new login is no new caller.
    pub(crate) fn caller(&self) -> String {
        match self.user() {
            Some(user) => format!("user {}", user.id),
            None => format!("session {}", self.id),
        }
    }

    /// Whose it is, where Spotify has said so.
    pub(crate) fn user(&self) -> Option<&User> {
        self.user.as_deref()
    }
}

impl AccessTokens for UserSession {
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, UpstreamError>> {
        self.tokens.token(refused)
    }
}

impl TokenStore for SessionRecord {
    fn load(&self) -> BoxFuture<'_, Result<Option<Grant>, Ended>> {
        async move {
            let session = self.app.sessions.load::<Grant>(self.token.expose()).await;
            match session {
                Ok(session) => Ok(Some(session.record)),
                Err(SessionError::Store(_)) => Ok(None),
                Err(_) => Err(Ended),
            }
        }
        .boxed()
    }

    fn keep<'a>(&'a self, grant: &'a Grant) -> BoxFuture<'a, Result<(), SessionError>> {
        async move { self.app.sessions.update(self.token.expose(), grant).await }.boxed()
    }

    fn ask<'a>(&'a self, old: Option<&'a Grant>) -> BoxFuture<'a, Result<TokenSet, UpstreamError>> {
        async move {
            let refresh = old.and_then(Grant::refresh);
            let refresh = refresh.ok_or_else(accounts::grant_ended)?;
            let accounts = Accounts::new(&self.app, silent());
            accounts.refresh(refresh).await
        }
        .boxed()
    }

    fn exclusive(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        async move {
            if let Err(error) = self.app.sessions.revoke(self.token.expose()).await {
                warn!(%error, "the session could not be removed: it ends by its time");
            }
        }
        .boxed()
    }
}
