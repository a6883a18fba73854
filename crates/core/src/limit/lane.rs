//! A lane: so many calls at a time, in the order of their asking.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::bucket::{Rate, TokenBucket};
use crate::ports::{Clock, Instant};
use crate::waiters::Waiters;

mod acquire;

pub use acquire::Acquire;

/// A lane's name, as in the configuration.
///
/// ```
/// use spinlane_core::limit::{LaneConfig, LaneName, Limits};
///
/// // Written down, or read from a configuration.
/// let (written, read) = (LaneName::from("search"), LaneName::from(String::from("search")));
/// let limits = Limits::default().with_lane(read, LaneConfig::new(2));
/// assert!(limits.lanes.contains_key(&written));
/// ```
pub type LaneName = Cow<'static, str>;

/// Who goes first. Within a priority the order is that of asking.
///
/// ```
/// use futures::FutureExt;
/// use spinlane_core::limit::{Ask, Lane, LaneLimits, Priority};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let lane = Lane::new("search", LaneLimits::concurrency(1), world.ports().clock);
/// let first = world.run(lane.acquire(Ask::default()))?;
/// let mut nobody_waits = Ask::default();
/// nobody_waits.priority = Priority::Background;
/// let (mut refresh, mut answer) = (lane.acquire(nobody_waits), lane.acquire(Ask::default()));
/// assert!((&mut refresh).now_or_never().is_none() && (&mut answer).now_or_never().is_none());
/// drop(first);
/// assert!(refresh.now_or_never().is_none(), "another goes first, although it came later");
/// assert!(answer.now_or_never().is_some());
/// # Ok::<(), spinlane_core::limit::LaneError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody is waiting for it.
    #[default]
    Interactive,
    /// Nobody is. Served when no interactive call waits, but never starved:
    /// after four interactive calls that passed it, the oldest background call
    /// is next.
    Background,
}

/// Interactive calls in a row that may pass a waiting background call.
const PASSES: u32 = 4;

/// What is assumed of a call's length before the first has ended.
const FIRST_GUESS: Duration = Duration::from_secs(1);

/// A lane's limits.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use spinlane_core::limit::{Lane, LaneLimits, Rate};
/// use spinlane_core::testing::World;
///
/// // Two at a time, and five a second of which one may begin at once.
/// let five = Rate::per_second(NonZeroU32::new(5).unwrap());
/// let limits = LaneLimits::concurrency(2).rate(five, 1).queue(100);
/// let lane = Lane::new("search", limits, World::new().ports().clock);
/// assert_eq!(lane.snapshot().limit, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneLimits {
    /// Permits out at a time; 0 counts as 1 (to hold a lane back, pause it).
    pub concurrency: u32,
    /// A rate of starts, and its burst.
    pub rate: Option<(Rate, u32)>,
    /// Waiters beyond which the lane turns callers away: in this instance, and
    /// in the shared scope in all.
    pub queue: usize,
}

impl LaneLimits {
    /// So many at a time, no rate, a queue of 1,000.
    pub const fn concurrency(concurrency: u32) -> Self {
        Self {
            concurrency,
            rate: None,
            queue: 1_000,
        }
    }

    /// The same, turning callers away when so many wait.
    #[must_use]
    pub const fn queue(mut self, waiting: usize) -> Self {
        self.queue = waiting;
        self
    }

    /// The same, with a rate of starts, and its burst.
    #[must_use]
    pub const fn rate(mut self, rate: Rate, burst: u32) -> Self {
        self.rate = Some((rate, burst));
        self
    }
}

/// What a caller asks of a lane: by default as an interactive call, without a
/// deadline.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::{Ask, Lane, LaneError, LaneLimits};
/// use spinlane_core::ports::Clock;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let lane = Lane::new("search", LaneLimits::concurrency(1), world.ports().clock);
/// let held = world.run(lane.acquire(Ask::default()))?;
/// let mut ask = Ask::default();
/// ask.deadline = Some(world.clock.now() + Duration::from_secs(2));
/// let refused = world.run(lane.acquire(ask));
/// assert!(matches!(refused, Err(LaneError::Deadline { .. })));
/// assert_eq!(Some(world.clock.now()), ask.deadline, "it has waited as long");
/// # drop(held);
/// # Ok::<(), LaneError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// Who goes first.
    pub priority: Priority,
    /// When to give up.
    pub deadline: Option<Instant>,
}

