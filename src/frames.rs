//! What a run's stream says: `data: {"type":T,"data":D}`; and how its run is set up.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tracing::info;
use utoipa::ToSchema;

use crate::enrich::Report;
use crate::error::ErrorObject;
use crate::{AppState, stored};
use spinlane_core::log::Record;
use spinlane_core::log::millis;
use spinlane_core::{cache, scope};
use spinlane_http::run::{self, Cut, Frames, Runs, Said};

/// One frame's data. The last one of every stream is `Done` or `Error`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub(crate) enum Frame<'a> {
    /// First: names the run, so that it can be stopped.
    Run {
        id: &'a str,
        /// Whether it goes on when its client goes, and can be read again.
        resumable: bool,
    },
    /// A piece of the answer, as the model said it.
    Content(&'a str),
    /// A line of progress for a person.
    Thinking(&'a str),
    /// How far a long piece of work has come.
    Progress {
        done: usize,
        total: usize,
        label: &'a str,
    },
    /// All that an enrichment has found out.
    Result(&'a Report),
    /// The model has asked for a tool, which begins.
    ToolStart {
        tool: &'a str,
        args: &'a Value,
        id: &'a str,
    },
    /// The tool has ended, in whatever way.
    ToolEnd {
        tool: &'a str,
        /// What it has found, the list longer than the model is given it; where
        /// it failed, the error object.
        result: &'a Value,
        id: &'a str,
        ms: u64,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        error: bool,
    },
    /// Once, before the end.
    Usage(&'a UsageReport),
    /// An event of the request's log.
    Log(LogRecord<'a>),
    /// The answer is over; `null` means that it is whole.
    Done(Option<Incomplete>),
    /// There is no answer, and why.
    Error(&'a ErrorObject),
}

/// The DJ's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dj;

pub(crate) type RunEnd = run::RunEnd<Dj>;
pub(crate) type Output = run::Output<Dj>;
pub(crate) type Waits = run::Waits<Dj>;

impl Frames for Dj {
    type Reason = Reason;
    type Usage = UsageReport;
    type Frame<'a> = Frame<'a>;

    fn usage() -> UsageReport {
        UsageReport::of_request()
    }

    fn ended(outcome: &'static str, took: Duration, usage: &UsageReport) {
        info!(
            outcome,
            duration_ms = millis(took),
            input_tokens = usage.input_tokens,
            output_tokens = usage.output_tokens,
            upstream_calls = usage.upstream_calls,
            budget_left = usage.budget_left,
            lane_wait_ms = usage.lane_wait_ms,
            "the run has ended"
        );
    }
}

impl<'a> From<Said<'a, Dj>> for Frame<'a> {
    fn from(said: Said<'a, Dj>) -> Self {
        match said {
            Said::Run(id, resumable) => Self::Run { id, resumable },
            Said::Content(text) => Self::Content(text),
            Said::Thinking(line) => Self::Thinking(line),
            Said::Progress { done, total, label } => Self::Progress { done, total, label },
            Said::Log(record) => Self::Log(record.into()),
            Said::Usage(usage) => Self::Usage(usage),
            Said::Done(reason) => Self::Done(reason.map(Incomplete::from)),
            Said::Error(error) => Self::Error(error),
        }
    }
}

/// How the application's runs are set up.
pub(crate) fn runs(app: &AppState) -> Runs {
    let mut runs = Runs::new(&app.ports.clock, &app.ports.spawner);
    runs.heartbeat = app.config.streams().heartbeat;
    runs.stall = app.config.streams().client_stall;
    runs.deadline = app.config.streams().request_deadline;
    // Nobody else could say it to a run where there is no store.
    runs.stops = app
        .ports
        .key_value
        .is_some()
        .then(|| stored::stops(&app.store));
    runs.whose = whose;
    match app.config.streams().abandon {
        Some(time) => runs.abandoned_after(time).resumed_in(&app.store),
        None => runs,
    }
}

/// Who is behind a lane, for a person.
pub(crate) fn whose(lane: &str) -> &str {
    match lane {
        "anthropic" => "the model",
        "spotify" | "spotify-accounts" => "Spotify",
        "deezer" => "Deezer",
        "lastfm" => "Last.fm",
        other => other,
    }
}

/// One event of the log.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct LogRecord<'a> {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    level: &'static str,
    /// What happened.
    message: &'a str,
    /// The event's other fields.
    #[schema(value_type = Object)]
    fields: &'a Map<String, Value>,
}

impl<'a> From<&'a Record> for LogRecord<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            level: record.level,
            message: &record.message,
            fields: &record.fields,
        }
    }
}

