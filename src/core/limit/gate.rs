//! What stands between a call and its upstream: lane, then global rate, each
//! in this instance and, where it is shared, in the store.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, pending, select};

use super::adaptive::{Adaptive, Sample};
use super::call::{Call, CallError};
use super::config::{Limits, Scope};
use super::global::{GLOBAL, Global};
use super::lane::{Ask, Lane, LaneError, LaneName, Permit};
use super::shared::{
    Health, Lease, LeaseTimes, NoSlot, NoTicket, Shared, SharedLane, SharedLimit, SharedPause,
    SharedRate, Tickets,
};
use crate::core::ports::{Clock, Instant, Ports};

/// A ticket or a look at the pause that is older counts as stale: the call was
/// held up after it.
const STALE: Duration = Duration::from_millis(50);

/// So often tickets of two rates are taken that were to be for the same time,
/// and are not because others came between. It takes two, seldom three.
const TRIES: usize = 32;

/// Who waits for a slot of the store looks so often whether its lane was paused.
const LOOK: Duration = Duration::from_secs(1);

/// The limits of all lanes.
///
/// The store's limits come on top of the instance's: these keep the order, the
/// deadlines and the bound of the queue without a store call, and go on alone
/// while the store is left alone.
pub(super) struct Gate {
    pub(super) limits: Limits,
    clock: Arc<dyn Clock>,
    pub(super) global: Global,
    shared: Option<(Shared, SharedRate)>,
    lanes: Mutex<BTreeMap<LaneName, Arc<Entry>>>,
}

/// One lane.
pub(super) struct Entry {
    pub(super) lane: Lane,
    adaptive: Option<Adaptive>,
    shared: Option<SharedEntry>,
}

struct SharedEntry {
    slots: SharedLane,
    rate: Option<SharedRate>,
    pause: SharedPause,
    limit: SharedLimit,
}

/// A call's place in its lane. The lease goes first, so that it is on its way
/// back before the next of this instance asks.
pub(super) struct Slot {
    _lease: Option<Lease>,
    permit: Permit,
}

/// How waiting for a launch ended.
enum Turn {
    Go(Permit),
    /// The lane is paused until then.
    Paused(Instant),
    /// The tickets were due before there was a launch.
    Lapsed,
}

impl Gate {
    pub(super) fn new(limits: Limits, ports: &Ports, health: Arc<Health>) -> Self {
        let clock = Arc::clone(&ports.clock);
        let shared = match limits.scope {
            Scope::Shared => Shared::new(ports, health),
            Scope::Instance => None,
        };
        let rate = |shared: Shared| {
            let rate = SharedRate::new(shared.clone(), "all", limits.rate, limits.burst);
            (shared, rate)
        };
        Self {
            shared: shared.map(rate),
            global: Global::new(
                limits.rate,
                limits.burst,
                limits.launches,
                limits.queue,
                Arc::clone(&clock),
            ),
            limits,
            clock,
            lanes: Mutex::default(),
        }
    }

