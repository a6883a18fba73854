//! What a person sees of a call that has to wait.

use std::time::Duration;

use super::frames::Frames;
use super::output::Output;
use spinlane_core::limit::Observer;

/// Tells the client of waits.
///
/// ```
/// use std::time::Duration;
///
/// use http_body_util::BodyExt;
/// use spinlane_core::limit::Observer;
/// use spinlane_core::sse::{self, WriterConfig};
/// use spinlane_core::testing::World;
/// use spinlane_http::run::plain::Plain;
/// use spinlane_http::run::{Output, Waits};
///
/// let world = World::new();
/// let (writer, mut body) = sse::channel(world.ports().clock, WriterConfig::default(), None);
/// let waits = Waits::new(Output::<Plain>::new(writer), |_| "the song service");
/// // What a call does that has it for an observer.
/// waits.waiting("songs", Duration::from_secs(6));
/// let frame = world.run(body.frame()).unwrap().unwrap().into_data().unwrap();
/// let line = "Waiting for a free slot at the song service, 6 s";
/// assert_eq!(frame, format!("data: {{\"type\":\"thinking\",\"data\":\"{line}\"}}\n\n"));
/// ```
#[derive(Debug)]
pub struct Waits<F> {
    /// `None`: nobody sees it.
    output: Option<Output<F>>,
    whose: Whose,
}

/// Names who is behind a lane, for a person.
///
/// ```
/// use spinlane_core::testing::World;
/// use spinlane_http::run::{Runs, Whose};
///
/// let whose: Whose = |lane| match lane {
///     "songs" => "the song service",
///     other => other,
/// };
/// let ports = World::new().ports();
/// let mut runs = Runs::new(&ports.clock, &ports.spawner);
/// runs.whose = whose;
/// assert_eq!((runs.whose)("songs"), "the song service");
/// ```
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
