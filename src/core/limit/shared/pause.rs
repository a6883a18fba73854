//! An upstream's `Retry-After`, known to all instances.

use std::time::Duration;

use super::{SKEW, Shared};
use crate::core::ports::Instant;

/// Until when a lane is left alone, under a plain key of the store: a look
/// costs a read, which is far cheaper than an increment.
///
/// [`SKEW`] is added to what the upstream asked for, so that no clock within it
/// ends the pause early. The length is kept next to the end: an end that is
/// further away than the pause is long is a wrong clock's, and is set right by
/// who reads it. No pause is longer than the longest.
#[derive(Clone, Debug)]
pub struct SharedPause {
    shared: Shared,
    key: String,
    longest: Duration,
}

/// A pause as it is in the store.
#[derive(Clone, Copy)]
struct Noted {
    /// By the wall clock.
    until: Duration,
    length: Duration,
}

impl SharedPause {
    /// The pause of the lane `name`, never longer than `longest`.
    pub fn new(shared: Shared, name: &str, longest: Duration) -> Self {
        Self {
            shared,
            key: format!("limits:pause:{name}"),
            longest,
        }
    }

    /// Pauses the lane for `wait`, unless it is paused for longer already. Two
    /// that pause at the same moment may leave the shorter of both.
    pub async fn pause(&self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let length = wait.min(self.longest) + SKEW;
        let until = self.shared.unix() + length;
        if self.noted().await.is_none_or(|known| known.until < until) {
            self.note(Noted { until, length }).await;
        }
    }

    /// When the pause ends; `None` when there is none.
    pub async fn until(&self) -> Option<Instant> {
        let noted = self.noted().await?;
        let wait = noted.until.checked_sub(self.shared.unix())?;
        (!wait.is_zero()).then(|| self.shared.clock.now() + wait)
    }

    /// Ends the pause. An instance that knows of it keeps to it.
    pub async fn end(&self) {
        self.shared.delete(&self.key).await;
    }

    async fn note(&self, Noted { until, length }: Noted) {
        // Rounded up: never too early.
        let (until, length) = (until.as_millis() + 1, length.as_millis() + 1);
        let value = format!("{until},{length}");
        self.shared.set(&self.key, value.as_bytes()).await;
    }

    async fn noted(&self) -> Option<Noted> {
        let value = self.shared.get(&self.key).await?;
        let value = std::str::from_utf8(&value).ok()?;
        let (until, length) = value.split_once(',').unwrap_or((value, ""));
        let until = Duration::from_millis(until.parse().ok()?);
        let most = self.longest + SKEW;
        let length = length.parse().map_or(most, Duration::from_millis).min(most);
        let farthest = self.shared.unix() + length;
        if until <= farthest + SKEW {
            return Some(Noted { until, length });
        }
        let noted = Noted {
            until: farthest,
            length,
        };
        self.note(noted).await;
        Some(noted)
    }
}
