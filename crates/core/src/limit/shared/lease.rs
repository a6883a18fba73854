//! What one instance holds of a lane: its leases, their renewal and their
//! return.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::SKEW;
use crate::ports::{BoxFuture, Instant};
use crate::store::{PeriodCounter, Store, Urgent};

/// How long a lease lasts: those of a period end with it. What a holder has that
/// dies is free when the period has ended that it has renewed into.
pub const LEASE: Duration = Duration::from_secs(10);

/// So long before the end of a period who enters takes a lease of the next one as
/// well, and its holders renew theirs.
pub const OVERLAP: Duration = Duration::from_secs(2);

/// A store whose calls have taken so long is given more time to renew in: as if
/// each took as long as the longest that is to be expected.
const NOT_QUICK: Duration = Duration::from_millis(50);
const LONGEST_CALL: Duration = Duration::from_secs(1);

/// Tickets are in the low half of a lane's counter, returns in the high half.
pub(super) const RETURN: i64 = 1 << 32;

/// Tickets taken and returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) tickets: u64,
    pub(super) returns: u64,
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
    pub(super) fn ahead(self, number: u64, limit: u32) -> u64 {
        number.saturating_sub(self.returns + u64::from(limit))
    }
}

/// The leases of an instance. Clones are the same.
///
/// They are renewed together, and before any other call of the store that is
/// made when it is time: a guest that is busy with its store keeps its leases.
#[derive(Clone)]
pub(super) struct Leases(Arc<Inner>);

struct Inner {
    store: Store,
    counter: PeriodCounter,
    /// The same, past those who wait for their turn.
    urgent: PeriodCounter,
    books: Mutex<Books>,
    me: Weak<Inner>,
}

#[derive(Default)]
struct Books {
    next: u64,
    held: BTreeMap<u64, Held>,
    /// Returns that the store has yet to be told of, by period.
    owed: BTreeMap<u64, i64>,
    /// Dropping it ends the task that renews.
    keeper: Option<oneshot::Sender<()>>,
    known_to_store: bool,
}

struct Held {
    /// Of which it has tickets.
    periods: Vec<u64>,
    /// The last one that it has a ticket of, or is about to.
    newest: u64,
}

impl Books {
    fn owe(&mut self, periods: Vec<u64>) {
        for period in periods {
            *self.owed.entry(period).or_default() += 1;
        }
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leases").field(&self.0.counter).finish()
    }
}

impl Leases {
    pub(super) fn new(store: &Store, name: &str) -> Option<Self> {
        let counter = |store| PeriodCounter::new(store, &format!("lane:{name}"), LEASE);
        let (of_all, urgent) = (counter(store)?, counter(&store.urgently())?);
        Some(Self(Arc::new_cyclic(|me| Inner {
            store: store.clone(),
            counter: of_all,
            urgent,
            books: Mutex::default(),
            me: me.clone(),
        })))
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn period(&self) -> u64 {
        self.0.counter.present()
    }

    /// The present period, and the next where its leases are taken already.
    pub(super) fn periods(&self) -> (u64, Option<u64>) {
        let (counter, unix) = (&self.0.counter, self.0.store.unix());
        let (now, soon) = (counter.period_at(unix), counter.period_at(unix + OVERLAP));
        (now, (soon > now).then_some(soon))
    }

    /// Adds to the counter of `period`, and what it is owed as well. `None` while
    /// the store is left alone.
    pub(super) async fn add(&self, period: u64, delta: i64) -> Option<Look> {
        let owed = self.0.books().owed.remove(&period).unwrap_or(0);
        let delta = delta + RETURN * owed;
        self.0.counter.add(period, delta).await.ok().map(Look::new)
    }

    /// What the counter of `period` is, for who only wants to know. `None` while the
    /// store is left alone.
    pub(super) async fn look(&self, period: u64) -> Option<Look> {
        // What is owed is part of it.
        let owes = self.0.books().owed.contains_key(&period);
        match owes {
            true => self.add(period, 0).await,
            false => self.0.counter.read(period).await.ok().map(Look::new),
        }
    }

    /// Holds a slot for which tickets of these periods were taken.
    pub(super) fn hold(&self, periods: Vec<u64>) -> Lease {
        let newest = periods.iter().copied().max().unwrap_or(0);
        let mut books = self.0.books();
        let id = books.next;
        books.next += 1;
        books.held.insert(id, Held { periods, newest });
        let begin = books.keeper.is_none();
        let (sender, released) = oneshot::channel();
        if begin {
            books.keeper = Some(sender);
        }
        let register = !std::mem::replace(&mut books.known_to_store, true);
        drop(books);
        if register {
            let me: Weak<dyn Urgent> = self.0.me.clone();
            self.0.store.add_urgent(me);
        }
        if begin {
            let keep = Arc::clone(&self.0).keep(released);
            self.0.store.spawner().spawn(Box::pin(keep));
        }
        Lease(Some((self.clone(), id)))
    }
}

impl Inner {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So long before the end of a period its leases are renewed: all lanes of
    /// the instance, after the call that is being made.
    fn lead(&self) -> Duration {
        if self.store.slowest() <= NOT_QUICK {
            return OVERLAP;
        }
        let calls = u32::try_from(self.store.urgent()).unwrap_or(u32::MAX);
        let calls = LONGEST_CALL.saturating_mul(calls.saturating_add(1));
        OVERLAP.max(SKEW + calls).min(LEASE / 2)
    }

