//! A user's session, and the access to Spotify that it gives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::lock::Mutex;
use tracing::{info, warn};

use super::{Account, silent};
use crate::core::cache::session::SessionError;
use crate::core::ports::{BoxFuture, Instant};
use crate::dj::AppState;
use crate::dj::clients::spotify::AccessTokens;
use crate::dj::clients::spotify::accounts::{self, Accounts};
use crate::dj::clients::{Failure, UpstreamError};
use crate::dj::config::Secret;
use crate::dj::music::User;

/// A token that is younger was not the one that was refused: it came meanwhile.
const JUST_NOW: Duration = Duration::from_secs(5);

/// The session of a user who has connected Spotify. Clones are the same.
#[derive(Clone)]
pub(crate) struct UserSession(Arc<Inner>);

struct Inner {
    app: AppState,
    token: Secret,
    /// Tells sessions apart, and opens none.
    id: String,
    user: Option<User>,
    state: Mutex<State>,
}

/// Held while a token is being renewed, so that one request does it once.
struct State {
    account: Account,
    renewed: Option<Instant>,
}

impl fmt::Debug for UserSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserSession").field(&self.0.id).finish()
    }
}

impl UserSession {
    /// The session that `token` opens. One read of the store.
    ///
    /// # Errors
    /// When it opens none, and when the store does not answer.
    pub(crate) async fn open(app: &AppState, token: Secret) -> Result<Self, SessionError> {
        let session = app.sessions.load::<Account>(token.expose()).await?;
        Ok(Self(Arc::new(Inner {
            app: app.clone(),
            id: session.id().to_owned(),
            user: session.record.user.clone(),
            state: Mutex::new(State {
                account: session.record,
                renewed: None,
            }),
            token,
        })))
    }

    /// Names its user among all callers: the account where it is known, so that
    /// a new login is no new caller.
    pub(crate) fn caller(&self) -> String {
        match self.user() {
            Some(user) => format!("user {}", user.id),
            None => format!("session {}", self.0.id),
        }
    }

    /// Whose it is, where Spotify has said so.
    pub(crate) fn user(&self) -> Option<&User> {
        self.0.user.as_ref()
    }
}

impl AccessTokens for UserSession {
    fn token(&self, force_refresh: bool) -> BoxFuture<'_, Result<Secret, UpstreamError>> {
        async move {
            let Inner { app, state, .. } = &*self.0;
            let mut state = state.lock().await;
            let now = app.ports.clock.now();
            let just_now = |renewed| now - renewed < JUST_NOW;
            let wanted = force_refresh && !state.renewed.is_some_and(just_now);
            match state.account.access(app.ports.clock.unix()) {
                Some(access) if !wanted => Ok(access.clone()),
                _ => self.0.renew(&mut state).await,
            }
        }
        .boxed()
    }
}

impl Inner {
    /// Gets a new access token, unless another instance has done so, and keeps
    /// it. A session whose grant has ended ends with it.
    async fn renew(&self, state: &mut State) -> Result<Secret, UpstreamError> {
        if let Some(access) = self.renewed_elsewhere(state).await? {
            return Ok(access);
        }
        let accounts = Accounts::new(&self.app, silent());
        let granted = match accounts.refresh(state.account.refresh()).await {
            Ok(granted) => granted,
            Err(error) if matches!(error.failure, Failure::Grant) => {
                // Where each refresh token is good once, somebody may have been
                // faster.
                if let Some(access) = self.renewed_elsewhere(state).await? {
                    return Ok(access);
                }
                self.end().await;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let access = granted.access_token.clone();
        state.account.renew(granted, self.app.ports.clock.unix());
        state.renewed = Some(self.app.ports.clock.now());
        let kept = self
            .app
            .sessions
            .update(self.token.expose(), &state.account);
        if let Err(error) = kept.await {
            // This request goes on with what it has got.
            warn!(%error, "a renewed token could not be kept: the next request renews it again");
        }
        Ok(access)
    }

    /// The access token that another instance has got and kept meanwhile.
    async fn renewed_elsewhere(&self, state: &mut State) -> Result<Option<Secret>, UpstreamError> {
        let stored = match self.app.sessions.load::<Account>(self.token.expose()).await {
            Ok(session) => session.record,
            // Nobody can say: on with what is known.
            Err(SessionError::Store(_)) => return Ok(None),
            // Logged out meanwhile.
            Err(_) => return Err(accounts::grant_ended()),
        };
        if !stored.differs(&state.account) {
            return Ok(None);
        }
        state.account = stored;
        let access = state.account.access(self.app.ports.clock.unix());
        Ok(access.cloned())
    }

    async fn end(&self) {
        info!("Spotify does not accept this login any more: its session has ended");
        if let Err(error) = self.app.sessions.revoke(self.token.expose()).await {
            warn!(%error, "the session could not be removed: it ends by its time");
        }
    }
}