/// Why a lane gave no permit.
///
/// ```
/// use spinlane_core::limit::{Ask, Lane, LaneError, LaneLimits};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let nobody_waits = LaneLimits::concurrency(1).queue(0);
/// let lane = Lane::new("search", nobody_waits, world.ports().clock);
/// let held = world.run(lane.acquire(Ask::default()))?;
/// let Err(LaneError::QueueFull { retry_after, .. }) = world.run(lane.acquire(Ask::default()))
/// else {
///     panic!("it is turned away");
/// };
/// assert_eq!(retry_after, lane.retry_after());
/// # drop(held);
/// # Ok::<(), LaneError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    /// The queue is full: the call was turned away without waiting.
    #[error("{waiting} calls wait for {lane} already: try again in {} s", secs(*.retry_after))]
    QueueFull {
        /// The lane.
        lane: LaneName,
        /// How many wait.
        waiting: usize,
        /// When trying again is likely to work, from how long calls have been
        /// taking, the lane's rate and its pause.
        retry_after: Duration,
    },
    /// The caller's deadline comes first, or has come.
    #[error("{lane} has no free slot before the deadline: try again in {} s", secs(*.retry_after))]
    Deadline {
        /// The lane.
        lane: LaneName,
        /// As for [`LaneError::QueueFull`].
        retry_after: Duration,
    },
}

/// Whole seconds, rounded up, as `Retry-After` has them.
pub(super) fn secs(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// What a lane looks like from outside.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::{Ask, Lane, LaneLimits, LaneSnapshot};
/// use spinlane_core::ports::Clock;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let lane = Lane::new("search", LaneLimits::concurrency(2), world.ports().clock);
/// let held = world.run(lane.acquire(Ask::default()))?;
/// let paused_for = Duration::from_secs(7);
/// lane.pause_until(world.clock.now() + paused_for);
/// let expected = LaneSnapshot { limit: 2, in_flight: 1, waiting: 0, paused_for };
/// assert_eq!(lane.snapshot(), expected);
/// # drop(held);
/// # Ok::<(), spinlane_core::limit::LaneError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneSnapshot {
    /// Permits that may be out at a time.
    pub limit: u32,
    /// Permits that are out.
    pub in_flight: u32,
    /// Callers waiting.
    pub waiting: usize,
    /// How long it is still paused (zero: it is not).
    pub paused_for: Duration,
}

/// A lane. Clones are the same lane.
///
/// ```
/// use futures::FutureExt;
/// use spinlane_core::limit::{Ask, Lane, LaneLimits};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let lane = Lane::new("search", LaneLimits::concurrency(1), world.ports().clock);
/// let first = world.run(lane.acquire(Ask::default()))?;
/// let mut second = lane.acquire(Ask::default());
/// assert!((&mut second).now_or_never().is_none(), "it waits");
/// drop(first);
/// let second = world.run(second)?;
/// assert_eq!(second.lane().snapshot().in_flight, 1);
/// # Ok::<(), spinlane_core::limit::LaneError>(())
/// ```
#[derive(Clone)]
pub struct Lane(Arc<LaneCell>);

struct LaneCell {
    name: LaneName,
    clock: Arc<dyn Clock>,
    state: Mutex<LaneState>,
}

struct LaneState {
    limit: u32,
    in_flight: u32,
    bucket: Option<TokenBucket>,
    /// Tokens of permits that have not been [`Permit::launch`]ed.
    unlaunched: u32,
    paused_until: Instant,
    queue: usize,
    /// One line per priority.
    waiting: [Waiters; 2],
    /// Interactive grants since the oldest background waiter became the oldest.
    passes: u32,
    /// How long permits are held, in nanoseconds: a moving average.
    held: u64,
}

type Place = (usize, u64);

/// What stands between a caller and its permit.
enum Step {
    Granted,
    /// Nothing but time.
    At(Instant),
    /// Other permits.
    Later,
}

