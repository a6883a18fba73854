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

use std::time::Duration;

use crate::core::ports::Instant;
use crate::core::store::{PeriodCounter, Store};

/// For how long one claim keeps the others waiting.
const MOMENT: Duration = Duration::from_secs(10);

/// Who has waited for so long asks for itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The first wait between two looks, which is doubled up to the last.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(25);
pub(super) const LAST_LOOK: Duration = Duration::from_millis(1_600);

/// The right to ask.
#[derive(Debug)]
pub(super) struct Claim {
    store: Store,
    counter: PeriodCounter,
    moment: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (counter, moment) = (self.counter.clone(), self.moment);
        self.store.spawner().spawn(Box::pin(async move {
            // Should it fail, the counter ends with its moment.
            let _ = counter.remove(moment).await;
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

/// Claims the fetch of what has this key in the store.
pub(super) async fn claim(store: &Store, key: &str) -> Asks {
    let Some(counter) = PeriodCounter::new(store, &format!("fetch:{key}"), MOMENT) else {
        return Asks::Everybody;
    };
    let unix = store.unix();
    let moment = counter.period_at(unix);
    match counter.add(moment, 1).await {
        Ok(1) => Asks::We(Claim {
            store: store.clone(),
            counter,
            moment,
        }),
        Ok(_) => {
            let end = counter.begin_of(moment + 1);
            Asks::Another(store.clock().now() + end.saturating_sub(unix))
        }
        Err(_) => Asks::Everybody,
    }
}
