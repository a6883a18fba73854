//! What a person sees of a call that has to wait.

use std::time::Duration;

use super::output::Output;
use crate::core::limit::Observer;

/// Tells the client of waits.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// `None`: nobody sees it.
    output: Option<Output>,
}

impl Waits {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output: Some(output),
        }
    }

    /// Tells nobody.
    pub(crate) fn unseen() -> Self {
        Self::default()
    }

    fn say(&self, line: &str) {
        if let Some(output) = &self.output {
            output.thinking(line);
        }
    }
}

impl Observer for Waits {
    fn waiting(&self, lane: &str, waited: Duration) {
        let seconds = waited.as_secs().max(1);
        self.say(&format!("Waiting for a free slot ({lane}, {seconds} s)"));
    }

    fn retrying(&self, lane: &str, attempt: u32, _: Duration) {
        self.say(&format!("No use ({lane}, attempt {attempt}): trying again"));
    }
}
