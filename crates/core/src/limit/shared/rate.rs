//! Calls per second over all instances.

use std::fmt;
use std::time::Duration;

use super::SKEW;
use crate::limit::Rate;
use crate::ports::{Instant, StoreError};
use crate::store::{PeriodCounter, Store};

/// What a call of the store is taken to last, at least as many times as the
/// slowest of late, and at most.
const TIMES_SLOWEST: u32 = 3;
const LONGEST_CALL: Duration = Duration::from_secs(1);

/// Tickets are good for so long, at least, when a call has its last one.
const TO_SPARE: Duration = Duration::from_millis(50);

/// Who has found so many windows full is turned away: the line is longer than a
/// thousand of them.
const MOST_FULL: u64 = 96;

/// A rate by tickets of time windows.
///
/// Time is cut into windows, each with a counter; the first `tickets` of a window
/// may go, from its beginning for as long as [`Tickets`] says, which may be longer
/// than a window. Who finds one full takes a ticket of a window to come: as many
/// windows on as those before it fill. It believes no other word of how long the
/// line is, which a wrong clock could have left.
///
/// With `k` tickets in a window, good for `u`, an interval of `t` meets at most
/// (`t` + `u`) / window + 1 windows, and so at most rate × (`t` + `u`) + `k`
/// starts; clocks that differ by [`SKEW`] make it rate × (`t` + `u` + `SKEW`) +
/// `k`. So `u` is what the rest of the burst takes to come, less `SKEW`, and the
/// rate × `t` + burst that was promised holds. `k` is a fifth of the burst: with
/// a second's worth of burst, windows take 200 ms, and tickets are good for 550.
///
/// A burst is at least 2. Where it takes less than three times [`SKEW`] to come,
/// there is no such room: it is then passed by what comes in the difference of
/// the clocks.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::Rate;
/// use spinlane_core::limit::shared::SharedRate;
/// use spinlane_core::ports::Clock;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let ten = Rate::per_second(NonZeroU32::new(10).unwrap());
/// let rate = SharedRate::new(&Store::open(&world.ports()), "search", ten, 10);
/// let (rate, unix) = (rate.expect("this host has counters"), world.clock.unix());
/// let mut due = Vec::new();
/// for _ in 0..30 {
///     due.push(world.run(rate.reserve(unix, 1, None))?.due_in(unix));
/// }
/// assert_eq!(due[0], Duration::ZERO);
/// assert!(due[29] >= Duration::from_secs(2), "ten may begin at once, and ten a second");
/// # Ok::<(), spinlane_core::limit::shared::NoTicket>(())
/// ```
#[derive(Clone)]
pub struct SharedRate {
    store: Store,
    counter: PeriodCounter,
    tickets: u32,
    /// For how long a ticket is good.
    good_for: Duration,
}

/// A ticket that was taken, or two that are to be used together: when, since the
/// epoch. Who starts later comes on top of those of later windows.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::shared::Tickets;
///
/// let tickets = |begin, end| Tickets {
///     begin: Duration::from_secs(begin),
///     end: Duration::from_secs(end),
/// };
/// let (of_lane, of_all) = (tickets(10, 13), tickets(11, 14));
/// // A call needs both.
/// assert_eq!(of_lane.and(of_all), Some(tickets(11, 13)));
/// assert_eq!(of_lane.and(tickets(13, 16)), None, "one has lapsed when the other is due");
/// assert_eq!(of_all.due_in(Duration::from_secs(10)), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tickets {
    /// When they are due.
    pub begin: Duration,
    /// When they have lapsed.
    pub end: Duration,
}

impl Tickets {
    /// When these and `others` are good.
    pub fn and(self, others: Self) -> Option<Self> {
        let (begin, end) = (self.begin.max(others.begin), self.end.min(others.end));
        (begin < end).then_some(Self { begin, end })
    }

    /// How long it is until they are due.
    pub const fn due_in(&self, unix: Duration) -> Duration {
        self.begin.saturating_sub(unix)
    }
}

/// Why there is no ticket.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use spinlane_core::limit::Rate;
/// use spinlane_core::limit::shared::{NoTicket, SharedRate};
/// use spinlane_core::ports::Clock;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let one = Rate::per_second(NonZeroU32::MIN);
/// let rate = SharedRate::new(&Store::open(&world.ports()), "search", one, 2);
/// let rate = rate.expect("this host has counters");
/// let (unix, now) = (world.clock.unix(), world.clock.now());
/// // All that are due by now, and then none in time.
/// let refused = loop {
///     if let Err(error) = world.run(rate.reserve(unix, 1, Some(now))) {
///         break error;
///     }
/// };
/// assert!(matches!(refused, NoTicket::Deadline { wait } if !wait.is_zero()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTicket {
    /// The deadline comes before it is due, or the line is too long.
    #[error("no ticket is due in time")]
    Deadline {
        /// How long the wait would be.
        wait: Duration,
    },
    /// The store is left alone, or does not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The present window of a [`SharedRate`].
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::Rate;
/// use spinlane_core::limit::shared::{SharedRate, Window};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let forty = Rate::per_second(NonZeroU32::new(40).unwrap());
/// let rate = SharedRate::new(&Store::open(&world.ports()), "search", forty, 40);
/// let window = world.run(rate.expect("this host has counters").window())?;
/// let length = Duration::from_millis(200);
/// assert_eq!(window, Window { taken: 0, tickets: 8, length });
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Tickets that were taken of it.
    pub taken: u64,
    /// Tickets that it has.
    pub tickets: u32,
    /// How long it is.
    pub length: Duration,
}

