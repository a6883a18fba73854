//! Concurrent calls over all instances.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::{Shared, trail};
use crate::core::ports::Instant;

/// Tickets are in the low half of a lane's counter, returns in the high half.
const RETURN: i64 = 1 << 32;

/// A waiter looks at most this often.
const LOOK: Duration = Duration::from_millis(250);

/// And at least this often.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);

/// What a call is assumed to take before anything is known of it; no wait that
/// is announced is shorter.
const FIRST_GUESS: Duration = Duration::from_secs(1);

/// And none is longer: until then others have given up, or the upstream is well.
const LONGEST_GUESS: Duration = Duration::from_secs(300);

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSlot {
    /// The caller's deadline came first.
    #[error("no free slot before the deadline: one is likely in {} s", .wait.as_secs())]
    TooLate {
        /// When one is likely to be free: by the pace at which the caller moved
        /// up. Where it did not, not before those ahead have each taken as long
        /// as it has waited. From 1 s to 5 min.
        wait: Duration,
    },
    /// More wait than may: turned away without waiting.
    #[error("{waiting} calls wait already: a slot is likely in {} s", .wait.as_secs())]
    Full {
        /// How many wait, in all instances.
        waiting: u64,
        /// As for [`NoSlot::TooLate`], a call taking a second.
        wait: Duration,
    },
}

/// What a waiter learns of the pace at which the line moves.
struct Pace {
    since: Instant,
    /// Of what period the last look was. In a new one all line up anew, which
    /// moves nobody up.
    period: u64,
    ahead: u64,
    /// By how many places it moved up.
    moved: u64,
}

impl Pace {
    fn see(&mut self, period: u64, ahead: u64) {
        if period == self.period {
            self.moved += self.ahead.saturating_sub(ahead);
        }
        (self.period, self.ahead) = (period, ahead);
    }

    /// How long those ahead are likely to take.
    fn wait(&self, now: Instant, limit: u32) -> Duration {
        let waited = (now - self.since).max(FIRST_GUESS).as_nanos();
        let (ahead, moved) = (u128::from(self.ahead.max(1)), u128::from(self.moved));
        let nanos = match moved {
            0 => waited.saturating_mul(ahead.div_ceil(limit.max(1).into())),
            moved => waited.saturating_mul(ahead) / moved,
        };
        let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        wait.clamp(FIRST_GUESS, LONGEST_GUESS)
    }
}

/// How long leases last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Leases of a period end with it. A holder that dies without giving back
    /// is forgotten at the end of the period after the one that it has renewed
    /// into: within this plus `overlap`.
    pub period: Duration,
    /// So long before its end a period's holders take their lease of the next.
    pub overlap: Duration,
}

impl Default for LeaseTimes {
    /// 10 s and 2 s.
    fn default() -> Self {
        Self {
            period: Duration::from_secs(10),
            overlap: Duration::from_secs(2),
        }
    }
}

/// A lane by tickets and returns.
///
/// Each period of time has one counter, which holds how many tickets were taken
/// and how many were returned. Ticket `n` may go when `n` ≤ limit + returns: one
/// increment takes a ticket and tells whether it may. That is first come, first
/// served over all instances, a waiter needs no second ticket, and nothing has
/// to be undone.
///
/// What an instance returns goes with the next increment that it makes anyway, so
/// that its own next call finds the slot free; by itself when there is none.
///
/// Who dies does not return its ticket; who gives up waiting returns it when it
/// would have been due (earlier, it would let one go too many). What is never
/// returned is forgotten with the period.
#[derive(Clone)]
pub struct SharedLane {
    shared: Shared,
    series: Arc<str>,
    times: LeaseTimes,
    /// Waiters beyond which callers are turned away.
    queue: u64,
    owed: Owed,
}

/// Returns of this instance that the store has yet to be told of, by period.
#[derive(Clone, Debug, Default)]
struct Owed(Arc<Mutex<BTreeMap<u64, i64>>>);

impl Owed {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, tickets: Vec<Ticket>) {
        let mut owed = self.lock();
        for ticket in tickets {
            *owed.entry(ticket.period).or_default() += 1;
        }
    }

    /// What `period` is owed, which the caller then pays.
    fn take(&self, period: u64) -> i64 {
        self.lock().remove(&period).unwrap_or(0)
    }
}

impl std::fmt::Debug for SharedLane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedLane")
            .field("series", &self.series)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

/// One slot of a lane. Dropping it gives the slot back, by a task of the
/// spawner at the latest.
#[derive(Debug)]
#[must_use = "dropping a lease gives its slot back"]
pub struct Lease(Option<Held>);

#[derive(Debug)]
struct Held {
    /// Shared with the task that renews the lease.
    tickets: Arc<Mutex<Vec<Ticket>>>,
    owed: Owed,
    /// Dropping it wakes that task.
    _released: oneshot::Sender<()>,
}

impl Lease {
    /// A slot that is nobody's: for times in which the store is left alone.
    fn unlimited() -> Self {
        Self(None)
    }

