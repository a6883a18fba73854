//! Ending a run from another request, which is another instance.
//!
//! Whoever knows a run's id raises a flag; the run looks for it. Losing the
//! client is something else: it is noticed by the response itself, and ends a
//! run without a word.

use std::time::Duration;

use crate::{AppState, stored};
use spinlane_core::ports::StoreError;

/// How often a run looks: it learns of its end within a second.
const LOOK: Duration = Duration::from_millis(800);

/// A flag that nobody has seen for so long belongs to a run that has ended, or
/// never was. A store in trouble is left alone for a few seconds.
pub(crate) const LASTS: Duration = Duration::from_secs(60);

/// Whether `id` may name a run: 128 bits in lower-case hexadecimal.
pub(crate) fn is_run_id(id: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    id.len() == 32 && id.bytes().all(digit)
}

/// Asks the run called `id` to end. Nobody is told whether there is one.
///
/// # Errors
/// When the store fails: the run does not learn of it.
pub(crate) async fn request(app: &AppState, id: &str) -> Result<(), StoreError> {
    stored::stops(&app.store).raise(id).await
}

/// Resolves when somebody has asked the run called `id` to end; never, where
/// nobody does. A store in trouble is asked again later.
pub(super) async fn asked(app: &AppState, id: &str) {
    if app.ports.key_value.is_none() {
        return futures::future::pending().await;
    }
    let flags = stored::stops(&app.store);
    loop {
        app.ports.clock.sleep(LOOK).await;
        if flags.is_raised(id).await == Ok(true) {
            // The run need not wait for it. Where it fails it is swept later.
            let id = id.to_owned();
            app.ports.spawner.after_response(Box::pin(async move {
                let _ = flags.lower(&id).await;
            }));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures::future::join;
    use http::Request;

    use super::*;
    use crate::testing::Stage;
    use spinlane_core::ports::Clock;

    /// Counting the stop finds the store slow, and so does the run that looks.
    #[test]
    fn a_slow_store_stops_runs_all_the_same() {
        let stage = Stage::new(&[], |_| unreachable!("nobody is asked"));
        let (clock, run) = (&stage.world.clock, "0".repeat(32));
        stage
            .world
            .store
            .slow_down(clock, Duration::from_millis(300));
        let (there, begin) = (stage.api(), clock.now());
        let stop = async {
            clock.sleep(Duration::from_secs(2)).await;
            let path = format!("/api/chat-stream/{run}/stop");
            let request = Request::post(path).body(Body::empty()).unwrap();
            assert_eq!(there.handle(request).await.status(), 204);
        };
        stage.world.run(join(asked(&stage.app, &run), stop));
        let took = clock.now() - begin;
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

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
