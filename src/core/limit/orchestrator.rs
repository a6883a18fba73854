//! The one door to every upstream, and the one retry loop.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};

use super::body::{Ahead, guarded, read_ahead, whole};
use super::budget::{Budget, BudgetExhausted, Taken};
use super::call::{Answered, Call, CallError, CallStats, Inspect};
use super::config::Limits;
use super::global::Global;
use super::lane::{Ask, Lane, LaneError, LaneName, LaneSnapshot, Permit};
use super::retry::{Verdict, classify, is_retryable};
use crate::core::ports::{BodyStream, HttpError, Instant, Ports};

/// All limits in front of all upstreams. Clones are the same.
#[derive(Clone)]
pub struct Orchestrator(Arc<Inner>);

struct Inner {
    limits: Limits,
    ports: Ports,
    global: Global,
    lanes: Mutex<BTreeMap<LaneName, Lane>>,
}

/// The first word to an observer that waits: "within a second".
const FIRST_WORD: Duration = Duration::from_millis(900);
/// And the later ones.
const NEXT_WORD: Duration = Duration::from_secs(5);

/// How an attempt ended that did reach the upstream.
enum Outcome {
    Answer(http::Response<BodyStream>, Verdict),
    Failure(HttpError),
}

impl Outcome {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Answer(_, verdict) => verdict.is_retryable(),
            Self::Failure(error) => is_retryable(error),
        }
    }

    /// How long the upstream asks to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer(_, Verdict::Overloaded { retry_after }) => *retry_after,
            _ => None,
        }
    }
}

/// A call taken from the budget, given back unless it is made.
struct Charge<'a> {
    budget: &'a Budget,
    made: bool,
}

impl<'a> Charge<'a> {
    fn take(budget: &'a Budget) -> Result<(Self, Taken), BudgetExhausted> {
        let taken = budget.take(1)?;
        let made = false;
        Ok((Self { budget, made }, taken))
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if !self.made {
            self.budget.give_back(1);
        }
    }
}

impl Orchestrator {
    /// The limits in front of `ports.http`.
    pub fn new(limits: Limits, ports: Ports) -> Self {
        let clock = Arc::clone(&ports.clock);
        let global = Global::new(
            limits.rate,
            limits.burst,
            limits.launches,
            limits.queue,
            clock,
        );
        Self(Arc::new(Inner {
            limits,
            ports,
            global,
            lanes: Mutex::default(),
        }))
    }

    /// Makes one call: budget, lane, global rate, upstream; again from the
    /// start while the answer is worth it and the call allows it.
    ///
    /// An answer is an answer, whatever its status: look at
    /// [`Answered::verdict`]. It comes when its head is there, before anything
    /// of its body is handed on, so nothing is ever repeated after that. The
    /// body holds the lane's slot until it has ended or is dropped.
    ///
    /// Dropping the future at any point cancels the call, frees what it held,
    /// passes its turn on, and gives its budget back if nothing was sent.
    ///
    /// # Errors
    /// See [`CallError`]. After a failed attempt for which the budget or the
    /// deadline allows no other, the failure is returned, not the lack.
    pub async fn run(&self, call: Call) -> Result<Answered, CallError> {
        let lane = self.lane(&call.lane);
        let mut stats = CallStats::default();
        loop {
            let outcome = self.attempt(&call, &lane, &mut stats).await?;
            let again = outcome.is_retryable()
                && call.repeatable
                && stats.attempts < self.0.limits.retry.attempts
                && call.budget.can_make(1);
            if !again {
                return finish(&call, outcome, stats);
            }
            let wait = match self.next_try(&call, &outcome, stats.attempts) {
                Next::After(wait) => wait,
                Next::TooLate => return finish(&call, outcome, stats),
                Next::Paused(error) => return Err(error),
            };
            if let Some(observer) = &call.observer {
                observer.retrying(&call.lane, stats.attempts, wait);
            }
            // The slot and the connection are not held while backing off.
            drop(outcome);
            self.0.ports.clock.sleep(wait).await;
        }
    }

    /// Changes the global rate and burst while it runs.
    pub fn set_rate(&self, rate: super::Rate, burst: u32) {
        self.0.global.set_rate(rate, burst);
    }

    /// The lane called `name`, to look at or to change while it runs. Made on
    /// first use.
    pub fn lane(&self, name: &LaneName) -> Lane {
        let inner = &*self.0;
        let mut lanes = inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(name) {
            return lane.clone();
        }
        let limits = inner.limits.lane(name).limits;
        let lane = Lane::new(name.clone(), limits, Arc::clone(&inner.ports.clock));
        lanes.insert(name.clone(), lane.clone());
        lane
    }

    /// The lanes that were used so far, as they are in this instance.
    pub fn lanes(&self) -> Vec<(LaneName, LaneSnapshot)> {
        let lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = |(name, lane): (&LaneName, &Lane)| (name.clone(), lane.snapshot());
        lanes.iter().map(snapshot).collect()
    }

    /// Launches under way in this instance, and callers waiting for one.
    pub fn global(&self) -> LaneSnapshot {
        self.0.global.snapshot()
    }

