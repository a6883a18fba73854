//! One-time codes: how a page on another origin gets its session.
//!
//! The callback cannot hand a token to another origin without putting it into a
//! URL, which ends up in histories. It puts a code there instead, in the
//! fragment, good once and for a minute. What the code stands for is kept as a
//! session is: under its hash, encrypted with the code itself. No session exists
//! before it is exchanged.

use std::time::Duration;

use super::Account;
use crate::core::cache::session::SessionError;
use crate::core::ports::StoreError;
use crate::dj::AppState;
use crate::dj::config::Secret;

/// How long a code is good.
pub(crate) const LASTS: Duration = Duration::from_secs(60);

/// A code for `account`.
///
/// # Errors
/// When the store does not take it.
pub(crate) async fn issue(app: &AppState, account: &Account) -> Result<Secret, StoreError> {
    let token = app.codes.create(account).await?;
    Ok(Secret::new(token.expose()))
}

/// What `code` stands for, once.
///
/// # Errors
/// When it stands for nothing (any more), and when the store does not answer.
pub(crate) async fn redeem(app: &AppState, code: &str) -> Result<Account, SessionError> {
    // What was never a code leaves no trace in the store.
    let first = app.codes.load::<Account>(code).await?;
    let Some(counters) = &app.ports.counters else {
        // Without counters two who come within the same milliseconds both get
        // it. Both have the code.
        app.codes.revoke(code).await?;
        return Ok(first.record);
    };
    let name = format!("code:{}", first.id());
    let uses = counters.increment(&name, 1).await?;
    if uses != 1 {
        return Err(SessionError::Invalid);
    }
    // The record goes before its counter: who begins to count anew finds
    // nothing.
    let account = app.codes.load::<Account>(code).await;
    app.codes.revoke(code).await?;
    counters.remove(&name).await?;
    Ok(account?.record)
}
