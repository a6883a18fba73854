//! The one door to every upstream, and the one retry loop.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use super::body::{Ahead, ProgressTimeout, from_bytes, guarded, read_ahead, read_start};
use super::bucket::Rate;
use super::budget::{Budget, BudgetExhausted, Taken};
use super::call::{Answered, Call, CallError, CallStats, Inspect};
use super::config::Limits;
use super::gate::{Entry, Gate, Slot};
use super::lane::{Lane, LaneName, LaneSnapshot};
use super::retry::{Verdict, classify, is_retryable};
use super::shared::Window;
use crate::ports::{BodyStream, HttpError, Instant, Ports, TimeoutPhase};
use crate::scope;
use crate::store::Store;

/// All limits in front of all upstreams. Clones are the same.
///
/// ```
/// use spinlane_core::limit::{Budget, Call, CallError, LaneConfig, Limits, Orchestrator};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// let world = World::with_http(ScriptedHttp::in_turn([http::Response::new("[]".into())]));
/// let ports = world.ports();
/// let limits = Limits::default().with_lane("search", LaneConfig::new(2));
/// let upstreams = Orchestrator::new(limits, &ports, &Store::open(&ports));
///
/// let call = Call::get("search", "https://search.example/", Budget::new(50))?;
/// let answered = world.run(upstreams.run(call))?;
/// assert_eq!(world.run(answered.bytes(4096))?, "[]");
///
/// let slip = Call::get("serach", "https://search.example/", Budget::new(50))?;
/// let refused = world.run(upstreams.run(slip));
/// assert!(matches!(refused, Err(CallError::UnknownLane { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Orchestrator(Arc<Inner>);

struct Inner {
    ports: Ports,
    gate: Gate,
}

/// The first word to an observer that waits: "within a second".
const FIRST_WORD: Duration = Duration::from_millis(500);
/// And the later ones.
const NEXT_WORD: Duration = Duration::from_secs(5);

/// How long a body that is read whole may take. The upstream's timeouts alone
/// would let one trickle for ever.
const READ_AHEAD: Duration = Duration::from_secs(30);