    /// Of which period leases have to be held by now.
    fn needed(&self) -> u64 {
        self.counter.period_at(self.store.unix() + self.lead())
    }

    /// When the next renewal is due.
    fn next_renewal(&self) -> Instant {
        let newest = self.books().held.values().map(|held| held.newest).min();
        let end = self.counter.begin_of(newest.unwrap_or(0) + 1);
        let wait = end.saturating_sub(self.store.unix() + self.lead());
        self.store.clock().now() + wait
    }

    /// Keeps the leases alive until none is held, and gives back the last.
    async fn keep(self: Arc<Self>, released: oneshot::Receiver<()>) {
        let mut released = released;
        loop {
            let renewal = self.store.clock().sleep_until(self.next_renewal());
            match select(released, renewal).await {
                Either::Left(_) => return self.pay().await,
                Either::Right(((), rest)) => released = rest,
            }
            self.renew().await;
        }
    }

    /// Takes a ticket of the period that is needed for each lease that has none:
    /// all by one increment.
    async fn renew(&self) {
        let needed = self.needed();
        let (leases, owed) = {
            let mut books = self.books();
            let late = books.held.iter_mut();
            let late = late.filter(|(_, held)| held.newest < needed);
            let late: Vec<u64> = late
                .map(|(id, held)| {
                    held.newest = needed;
                    *id
                })
                .collect();
            if late.is_empty() {
                return;
            }
            (late, books.owed.remove(&needed).unwrap_or(0))
        };
        let tickets = i64::try_from(leases.len()).unwrap_or(i64::MAX);
        let delta = tickets + RETURN * owed;
        if self.urgent.add(needed, delta).await.is_err() {
            // Left alone: the leases end with their period.
            return;
        }
        let present = self.counter.present();
        let mut books = self.books();
        let mut late = Vec::new();
        for id in leases {
            match books.held.get_mut(&id) {
                Some(held) => {
                    held.periods.retain(|period| *period >= present);
                    held.periods.push(needed);
                }
                // Given back meanwhile.
                None => late.push(needed),
            }
        }
        let pay = !late.is_empty();
        books.owe(late);
        drop(books);
        if pay {
            self.pay_later();
        }
    }

    fn pay_later(&self) {
        if let Some(this) = self.me.upgrade() {
            let pay = Box::pin(async move { this.pay().await });
            self.store.spawner().spawn(pay);
        }
    }

    /// Returns what is owed. What is of a past period is forgotten with it.
    async fn pay(&self) {
        let now = self.counter.present();
        loop {
            let owed = {
                let mut books = self.books();
                books.owed.retain(|period, _| *period >= now);
                books.owed.pop_first()
            };
            let Some((period, owed)) = owed else {
                return;
            };
            // Should it fail, the slot is free when the period has ended.
            let _ = self.counter.add(period, RETURN * owed).await;
        }
    }
}

impl Urgent for Inner {
    fn due(&self) -> Option<BoxFuture<'static, ()>> {
        let newest = self.books().held.values().map(|held| held.newest).min();
        let late = newest? < self.needed();
        let this = self.me.upgrade().filter(|_| late)?;
        Some(Box::pin(async move { this.renew().await }))
    }
}

/// One slot of a lane. Dropping it gives the slot back, by a task of the
/// spawner at the latest.
///
/// ```
/// use spinlane_core::limit::shared::SharedLane;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let lane = SharedLane::new(&Store::open(&world.ports()), "search");
/// let lane = lane.expect("this host has counters");
/// let lease = world.run(lane.acquire(3, None, |_| ()))?;
/// assert!(lease.is_counted());
/// assert_eq!(world.run(lane.held(3)), Some(1));
/// drop(lease);
/// assert_eq!(world.run(lane.held(3)), Some(0));
/// # Ok::<(), spinlane_core::limit::shared::NoSlot>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a lease gives its slot back"]
pub struct Lease(Option<(Leases, u64)>);

impl Lease {
    /// A slot that is nobody's: for times in which the store is left alone.
    pub(super) fn unlimited() -> Self {
        Self(None)
    }

    /// Whether it counts in the store.
    pub fn is_counted(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((leases, id)) = self.0.take() else {
            return;
        };
        // At once, and not when the task has its turn: who comes before that
        // takes it along.
        let keeper = {
            let mut books = leases.0.books();
            let held = books.held.remove(&id);
            books.owe(held.map_or_else(Vec::new, |held| held.periods));
            match books.held.is_empty() {
                true => books.keeper.take(),
                false => None,
            }
        };
        match keeper {
            Some(keeper) => drop(keeper),
            None => leases.0.pay_later(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    /// Each lane of the instance may have to be renewed before the last one is.
    #[test]
    fn on_a_slow_store_there_is_time_to_renew_all_lanes() {
        let world = World::new();
        let store = Store::open(&world.ports());
        let lanes = ["a", "b"].map(|name| Leases::new(&store, name).unwrap());
        for lane in &lanes {
            let lane: Weak<dyn Urgent> = lane.0.me.clone();
            store.add_urgent(lane);
        }
        assert_eq!(lanes[0].0.lead(), OVERLAP);
        world.store.slow_down(&world.clock, 2 * NOT_QUICK);
        world.run(store.get("x")).unwrap();
        assert_eq!(lanes[0].0.lead(), SKEW + 3 * LONGEST_CALL);
    }
}