    /// Whether it counts in the store.
    pub fn is_counted(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // At once, and not when the task has its turn: who comes before that
        // takes it along.
        let tickets = std::mem::take(&mut *lock(&self.tickets));
        self.owed.add(tickets);
    }
}

fn lock(tickets: &Mutex<Vec<Ticket>>) -> MutexGuard<'_, Vec<Ticket>> {
    tickets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tickets taken and returned.
#[derive(Clone, Copy, Debug)]
struct Look {
    tickets: u64,
    returns: u64,
}

impl Look {
    fn new(counter: i64) -> Self {
        let counter = counter.max(0).cast_unsigned();
        Self {
            tickets: counter & 0xffff_ffff,
            returns: counter >> 32,
        }
    }

    /// How many returns ticket `number` still waits for.
    fn ahead(self, number: u64, limit: u32) -> u64 {
        number.saturating_sub(self.returns + u64::from(limit))
    }
}

/// A ticket of one period.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    period: u64,
    number: u64,
}

impl SharedLane {
    /// The lane `name` of the store.
    pub fn new(shared: Shared, name: &str, times: LeaseTimes) -> Self {
        Self {
            shared,
            series: format!("lane:{name}").into(),
            times,
            queue: u64::MAX,
            owed: Owed::default(),
        }
    }

    /// The same, turning callers away beyond so many waiters in all instances.
    /// Who has given up counts as a waiter until its turn, or until its lease
    /// period ends.
    #[must_use]
    pub fn bounded(self, queue: usize) -> Self {
        let queue = u64::try_from(queue).unwrap_or(u64::MAX);
        Self { queue, ..self }
    }

    /// Takes one of `limit` slots, and resolves when it is free. `waiting` is
    /// called with the number of calls ahead each time that it was looked.
    ///
    /// Dropping the future gives the turn to the next, as an own task.
    ///
    /// # Errors
    /// [`NoSlot`] at `deadline`, and at once where too many wait.
    pub async fn acquire(
        &self,
        limit: u32,
        deadline: Option<Instant>,
        mut waiting: impl FnMut(u64),
    ) -> Result<Lease, NoSlot> {
        let mut pace: Option<Pace> = None;
        let mut place = Place {
            lane: self.clone(),
            limit,
            tickets: Vec::new(),
            entered: false,
        };
        loop {
            let Some((period, ahead)) = place.look().await else {
                // Left alone: whatever tickets there are end with their period.
                place.entered = true;
                return Ok(Lease::unlimited());
            };
            if ahead == 0 {
                return Ok(place.enter());
            }
            waiting(ahead);
            let now = self.shared.clock.now();
            let newcomer = pace.is_none();
            let pace = pace.get_or_insert(Pace {
                since: now,
                period,
                ahead,
                moved: 0,
            });
            pace.see(period, ahead);
            let wait = pace.wait(now, limit);
            if newcomer && ahead > self.queue {
                let waiting = ahead - 1;
                return Err(NoSlot::Full { waiting, wait });
            }
            let next = now + self.pause(ahead, limit);
            let next = deadline.map_or(next, |deadline| next.min(deadline));
            if next <= now {
                return Err(NoSlot::TooLate { wait });
            }
            self.shared.clock.sleep_until(next).await;
        }
    }

    /// How many calls hold a slot, as far as the store knows: for a status
    /// page. `None` while the store is left alone.
    pub async fn held(&self, limit: u32) -> Option<u64> {
        let period = self.period();
        if !trail::is_used(&self.shared, &self.series, period).await {
            return self.shared.is_used().then_some(0);
        }
        let look = self.add(period, 0).await?;
        Some(look.tickets.saturating_sub(look.returns).min(limit.into()))
    }

    /// Whether `counter` is one of this lane that nobody will use any more.
    pub fn is_over(&self, counter: &str) -> bool {
        let period = trail::period_of(&self.series, counter);
        period.is_some_and(|period| period.saturating_add(2) < self.period())
    }

    /// The further back, the less often, within bounds.
    fn pause(&self, ahead: u64, limit: u32) -> Duration {
        let rounds = u32::try_from(ahead / u64::from(limit.max(1))).unwrap_or(u32::MAX);
        let pause = LOOK.saturating_mul(rounds.saturating_add(1));
        // Nobody waits for the turn of one that was turned away, before those
        // of the whole queue: a crowd of them must not use up the store.
        match ahead > self.queue {
            true => pause,
            false => pause.min(LOOK_AT_LEAST),
        }
    }

    fn period_at(&self, unix: Duration) -> u64 {
        let periods = unix.as_nanos() / self.times.period.as_nanos();
        u64::try_from(periods).unwrap_or(u64::MAX)
    }

    fn period(&self) -> u64 {
        self.period_at(self.shared.clock.unix())
    }

    /// The present period, and the next where its leases are taken already.
    fn periods(&self) -> (u64, Option<u64>) {
        let unix = self.shared.clock.unix();
        let (now, soon) = (
            self.period_at(unix),
            self.period_at(unix + self.times.overlap),
        );
        (now, (soon > now).then_some(soon))
    }