    async fn attempt(
        &self,
        call: &Call,
        lane: &Lane,
        stats: &mut CallStats,
    ) -> Result<Outcome, CallError> {
        let (mut charge, taken) = Charge::take(&call.budget)?;
        stats.budget_warning |= taken.warn;
        let clock = &self.0.ports.clock;
        let asked = clock.now();
        let started = self.observed(call, self.start(call, lane)).await;
        let waited = clock.now() - asked;
        stats.waited += waited;
        let (slot, launch) = started?;
        stats.attempts += 1;
        if let Some(observer) = &call.observer {
            observer.attempt(&call.lane, stats.attempts, waited);
        }
        charge.made = true;
        let timeouts = call.timeouts;
        let timeouts = timeouts.unwrap_or(self.0.limits.lane(&call.lane).timeouts);
        let sent = self.0.ports.http.send(call.request.clone(), timeouts);
        let response = sent.await;
        drop(launch);
        let outcome = self.read(call, response, slot).await;
        if let Some(wait) = outcome.retry_after() {
            lane.pause_until(clock.now() + wait.min(self.0.limits.longest_pause));
        }
        Ok(outcome)
    }

    /// Waits for the lane's slot and for the launch.
    async fn start(&self, call: &Call, lane: &Lane) -> Result<(Permit, Permit), CallError> {
        let ask = Ask {
            priority: call.priority,
            weight: call.weight,
            deadline: call.deadline,
        };
        let granted = lane.acquire(ask).await;
        let mut slot = granted.map_err(|error| refused(lane, error))?;
        loop {
            let mut launch = self.0.global.acquire(ask).await?;
            // The lane may have been paused while the call waited for its
            // token: an answer that came meanwhile asked for it.
            let Some(until) = lane.paused_until() else {
                slot.launch();
                launch.launch();
                return Ok((slot, launch));
            };
            drop(launch);
            let clock = &self.0.ports.clock;
            self.allow_pause(call, until - clock.now())?;
            clock.sleep_until(until).await;
        }
    }

    /// Tells the call's observer that `start` is still waiting.
    async fn observed<F: Future>(&self, call: &Call, start: F) -> F::Output {
        let Some(observer) = &call.observer else {
            return start.await;
        };
        let clock = &self.0.ports.clock;
        let asked = clock.now();
        let mut next = asked + FIRST_WORD;
        let mut start = std::pin::pin!(start);
        loop {
            match select(start, clock.sleep_until(next)).await {
                Either::Left((output, _)) => return output,
                Either::Right(((), still)) => {
                    observer.waiting(&call.lane, clock.now() - asked);
                    next += NEXT_WORD;
                    start = still;
                }
            }
        }
    }

    /// Judges an answer; `slot` goes with its body.
    async fn read(
        &self,
        call: &Call,
        response: Result<http::Response<BodyStream>, HttpError>,
        slot: Permit,
    ) -> Outcome {
        let (head, body) = match response {
            Ok(response) => response.into_parts(),
            Err(error) => return Outcome::Failure(error),
        };
        let by_status = classify(&head, self.0.ports.clock.unix());
        let (verdict, body) = match call.inspect {
            Inspect::Head(read) => (read(&head), body),
            Inspect::Body { limit, read } if by_status == Verdict::Good => {
                match read_ahead(body, limit).await {
                    Ok(Ahead::Whole(bytes)) => (read(&head, &bytes), whole(bytes)),
                    Ok(Ahead::Longer(body)) => (by_status, body),
                    Err(error) => return Outcome::Failure(error),
                }
            }
            Inspect::Status | Inspect::Body { .. } => (by_status, body),
        };
        let body = guarded(body, slot);
        Outcome::Answer(http::Response::from_parts(head, body), verdict)
    }

    /// Whether and when there is another attempt after `outcome`.
    fn next_try(&self, call: &Call, outcome: &Outcome, attempts: u32) -> Next {
        let ports = &self.0.ports;
        if let Some(wait) = outcome.retry_after() {
            // The lane is paused for as long, and waits for it there.
            return match self.allow_pause(call, wait.min(self.0.limits.longest_pause)) {
                Ok(()) => Next::After(Duration::ZERO),
                Err(error) => Next::Paused(error),
            };
        }
        let wait = self.0.limits.retry.backoff(attempts, &*ports.entropy);
        let late = |deadline: Instant| deadline < ports.clock.now() + wait;
        match call.deadline.is_some_and(late) {
            true => Next::TooLate,
            false => Next::After(wait),
        }
    }

    /// Refuses a pause that outlasts the call's deadline.
    fn allow_pause(&self, call: &Call, wait: Duration) -> Result<(), CallError> {
        let until = self.0.ports.clock.now() + wait;
        if call.deadline.is_some_and(|deadline| deadline < until) {
            return Err(CallError::Deadline {
                lane: call.lane.clone(),
                retry_after: wait,
            });
        }
        Ok(())
    }
}

enum Next {
    After(Duration),
    /// The deadline comes before the backoff has ended.
    TooLate,
    Paused(CallError),
}

/// A lane's refusal: by a pause that the upstream asked for, or by itself.
fn refused(lane: &Lane, error: LaneError) -> CallError {
    match error {
        LaneError::Deadline {
            lane: name,
            retry_after,
        } if lane.paused_until().is_some() => CallError::Deadline {
            lane: name,
            retry_after,
        },
        error => error.into(),
    }
}

fn finish(call: &Call, outcome: Outcome, stats: CallStats) -> Result<Answered, CallError> {
    match outcome {
        Outcome::Answer(response, verdict) => Ok(Answered {
            response,
            verdict,
            stats,
        }),
        Outcome::Failure(error) => Err(CallError::Http {
            lane: call.lane.clone(),
            error,
        }),
    }
}

impl fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator")
            .field("global", &self.global())
            .field("lanes", &self.lanes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