/// A lane as a status page shows it.
///
/// ```
/// use spinlane_core::limit::{Budget, Call, LaneConfig, Limits};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// let world = World::with_http(ScriptedHttp::in_turn([http::Response::new("[]".into())]));
/// let limits = Limits::default().with_lane("search", LaneConfig::new(2));
/// let upstreams = Resources::open(&world.ports(), limits).upstreams;
/// let call = Call::get("search", "https://search.example/", Budget::new(50))?;
/// let unread = world.run(upstreams.run(call))?;
/// let [search] = &world.run(upstreams.status())[..] else { panic!("there is one lane") };
/// assert_eq!((&*search.lane, search.limit), ("search", 2));
/// assert_eq!(search.held, 1, "the answer has not been read");
/// # drop(unread);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// Its name.
    pub lane: LaneName,
    /// Calls that may be under way at a time.
    pub limit: u32,
    /// Calls that are: in all instances in the shared scope, else (and while
    /// the store is left alone) in this one.
    pub held: u64,
    /// How long it is still paused (zero: it is not).
    pub paused_for: Duration,
}

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
    fn take(call: &'a Call) -> Result<(Self, Taken), BudgetExhausted> {
        let budget = &call.budget;
        let taken = match call.overhead {
            true => budget.take_overhead(1)?,
            false => budget.take(1)?,
        };
        let made = false;
        Ok((Self { budget, made }, taken))
    }

    /// From here on it is paid.
    fn made(mut self) {
        self.made = true;
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
    /// The limits in front of `ports.http`, in the shared scope kept in `store`.
    pub fn new(limits: Limits, ports: &Ports, store: &Store) -> Self {
        let gate = Gate::new(limits, store);
        let ports = ports.clone();
        Self(Arc::new(Inner { ports, gate }))
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
    pub async fn run(&self, mut call: Call) -> Result<Answered, CallError> {
        let entry = self.0.gate.entry(&call.lane);
        let lane = || call.lane.clone();
        let entry = entry.ok_or_else(|| CallError::UnknownLane { lane: lane() })?;
        let mut stats = CallStats::default();
        loop {
            let outcome = self.attempt(&mut call, &entry, &mut stats).await?;
            let again =
                outcome.is_retryable() && self.may_repeat(&call, stats.attempts) && can_pay(&call);
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

    /// Changes this instance's global rate and burst while it runs. What the
    /// store counts stays as configured.
    pub fn set_rate(&self, rate: Rate, burst: u32) {
        self.0.gate.global.set_rate(rate, burst);
    }

    /// The lane called `name`, as it is in this instance, to look at or to
    /// change while it runs; `None` where it has no limits. Made on first use.
    pub fn lane(&self, name: &LaneName) -> Option<Lane> {
        Some(self.0.gate.entry(name)?.lane.clone())
    }

    /// Launches under way in this instance, and callers waiting for one.
    pub fn global(&self) -> LaneSnapshot {
        self.0.gate.global.snapshot()
    }

    /// Whether limits hold over all instances, and not in this one only: it was
    /// asked for, and the host has counters.
    pub fn is_shared(&self) -> bool {
        self.0.gate.shared_rate().is_some()
    }

    /// Launches of all instances in the store's present window. `None` where
    /// limits are of this instance only, and while the store is left alone.
    pub async fn launches(&self) -> Option<Window> {
        self.0.gate.shared_rate()?.window().await.ok()
    }

    /// Ends the pauses that upstreams have asked for, of all configured lanes and
    /// those that were used, and tells how many there were: for an operator who
    /// knows better. In the shared scope they end for all instances but those
    /// that know of them already. Costs a read for each lane, and one more call
    /// for each that is paused.
    pub async fn end_pauses(&self) -> u64 {
        let mut ended = 0;
        for entry in self.0.gate.entries() {
            ended += u64::from(entry.end_pause().await);
        }
        ended
    }

    /// All configured lanes and those that were used, in all instances as far
    /// as the store knows. Costs two reads for each lane, and an increment for each that
    /// is in use.
    pub async fn status(&self) -> Vec<LaneStatus> {
        let mut all = Vec::new();
        for entry in self.0.gate.entries() {
            let (held, paused_until) = entry.in_store().await;
            let snapshot = entry.lane.snapshot();
            let paused = paused_until.map(|until| until - self.0.ports.clock.now());
            all.push(LaneStatus {
                lane: entry.lane.name().clone(),
                limit: snapshot.limit,
                held: held.unwrap_or(snapshot.in_flight.into()),
                paused_for: paused.unwrap_or_default().max(snapshot.paused_for),
            });
        }
        all
    }

    /// Whether `call` may be sent again after so many attempts.
    fn may_repeat(&self, call: &Call, attempts: u32) -> bool {
        call.repeatable && attempts < self.0.gate.limits.retry.attempts
    }

    async fn attempt(
        &self,
        call: &mut Call,
        entry: &Entry,
        stats: &mut CallStats,
    ) -> Result<Outcome, CallError> {
        let (charge, taken) = Charge::take(call)?;
        stats.budget_warning |= taken.warn;
        let clock = &self.0.ports.clock;
        let asked = clock.now();
        let started = self.observed(call, self.0.gate.enter(call, entry)).await;
        let waited = clock.now() - asked;
        stats.waited += waited;
        let scope = scope::current();
        if let Some(scope) = &scope {
            scope.waited.add(waited);
        }
        let (slot, launch) = started?;
        stats.attempts += 1;
        if let Some(observer) = &call.observer {
            observer.attempt(&call.lane, stats.attempts, waited);
        }
        charge.made();
        let timeouts = call.timeouts;
        let timeouts = timeouts.unwrap_or(entry.timeouts);
        let mut request = match self.may_repeat(call, stats.attempts) {
            true => call.request.clone(),
            false => std::mem::take(&mut call.request),
        };
        if let Some(trace) = scope.and_then(|scope| scope.trace) {
            let span = trace.child(&*self.0.ports.entropy);
            span.insert_into(request.headers_mut());
        }
        let response = self.0.ports.http.send(request, timeouts).await;
        drop(launch);
        let outcome = self.read(call, response, slot).await;
        if let Some(wait) = outcome.retry_after() {
            self.0.gate.pause(entry, wait).await;
        }
        Ok(outcome)
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
        slot: Slot,
    ) -> Outcome {
        let (head, body) = match response {
            Ok(response) => response.into_parts(),
            Err(error) => return Outcome::Failure(error),
        };
        let by_status = classify(&head, self.0.ports.clock.unix());
        let (verdict, body) = match call.inspect {
            Inspect::Body { limit, read } if by_status == Verdict::Good => {
                match self.in_time(read_ahead(body, limit)).await {
                    Ok(Ahead::Whole(bytes)) => (read(&head, &bytes), from_bytes(bytes)),
                    Ok(Ahead::Longer(body)) => (by_status, body),
                    Err(error) => return Outcome::Failure(error),
                }
            }
            Inspect::Start { limit, read } if by_status == Verdict::Good => {
                let timeout = ProgressTimeout::new(&*self.0.ports.clock, call.progress);
                let judge = |start: &[u8], all| read(&head, start, all);
                match read_start(body, limit, timeout, judge).await {
                    Ok((verdict, body)) => (verdict.unwrap_or(by_status), body),
                    Err(error) => return Outcome::Failure(error),
                }
            }
            Inspect::Status | Inspect::Body { .. } | Inspect::Start { .. } => (by_status, body),
        };
        let body = guarded(body, slot);
        Outcome::Answer(http::Response::from_parts(head, body), verdict)
    }

    async fn in_time<T>(
        &self,
        read: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        let end = self.0.ports.clock.sleep(READ_AHEAD);
        match select(std::pin::pin!(read), end).await {
            Either::Left((read, _)) => read,
            Either::Right(_) => Err(HttpError::Timeout(TimeoutPhase::Idle)),
        }
    }

    /// Whether and when there is another attempt after `outcome`.
    fn next_try(&self, call: &Call, outcome: &Outcome, attempts: u32) -> Next {
        let ports = &self.0.ports;
        if let Some(wait) = outcome.retry_after() {
            // The lane is paused for as long, and the next attempt waits for it
            // there. The backoff runs meanwhile, and is all that there is where
            // the upstream says "at once", or its clock is behind.
            let wait = wait.min(self.0.gate.limits.longest_pause);
            if let Err(error) = self.0.gate.allow_pause(call, wait) {
                return Next::Paused(error);
            }
        }
        let wait = self.0.gate.limits.retry.backoff(attempts, &*ports.entropy);
        let late = |deadline: Instant| deadline < ports.clock.now() + wait;
        match call.deadline.is_some_and(late) {
            true => Next::TooLate,
            false => Next::After(wait),
        }
    }
}

enum Next {
    After(Duration),
    /// The deadline comes before the backoff has ended.
    TooLate,
    Paused(CallError),
}

/// Whether the budget has another attempt. Only the attempt itself decides.
fn can_pay(call: &Call) -> bool {
    match call.overhead {
        true => call.budget.used() < call.budget.total(),
        false => call.budget.can_make(1),
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
            .field("shared", &self.is_shared())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
