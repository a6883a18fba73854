//! A user's session, and the access to Spotify that it gives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::lock::Mutex;

use super::Account;
use super::renewal::{Renewal, Renewed};
use crate::AppState;
use crate::clients::spotify::AccessTokens;
use crate::config::Secret;
use crate::music::User;
use spinlane_client::UpstreamError;
use spinlane_core::cache::session::SessionError;
use spinlane_core::ports::{BoxFuture, Instant};

/// A token that is younger was not the one that was refused: it came meanwhile.
const JUST_NOW: Duration = Duration::from_secs(5);

/// The session of a user who has connected Spotify. Clones are the same.
#[derive(Clone)]
pub(crate) struct UserSession(Arc<Inner>);

struct Inner {
    app: AppState,
    renewal: Renewal,
    user: Option<User>,
    state: Mutex<State>,
}

/// Held while a token is being renewed, so that one request does it once.
struct State {
    account: Account,
    /// When it was renewed here.
    renewed: Option<Instant>,
}

impl fmt::Debug for UserSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserSession")
            .field(&self.0.renewal.id)
            .finish()
    }
}

impl UserSession {
    /// The session that `token` opens. Two reads of the store.
    ///
    /// # Errors
    /// When it opens none, and when the store does not answer.
    pub(crate) async fn open(app: &AppState, token: Secret) -> Result<Self, SessionError> {
        let session = app.sessions.load::<Account>(token.expose()).await?;
        let renewal = Renewal {
            app: app.clone(),
            id: session.id().to_owned(),
            token,
        };
        Ok(Self(Arc::new(Inner {
            app: app.clone(),
            renewal,
            user: session.record.user.clone(),
            state: Mutex::new(State {
                account: session.record,
                renewed: None,
            }),
        })))
    }

    /// Names its user among all callers: the account where it is known, so that
    /// a new login is no new caller.
    pub(crate) fn caller(&self) -> String {
        match self.user() {
            Some(user) => format!("user {}", user.id),
            None => format!("session {}", self.0.renewal.id),
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
    async fn renew(&self, state: &mut State) -> Result<Secret, UpstreamError> {
        let account = match self.renewal.of(state.account.clone()).await? {
            Renewed::Elsewhere(account) => account,
            Renewed::Here(account) | Renewed::Unkept(account) => {
                state.renewed = Some(self.app.ports.clock.now());
                account
            }
        };
        state.account = account;
        Ok(state.account.newest().clone())
    }
}
