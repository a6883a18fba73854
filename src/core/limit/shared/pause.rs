//! An upstream's `Retry-After`, known to all instances.

use std::time::Duration;

use super::Shared;
use crate::core::ports::Instant;

/// Until when a lane is left alone, under a plain key of the store: a look
/// costs a read, which is far cheaper than an increment.
#[derive(Clone, Debug)]
pub struct SharedPause {
    shared: Shared,
    key: String,
}

impl SharedPause {
    /// The pause of the lane `name`.
    pub fn new(shared: Shared, name: &str) -> Self {
        Self {
            shared,
            key: format!("limits:pause:{name}"),
        }
    }

    /// Pauses the lane for `wait`, unless it is paused for longer already. Two
    /// that pause at the same moment may leave the shorter of both.
    pub async fn pause(&self, wait: Duration) {
        let until = self.shared.clock.unix() + wait;
        if self.unix().await.is_none_or(|known| known < until) {
            // Rounded up: never too early.
            let until = (until.as_millis() + 1).to_string();
            self.shared.set(&self.key, until.as_bytes()).await;
        }
    }

    /// When the pause ends; `None` when there is none.
    pub async fn until(&self) -> Option<Instant> {
        let wait = self.unix().await?.checked_sub(self.shared.clock.unix())?;
        (!wait.is_zero()).then(|| self.shared.clock.now() + wait)
    }

    async fn unix(&self) -> Option<Duration> {
        let value = self.shared.get(&self.key).await?;
        let millis = std::str::from_utf8(&value).ok()?.parse().ok()?;
        Some(Duration::from_millis(millis))
    }
}
