//! Spotify's accounts service: where tokens come from.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use serde::Deserialize;

use crate::AppState;
use crate::config::Secret;
use crate::error::code;
use crate::limits::ACCOUNTS;
use spinlane_client::{
    Api, ApiRequest, ApiSpec, Failure, Meaning, Service, ServiceError, UpstreamError,
};
use spinlane_core::limit::Observer;
use spinlane_core::ports::{HttpError, TimeoutPhase};

static SERVICE: Service = Service::new("spotify", "Spotify", "spotify_accounts_url")
    .key("spotify_client_secret")
    .not_found("check the variable `spotify_accounts_url`");

static SPEC: ApiSpec = ApiSpec::new(&SERVICE).lane(ACCOUNTS).read_error(read_error);

/// What is refused: `{"error": "invalid_grant", "error_description": …}`.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

fn read_error(body: &[u8]) -> Option<ServiceError> {
    let answer: ErrorAnswer = serde_json::from_slice(body).ok()?;
    let meaning = match answer.error.as_str() {
        "invalid_grant" => Some(Meaning::Grant),
        "invalid_client" | "unauthorized_client" => Some(Meaning::Code(code::UPSTREAM_AUTH)),
        _ => None,
    };
    let message = answer.error_description.unwrap_or(answer.error);
    Some(ServiceError::new(meaning, message))
}

/// What a grant gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenSet {
    pub(crate) access_token: Secret,
    /// Absent in an answer to a refresh: the old one stays good.
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) expires_in: Duration,
    /// What was allowed, separated by spaces.
    pub(crate) scope: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default = "an_hour")]
    expires_in: u64,
    #[serde(default)]
    scope: Option<String>,
}

/// What is assumed where the service does not say.
const fn an_hour() -> u64 {
    3_600
}

/// What is said to last for longer is renewed all the same, and no time that is
/// reckoned from it runs over.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// A grant that has ended without the service having to say so.
pub(crate) fn grant_ended() -> UpstreamError {
    UpstreamError::new(&SERVICE, Failure::Grant)
}

/// There was no answer within the time that there is.
pub(crate) fn too_long() -> UpstreamError {
    let failure = Failure::Http(HttpError::Timeout(TimeoutPhase::FirstByte));
    UpstreamError::new(&SERVICE, failure)
}

/// A grant that was refused, while somebody else may have got another.
pub(crate) fn in_doubt() -> UpstreamError {
    let detail = "the login is being renewed elsewhere".into();
    let failure = Failure::Reported {
        code: code::UPSTREAM_ERROR,
        status: None,
        detail,
    };
    UpstreamError::new(&SERVICE, failure)
}

/// The accounts service, as configured.
pub(crate) struct Accounts {
    app: AppState,
    api: Api,
}

impl Accounts {
    /// `observer` is told how its calls go.
    pub(crate) fn new(app: &AppState, observer: Arc<dyn Observer>) -> Self {
        let api = Api::new(
            app.transport(),
            &SPEC,
            &app.config.spotify().accounts_url,
            observer,
        );
        let app = app.clone();
        Self { app, api }
    }

    /// The same, paid from `budget`.
    #[cfg(test)]
    pub(super) fn paid_by(&self, budget: spinlane_core::limit::Budget) -> Self {
        let (app, api) = (self.app.clone(), self.api.paid_by(budget));
        Self { app, api }
    }

    /// The application's own token.
    ///
    /// # Errors
    /// When there is no good answer, or the application has no id and secret.
    pub(crate) async fn client_credentials(&self) -> Result<TokenSet, UpstreamError> {
        let fields = [("grant_type", "client_credentials")];
        let ask = ApiRequest::post("get the application's token", "/api/token").form(&fields);
        self.token(ask.repeatable(), &[]).await
    }

    /// A user's tokens, for the code that the login has brought. A code is good
    /// once, so this is sent once.
    ///
    /// # Errors
    /// When there is no good answer; [`Failure::Grant`] when the code is not
    /// accepted.
    pub(crate) async fn exchange_code(
        &self,
        code: &Secret,
        verifier: &Secret,
        redirect_uri: &str,
    ) -> Result<TokenSet, UpstreamError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier.expose()),
        ];
        let ask = ApiRequest::post("exchange a code", "/api/token").form(&fields);
        self.token(ask, &[code, verifier]).await
    }

    /// A user's new token. May be sent again: should a reply be lost, the old
    /// refresh token is lost with it or good as before.
    ///
    /// # Errors
    /// When there is no good answer; [`Failure::Grant`] when the user has to
    /// log in again.
    pub(crate) async fn refresh(&self, refresh_token: &Secret) -> Result<TokenSet, UpstreamError> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose()),
        ];
        let ask = ApiRequest::post("refresh a token", "/api/token").form(&fields);
        self.token(ask.repeatable(), &[refresh_token]).await
    }

    async fn token(&self, ask: ApiRequest, hidden: &[&Secret]) -> Result<TokenSet, UpstreamError> {
        let config = self.app.config.spotify();
        let unset = |variable| self.api.fail(Failure::NotConfigured(variable));
        let id = config.client_id.as_ref();
        let id = id.ok_or_else(|| unset("spotify_client_id"))?;
        let secret = config.client_secret.as_ref();
        let secret = secret.ok_or_else(|| unset("spotify_client_secret"))?;
        let basic = BASE64_STANDARD.encode(format!("{id}:{}", secret.expose()));
        let ask = ask
            .header(AUTHORIZATION, format!("Basic {basic}"))
            .overhead();
        let api = self.api.clone().hiding(secret);
        let api = hidden.iter().fold(api, |api, secret| api.hiding(secret));
        let answer: TokenAnswer = api.must(&ask).await?.json()?;
        Ok(TokenSet {
            access_token: Secret::new(answer.access_token),
            refresh_token: answer.refresh_token.map(Secret::new),
            expires_in: Duration::from_secs(answer.expires_in).min(MAX_LIFE),
            scope: answer.scope.unwrap_or_default(),
        })
    }
}
