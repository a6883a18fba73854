//! Whether the operator asks.

use http::{HeaderMap, HeaderName};

use super::caller::{self, Admitted};
use crate::AppState;
use crate::config::{AdminToken, Environment, Secret};
use spinlane_http::problem::Problem;

/// Carries the operator's token.
pub(super) const X_ADMIN_TOKEN: HeaderName = HeaderName::from_static("x-admin-token");

/// The token that opens what is the operator's. Where it could be guessed there is
/// none, and the log says so to whom it concerns.
pub(super) fn token(app: &AppState) -> Option<&Secret> {
    let token = &app.config.operator().admin_token;
    if *token == AdminToken::TooShort {
        let least = AdminToken::MIN_LENGTH;
        tracing::error!(
            "`admin_token` has fewer than {least} characters, so the operator's routes stay \
             closed: set a longer one"
        );
    }
    token.secret()
}

/// Whether `headers` show the operator. Who sends another token is noted in the log, and
/// counted: by its address, once in a request.
///
/// # Errors
/// 429 when the address has used its quota, which is looked at before the token is:
/// nobody goes on guessing. 503 when the store does not say.
pub(super) async fn asks(
    app: &AppState,
    headers: &HeaderMap,
    admitted: Admitted,
) -> Result<bool, Problem> {
    let Some(given) = headers.get(X_ADMIN_TOKEN) else {
        return Ok(false);
    };
    let Some(token) = token(app) else {
        return Ok(false);
    };
    let counted = matches!(admitted, Admitted::AsCaller(_));
    if !counted {
        caller::refuse_used_up(app, headers).await?;
    }
    if given.to_str().is_ok_and(|given| token.matches(given)) {
        return Ok(true);
    }
    tracing::warn!("a request brought an operator's token that is not the operator's");
    if !counted {
        caller::count_address(app, headers).await?;
    }
    Ok(false)
}

/// Whether who sent `headers` may see what names more than users should: the log of
/// a request, addresses in the configuration. Before real users that takes the
/// operator's token.
///
/// # Errors
/// As [`asks`].
pub(super) async fn may_look(
    app: &AppState,
    headers: &HeaderMap,
    admitted: Admitted,
) -> Result<bool, Problem> {
    match app.config.operator().environment {
        Environment::Production => asks(app, headers, admitted).await,
        Environment::Development | Environment::Staging => Ok(true),
    }
}