    /// The lane called `name`, made on first use.
    pub(super) fn entry(&self, name: &LaneName) -> Arc<Entry> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = lanes.get(name) {
            return Arc::clone(entry);
        }
        let entry = Arc::new(self.make(name));
        lanes.insert(name.clone(), Arc::clone(&entry));
        entry
    }

    /// The lanes that were used so far.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.values().cloned().collect()
    }

    fn make(&self, name: &LaneName) -> Entry {
        let config = self.limits.lane(name);
        let limits = config.limits;
        let adaptive = |adaptive| Adaptive::new(adaptive, limits.concurrency);
        let shared = self.shared.as_ref().map(|(shared, _)| SharedEntry {
            slots: SharedLane::new(shared.clone(), name, LeaseTimes::default())
                .bounded(limits.queue),
            rate: limits.rate.map(|(rate, burst)| {
                SharedRate::new(shared.clone(), &format!("lane-{name}"), rate, burst)
            }),
            pause: SharedPause::new(shared.clone(), name, self.limits.longest_pause),
            limit: SharedLimit::new(shared.clone(), name),
        });
        Entry {
            lane: Lane::new(name.clone(), limits, Arc::clone(&self.clock)),
            adaptive: config.adaptive.map(adaptive),
            shared,
        }
    }

    /// What the limits in the store stand on, where they are kept there.
    pub(super) fn shared(&self) -> Option<&Shared> {
        self.shared.as_ref().map(|(shared, _)| shared)
    }

    /// Whether `counter` is one of these limits that nobody will use any more.
    pub(super) fn is_over(&self, counter: &str) -> bool {
        let of_lane = |entry: &Arc<Entry>| {
            entry.shared.as_ref().is_some_and(|shared| {
                let rate = shared.rate.as_ref();
                shared.slots.is_over(counter) || rate.is_some_and(|rate| rate.is_over(counter))
            })
        };
        let global = self.shared_rate();
        global.is_some_and(|rate| rate.is_over(counter)) || self.entries().iter().any(of_lane)
    }

    /// The global rate of all instances.
    pub(super) fn shared_rate(&self) -> Option<&SharedRate> {
        self.shared.as_ref().map(|(_, rate)| rate)
    }

    /// Waits until `call` may start. Returns its place in the lane, and the
    /// launch, which ends with the response head.
    pub(super) async fn enter(
        &self,
        call: &Call,
        entry: &Entry,
    ) -> Result<(Slot, Permit), CallError> {
        let ask = Ask {
            priority: call.priority,
            weight: call.weight,
            deadline: call.deadline,
        };
        entry.adopt().await;
        // Makes a pause that another instance asked for known to the lane here:
        // who has no time for it is refused before it waits for anything.
        entry.paused_until().await;
        let lane = &entry.lane;
        let granted = lane.acquire(ask).await;
        let permit = granted.map_err(|error| refused(lane, error))?;
        let _lease = self.lease(call, entry).await?;
        let mut slot = Slot { _lease, permit };
        let mut hold = false;
        loop {
            match self.turn(call, entry, ask, hold).await? {
                Turn::Go(mut launch) => {
                    slot.permit.launch();
                    launch.launch();
                    return Ok((slot, launch));
                }
                Turn::Paused(until) => {
                    self.allow_pause(call, until - self.clock.now())?;
                    self.clock.sleep_until(until).await;
                }
                Turn::Lapsed => hold = true,
            }
        }
    }

    /// Waits for a launch and for the tickets of the store.
    ///
    /// A launch is taken first, so that tickets do not lapse while others'
    /// launches last; but it is left to others until tickets that are still to
    /// come are due. Who then finds none in time has lost its tickets, and
    /// keeps its launch (`hold`) when it comes again.
    async fn turn(
        &self,
        call: &Call,
        entry: &Entry,
        ask: Ask,
        hold: bool,
    ) -> Result<Turn, CallError> {
        let mut launch = self.global.acquire(ask).await?;
        // The lane may have been paused while the call waited: an answer that
        // came meanwhile, here or in another instance, asked for it.
        if let Some(until) = entry.paused_until().await {
            return Ok(Turn::Paused(until));
        }
        let looked = self.clock.now();
        let tickets = self.tickets(call, entry).await?;
        let due_in = tickets.map_or(Duration::ZERO, |all| all.due_in(self.clock.unix()));
        if !due_in.is_zero() {
            let kept = hold.then_some(launch);
            self.clock.sleep(due_in).await;
            launch = match kept {
                Some(launch) => launch,
                None => self.global.acquire(ask).await?,
            };
        }
        if self.clock.now() - looked > STALE
            && let Some(until) = entry.paused_until().await
        {
            return Ok(Turn::Paused(until));
        }
        let lapsed = tickets.is_some_and(|all| all.are_over(self.clock.unix(), STALE));
        Ok(match lapsed && !hold {
            true => Turn::Lapsed,
            false => Turn::Go(launch),
        })
    }

    /// Takes the call's tickets of the store: of the global rate, and of the
    /// lane's where it has one, for the same time. Whichever has the longer line
    /// goes first, so that the other has tickets left for when the first are
    /// due; only where others come between are they taken anew.
    async fn tickets(&self, call: &Call, entry: &Entry) -> Result<Option<Tickets>, CallError> {
        let Some((_, global)) = &self.shared else {
            return Ok(None);
        };
        let lane = entry.shared.as_ref();
        let Some(lane) = lane.and_then(|shared| shared.rate.as_ref()) else {
            return take(global, call, GLOBAL, Duration::ZERO).await;
        };
        let global = global.clone().beside(lane);
        let mut rates = [(lane, &*call.lane), (&global, GLOBAL)];
        if global.line().await > lane.line().await {
            rates.reverse();
        }
        let mut other: Option<Tickets> = None;
        for (tried, (rate, name)) in rates.into_iter().cycle().take(TRIES).enumerate() {
            let from = match other {
                None => Duration::ZERO,
                // Once they may meet by luck. After that those that were taken
                // are kept clear of, or they could be in the way for ever.
                Some(tickets) if tried > 2 => tickets.clear(),
                Some(tickets) => tickets.begins(),
            };
            let Some(tickets) = take(rate, call, name, from).await? else {
                return Ok(None);
            };
            let both = other.and_then(|other| other.and(tickets));
            if both.is_some() {
                return Ok(both);
            }
            other = Some(tickets);
        }
        let due_in = |tickets: Tickets| tickets.due_in(self.clock.unix());
        Err(CallError::Busy {
            lane: call.lane.clone(),
            retry_after: other.map_or(Duration::ZERO, due_in),
        })
    }

    /// A slot of the store. A pause beyond the call's deadline that comes
    /// meanwhile ends the wait.
    async fn lease(&self, call: &Call, entry: &Entry) -> Result<Option<Lease>, CallError> {
        let (lease, paused) = (pin!(entry.lease(call)), pin!(self.paused(call, entry)));
        match select(lease, paused).await {
            Either::Left((lease, _)) => lease,
            Either::Right((error, _)) => Err(error),
        }
    }

    /// Resolves when the lane is paused for longer than `call` may wait, at the
    /// latest a second after any instance has learned of it.
    async fn paused(&self, call: &Call, entry: &Entry) -> CallError {
        if call.deadline.is_none() || entry.shared.is_none() {
            return pending().await;
        }
        loop {
            self.clock.sleep(LOOK).await;
            if let Some(until) = entry.paused_until().await
                && let Err(error) = self.allow_pause(call, until - self.clock.now())
            {
                return error;
            }
        }
    }

    /// Keeps all instances out of the lane for `wait`, within bounds.
    pub(super) async fn pause(&self, entry: &Entry, wait: Duration) {
        let wait = wait.min(self.limits.longest_pause);
        entry.lane.pause_until(self.clock.now() + wait);
        if let Some(shared) = &entry.shared {
            shared.pause.pause(wait).await;
        }
    }

    /// Refuses a pause that outlasts the call's deadline.
    pub(super) fn allow_pause(&self, call: &Call, wait: Duration) -> Result<(), CallError> {
        let until = self.clock.now() + wait;
        if call.deadline.is_some_and(|deadline| deadline < until) {
            return Err(CallError::Deadline {
                lane: call.lane.clone(),
                retry_after: wait,
            });
        }
        Ok(())
    }
}

