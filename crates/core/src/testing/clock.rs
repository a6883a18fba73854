//! Virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::lock;
use crate::ports::{BoxFuture, Clock, Instant};

#[derive(Debug, Default)]
struct Timers {
    now: u64,
    /// Added to `now` to make the wall clock.
    unix_offset: Duration,
    next_id: u64,
    waiting: BTreeMap<(u64, u64), Waker>,
}

/// A clock that moves only when it is told to, or when [`World::run`](super::World::run) has
/// nothing else to do.
#[derive(Clone, Debug)]
pub struct VirtualClock(Arc<Mutex<Timers>>);

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl VirtualClock {
    /// Monotonic 0; wall clock 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Timers {
            unix_offset: Duration::from_secs(1_767_225_600),
            ..Timers::default()
        })))
    }

    /// A second clock with the same monotonic axis but its own wall clock,
    /// `ahead` of this one now: another machine.
    #[must_use]
    pub fn skewed(&self, ahead: Duration) -> SkewedClock {
        SkewedClock {
            clock: self.clone(),
            ahead,
        }
    }

    /// Moves time by `by` and wakes what became due, in order of deadline.
    pub fn advance(&self, by: Duration) {
        let to = Clock::now(self) + by;
        self.advance_to(to);
    }

    pub(super) fn advance_to(&self, to: Instant) {
        let due = {
            let mut timers = lock(&self.0);
            let now = timers.now.max(to.as_nanos());
            timers.now = now;
            let later = timers.waiting.split_off(&(now + 1, 0));
            std::mem::replace(&mut timers.waiting, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }

    /// Moves only the wall clock, forwards.
    pub fn advance_wall(&self, by: Duration) {
        lock(&self.0).unix_offset += by;
    }

    /// Timers that are waited for.
    pub fn pending_timers(&self) -> usize {
        lock(&self.0).waiting.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let timers = lock(&self.0);
        let (deadline, _) = timers.waiting.keys().next()?;
        Some(Instant::from_nanos(*deadline))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(lock(&self.0).now)
    }

    fn unix(&self) -> Duration {
        let timers = lock(&self.0);
        timers.unix_offset + Duration::from_nanos(timers.now)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(Sleep {
            clock: self.clone(),
            deadline: deadline.as_nanos(),
            id: None,
        })
    }
}

/// See [`VirtualClock::skewed`].
#[derive(Clone, Debug)]
pub struct SkewedClock {
    clock: VirtualClock,
    ahead: Duration,
}

impl Clock for SkewedClock {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn unix(&self) -> Duration {
        self.clock.unix() + self.ahead
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(deadline)
    }
}

struct Sleep {
    clock: VirtualClock,
    deadline: u64,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut timers = lock(&clock.0);
        if timers.now >= self.deadline {
            self.id = None;
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or_else(|| {
            timers.next_id += 1;
            timers.next_id
        });
        self.id = Some(id);
        timers
            .waiting
            .insert((self.deadline, id), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&self.clock.0).waiting.remove(&(self.deadline, id));
        }
    }
}
