//! What one instance has learned of an upstream, for the next ones.

use std::time::Duration;

use super::Shared;

/// What was learned is forgotten after this: a limit that nobody raises again
/// must not stay low.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// The limit of an adaptive lane, under a plain key of the store. Of two that
/// learn at the same moment one is lost: both saw the same upstream.
#[derive(Clone, Debug)]
pub struct SharedLimit {
    shared: Shared,
    key: String,
}

impl SharedLimit {
    /// The limit of the lane `name`.
    pub fn new(shared: Shared, name: &str) -> Self {
        Self {
            shared,
            key: format!("limits:adapted:{name}"),
        }
    }

    /// Tells the other instances.
    pub async fn set(&self, limit: u32) {
        let value = format!("{limit},{}", self.shared.unix().as_millis());
        self.shared.set(&self.key, value.as_bytes()).await;
    }

    /// What was learned last; `None` when that is too long ago.
    pub async fn get(&self) -> Option<u32> {
        let value = self.shared.get(&self.key).await?;
        let (limit, learned) = std::str::from_utf8(&value).ok()?.split_once(',')?;
        let learned = Duration::from_millis(learned.parse().ok()?);
        // Learned in the future, by a clock that is ahead, counts as now.
        let age = self.shared.unix().saturating_sub(learned);
        (age < KNOWN_FOR).then_some(limit.parse().ok()).flatten()
    }
}