impl LaneState {
    fn first(&self) -> Option<Place> {
        let [interactive, background] = &self.waiting;
        let due = self.passes >= PASSES;
        let background = background.first().map(|ticket| (1, ticket));
        let interactive = interactive.first().map(|ticket| (0, ticket));
        match (interactive, background) {
            (Some(_), Some(background)) if due => Some(background),
            (Some(first), _) => Some(first),
            (None, background) => background,
        }
    }

    fn first_waker(&self) -> Option<Waker> {
        let (queue, _) = self.first()?;
        self.waiting[queue].first_waker()
    }

    fn waiters(&self) -> usize {
        self.waiting.iter().map(Waiters::len).sum()
    }

    /// Takes a permit if there is one. The caller knows that it is first.
    fn step(&mut self, now: Instant) -> Step {
        if self.in_flight >= self.limit {
            return Step::Later;
        }
        if self.paused_until > now {
            return Step::At(self.paused_until);
        }
        if let Some(bucket) = &mut self.bucket {
            if self.unlaunched >= bucket.burst() {
                return Step::Later;
            }
            match bucket.try_acquire(now) {
                Ok(()) => self.unlaunched += 1,
                Err(wait) => return Step::At(now + wait.after),
            }
        }
        self.in_flight += 1;
        Step::Granted
    }

    /// Keeps the books of who passed whom.
    fn passed(&mut self, queue: usize) {
        self.passes = match queue {
            0 if !self.waiting[1].is_empty() => self.passes + 1,
            _ => 0,
        };
    }

    /// The soonest that time alone would let a newcomer in.
    fn earliest(&self, now: Instant) -> Instant {
        let wait = |bucket: &TokenBucket| bucket.wait_behind(now, 0);
        let rate = self.bucket.as_ref().map_or(Duration::ZERO, wait);
        self.paused_until.max(now + rate)
    }

    /// When a newcomer that is turned away should come again.
    fn retry_after(&self, now: Instant) -> Duration {
        let waiting = self.waiters();
        let ahead = u32::try_from(waiting).unwrap_or(u32::MAX);
        let slots = match self.in_flight >= self.limit {
            true => {
                let held = Duration::from_nanos(self.held);
                held.saturating_mul(ahead.saturating_add(1)) / self.limit
            }
            false => Duration::ZERO,
        };
        let wait = |bucket: &TokenBucket| bucket.wait_behind(now, ahead.into());
        let rate = self.bucket.as_ref().map_or(Duration::ZERO, wait);
        (self.paused_until - now) + slots.max(rate)
    }
}

