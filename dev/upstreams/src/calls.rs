//! Every call that a stand-in has seen: counted, logged, waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

/// Calls that the log keeps; the oldest give way.
const KEPT: usize = 10_000;

/// How many calls there are and have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Begun, since the start or the last reset.
    pub started: u64,
    /// Under way.
    pub open: u64,
    /// Answered to the end, as the script wanted it (a cut included).
    pub finished: u64,
    /// Ended by the client before the answer was complete.
    pub cancelled: u64,
    /// The most that were under way at once.
    pub max_open: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer was given to its end.
    Finished,
    /// The client went before.
    Cancelled,
}

/// One call, for tests to look at.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// From 1.
    pub number: u64,
    /// The request's path.
    pub path: String,
    /// The request's body; null when it was not JSON.
    pub request: Value,
    /// Whether a key came with it. The key itself is not kept.
    pub has_key: bool,
    /// When it began, since the stand-in was started.
    pub started: Duration,
    /// When it ended, and how; `None` while it is under way.
    pub ended: Option<(Duration, Outcome)>,
}

#[derive(Debug)]
struct State {
    /// Tells calls from before a reset apart.
    era: u64,
    log: Vec<Call>,
}

/// The calls of one stand-in.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    begin: Instant,
    state: Arc<Mutex<State>>,
    counts: watch::Sender<Counts>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self {
            begin: Instant::now(),
            state: Arc::new(Mutex::new(State {
                era: 0,
                log: Vec::new(),
            })),
            counts: watch::Sender::new(Counts::default()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a call has begun.
    pub(crate) fn begin(&self, path: &str, request: Value, has_key: bool) -> Guard {
        let mut state = self.state();
        if state.log.len() == KEPT {
            state.log.remove(0);
        }
        let number = self.counts.borrow().started + 1;
        state.log.push(Call {
            number,
            path: path.to_owned(),
            request,
            has_key,
            started: self.begin.elapsed(),
            ended: None,
        });
        let era = state.era;
        self.counts.send_modify(|counts| {
            counts.started += 1;
            counts.open += 1;
            counts.max_open = counts.max_open.max(counts.open);
        });
        Guard {
            calls: self.clone(),
            number,
            era,
            outcome: Outcome::Cancelled,
        }
    }

    fn end(&self, guard: &Guard) {
        let mut state = self.state();
        if state.era != guard.era {
            return;
        }
        let elapsed = self.begin.elapsed();
        if let Some(call) = state
            .log
            .iter_mut()
            .find(|call| call.number == guard.number)
        {
            call.ended = Some((elapsed, guard.outcome));
        }
        self.counts.send_modify(|counts| {
            counts.open -= 1;
            match guard.outcome {
                Outcome::Finished => counts.finished += 1,
                Outcome::Cancelled => counts.cancelled += 1,
            }
        });
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(crate) fn log(&self) -> Vec<Call> {
        self.state().log.clone()
    }

    pub(crate) fn reset(&self) {
        let mut state = self.state();
        state.era += 1;
        state.log.clear();
        self.counts.send_replace(Counts::default());
    }

    pub(crate) async fn wait_for(
        &self,
        within: Duration,
        mut condition: impl FnMut(&Counts) -> bool,
    ) -> Result<Counts, Counts> {
        let mut counts = self.counts.subscribe();
        let wait = counts.wait_for(|now| condition(now));
        match tokio::time::timeout(within, wait).await {
            Ok(Ok(now)) => Ok(*now),
            _ => Err(self.counts()),
        }
    }
}

/// Lives as long as its call. hyper drops it with the handler, or the body, as
/// soon as the client's connection is closed.
#[derive(Debug)]
pub(crate) struct Guard {
    calls: Calls,
    number: u64,
    era: u64,
    outcome: Outcome,
}

impl Guard {
    /// Says that the answer was given as it was meant to be.
    pub(crate) fn finish(&mut self) {
        self.outcome = Outcome::Finished;
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.calls.end(self);
    }
}
