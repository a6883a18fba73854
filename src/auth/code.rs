//! One-time codes: how a page on another origin gets its session.
//!
//! The callback cannot hand a token to another origin without putting it into a
//! URL, which ends up in histories. It puts a code there instead, in the
//! fragment, good once and for a minute. What the code stands for is kept as a
//! session is: under its hash, encrypted with the code itself. No session exists
//! before it is exchanged.

use crate::clients::spotify::Grant;
use crate::config::Secret;
use crate::{AppState, stored};
use spinlane_core::cache::session::SessionError;
use spinlane_core::ports::StoreError;
use spinlane_core::store::Claimed;

/// A code for `grant`.
///
/// # Errors
/// When the store does not take it.
pub(crate) async fn issue(app: &AppState, grant: &Grant) -> Result<Secret, StoreError> {
    let token = app.codes.create(grant).await?;
    Ok(Secret::new(token.expose()))
}

/// What `code` stands for, once.
///
/// # Errors
/// When it stands for nothing (any more), and when the store does not answer.
pub(crate) async fn redeem(app: &AppState, code: &str) -> Result<Grant, SessionError> {
    // What was never a code leaves no trace in the store.
    let first = app.codes.load::<Grant>(code).await?;
    let name = format!("code:{}", first.id());
    let claim = match app.store.claim(&name, stored::CODE_LASTS).await? {
        Some(Claimed::Ours(claim)) => Some(claim),
        Some(Claimed::Theirs) => return Err(SessionError::Invalid),
        // Without counters two who come within the same milliseconds both get
        // it. Both have the code.
        None => None,
    };
    // Others may have been faster, and have let the claim go.
    let grant = app.codes.load::<Grant>(code).await;
    // What it stands for goes before the claim: who claims it then finds nothing.
    app.codes.revoke(code).await?;
    if let Some(claim) = claim {
        claim.release().await?;
    }
    Ok(grant?.record)
}
