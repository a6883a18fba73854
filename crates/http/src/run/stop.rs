//! RunEnd a run from another request, which is another instance.
//!
//! Whoever knows a run's id raises a signal; the run looks for it. Losing the
//! client is something else: it is noticed by the response itself, and ends a
//! run without a word.

use std::time::Duration;

use http::StatusCode;

use super::Runs;
use crate::problem::Problem;
use spinlane_core::cache::Signals;
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::ports::StoreError;

/// How often a run looks: it learns of its end within a second.
const LOOK: Duration = Duration::from_millis(800);

/// A signal that nobody has seen for so long belongs to a run that has ended, or
/// never was. A store in trouble is left alone for a few seconds.
pub const LASTS: Duration = Duration::from_secs(60);

/// Where signals are raised for the runs of an application that names no place of its
/// own, in the store.
pub(super) const NAMESPACE: &str = "stop";

/// Tells the run called `id` to end, from whatever instance: what a stop route does.
/// Resolves with 204, also where the run has ended already, or never was; it learns
/// of it within a second.
///
/// # Errors
/// 404 where `id` is no run's id; 503 where there is no store to tell it by, or the
/// store does not answer.
pub async fn ask(stops: Option<&Signals>, id: &str) -> Result<StatusCode, Problem> {
    if !is_run_id(id) {
        let message = "a run's id has 32 hexadecimal digits, in lower case";
        let error = ErrorObject::new(code::NOT_FOUND, message);
        return Err(Problem::new(StatusCode::NOT_FOUND, error));
    }
    let raised = match stops {
        Some(stops) => stops.raise(id).await,
        None => Err(StoreError::unavailable("there is none")),
    };
    raised.map_err(|error| {
        tracing::warn!(%error, "a run could not be told to stop");
        Problem::store_unavailable(
            "the key-value store does not answer, and the run is told by it: try again in a \
             moment, or close the stream's connection, which ends the run as well",
        )
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether `id` may name a run: 128 bits in lower-case hexadecimal.
pub fn is_run_id(id: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    id.len() == 32 && id.bytes().all(digit)
}

/// Resolves when somebody has asked the run called `id` to end; never, where
/// nobody does, or there is no store to say it in. A store in trouble is asked again later.
pub async fn stopped(runs: &Runs, id: &str) {
    let Some(signals) = runs.stops.clone() else {
        return futures::future::pending().await;
    };
    loop {
        runs.clock.sleep(LOOK).await;
        if signals.is_raised(id).await == Ok(true) {
            // The run need not wait for it. Where it fails it is swept later.
            let id = id.to_owned();
            runs.spawner.after_response(Box::pin(async move {
                let _ = signals.lower(&id).await;
            }));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids() {
        assert!(is_run_id("0123456789abcdef0123456789abcdef"));
        for id in [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789ABCDEF0123456789abcdef",
            "0123456789abcdef0123456789abcde/",
            "éééééééééééééééé",
        ] {
            assert!(!is_run_id(id), "{id}");
        }
    }
}
