//! Who asks, and how often they may.
//!
//! An address is counted before anything else of a request is read ([`admit`]), and
//! who it is when that is known ([`count`]).

use http::{HeaderMap, Method};

use super::routes;
use crate::AppState;
use crate::auth::{Credentials, MaybeSession, UserSession};
use crate::config::Config;
use crate::limits::CallerLimits;
use spinlane_core::limit::Running;
use spinlane_http::problem::Problem;
use spinlane_http::quota::{self, Allowance, SPIN_CLIENT_ADDR, caller_of};

/// What is counted, as the quotas are called.
const REQUESTS: &str = "requests";
const STOPS: &str = "stops";

/// The route by which runs are ended, which has a count of its own.
const STOP: &str = "/api/chat-stream/{run}/stop";

/// The route by which they are read again.
pub(super) const READ: &str = "/api/chat-stream/{run}";

/// How a request was counted before anything but its head was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Admitted {
    /// Its address was, against the quota itself: it brings nothing to show whose it
    /// is, so nothing more will be known.
    AsCaller(Allowance),
    /// Its address was, against more than the quota: who it is is counted as well, when
    /// that is known.
    ByAddress,
    /// It was not counted: the route is free, or there is no limit.
    Freely,
}

/// Counts the address that sent `headers`, before the body and the session are read.
///
/// # Errors
/// 429 when it has used its quota, 503 when the store does not say.
pub(super) async fn admit(
    app: &AppState,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Admitted, Problem> {
    let counted = |route: &&str| match *method {
        Method::POST => true,
        Method::GET | Method::HEAD => *route == READ,
        _ => false,
    };
    let Some(route) = routes::template(path).filter(counted) else {
        return Ok(Admitted::Freely);
    };
    let Some(limits) = app.caller_limits() else {
        return Ok(Admitted::Freely);
    };
    let address = address_of(&app.config, headers);
    if route == READ {
        // The run's id is what it brings to show that it may. Against the quota itself,
        // who has used it up by this very run could not go on reading it.
        quota::check(&limits.addresses, REQUESTS, &address, 1).await?;
        return Ok(Admitted::ByAddress);
    }
    if route == STOP {
        quota::check(&limits.stops, STOPS, &address, 1).await?;
        return Ok(Admitted::ByAddress);
    }
    match Credentials::from_headers(headers) {
        None => {
            let allowance = quota::check(&limits.requests, REQUESTS, &address, 1).await?;
            Ok(Admitted::AsCaller(allowance))
        }
        Some(_) => {
            quota::check(&limits.addresses, REQUESTS, &address, 1).await?;
            Ok(Admitted::ByAddress)
        }
    }
}

/// Counts what a request of `session`'s user is worth, or of the address that sent
/// `headers` where nobody is known. `None` where there is no limit.
///
/// # Errors
/// 429 when the caller has used its quota, 503 when the store does not say.
pub(super) async fn count(
    app: &AppState,
    headers: &HeaderMap,
    admitted: Admitted,
    session: &MaybeSession,
    units: u32,
) -> Result<Option<Allowance>, Problem> {
    let Some(limits) = app.caller_limits() else {
        return Ok(None);
    };
    // More than there is would never be let in.
    let units = units.min(limits.requests.quota().requests.get());
    let units = match admitted {
        Admitted::AsCaller(allowance) if units <= 1 => return Ok(Some(allowance)),
        // The first was counted already.
        Admitted::AsCaller(_) => units - 1,
        Admitted::ByAddress | Admitted::Freely => units,
    };
    let caller = name(app, headers, session);
    quota::check(&limits.requests, REQUESTS, &caller, units)
        .await
        .map(Some)
}

/// Counts one that is not a POST, by its address.
///
/// # Errors
/// 429 when it has used its quota, 503 when the store does not say.
pub(super) async fn count_address(app: &AppState, headers: &HeaderMap) -> Result<(), Problem> {
    let nobody = MaybeSession::Absent(None);
    count(app, headers, Admitted::Freely, &nobody, 1).await?;
    Ok(())
}

/// Refuses who has used up its quota, and counts nothing.
///
/// # Errors
/// 429 when the address has used its quota, 503 when the store does not say.
pub(super) async fn refuse_used_up(app: &AppState, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(CallerLimits { requests, .. }) = app.caller_limits() else {
        return Ok(());
    };
    let address = address_of(&app.config, headers);
    quota::refuse_used_up(requests, REQUESTS, &address).await
}

/// Begins a run of `session`'s user, or of the address that sent `headers`. `None`
/// where there is no limit.
///
/// # Errors
/// 429 when the caller has as many runs as it may, 503 when the store does not say.
pub(super) async fn begin_run(
    app: &AppState,
    headers: &HeaderMap,
    session: &MaybeSession,
) -> Result<Option<Running>, Problem> {
    let Some(CallerLimits { runs, .. }) = app.caller_limits() else {
        return Ok(None);
    };
    let caller = name(app, headers, session);
    let too_many = |most| {
        format!(
            "{most} chats and enrichments at a time are allowed: wait until one of yours has \
             ended, or stop it"
        )
    };
    quota::begin_run(runs, &caller, too_many).await.map(Some)
}

/// Begins to read a run again, for `session`'s user, or for the address that sent
/// `headers`. `None` where there is no limit.
///
/// # Errors
/// 429 when the caller reads as many as it may, 503 when the store does not say.
pub(super) async fn begin_reading(
    app: &AppState,
    headers: &HeaderMap,
    session: &MaybeSession,
) -> Result<Option<Running>, Problem> {
    let Some(CallerLimits { readers, .. }) = app.caller_limits() else {
        return Ok(None);
    };
    let caller = name(app, headers, session);
    quota::begin_reading(readers, &caller).await.map(Some)
}

/// The caller's name in the count: the user's, else that of the address.
pub(super) fn name(app: &AppState, headers: &HeaderMap, session: &MaybeSession) -> String {
    let user = session.user().map(UserSession::caller);
    user.unwrap_or_else(|| address_of(&app.config, headers))
}

/// The name of an address in the count.
fn address_of(config: &Config, headers: &HeaderMap) -> String {
    let spin = SPIN_CLIENT_ADDR;
    caller_of(
        headers,
        config.callers().client_ip_header.as_ref().unwrap_or(&spin),
    )
}