    /// When the present period's holders take their next lease.
    fn renewal(&self, period: u64) -> Instant {
        let end = self.times.period.as_nanos() * (u128::from(period) + 1);
        let end = Duration::from_nanos(u64::try_from(end).unwrap_or(u64::MAX));
        let wait = (end - self.times.overlap).saturating_sub(self.shared.clock.unix());
        self.shared.clock.now() + wait
    }

    /// Adds to the counter of `period`, and what it is owed as well.
    async fn add(&self, period: u64, delta: i64) -> Option<Look> {
        let name = trail::name(&self.series, period);
        let delta = delta + RETURN * self.owed.take(period);
        self.shared.increment(&name, delta).await.map(Look::new)
    }

    /// Takes a ticket of `period`.
    async fn ticket(&self, period: u64) -> Option<(Ticket, Look)> {
        let look = self.add(period, 1).await?;
        if look.tickets == 1 {
            trail::begun(&self.shared, &self.series, period, self.period(), 2).await;
        }
        let number = look.tickets;
        Some((Ticket { period, number }, look))
    }

    /// Keeps the lease alive until it is given back, then sees to it that the
    /// store is told.
    async fn keep(self, tickets: Arc<Mutex<Vec<Ticket>>>, released: oneshot::Receiver<()>) {
        let mut released = released;
        let mut newest = newest_of(&lock(&tickets));
        loop {
            let renewal = self.shared.clock.sleep_until(self.renewal(newest));
            match select(released, renewal).await {
                Either::Left(_) => break,
                Either::Right(((), rest)) => {
                    released = rest;
                    // A clock that was late skips the periods that it missed.
                    newest = (newest + 1).max(self.period());
                    lock(&tickets).retain(|ticket| ticket.period + 1 >= newest);
                    // Left alone: the lease ends with its period.
                    if let Some((ticket, _)) = self.ticket(newest).await {
                        lock(&tickets).push(ticket);
                    }
                }
            }
        }
        // What was taken after it had been given back.
        let late = std::mem::take(&mut *lock(&tickets));
        self.owed.add(late);
        self.pay().await;
    }

    /// Returns what is owed. What is of a past period is forgotten with it.
    async fn pay(&self) {
        let now = self.period();
        let periods: Vec<u64> = {
            let mut owed = self.owed.lock();
            owed.retain(|period, _| *period >= now);
            owed.keys().copied().collect()
        };
        for period in periods {
            // Another task may have paid meanwhile.
            if self.owed.lock().contains_key(&period) {
                self.add(period, 0).await;
            }
        }
    }

    /// Gives a turn that nobody waits for any more to the next, when it comes.
    async fn pass_on(self, limit: u32, ticket: Ticket) {
        while ticket.period >= self.period() {
            let Some(look) = self.add(ticket.period, 0).await else {
                return;
            };
            let ahead = look.ahead(ticket.number, limit);
            if ahead == 0 {
                self.add(ticket.period, RETURN).await;
                return;
            }
            self.shared.clock.sleep(self.pause(ahead, limit)).await;
        }
    }
}

fn newest_of(tickets: &[Ticket]) -> u64 {
    let periods = tickets.iter().map(|ticket| ticket.period);
    periods.max().unwrap_or(0)
}

/// A place in the line, passed on when it is dropped.
struct Place {
    lane: SharedLane,
    limit: u32,
    tickets: Vec<Ticket>,
    entered: bool,
}

impl Place {
    /// In which of the periods that count now others are ahead, and how many.
    /// `None` while the store is left alone.
    ///
    /// Near the end of a period the next one counts as well, but its ticket is
    /// only taken by who could go otherwise: who took it while waiting could
    /// come before a holder that has yet to renew, and so make one too many.
    async fn look(&mut self) -> Option<(u64, u64)> {
        let (now, next) = self.lane.periods();
        self.tickets.retain(|ticket| ticket.period >= now);
        let ahead = self.look_at(now).await?;
        match next {
            Some(next) if ahead == 0 => Some((next, self.look_at(next).await?)),
            _ => Some((now, ahead)),
        }
    }

    async fn look_at(&mut self, period: u64) -> Option<u64> {
        let known = self.tickets.iter().find(|ticket| ticket.period == period);
        let (ticket, look) = match known.copied() {
            Some(ticket) => (ticket, self.lane.add(period, 0).await?),
            None => {
                let (ticket, look) = self.lane.ticket(period).await?;
                self.tickets.push(ticket);
                (ticket, look)
            }
        };
        Some(look.ahead(ticket.number, self.limit))
    }

    fn enter(mut self) -> Lease {
        self.entered = true;
        let tickets = Arc::new(Mutex::new(std::mem::take(&mut self.tickets)));
        let (sender, receiver) = oneshot::channel();
        let keep = self.lane.clone().keep(Arc::clone(&tickets), receiver);
        self.lane.shared.spawner.spawn(Box::pin(keep));
        Lease(Some(Held {
            tickets,
            owed: self.lane.owed.clone(),
            _released: sender,
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.entered {
            return;
        }
        for ticket in std::mem::take(&mut self.tickets) {
            let pass_on = self.lane.clone().pass_on(self.limit, ticket);
            self.lane.shared.spawner.spawn(Box::pin(pass_on));
        }
    }
}
