//! What stands between a call and its upstream: lane, then global rate, each
//! in this instance and, where it is shared, in the store.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{pending, select};
use futures::poll;

use super::call::{BusyCause, Call, CallError};
use super::config::{LaneConfig, Limits, Scope};
use super::global::{GLOBAL, Global};
use super::lane::{Acquire, Ask, Lane, LaneError, LaneName, Permit};
use super::shared::{Lease, NoSlot, NoTicket, SharedLane, SharedPause, SharedRate, Tickets};
use crate::ports::{Clock, Instant, Timeouts};
use crate::store::Store;

/// Who waits for tickets for longer looks at the pause again, so long before they
/// are due.
const LONG: Duration = Duration::from_secs(4);
const BEFORE: Duration = Duration::from_secs(1);

/// So often tickets of two rates are taken that were to be for the same time,
/// and are not because others came between. It takes two, seldom three.
const TRIES: u32 = 16;

/// So often a call takes tickets that have lapsed when it could start: a guest may
/// be held up by what else it does, for as long as each of them is good. Deadlines
/// come first; this ends the call that has none.
const LAPSES: usize = 128;

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
    shared: Option<(Store, SharedRate)>,
    lanes: Mutex<BTreeMap<LaneName, Arc<Entry>>>,
}

/// One lane.
pub(super) struct Entry {
    pub(super) lane: Lane,
    pub(super) timeouts: Timeouts,
    shared: Option<SharedEntry>,
}

struct SharedEntry {
    slots: SharedLane,
    rate: Option<SharedRate>,
    pause: SharedPause,
}

/// A call's place in its lane. The lease goes first, so that it is on its way
/// back before the next of this instance asks.
pub(super) struct Slot {
    _lease: Option<Lease>,
    permit: Permit,
}

/// How waiting for a launch ended.
enum Start {
    Go(Permit),
    /// The lane is paused until then.
    Paused(Instant),
    /// The tickets have lapsed before there was a launch.
    Lapsed,
}

