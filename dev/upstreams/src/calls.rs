//! Every call that a stand-in has seen: counted, logged, waited for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
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
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
    /// The request's query as it was sent, without a key that was in it.
    pub query: String,
    /// The request's body; null when it was not JSON.
    pub request: Value,
    /// Whether a key came with it. The key itself is not kept.
    pub has_key: bool,
    /// The span that it belongs to, as its `traceparent` says.
    pub traceparent: Option<String>,
    /// The status that was answered; `None` while there is no head.
    pub status: Option<u16>,
    /// When it began, since the stand-in was started.
    pub started: Duration,
    /// When each piece of the answer's body was handed over to be sent.
    #[serde(skip)]
    pub sent: Vec<Instant>,
    /// When it ended, and how; `None` while it is under way.
    pub ended: Option<(Duration, Outcome)>,
}

#[derive(Debug)]
struct State {
    /// Tells calls from before a reset apart.
    era: u64,
    log: VecDeque<Call>,
    /// The traces of the calls under way, by the calls' numbers.
    open: BTreeMap<u64, Option<String>>,
}

impl State {
    /// The call with that number, if the log still has it.
    fn call(&mut self, number: u64) -> Option<&mut Call> {
        let first = self.log.front()?.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        self.log.get_mut(at)
    }
}

/// What is noted of a request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    pub(crate) has_key: bool,
    pub(crate) traceparent: Option<String>,
}

/// The header's value, if it is text.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    Some(value.to_owned())
}

/// The trace that a `traceparent` names: its second field.
pub(crate) fn trace(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
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
                log: VecDeque::new(),
                open: BTreeMap::new(),
            })),
            counts: watch::Sender::new(Counts::default()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a call has begun.
    pub(crate) fn begin(&self, request: Request) -> Guard {
        let mut state = self.state();
        if state.log.len() == KEPT {
            state.log.pop_front();
        }
        let number = self.counts.borrow().started + 1;
        let traceparent = request.traceparent.as_deref();
        let of = traceparent.and_then(trace).map(str::to_owned);
        state.open.insert(number, of);
        state.log.push_back(Call {
            number,
            method: request.method,
            path: request.path,
            query: request.query,
            request: request.body,
            has_key: request.has_key,
            traceparent: request.traceparent,
            status: None,
            started: self.begin.elapsed(),
            sent: Vec::new(),
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

    /// Notes something of a call, unless it is from before a reset.
    fn note(&self, guard: &Guard, note: impl FnOnce(&mut Call)) {
        let mut state = self.state();
        if state.era == guard.era
            && let Some(call) = state.call(guard.number)
        {
            note(call);
        }
    }

    fn end(&self, guard: &Guard) {
        let mut state = self.state();
        if state.era != guard.era {
            return;
        }
        state.open.remove(&guard.number);
        let elapsed = self.begin.elapsed();
        if let Some(call) = state.call(guard.number) {
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

    /// How long it has been since the time that calls' own are counted from.
    pub(crate) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(crate) fn log(&self) -> Vec<Call> {
        self.state().log.iter().cloned().collect()
    }

    pub(crate) fn reset(&self) {
        let mut state = self.state();
        state.era += 1;
        state.log.clear();
        state.open.clear();
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

    /// How many calls of one trace are under way.
    fn open_of(&self, of: &str) -> usize {
        let state = self.state();
        let open = state.open.values();
        open.filter(|trace| trace.as_deref() == Some(of)).count()
    }

    /// Waits until no call of one trace is under way.
    pub(crate) async fn wait_for_end_of(&self, trace: &str, within: Duration) -> Result<(), usize> {
        let mut news = self.counts.subscribe();
        let ended = async { while self.open_of(trace) > 0 && news.changed().await.is_ok() {} };
        let ended = tokio::time::timeout(within, ended).await;
        ended.map_err(|_| self.open_of(trace))
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

    /// Notes the status of the head that is about to go.
    pub(crate) fn head(&self, status: u16) {
        self.calls.note(self, |call| call.status = Some(status));
    }

    /// Notes that a piece of the body goes now.
    pub(crate) fn sent(&self) {
        self.calls.note(self, |call| call.sent.push(Instant::now()));
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
