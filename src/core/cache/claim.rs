//! One fetch over all instances.
//!
//! Who misses a value counts on a counter of this key and this moment; the
//! first may ask, the others look for the value now and then. A claim ends when
//! what it was for is in the store, or when it is dropped. Claims of an instance
//! that trapped end with their moment.
//!
//! So a stampede makes one fetch for each [`MOMENT`] that it lasts, and one more
//! where it begins at the end of one. When the fetch fails, those who wait ask
//! one in each moment, and after [`PATIENCE`] each for itself: a failure is
//! never shared, and all of it goes through the limits of its upstream.

use std::sync::Arc;
use std::time::Duration;

use super::store::Store;
use crate::core::ports::{Instant, Spawner};

/// For how long one claim keeps the others waiting.
const MOMENT: Duration = Duration::from_secs(10);

/// Who has waited for so long asks for itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The first wait between two looks, which is doubled up to the last.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(25);
pub(super) const LAST_LOOK: Duration = Duration::from_millis(1_600);

/// Begins the names of the counters.
const PREFIX: &str = "cache-fetch:";

/// The right to ask.
pub(super) struct Claim {
    store: Store,
    spawner: Arc<dyn Spawner>,
    name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (store, name) = (self.store.clone(), std::mem::take(&mut self.name));
        self.spawner.spawn(Box::pin(async move {
            // Should it fail, the name is never used again.
            let _ = store.remove(&name).await;
        }));
    }
}

/// Who may ask.
pub(super) enum Asks {
    We(Claim),
    /// Another does, whose claim ends then.
    Another(Instant),
    /// Everybody: there are no counters, or they are left alone.
    Everybody,
}

/// Claims the fetch of what has this hash.
pub(super) async fn claim(store: &Store, spawner: &Arc<dyn Spawner>, hash: &str) -> Asks {
    let unix = store.unix();
    let moment = unix.as_millis() / MOMENT.as_millis();
    let name = format!("{PREFIX}{hash}:{moment}");
    match store.increment(&name, 1).await {
        Ok(Some(1)) => Asks::We(Claim {
            store: store.clone(),
            spawner: Arc::clone(spawner),
            name,
        }),
        Ok(Some(_)) => {
            let into = unix.as_millis() % MOMENT.as_millis();
            let into = Duration::from_millis(u64::try_from(into).unwrap_or(0));
            Asks::Another(store.clock.now() + (MOMENT - into))
        }
        Ok(None) | Err(_) => Asks::Everybody,
    }
}

/// Whether `name` is the counter of a moment that has passed.
pub(super) fn is_over(name: &str, unix: Duration) -> bool {
    let moment = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.rsplit_once(':'))
        .and_then(|(_, moment)| moment.parse::<u128>().ok());
    moment.is_some_and(|moment| moment.saturating_add(1) < unix.as_millis() / MOMENT.as_millis())
}