impl Lane {
    /// An idle lane.
    pub fn new(name: impl Into<LaneName>, limits: LaneLimits, clock: Arc<dyn Clock>) -> Self {
        let state = LaneState {
            limit: limits.concurrency.max(1),
            in_flight: 0,
            bucket: limits
                .rate
                .map(|(rate, burst)| TokenBucket::new(rate, burst)),
            unlaunched: 0,
            paused_until: Instant::default(),
            queue: limits.queue,
            waiting: Default::default(),
            passes: 0,
            held: FIRST_GUESS.as_nanos() as u64,
        };
        Self(Arc::new(LaneCell {
            name: name.into(),
            clock,
            state: Mutex::new(state),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &LaneName {
        &self.0.name
    }

    /// Waits for a permit. The place in the queue is taken at the first poll;
    /// dropping the future gives it up, and the turn, if it had come, passes
    /// to the next.
    ///
    /// # Errors
    /// Resolves with a [`LaneError`]: at once when the queue is full, or when
    /// a pause or the rate alone outlasts the deadline, else at the deadline.
    pub fn acquire(&self, ask: Ask) -> Acquire {
        Acquire::new(self.clone(), ask)
    }

    /// Lets nobody in before `until`; the later of two pauses holds. Waiters
    /// whose deadline is sooner fail at once.
    pub fn pause_until(&self, until: Instant) {
        let wakers: Vec<Waker> = self.0.with(|state| {
            if until <= state.paused_until {
                return Vec::new();
            }
            state.paused_until = until;
            state.waiting.iter().flat_map(Waiters::wakers).collect()
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends its pause, whoever asked for it.
    pub fn resume(&self) {
        self.0
            .change(|state| state.paused_until = Instant::default());
    }

    /// Changes the number of permits (0 counts as 1). Permits that are out
    /// beyond a smaller limit stay out.
    pub fn set_limit(&self, limit: u32) {
        self.0.change(|state| state.limit = limit.max(1));
    }

    /// Changes, sets or lifts the rate. Tokens that are there stay.
    pub fn set_rate(&self, rate: Option<(Rate, u32)>) {
        let now = self.0.clock.now();
        self.0.change(|state| match (rate, &mut state.bucket) {
            (Some((rate, burst)), Some(bucket)) => {
                bucket.set_rate(now, rate);
                bucket.set_burst(burst);
            }
            (Some((rate, burst)), none) => *none = Some(TokenBucket::new(rate, burst)),
            (None, bucket) => {
                *bucket = None;
                state.unlaunched = 0;
            }
        });
    }

    /// When its pause ends, if it is paused.
    pub fn paused_until(&self) -> Option<Instant> {
        let now = self.0.clock.now();
        let until = self.0.with(|state| state.paused_until);
        (until > now).then_some(until)
    }

    /// What it looks like now.
    pub fn snapshot(&self) -> LaneSnapshot {
        let now = self.0.clock.now();
        self.0.with(|state| LaneSnapshot {
            limit: state.limit,
            in_flight: state.in_flight,
            waiting: state.waiters(),
            paused_for: state.paused_until - now,
        })
    }

    /// When a caller that is turned away now should come again.
    pub fn retry_after(&self) -> Duration {
        let now = self.0.clock.now();
        self.0.with(|state| state.retry_after(now))
    }
}

impl LaneCell {
    fn with<T>(&self, f: impl FnOnce(&mut LaneState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes something that may let the first waiter in. It is woken outside
    /// the lock: a waker may poll, and so lock, at once.
    fn change(&self, f: impl FnOnce(&mut LaneState)) {
        let waker = self.with(|state| {
            f(state);
            state.first_waker()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("name", &self.0.name)
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}

/// The right to one call in a lane, until dropped.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use spinlane_core::limit::{Ask, Lane, LaneLimits, Rate};
/// use spinlane_core::ports::Clock;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let limits = LaneLimits::concurrency(1).rate(Rate::per_second(NonZeroU32::MIN), 1);
/// let lane = Lane::new("search", limits, world.ports().clock);
/// let begin = world.clock.now();
/// // Nothing is sent: the token is there for the next one.
/// drop(world.run(lane.acquire(Ask::default()))?);
/// let mut permit = world.run(lane.acquire(Ask::default()))?;
/// permit.launch();
/// assert_eq!(world.clock.now(), begin);
/// drop(permit);
/// drop(world.run(lane.acquire(Ask::default()))?);
/// assert_eq!(world.clock.now() - begin, Duration::from_secs(1));
/// # Ok::<(), spinlane_core::limit::LaneError>(())
/// ```
#[must_use = "a permit that is dropped frees its slot"]
pub struct Permit {
    lane: Lane,
    since: Instant,
    /// Whether it has a token that is not yet [`launch`](Self::launch)ed.
    token: bool,
}

impl Permit {
    /// Says that the call starts now. The lane's rate counts from here: a call
    /// may be held up between its permit and its start, and the upstream sees
    /// starts. A permit that is dropped without it gives its token back.
    pub fn launch(&mut self) {
        if !std::mem::take(&mut self.token) {
            return;
        }
        let now = self.lane.0.clock.now();
        self.lane.0.change(|state| {
            if let Some(bucket) = &mut state.bucket {
                bucket.launch(now, state.unlaunched);
            }
            state.unlaunched = state.unlaunched.saturating_sub(1);
        });
    }

    /// The lane that it is of.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = self.lane.0.clock.now();
        let held = now.as_nanos().saturating_sub(self.since.as_nanos());
        let tokens = u32::from(self.token);
        self.lane.0.change(|state| {
            state.in_flight -= 1;
            state.held = state.held - state.held / 8 + held / 8;
            let tokens = tokens.min(state.unlaunched);
            state.unlaunched -= tokens;
            if let Some(bucket) = &mut state.bucket {
                bucket.give_back(tokens);
            }
        });
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("lane", &self.lane.0.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
