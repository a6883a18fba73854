//! Whether the operator asks.

use http::{HeaderMap, HeaderName};

use crate::dj::AppState;
use crate::dj::config::{AdminToken, Environment, Secret};

/// Carries the operator's token.
pub(super) const X_ADMIN_TOKEN: HeaderName = HeaderName::from_static("x-admin-token");

/// The token that opens what is the operator's. Where it could be guessed there is
/// none, and the log says so to whom it concerns.
pub(super) fn token(app: &AppState) -> Option<&Secret> {
    let token = &app.config.admin_token;
    if *token == AdminToken::TooShort {
        let least = AdminToken::MIN_LENGTH;
        tracing::error!(
            "`admin_token` has fewer than {least} characters, so the operator's routes stay \
             closed: set a longer one"
        );
    }
    token.secret()
}

/// Whether `headers` show the operator. Who sends another token is noted in the log.
pub(super) fn asks(app: &AppState, headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(X_ADMIN_TOKEN) else {
        return false;
    };
    let Some(token) = token(app) else {
        return false;
    };
    let is_operator = given.to_str().is_ok_and(|given| token.matches(given));
    if !is_operator {
        tracing::warn!("a request brought an operator's token that is not the operator's");
    }
    is_operator
}

/// Whether who sent `headers` may see what names more than users should: the log of
/// a request, addresses in the configuration. Before real users that takes the
/// operator's token.
pub(super) fn may_look(app: &AppState, headers: &HeaderMap) -> bool {
    app.config.environment != Environment::Production || asks(app, headers)
}
