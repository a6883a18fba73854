//! What a person sees of a call that has to wait.

use std::time::Duration;

use super::frames::Frames;
use super::output::Output;
use spinlane_core::limit::Observer;

/// Tells the client of waits.
#[derive(Debug)]
pub struct Waits<F> {
    /// `None`: nobody sees it.
    output: Option<Output<F>>,
    whose: Whose,
}

/// Names who is behind a lane, for a person.
pub type Whose = fn(&str) -> &str;

impl<F: Frames> Waits<F> {
    /// Tells by `output`, where `whose` names the lanes.
    pub const fn new(output: Output<F>, whose: Whose) -> Self {
        Self {
            output: Some(output),
            whose,
        }
    }

    /// Tells nobody.
    pub const fn unseen() -> Self {
        Self {
            output: None,
            whose: |lane| lane,
        }
    }

    fn say(&self, line: &str) {
        if let Some(output) = &self.output {
            output.thinking(line);
        }
    }
}

impl<F: Frames> Observer for Waits<F> {
    fn waiting(&self, lane: &str, waited: Duration) {
        let (seconds, whose) = (waited.as_secs().max(1), (self.whose)(lane));
        self.say(&format!("Waiting for a free slot at {whose}, {seconds} s"));
    }

    fn retrying(&self, lane: &str, _: u32, _: Duration) {
        let whose = (self.whose)(lane);
        self.say(&format!("That did not work at {whose}: trying again"));
    }
}
