//! Frames for applications that need none of their own.

use serde::Serialize;

use super::frames::{Cut, Frames, Said};
use spinlane_core::error::ErrorObject;
use spinlane_core::log::{Record, millis};
use spinlane_core::{cache, scope};

/// `data: {"type":T,"data":D}`, and an `id` that counts from 1: `run`, `content`,
/// `thinking`, `progress`, `log`, `usage`, and one of `done` and `error`.
///
/// ```
/// use spinlane_core::error::{ErrorObject, code};
/// use spinlane_http::run::plain::Plain;
/// use spinlane_http::run::{Frames, Said};
///
/// let error = ErrorObject::new(code::BUSY, "try again in 2 s");
/// let last: <Plain as Frames>::Frame<'_> = Said::<Plain>::Error(&error).into();
/// let json = serde_json::to_value(last)?;
/// assert_eq!((&json["type"], &json["data"]["code"]), (&"error".into(), &"busy".into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain;

impl Frames for Plain {
    type Reason = Reason;
    type Usage = Usage;
    type Frame<'a> = Frame<'a>;

    fn usage() -> Usage {
        let Some(scope) = scope::current() else {
            return Usage::default();
        };
        Usage {
            upstream_calls: scope.budget.used(),
            budget_left: scope.budget.remaining(),
            lane_wait_ms: millis(scope.waited.total()),
            cache: scope.cache.report(),
        }
    }
}

/// Why an answer is not whole.
///
/// ```
/// use spinlane_http::run::plain::{Frame, Plain, Reason};
/// use spinlane_http::run::Said;
///
/// const MAX_TOKENS: Reason = Reason::new("max_tokens");
///
/// let last = Frame::from(Said::<Plain>::Done(Some(MAX_TOKENS)));
/// assert_eq!(serde_json::to_value(last)?["data"]["reason"], "max_tokens");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(&'static str);

impl Reason {
    /// A reason of the application's own, such as `max_tokens`.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }
}

impl From<Cut> for Reason {
    fn from(cut: Cut) -> Self {
        Self(match cut {
            Cut::Upstream => "upstream_cut",
            Cut::Stopped => "stopped",
            Cut::Deadline => "deadline",
        })
    }
}

impl From<Reason> for &'static str {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

/// What a run has used.
///
/// ```
/// use std::sync::Arc;
///
/// use futures::executor::block_on;
/// use spinlane_core::abort::AbortSignal;
/// use spinlane_core::limit::Budget;
/// use spinlane_core::scope::{self, Scope};
/// use spinlane_http::run::Frames;
/// use spinlane_http::run::plain::Plain;
///
/// let request = Scope::new("request-1", Budget::new(50), AbortSignal::never());
/// assert!(request.budget.take(3).is_ok());
/// let usage = block_on(scope::run(Arc::new(request), async { Plain::usage() }));
/// assert_eq!(usage.upstream_calls, 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Calls of upstreams.
    pub upstream_calls: u32,
    /// Calls that it could have made beside.
    pub budget_left: u32,
    /// Time spent waiting for slots and tokens, in vain as well.
    pub lane_wait_ms: u64,
    /// What the cache has done for it.
    pub cache: cache::Report,
}

/// One frame's data.
///
/// ```
/// use spinlane_http::run::plain::Frame;
///
/// let last = Frame::Done(None);
/// let json = serde_json::json!({"type": "done", "data": null});
/// assert_eq!(serde_json::to_value(last)?, json, "it is whole");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Frame<'a> {
    /// First: names the run, so that it can be stopped.
    Run {
        /// Its id.
        id: &'a str,
    },
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
    Usage(&'a Usage),
    /// The answer is over; `null` means that it is whole.
    Done(Option<Incomplete>),
    /// There is no answer, and why.
    Error(&'a ErrorObject),
}

/// `Done` with a part of the answer missing.
///
/// ```
/// use spinlane_http::run::plain::{Frame, Incomplete};
///
/// let last = Frame::Done(Some(Incomplete { incomplete: true, reason: "deadline" }));
/// let data = serde_json::json!({"incomplete": true, "reason": "deadline"});
/// assert_eq!(serde_json::to_value(last)?["data"], data);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Incomplete {
    /// Always true: reads well in a condition.
    pub incomplete: bool,
    /// Why.
    pub reason: &'static str,
}

impl<'a> From<Said<'a, Plain>> for Frame<'a> {
    fn from(said: Said<'a, Plain>) -> Self {
        match said {
            Said::Run(id) => Self::Run { id },
            Said::Content(text) => Self::Content(text),
            Said::Thinking(line) => Self::Thinking(line),
            Said::Progress { done, total, label } => Self::Progress { done, total, label },
            Said::Log(record) => Self::Log(record),
            Said::Usage(usage) => Self::Usage(usage),
            Said::Done(reason) => Self::Done(reason.map(|Reason(reason)| Incomplete {
                incomplete: true,
                reason,
            })),
            Said::Error(error) => Self::Error(error),
        }
    }
}
