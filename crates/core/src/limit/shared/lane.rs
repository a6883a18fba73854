//! Concurrent calls over all instances.

use std::fmt;
use std::time::Duration;

use super::lease::{Lease, Leases, Look, RETURN};
use crate::ports::Instant;
use crate::store::Store;

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
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::shared::{NoSlot, SharedLane};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let lane = SharedLane::new(&Store::open(&world.ports()), "search");
/// let lane = lane.expect("this host has counters").bounded(0);
/// let lease = world.run(lane.acquire(1, None, |_| ()))?;
/// // Nobody may wait, so this one is turned away.
/// let refused = world.run(lane.acquire(1, None, |_| ())).unwrap_err();
/// assert_eq!(refused, NoSlot::QueueFull { waiting: 0, wait: Duration::from_secs(1) });
/// # drop(lease);
/// # Ok::<(), NoSlot>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSlot {
    /// The caller's deadline came first.
    #[error("no free slot before the deadline: one is likely in {} s", .wait.as_secs())]
    Deadline {
        /// When one is likely to be free: by the pace at which the caller moved
        /// up. Where it did not, not before those ahead have each taken as long
        /// as it has waited. From 1 s to 5 min.
        wait: Duration,
    },
    /// More wait than may: turned away without waiting.
    #[error("{waiting} calls wait already: a slot is likely in {} s", .wait.as_secs())]
    QueueFull {
        /// How many wait, in all instances.
        waiting: u64,
        /// As for [`NoSlot::Deadline`], a call taking a second.
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
/// returned is forgotten with the period. Should the store be emptied in use,
/// those who are inside are forgotten: as many more may enter until the period
/// has ended, and each slot that they give back lets in another.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::shared::SharedLane;
/// use spinlane_core::ports::Clock;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let lane = || SharedLane::new(&Store::open(&world.ports()), "search");
/// let (here, there) = (lane().expect("this host has counters"), lane().expect("as before"));
/// let lease = world.run(here.acquire(1, None, |_| ()))?;
/// // Another instance waits, in vain, and then not.
/// let soon = world.clock.now() + Duration::from_secs(1);
/// assert!(world.run(there.acquire(1, Some(soon), |_| ())).is_err());
/// drop(lease);
/// assert!(world.run(there.acquire(1, None, |_| ())).is_ok());
/// # Ok::<(), spinlane_core::limit::shared::NoSlot>(())
/// ```
#[derive(Clone)]
pub struct SharedLane {
    leases: Leases,
    /// Waiters beyond which callers are turned away.
    queue: u64,
}

impl fmt::Debug for SharedLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedLane").field(&self.leases).finish()
    }
}

/// A ticket of one period.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    period: u64,
    number: u64,
}

impl SharedLane {
    /// The lane `name` of the store. `None` where the host has no counters.
    pub fn new(store: &Store, name: &str) -> Option<Self> {
        Some(Self {
            leases: Leases::new(store, name)?,
            queue: u64::MAX,
        })
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
            let clock = self.leases.store().clock();
            let now = clock.now();
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
                return Err(NoSlot::QueueFull { waiting, wait });
            }
            let next = now + self.pause(ahead, limit);
            let next = deadline.map_or(next, |deadline| next.min(deadline));
            if next <= now {
                return Err(NoSlot::Deadline { wait });
            }
            clock.sleep_until(next).await;
        }
    }

    /// How many calls hold a slot, as far as the store knows: for a status
    /// page. `None` while the store is left alone.
    pub async fn held(&self, limit: u32) -> Option<u64> {
        let look = self.leases.look(self.leases.period()).await?;
        Some(look.tickets.saturating_sub(look.returns).min(limit.into()))
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

    /// Takes a ticket of `period`.
    async fn ticket(&self, period: u64) -> Option<(Ticket, Look)> {
        let look = self.leases.add(period, 1).await?;
        let number = look.tickets;
        Some((Ticket { period, number }, look))
    }

    /// Gives a turn that nobody waits for any more to the next, when it comes.
    async fn pass_on(self, limit: u32, ticket: Ticket) {
        while ticket.period >= self.leases.period() {
            let Some(look) = self.leases.add(ticket.period, 0).await else {
                return;
            };
            let ahead = look.ahead(ticket.number, limit);
            if ahead == 0 {
                self.leases.add(ticket.period, RETURN).await;
                return;
            }
            let pause = self.pause(ahead, limit);
            self.leases.store().clock().sleep(pause).await;
        }
    }
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
    /// While that is looked at, another period may have come to count.
    async fn look(&mut self) -> Option<(u64, u64)> {
        let mut free = Vec::new();
        loop {
            let (now, next) = self.lane.leases.periods();
            self.tickets.retain(|ticket| ticket.period >= now);
            let mut counting = [Some(now), next].into_iter().flatten();
            let unseen = counting.find(|period| !free.contains(period));
            let Some(period) = unseen else {
                return Some((now, 0));
            };
            match self.look_at(period).await? {
                0 => free.push(period),
                ahead => return Some((period, ahead)),
            }
        }
    }

    async fn look_at(&mut self, period: u64) -> Option<u64> {
        let known = self.tickets.iter().find(|ticket| ticket.period == period);
        let (ticket, look) = match known.copied() {
            Some(ticket) => (ticket, self.lane.leases.add(period, 0).await?),
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
        let periods = self.tickets.iter().map(|ticket| ticket.period);
        self.lane.leases.hold(periods.collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.entered {
            return;
        }
        for ticket in std::mem::take(&mut self.tickets) {
            let pass_on = self.lane.clone().pass_on(self.limit, ticket);
            self.lane.leases.store().spawner().spawn(Box::pin(pass_on));
        }
    }
}
