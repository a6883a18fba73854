//! Whose access the catalogue is asked with.

use std::sync::Arc;

use futures::FutureExt;
use futures::lock::Mutex;
use serde::{Deserialize, Serialize};

use super::accounts::{Accounts, TokenSet};
use super::grant::Grant;
use super::tokens::{AccessTokens, Ended, Held, TokenStore, Tokens};
use crate::aead::Cipher;
use crate::config::Secret;
use crate::{AppState, stored};
use spinlane_client::UpstreamError;
use spinlane_core::cache::session::SessionError;
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
            Self::App => {
                let store = SealedToken {
                    app: app.clone(),
                    observer,
                };
                Arc::new(Tokens::new(
                    app,
                    Arc::new(store),
                    Arc::clone(&app.spotify_token.0),
                ))
            }
            Self::User(tokens) => tokens,
        }
    }
}

/// The application's own token, as this instance knows it.
#[derive(Debug, Default)]
pub(crate) struct AppToken(Arc<Mutex<Held>>);

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Record {
    token: String,
    until_unix: u64,
}

/// The application's own token in the cache, sealed. Any number of them may be good.
struct SealedToken {
    app: AppState,
    observer: Arc<dyn Observer>,
}

impl TokenStore for SealedToken {
    fn load(&self) -> BoxFuture<'_, Result<Option<Grant>, Ended>> {
        async move { Ok(self.read().await) }.boxed()
    }

    fn keep<'a>(&'a self, grant: &'a Grant) -> BoxFuture<'a, Result<(), SessionError>> {
        async move {
            let record = Record {
                token: grant.access().expose().to_owned(),
                until_unix: grant.until(),
            };
            let sealed = self.place().and_then(|(key, cipher)| {
                let record = serde_json::to_vec(&record).ok()?;
                Some((key, cipher.encrypt(&*self.app.ports.entropy, &record)?))
            });
            if let Some((key, sealed)) = sealed {
                let cache = self.app.cache.typed(&stored::SPOTIFY_TOKEN);
                cache.put(&key, Some(&sealed)).await;
            }
            Ok(())
        }
        .boxed()
    }

    fn ask<'a>(&'a self, _: Option<&'a Grant>) -> BoxFuture<'a, Result<TokenSet, UpstreamError>> {
        async move {
            let accounts = Accounts::new(&self.app, Arc::clone(&self.observer));
            accounts.client_credentials().await
        }
        .boxed()
    }

    fn exclusive(&self) -> Option<&str> {
        None
    }

    /// Nothing is kept by which it would be renewed.
    fn end(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

impl SealedToken {
    async fn read(&self) -> Option<Grant> {
        let (key, cipher) = self.place()?;
        let cache = self.app.cache.typed::<String>(&stored::SPOTIFY_TOKEN);
        let Cached::Hit(sealed) = cache.get(&key).await else {
            return None;
        };
        let record: Record = serde_json::from_slice(&cipher.decrypt(&sealed)?).ok()?;
        let token = Secret::new(record.token);
        Some(Grant::of_application(token, record.until_unix))
    }

    /// The place in the store of the token of this client, of this service; and
    /// what opens it.
    fn place(&self) -> Option<(Key, Cipher)> {
        let config = self.app.config.spotify();
        let id = config.client_id.as_deref()?;
        let key = Key::exact([config.accounts_url.as_str(), id]);
        let cipher = Cipher::new(config.client_secret.as_ref()?, "spinlane spotify token v1");
        Some((key, cipher))
    }
}