impl Gate {
    pub(super) fn new(limits: Limits, store: &Store) -> Self {
        let clock = Arc::clone(store.clock());
        let shared = match limits.scope {
            Scope::Shared => SharedRate::new(store, "all", limits.rate, limits.burst),
            Scope::Instance => None,
        };
        Self {
            shared: shared.map(|rate| (store.clone(), rate)),
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

    /// The lane called `name`, made on first use; `None` where it has no limits.
    pub(super) fn entry(&self, name: &LaneName) -> Option<Arc<Entry>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = lanes.get(name) {
            return Some(Arc::clone(entry));
        }
        let entry = Arc::new(self.make(name, self.limits.lane(name)?));
        lanes.insert(name.clone(), Arc::clone(&entry));
        Some(entry)
    }

    /// The lanes that are configured, and those that were used so far.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        for name in self.limits.lanes.keys() {
            self.entry(name);
        }
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.values().cloned().collect()
    }

    fn make(&self, name: &LaneName, config: &LaneConfig) -> Entry {
        let LaneConfig { limits, timeouts } = *config;
        let shared = self.shared.as_ref();
        let shared = shared.and_then(|(store, _)| {
            let rate = limits.rate.and_then(|(rate, burst)| {
                SharedRate::new(store, &format!("lane-{name}"), rate, burst)
            });
            let slots = SharedLane::new(store, name)?;
            Some(SharedEntry {
                slots: slots.bounded(limits.queue),
                rate,
                pause: SharedPause::new(store, name, self.limits.longest_pause),
            })
        });
        Entry {
            lane: Lane::new(name.clone(), limits, Arc::clone(&self.clock)),
            timeouts,
            shared,
        }
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
            deadline: call.deadline,
        };
        // Makes a pause that another instance asked for known to the lane here:
        // who has no time for it is refused before it waits for anything.
        entry.paused_until().await;
        let lane = &entry.lane;
        let (granted, mut waited) = at_once(lane.acquire(ask)).await;
        let permit = granted.map_err(|error| refused(lane, error))?;
        let _lease = self.lease(call, entry, &mut waited).await?;
        let mut slot = Slot { _lease, permit };
        let mut lapses = 0;
        loop {
            match self.start(call, entry, ask, lapses, waited).await? {
                Start::Go(mut launch) => {
                    slot.permit.launch();
                    launch.launch();
                    return Ok((slot, launch));
                }
                Start::Paused(until) => {
                    self.allow_pause(call, until - self.clock.now())?;
                    self.clock.sleep_until(until).await;
                    waited = false;
                }
                Start::Lapsed if lapses < LAPSES => lapses += 1,
                Start::Lapsed => return Err(busy(call, Duration::ZERO)),
            }
        }
    }

    /// Waits for a launch and for the tickets of the store.
    ///
    /// A launch is taken first, so that tickets do not lapse while others'
    /// launches last; but it is left to others until tickets that are still to
    /// come are due. Who then finds none in time has lost its tickets, and
    /// keeps its launch when it comes again.
    async fn start(
        &self,
        call: &Call,
        entry: &Entry,
        ask: Ask,
        lapses: usize,
        waited: bool,
    ) -> Result<Start, CallError> {
        let (launch, waited_here) = at_once(self.global.acquire(ask)).await;
        let mut launch = launch?;
        // The lane may have been paused while the call waited: an answer that
        // came meanwhile, here or in another instance, asked for it.
        if let Some(until) = entry.still_paused_until(waited || waited_here).await {
            return Ok(Start::Paused(until));
        }
        // With room for slow calls of the store. What is held up after them, by what
        // else the guest does, tries without now and then: those are used at once.
        let calls = u32::from(lapses % 3 != 2);
        let tickets = self.tickets(call, entry, calls).await?;
        if let Some(tickets) = tickets {
            let kept = (lapses > 0).then_some(launch);
            if let Some(until) = self.wait_for(tickets, entry).await {
                return Ok(Start::Paused(until));
            }
            launch = match kept {
                Some(launch) => launch,
                None => self.global.acquire(ask).await?,
            };
        }
        if let Some(until) = entry.lane.paused_until() {
            return Ok(Start::Paused(until));
        }
        let now = self.clock.now();
        if call.deadline.is_some_and(|deadline| deadline < now) {
            return Err(busy(call, entry.lane.retry_after()));
        }
        let lapsed = tickets.is_some_and(|tickets| tickets.end <= self.clock.unix());
        Ok(match lapsed {
            true => Start::Lapsed,
            false => Start::Go(launch),
        })
    }

    /// Waits until `tickets` are due, or finds that the lane was paused
    /// meanwhile.
    async fn wait_for(&self, tickets: Tickets, entry: &Entry) -> Option<Instant> {
        let due_in = tickets.due_in(self.clock.unix());
        if due_in > LONG {
            self.clock.sleep(due_in - BEFORE).await;
            let until = entry.paused_until().await;
            if until.is_some() {
                return until;
            }
        }
        let due_in = tickets.due_in(self.clock.unix());
        if !due_in.is_zero() {
            self.clock.sleep(due_in).await;
        }
        None
    }

    /// Takes the call's tickets of the store: of the global rate, and of the
    /// lane's where it has one, for the same time. The lane's comes first: what
    /// is wasted where others come between is then the lane's own. `None` while
    /// the store is left alone.
    async fn tickets(
        &self,
        call: &Call,
        entry: &Entry,
        calls: u32,
    ) -> Result<Option<Tickets>, CallError> {
        let Some(global) = self.shared_rate() else {
            return Ok(None);
        };
        let lane = entry.shared.as_ref();
        let Some(lane) = lane.and_then(|shared| shared.rate.as_ref()) else {
            return take(global, call, GLOBAL, Duration::ZERO, calls).await;
        };
        let Some(mut last) = take(lane, call, &call.lane, Duration::ZERO, 2 * calls).await? else {
            return Ok(None);
        };
        let rates = [(global, GLOBAL), (lane, &*call.lane)];
        for (tried, (rate, name)) in (0..TRIES).zip(rates.into_iter().cycle()) {
            let Some(tickets) = take(rate, call, name, last.begin, calls.max(tried.min(1))).await?
            else {
                return Ok(None);
            };
            let both = last.and(tickets);
            let both = both.filter(|both| both.end > self.clock.unix());
            if both.is_some() {
                return Ok(both);
            }
            last = tickets;
        }
        Err(busy(call, last.due_in(self.clock.unix())))
    }

    /// A slot of the store. A pause beyond the call's deadline that comes
    /// meanwhile ends the wait.
    async fn lease(
        &self,
        call: &Call,
        entry: &Entry,
        waited: &mut bool,
    ) -> Result<Option<Lease>, CallError> {
        let waits = AtomicBool::new(*waited);
        let ended = {
            let lease = pin!(entry.lease(call, &waits));
            let paused = pin!(self.paused(call, entry, &waits));
            select(lease, paused).await.factor_first().0
        };
        *waited = waits.load(Ordering::Relaxed);
        ended
    }

    /// Resolves when the lane is paused for longer than `call`, which `waits`, may
    /// wait, at the latest a second after any instance has learned of it.
    async fn paused(
        &self,
        call: &Call,
        entry: &Entry,
        waits: &AtomicBool,
    ) -> Result<Option<Lease>, CallError> {
        if call.deadline.is_none() || entry.shared.is_none() {
            return pending().await;
        }
        loop {
            self.clock.sleep(LOOK).await;
            if waits.load(Ordering::Relaxed)
                && let Some(until) = entry.paused_until().await
            {
                self.allow_pause(call, until - self.clock.now())?;
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
            return Err(CallError::Busy {
                lane: call.lane.clone(),
                cause: BusyCause::Paused,
                retry_after: wait,
            });
        }
        Ok(())
    }
}

