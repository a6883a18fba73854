//! What a person sees of a call that has to wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::output::Output;
use crate::core::limit::Observer;
use crate::dj::millis;

/// Tells the client of waits, and adds them up.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// `None`: nobody sees it.
    output: Option<Output>,
    millis: AtomicU64,
}

impl Waits {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output: Some(output),
            millis: AtomicU64::new(0),
        }
    }

    /// Adds them up, and tells nobody.
    pub(crate) fn unseen() -> Self {
        Self::default()
    }

    fn say(&self, line: &str) {
        if let Some(output) = &self.output {
            output.thinking(line);
        }
    }

    /// Time spent waiting for slots and tokens.
    pub(crate) fn millis(&self) -> u64 {
        self.millis.load(Ordering::Relaxed)
    }
}

impl Observer for Waits {
    fn waiting(&self, lane: &str, waited: Duration) {
        let seconds = waited.as_secs().max(1);
        self.say(&format!("Waiting for a free slot ({lane}, {seconds} s)"));
    }

    fn attempt(&self, _: &str, _: u32, waited: Duration) {
        self.millis.fetch_add(millis(waited), Ordering::Relaxed);
    }

    fn retrying(&self, lane: &str, attempt: u32, _: Duration) {
        self.say(&format!("No use ({lane}, attempt {attempt}): trying again"));
    }
}
