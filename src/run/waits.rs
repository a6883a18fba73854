//! What a person sees of a call that has to wait.

use std::time::Duration;

use super::output::Output;
use spinlane_core::limit::Observer;

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
        let (seconds, whose) = (waited.as_secs().max(1), whose(lane));
        self.say(&format!("Waiting for a free slot at {whose}, {seconds} s"));
    }

    fn retrying(&self, lane: &str, _: u32, _: Duration) {
        let whose = whose(lane);
        self.say(&format!("That did not work at {whose}: trying again"));
    }
}

/// Who is behind a lane, for a person.
fn whose(lane: &str) -> &str {
    match lane {
        "anthropic" => "the model",
        "spotify" | "spotify-accounts" => "Spotify",
        "deezer" => "Deezer",
        "lastfm" => "Last.fm",
        other => other,
    }
}