impl Entry {
    /// A slot of the store, held next to the instance's.
    async fn lease(&self, call: &Call, waited: &AtomicBool) -> Result<Option<Lease>, CallError> {
        let Some(shared) = &self.shared else {
            return Ok(None);
        };
        let limit = self.lane.snapshot().limit;
        let waits = |_| waited.store(true, Ordering::Relaxed);
        let lease = shared.slots.acquire(limit, call.deadline, waits).await;
        // Whoever knows of the longer wait: other instances, or this one.
        let retry_after = |wait: Duration| wait.max(self.lane.retry_after());
        let lease = lease.map_err(|error| {
            let (cause, wait) = match error {
                NoSlot::Deadline { wait } => (BusyCause::Deadline, wait),
                NoSlot::QueueFull { wait, .. } => (BusyCause::QueueFull, wait),
            };
            CallError::Busy {
                lane: call.lane.clone(),
                cause,
                retry_after: retry_after(wait),
            }
        })?;
        Ok(Some(lease))
    }

    /// Ends the lane's pause, here and in the store; tells whether there was one. What is
    /// left of one that is over goes as well: nobody else removes it.
    pub(super) async fn end_pause(&self) -> bool {
        let paused = self.paused_until().await.is_some();
        if let Some(shared) = &self.shared {
            shared.pause.end().await;
        }
        if paused {
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

    /// The same, as far as it is known here already unless `waited`.
    async fn still_paused_until(&self, waited: bool) -> Option<Instant> {
        match waited {
            true => self.paused_until().await,
            false => self.lane.paused_until(),
        }
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

/// What `acquire` comes to, and whether it had to wait.
async fn at_once(mut acquire: Acquire) -> (Result<Permit, LaneError>, bool) {
    match poll!(&mut acquire) {
        std::task::Poll::Ready(granted) => (granted, false),
        std::task::Poll::Pending => (acquire.await, true),
    }
}

async fn take(
    rate: &SharedRate,
    call: &Call,
    name: &str,
    from: Duration,
    calls: u32,
) -> Result<Option<Tickets>, CallError> {
    match rate.reserve(from, calls, call.deadline).await {
        Ok(tickets) => Ok(Some(tickets)),
        Err(NoTicket::Store(_)) => Ok(None),
        Err(NoTicket::Deadline { wait }) => Err(CallError::Busy {
            lane: name.to_owned().into(),
            cause: BusyCause::Deadline,
            retry_after: wait,
        }),
    }
}

fn busy(call: &Call, retry_after: Duration) -> CallError {
    CallError::Busy {
        lane: call.lane.clone(),
        cause: BusyCause::Deadline,
        retry_after,
    }
}

/// A lane's refusal: by a pause that the upstream asked for, or by itself.
fn refused(lane: &Lane, error: LaneError) -> CallError {
    match error {
        LaneError::Deadline {
            lane: name,
            retry_after,
        } if lane.paused_until().is_some() => CallError::Busy {
            lane: name,
            cause: BusyCause::Paused,
            retry_after,
        },
        error => error.into(),
    }
}

#[cfg(test)]
mod tests;
