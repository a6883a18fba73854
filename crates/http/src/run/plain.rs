//! Frames for applications that need none of their own.

use serde::Serialize;

use super::frames::{Cut, Frames, Said};
use spinlane_core::error::ErrorObject;
use spinlane_core::log::{Record, millis};
use spinlane_core::{cache, scope};

/// `data: {"type":T,"data":D}`, and an `id` that counts from 1: `run`, `content`,
/// `thinking`, `progress`, `log`, `usage`, and one of `done` and `error`.
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
            Cut::Abandoned => "abandoned",
        })
    }
}

impl From<Reason> for &'static str {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

/// What a run has used.
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
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Frame<'a> {
    /// First: names the run, so that it can be stopped.
    Run {
        /// Its id.
        id: &'a str,
        /// Whether it goes on when its client goes, and can be read again.
        resumable: bool,
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
            Said::Run(id, resumable) => Self::Run { id, resumable },
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