/// `Done` with a part of the answer missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Incomplete {
    /// Always true: reads well in a condition.
    incomplete: bool,
    reason: Reason,
}

impl From<Reason> for Incomplete {
    fn from(reason: Reason) -> Self {
        Self {
            incomplete: true,
            reason,
        }
    }
}

/// Why an answer is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The upstream failed after it had begun to answer.
    UpstreamCut,
    /// Somebody asked for the end.
    Stopped,
    /// The model would go on asking for tools.
    TurnLimit,
    /// The model's longest answer.
    MaxTokens,
    /// The model would not go on.
    Refusal,
    /// The request's own deadline.
    Deadline,
    /// The client has gone, and nobody else has read the run for a while.
    Abandoned,
}

impl From<Cut> for Reason {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Upstream => Self::UpstreamCut,
            Cut::Stopped => Self::Stopped,
            Cut::Deadline => Self::Deadline,
            Cut::Abandoned => Self::Abandoned,
        }
    }
}

impl From<Reason> for &'static str {
    fn from(reason: Reason) -> Self {
        reason.as_str()
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Reason {
    /// The word that frames and the log have.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UpstreamCut => "upstream_cut",
            Self::Stopped => "stopped",
            Self::TurnLimit => "turn_limit",
            Self::MaxTokens => "max_tokens",
            Self::Refusal => "refusal",
            Self::Deadline => "deadline",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What a run has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageReport {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cache_read_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    /// The upstream did not say its last word: the true numbers may be higher.
    pub(crate) partial: bool,
    /// How often the model was asked.
    pub(crate) turns: u32,
    /// What it asked for.
    pub(crate) tool_calls: u32,
    pub(crate) upstream_calls: u32,
    pub(crate) budget_left: u32,
    /// Time spent waiting for slots and tokens, in vain as well.
    pub(crate) lane_wait_ms: u64,
    pub(crate) cache: cache::Report,
}

impl UsageReport {
    /// What the request that is being polled has used, as its scope knows it.
    pub(crate) fn of_request() -> Self {
        let scope = scope::current();
        let budget = scope.as_ref().map(|scope| &scope.budget);
        Self {
            upstream_calls: budget.map_or(0, |budget| budget.used()),
            budget_left: budget.map_or(0, |budget| budget.remaining()),
            lane_wait_ms: scope
                .as_ref()
                .map_or(0, |scope| millis(scope.waited.total())),
            cache: scope
                .as_ref()
                .map(|scope| scope.cache.report())
                .unwrap_or_default(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code;
    use serde_json::{json, to_value};

    #[test]
    fn frames_have_a_type_and_data() {
        let error = ErrorObject::new(code::BUSY, "later");
        for (frame, expected) in [
            (
                Frame::Run {
                    id: "ab",
                    resumable: true,
                },
                json!({"type": "run", "data": {"id": "ab", "resumable": true}}),
            ),
            (
                Frame::Content("a\"b"),
                json!({"type": "content", "data": "a\"b"}),
            ),
            (
                Frame::Thinking("hm"),
                json!({"type": "thinking", "data": "hm"}),
            ),
            (
                Frame::ToolStart {
                    tool: "search",
                    args: &json!({"q": 1}),
                    id: "t1",
                },
                json!({"type": "tool_start", "data": {"tool": "search", "args": {"q": 1}, "id": "t1"}}),
            ),
            (
                Frame::ToolEnd {
                    tool: "search",
                    result: &json!({}),
                    id: "t1",
                    ms: 7,
                    error: false,
                },
                json!({"type": "tool_end", "data": {"tool": "search", "result": {}, "id": "t1", "ms": 7}}),
            ),
            (Frame::Done(None), json!({"type": "done", "data": null})),
            (
                Frame::Done(Some(Reason::UpstreamCut.into())),
                json!({"type": "done", "data": {"incomplete": true, "reason": "upstream_cut"}}),
            ),
            (
                Frame::Error(&error),
                json!({"type": "error", "data": {"code": "busy", "message": "later"}}),
            ),
        ] {
            assert_eq!(to_value(frame).unwrap(), expected);
        }
    }
}
