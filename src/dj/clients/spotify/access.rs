//! Whose access the catalogue is asked with.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::lock::Mutex;

use super::accounts::Accounts;
use crate::core::limit::Observer;
use crate::core::ports::{BoxFuture, Instant};
use crate::dj::AppState;
use crate::dj::clients::UpstreamError;
use crate::dj::config::Secret;

/// Whose access it is.
#[derive(Clone)]
pub(crate) enum Access {
    /// The application's own: everything that is public.
    App,
    /// A user's, who has allowed it.
    User(Arc<dyn AccessTokens>),
}

impl Access {
    pub(super) fn tokens(
        self,
        app: &AppState,
        observer: Arc<dyn Observer>,
    ) -> Arc<dyn AccessTokens> {
        match self {
            Self::App => Arc::new(AppTokens {
                app: app.clone(),
                observer,
            }),
            Self::User(tokens) => tokens,
        }
    }
}

/// Where access tokens come from.
pub(crate) trait AccessTokens: Send + Sync {
    /// A token that is good as far as is known. `force_refresh`: the last one
    /// was refused, and must not be given again.
    fn token(&self, force_refresh: bool) -> BoxFuture<'_, Result<Secret, UpstreamError>>;
}

/// A token is given up so long before its end: it must last for the call that
/// it is given to.
const MARGIN: Duration = Duration::from_secs(60);

/// The application's own token, as this instance knows it.
#[derive(Debug, Default)]
pub(crate) struct AppToken(Mutex<Option<Known>>);

#[derive(Clone, Debug)]
struct Known {
    token: Secret,
    until: Instant,
}

/// Asks for the application's own token, once at a time.
struct AppTokens {
    app: AppState,
    observer: Arc<dyn Observer>,
}

impl AccessTokens for AppTokens {
    fn token(&self, force_refresh: bool) -> BoxFuture<'_, Result<Secret, UpstreamError>> {
        async move {
            // Whoever comes meanwhile waits here, and then finds the token.
            let mut known = self.app.spotify_token.0.lock().await;
            let now = self.app.ports.clock.now();
            if let Some(known) = known.as_ref().filter(|known| known.until > now)
                && !force_refresh
            {
                return Ok(known.token.clone());
            }
            let accounts = Accounts::new(&self.app, Arc::clone(&self.observer));
            let granted = accounts.client_credentials().await?;
            *known = Some(Known {
                token: granted.access_token.clone(),
                until: now + granted.expires_in.saturating_sub(MARGIN),
            });
            Ok(granted.access_token)
        }
        .boxed()
    }
}
