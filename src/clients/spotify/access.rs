//! Whose access the catalogue is asked with.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::lock::Mutex;
use serde::{Deserialize, Serialize};

use super::accounts::{Accounts, TokenSet};
use crate::config::Secret;
use crate::seal::Seal;
use crate::{AppState, stored};
use spinlane_client::UpstreamError;
use spinlane_core::cache::{Cached, Key};
use spinlane_core::limit::Observer;
use spinlane_core::ports::BoxFuture;

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

/// A token, and when it ends on the wall clock.
#[derive(Clone, Debug)]
struct Known {
    token: Secret,
    until: Duration,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Record {
    token: String,
    until_unix: u64,
}

/// Gets the application's own token: from this instance, from the store, or
/// from the accounts service, once at a time.
struct AppTokens {
    app: AppState,
    observer: Arc<dyn Observer>,
}

impl AccessTokens for AppTokens {
    fn token(&self, force_refresh: bool) -> BoxFuture<'_, Result<Secret, UpstreamError>> {
        async move {
            // Whoever comes meanwhile waits here, and then finds the token.
            let mut known = self.app.spotify_token.0.lock().await;
            let refused = known.take_if(|_| force_refresh);
            if let Some(known) = known.as_ref().filter(|known| self.is_good(known)) {
                return Ok(known.token.clone());
            }
            let token = self.other_than(refused, force_refresh).await?;
            Ok(known.insert(token).token.clone())
        }
        .boxed()
    }
}

impl AppTokens {
    fn is_good(&self, known: &Known) -> bool {
        self.app.ports.clock.unix() + MARGIN < known.until
    }

    /// A token that this instance does not have yet. After a refusal another
    /// instance may have got one already: then that is it.
    async fn other_than(
        &self,
        refused: Option<Known>,
        force_refresh: bool,
    ) -> Result<Known, UpstreamError> {
        let may_be_stored = !force_refresh || refused.is_some();
        if let Some(stored) = self.stored().await.filter(|_| may_be_stored)
            && refused.is_none_or(|refused| refused.token != stored.token)
        {
            return Ok(stored);
        }
        let accounts = Accounts::new(&self.app, Arc::clone(&self.observer));
        let granted = accounts.client_credentials().await?;
        let known = self.known(granted);
        self.store(&known).await;
        Ok(known)
    }

    fn known(&self, granted: TokenSet) -> Known {
        Known {
            until: self.app.ports.clock.unix() + granted.expires_in,
            token: granted.access_token,
        }
    }

    async fn stored(&self) -> Option<Known> {
        let (key, seal) = self.place()?;
        let cache = self.app.cache.typed::<String>(&stored::SPOTIFY_TOKEN);
        let Cached::Hit(sealed) = cache.get(&key).await else {
            return None;
        };
        let record: Record = serde_json::from_slice(&seal.open(&sealed)?).ok()?;
        let known = Known {
            token: Secret::new(record.token),
            until: Duration::from_secs(record.until_unix),
        };
        self.is_good(&known).then_some(known)
    }

    async fn store(&self, known: &Known) {
        let record = Record {
            token: known.token.expose().to_owned(),
            until_unix: known.until.as_secs(),
        };
        let sealed = self.place().and_then(|(key, seal)| {
            let record = serde_json::to_vec(&record).ok()?;
            Some((key, seal.close(&*self.app.ports.entropy, &record)?))
        });
        if let Some((key, sealed)) = sealed {
            self.app
                .cache
                .typed(&stored::SPOTIFY_TOKEN)
                .put(&key, Some(&sealed))
                .await;
        }
    }

    /// Where the token of this client, of this service, is in the store; and
    /// what opens it.
    fn place(&self) -> Option<(Key, Seal)> {
        let config = self.app.config.spotify();
        let id = config.client_id.as_deref()?;
        let key = Key::exact([config.accounts_url.as_str(), id]);
        let seal = Seal::new(config.client_secret.as_ref()?, "spinlane spotify token v1");
        Some((key, seal?))
    }
}