impl fmt::Debug for SharedRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRate")
            .field("counter", &self.counter)
            .field("tickets", &self.tickets)
            .field("good_for", &self.good_for)
            .finish_non_exhaustive()
    }
}

impl SharedRate {
    /// `name` tells rates in one store apart. A burst below 2 counts as 2. `None`
    /// where the host has no counters.
    pub fn new(store: &Store, name: &str, rate: Rate, burst: u32) -> Option<Self> {
        let burst = burst.max(2);
        let tickets = (burst / 5).max(1);
        let window = rate.time_for(tickets.into()).max(Duration::from_millis(1));
        let rest = rate.time_for((burst - tickets).into());
        Some(Self {
            store: store.clone(),
            counter: PeriodCounter::new(store, &format!("rate:{name}"), window)?,
            tickets,
            // Of a small burst a third, whatever the clocks do.
            good_for: rest.saturating_sub(SKEW).max(rest / 3),
        })
    }

    /// Takes a ticket that is good at `from` (since the epoch) or later, and when
    /// so many calls of the store are through, this one included, without waiting
    /// until it is due. One increment where there is one at that time, and one
    /// more for each window that was found full.
    ///
    /// # Errors
    /// [`NoTicket`]: no ticket is taken of a window that begins after `deadline`.
    pub async fn reserve(
        &self,
        from: Duration,
        calls: u32,
        deadline: Option<Instant>,
    ) -> Result<Tickets, NoTicket> {
        let mut window = self.first_window(from, calls);
        for full in 0..MOST_FULL {
            self.in_time(window, deadline)?;
            let number = self.counter.add(window, 1).await?;
            let before = number.unsigned_abs().saturating_sub(1);
            if before < self.tickets.into() {
                return Ok(self.tickets_of(window));
            }
            let step = match window < self.counter.present() {
                // Whoever comes passes by the windows that are over, and is counted
                // there: to leap by that count would leave tickets of later ones.
                true => 1,
                // The longer the line, the larger the steps along it.
                false => before / u64::from(self.tickets) + full / 4,
            };
            let on = window + step;
            window = on.max(self.first_window(from, calls));
        }
        let wait = self.tickets_of(window).due_in(self.store.unix());
        Err(NoTicket::Deadline { wait })
    }

    /// The first window whose tickets are good at `from`, and still when all
    /// calls of the store are through that have to be made until then; with
    /// something to spare, where the present window has that.
    fn first_window(&self, from: Duration, calls: u32) -> u64 {
        let call = self.store.slowest() * TIMES_SLOWEST;
        let through = self.store.unix() + call.min(LONGEST_CALL) * calls;
        let at = from.max(through);
        let present = self.counter.period_at(at);
        let good_at = |unix: Duration| {
            let begin = unix.saturating_sub(self.good_for) + Duration::from_nanos(1);
            // The first that begins then or later.
            let window = self.counter.period_at(begin);
            window + u64::from(self.counter.begin_of(window) < begin)
        };
        good_at(at + TO_SPARE).min(present).max(good_at(at))
    }

    fn tickets_of(&self, window: u64) -> Tickets {
        let begin = self.counter.begin_of(window);
        let end = begin + self.good_for;
        Tickets { begin, end }
    }

    fn in_time(&self, window: u64, deadline: Option<Instant>) -> Result<(), NoTicket> {
        let now = self.store.clock().now();
        let wait = self.tickets_of(window).due_in(self.store.unix());
        match deadline.is_some_and(|deadline| now + wait > deadline) {
            true => Err(NoTicket::Deadline { wait }),
            false => Ok(()),
        }
    }

    /// How the present window stands, for a status page: one increment.
    ///
    /// # Errors
    /// When the store fails or is left alone.
    pub async fn window(&self) -> Result<Window, StoreError> {
        let taken = self.counter.read(self.counter.present()).await?;
        Ok(Window {
            taken: taken.clamp(0, self.tickets.into()).unsigned_abs(),
            tickets: self.tickets,
            length: self.counter.length(),
        })
    }
}
