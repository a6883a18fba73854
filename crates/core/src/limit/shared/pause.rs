//! An upstream's `Retry-After`, known to all instances.

use std::time::Duration;

use super::SKEW;
use crate::ports::Instant;
use crate::store::Store;

/// Until when a lane is left alone, under a plain key of the store: a look
/// costs a read, which is far cheaper than an increment.
///
/// [`SKEW`] is added to what the upstream asked for, so that no clock within it
/// ends the pause early. It is written when it was asked for, and for how long:
/// what is of a time to come was written by a wrong clock, and is not believed.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::shared::SharedPause;
/// use spinlane_core::ports::Clock;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// const HOUR: Duration = Duration::from_secs(3_600);
///
/// let world = World::new();
/// let pause = || SharedPause::new(&Store::open(&world.ports()), "search", HOUR);
/// // In one instance, and in another one.
/// world.run(pause().pause(Duration::from_secs(7)));
/// let until = world.run(pause().until()).expect("it is paused");
/// assert!(until - world.clock.now() >= Duration::from_secs(7));
/// world.run(pause().end());
/// assert_eq!(world.run(pause().until()), None);
/// ```
#[derive(Clone, Debug)]
pub struct SharedPause {
    store: Store,
    key: String,
    longest: Duration,
}

impl SharedPause {
    /// The pause of the lane `name`, never longer than `longest`.
    pub fn new(store: &Store, name: &str, longest: Duration) -> Self {
        Self {
            store: store.clone(),
            key: format!("~pause:{name}"),
            longest,
        }
    }

    /// Pauses the lane for `wait`, unless it is paused for longer already. Two
    /// that pause at the same moment may leave the shorter of both: after it one
    /// call goes out, and learns anew.
    pub async fn pause(&self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let wait = wait.min(self.longest);
        if self.left().await.is_some_and(|left| left >= wait + SKEW) {
            return;
        }
        // Rounded up: never too early.
        let millis = |time: Duration| time.as_nanos().div_ceil(1_000_000);
        let (asked, wait) = (millis(self.store.unix()), millis(wait));
        let value = format!("{asked},{wait}");
        // Should it fail, other instances learn of the pause by themselves.
        let _ = self.store.set(&self.key, value.as_bytes()).await;
    }

    /// When the pause ends; `None` when there is none, and while the store is
    /// left alone.
    pub async fn until(&self) -> Option<Instant> {
        let left = self.left().await?;
        Some(self.store.clock().now() + left)
    }

    /// Ends the pause. An instance that knows of it keeps to it.
    pub async fn end(&self) {
        // Should it fail, it ends when it was to.
        let _ = self.store.delete(&self.key).await;
    }

    /// How long it still is.
    async fn left(&self) -> Option<Duration> {
        let value = self.store.get(&self.key).await.ok()??;
        let (asked, wait) = std::str::from_utf8(&value).ok()?.split_once(',')?;
        let asked = Duration::from_millis(asked.parse().ok()?);
        let wait = Duration::from_millis(wait.parse().ok()?).min(self.longest);
        let now = self.store.unix();
        if asked > now + 2 * SKEW {
            return None;
        }
        let left = (asked + wait + SKEW).checked_sub(now)?;
        (!left.is_zero()).then_some(left)
    }
}
