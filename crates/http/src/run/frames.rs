//! What a run says, as far as a run knows: the frames themselves are the application's.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tracing::info;

use spinlane_core::error::ErrorObject;
use spinlane_core::log::{Record, millis};

/// The frames of an application.
///
/// ```
/// use serde::Serialize;
/// use spinlane_http::run::{Cut, Frames, Said};
///
/// /// Text, and nothing else.
/// #[derive(Clone, Copy, Debug, Default)]
/// struct Bare;
///
/// #[derive(Serialize)]
/// struct Line<'a>(Option<&'a str>);
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// struct Cause(Cut);
///
/// impl Frames for Bare {
///     type Reason = Cause;
///     type Usage = ();
///     type Frame<'a> = Line<'a>;
///
///     fn usage() {}
/// }
///
/// impl<'a> From<Said<'a, Bare>> for Line<'a> {
///     fn from(said: Said<'a, Bare>) -> Self {
///         match said {
///             Said::Content(text) => Self(Some(text)),
///             _ => Self(None),
///         }
///     }
/// }
/// # impl From<Cut> for Cause {
/// #     fn from(cut: Cut) -> Self { Self(cut) }
/// # }
/// # impl From<Cause> for &'static str {
/// #     fn from(_: Cause) -> Self { "cut" }
/// # }
///
/// let line: <Bare as Frames>::Frame<'_> = Said::<Bare>::Content("Hello").into();
/// assert_eq!(serde_json::to_value(line)?, "Hello");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub trait Frames: Clone + Copy + fmt::Debug + Default + Send + Sync + 'static {
    /// Why an answer is not whole; beside those of every run ([`Cut`]) the
    /// application's own.
    type Reason: Clone
        + Copy
        + fmt::Debug
        + PartialEq
        + Send
        + Sync
        + From<Cut>
        + Into<&'static str>;

    /// What a run has used.
    type Usage: Send + Sync;

    /// A frame's data.
    type Frame<'a>: Serialize + From<Said<'a, Self>>;

    /// What the request that is being polled has used, as far as its scope knows.
    fn usage() -> Self::Usage;

    /// Leaves a line in the log when a run has ended. `outcome` is `done`,
    /// `client_gone`, a reason or an error's code.
    fn ended(outcome: &'static str, took: Duration, usage: &Self::Usage) {
        let _ = usage;
        info!(outcome, duration_ms = millis(took), "the run has ended");
    }
}

/// Something that a run says, for the application to make a frame of.
///
/// ```
/// use spinlane_http::run::Said;
/// use spinlane_http::run::plain::{Frame, Plain};
///
/// let said: Said<'_, Plain> = Said::Progress { done: 2, total: 3, label: "songs" };
/// let json = serde_json::to_value(Frame::from(said))?;
/// assert_eq!((&json["type"], &json["data"]["done"]), (&"progress".into(), &2.into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Said<'a, F: Frames> {
    /// First: the run's id, by which it can be stopped.
    Run(&'a str),
    /// A piece of the answer.
    Content(&'a str),
    /// A line of progress for a person.
    Thinking(&'a str),
    /// How far a long piece of work has come.
    Progress {
        /// What is done.
        done: usize,
        /// What there is to do.
        total: usize,
        /// What of, for a person.
        label: &'a str,
    },
    /// An event of the request's log.
    Log(&'a Record),
    /// Once, before the end.
    Usage(&'a F::Usage),
    /// The answer is over; without a reason it is whole.
    Done(Option<F::Reason>),
    /// There is no answer, and why.
    Error(&'a ErrorObject),
}

/// Why the answer of any run may not be whole.
///
/// ```
/// use spinlane_http::run::plain::Reason;
/// use spinlane_http::run::{Cut, Ending};
/// # use spinlane_http::run::plain::Plain;
///
/// let reason = Reason::from(Cut::Deadline);
/// assert_eq!(<&str>::from(reason), "deadline");
/// let ending = Ending::Incomplete(reason);
/// # let _: Ending<Plain> = ending;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The upstream failed after it had begun to answer, or would not end.
    Upstream,
    /// Somebody asked for the end.
    Stopped,
    /// The request's own deadline.
    Deadline,
}