impl Entry {
    /// Takes over what other instances have learned of the upstream.
    async fn adopt(&self) {
        if let (Some(adaptive), Some(shared)) = (&self.adaptive, &self.shared)
            && let Some(limit) = shared.limit.get().await
        {
            self.lane.set_limit(adaptive.adopt(limit));
        }
    }

    /// Learns how an attempt went that was launched at `launched`, for this
    /// instance and the others.
    pub(super) async fn learn(&self, launched: Instant, ended: Instant, overloaded: bool) {
        let Some(adaptive) = &self.adaptive else {
            return;
        };
        let sample = Sample {
            launched,
            ended,
            overloaded,
            in_flight: self.lane.snapshot().in_flight,
        };
        if let Some(limit) = adaptive.learn(sample) {
            self.lane.set_limit(limit);
            if let Some(shared) = &self.shared {
                shared.limit.set(limit).await;
            }
        }
    }

    /// A slot of the store, held next to the instance's.
    async fn lease(&self, call: &Call) -> Result<Option<Lease>, CallError> {
        let Some(shared) = &self.shared else {
            return Ok(None);
        };
        let limit = self.lane.snapshot().limit;
        let lease = shared.slots.acquire(limit, call.deadline, |_| ()).await;
        // Whoever knows of the longer wait: other instances, or this one.
        let retry_after = |wait: Duration| wait.max(self.lane.retry_after());
        let lane = || call.lane.clone();
        let lease = lease.map_err(|error| match error {
            NoSlot::TooLate { wait } => CallError::Busy {
                lane: lane(),
                retry_after: retry_after(wait),
            },
            NoSlot::Full { wait, .. } => CallError::Shed {
                lane: lane(),
                retry_after: retry_after(wait),
            },
        })?;
        Ok(Some(lease))
    }

    /// Ends the lane's pause, here and in the store; tells whether there was one.
    pub(super) async fn end_pause(&self) -> bool {
        let paused = self.paused_until().await.is_some();
        if paused {
            if let Some(shared) = &self.shared {
                shared.pause.end().await;
            }
            self.lane.resume();
        }
        paused
    }

    /// When the lane's pause ends. One that another instance has asked for
    /// becomes this instance's too, so that all its waiters know.
    async fn paused_until(&self) -> Option<Instant> {
        if let Some(shared) = &self.shared
            && let Some(until) = shared.pause.until().await
        {
            self.lane.pause_until(until);
        }
        self.lane.paused_until()
    }

    /// Slots held in all instances, and when the pause ends, as far as the
    /// store knows.
    pub(super) async fn in_store(&self) -> (Option<u64>, Option<Instant>) {
        let Some(shared) = &self.shared else {
            return (None, None);
        };
        let held = shared.slots.held(self.lane.snapshot().limit).await;
        (held, shared.pause.until().await)
    }
}

async fn take(
    rate: &SharedRate,
    call: &Call,
    name: &str,
    from: Duration,
) -> Result<Option<Tickets>, CallError> {
    let taken = rate.reserve(call.weight, from, call.deadline).await;
    taken.map_err(|error| match error {
        NoTicket::TooLate(late) => CallError::Busy {
            lane: name.to_owned().into(),
            retry_after: late.wait,
        },
        NoTicket::TooHeavy(heavy) => heavy.into(),
    })
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

#[cfg(test)]
mod tests;
