//! Waiting for a permit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Ask, Lane, LaneError, LaneState, Permit, Place, Step};
use crate::ports::{BoxFuture, Instant};

/// Future of [`Lane::acquire`].
///
/// ```
/// use futures::FutureExt;
/// use spinlane_core::limit::{Ask, Lane, LaneLimits};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let lane = Lane::new("search", LaneLimits::concurrency(1), world.ports().clock);
/// let held = world.run(lane.acquire(Ask::default()))?;
/// let mut waits = lane.acquire(Ask::default());
/// assert!((&mut waits).now_or_never().is_none());
/// assert_eq!(lane.snapshot().waiting, 1);
/// // Dropping it gives its place up.
/// drop(waits);
/// assert_eq!(lane.snapshot().waiting, 0);
/// # drop(held);
/// # Ok::<(), spinlane_core::limit::LaneError>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Acquire {
    lane: Lane,
    pub(super) ask: Ask,
    place: Option<Place>,
    timer: Option<(Instant, BoxFuture<'static, ()>)>,
}

/// How a poll ended, before timers.
enum Look {
    /// Granted (with a token of the rate taken), or refused.
    Done(Result<bool, LaneError>),
    WakeAt(Option<Instant>),
}

impl Acquire {
    pub(super) fn new(lane: Lane, ask: Ask) -> Self {
        Self {
            lane,
            ask,
            place: None,
            timer: None,
        }
    }

    /// One look at the lane, under its lock. Returns who is to be woken next.
    fn look(
        &mut self,
        state: &mut LaneState,
        now: Instant,
        cx: &Context<'_>,
    ) -> (Look, Option<Waker>) {
        let first = match self.place {
            Some(place) => state.first() == Some(place),
            None => state.waiters() == 0,
        };
        let mut step = match first {
            true => state.step(now),
            false => Step::Later,
        };
        if self.place.is_none() && !matches!(step, Step::Granted) {
            if let Err(error) = self.enqueue(state, now, cx) {
                return (Look::Done(Err(error)), None);
            }
            // A newcomer may pass waiters of a lower priority.
            if !first && state.first() == self.place {
                step = state.step(now);
            }
        }
        match step {
            Step::Granted => {
                self.leave(state);
                state.passed(self.ask.priority as usize);
                (Look::Done(Ok(state.bucket.is_some())), state.first_waker())
            }
            Step::At(due) => self.wait(state, now, Some(due), cx),
            Step::Later => self.wait(state, now, None, cx),
        }
    }

    fn enqueue(
        &mut self,
        state: &mut LaneState,
        now: Instant,
        cx: &Context<'_>,
    ) -> Result<(), LaneError> {
        let (lane, waiting) = (self.lane.0.name.clone(), state.waiters());
        if waiting >= state.queue {
            let retry_after = state.retry_after(now);
            return Err(LaneError::QueueFull {
                lane,
                waiting,
                retry_after,
            });
        }
        let queue = self.ask.priority as usize;
        self.place = Some((queue, state.waiting[queue].join(cx.waker())));
        Ok(())
    }

    /// Stays, unless that is in vain.
    fn wait(
        &mut self,
        state: &mut LaneState,
        now: Instant,
        due: Option<Instant>,
        cx: &Context<'_>,
    ) -> (Look, Option<Waker>) {
        if let Some(deadline) = self.ask.deadline
            && (deadline <= now || deadline < state.earliest(now))
        {
            let next = self.leave(state);
            let retry_after = state.retry_after(now);
            let lane = self.lane.0.name.clone();
            return (
                Look::Done(Err(LaneError::Deadline { lane, retry_after })),
                next,
            );
        }
        if let Some((queue, ticket)) = self.place {
            state.waiting[queue].renew(ticket, cx.waker());
        }
        let wake_at = match (due, self.ask.deadline) {
            (Some(due), Some(deadline)) => Some(due.min(deadline)),
            (due, deadline) => due.or(deadline),
        };
        (Look::WakeAt(wake_at), None)
    }

    /// Leaves the queue. Who comes to be first by that is to be woken: it may
    /// be let in, or has to mind the time.
    fn leave(&mut self, state: &mut LaneState) -> Option<Waker> {
        let (queue, ticket) = self.place.take()?;
        let before = state.first();
        state.waiting[queue].leave(ticket);
        if state.waiting[1].is_empty() {
            state.passes = 0;
        }
        match state.first() == before {
            true => None,
            false => state.first_waker(),
        }
    }

    /// Arms the timer for `at`; true when that has passed already.
    fn timer(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(at) = at else {
            self.timer = None;
            return false;
        };
        if self.timer.as_ref().is_none_or(|(armed, _)| *armed != at) {
            self.timer = Some((at, self.lane.0.clock.sleep_until(at)));
        }
        let Some((_, sleep)) = &mut self.timer else {
            return false;
        };
        let rung = sleep.as_mut().poll(cx).is_ready();
        if rung {
            self.timer = None;
        }
        rung
    }
}

impl Future for Acquire {
    type Output = Result<Permit, LaneError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let lane = this.lane.clone();
        loop {
            let now = lane.0.clock.now();
            let (look, next) = lane.0.with(|state| this.look(state, now, cx));
            if let Some(next) = next {
                next.wake();
            }
            match look {
                Look::Done(result) => {
                    this.timer = None;
                    return Poll::Ready(result.map(|rated| Permit {
                        since: now,
                        token: rated,
                        lane,
                    }));
                }
                Look::WakeAt(at) => {
                    if !this.timer(at, cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        if self.place.is_some() {
            let lane = self.lane.clone();
            if let Some(next) = lane.0.with(|state| self.leave(state)) {
                next.wake();
            }
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("lane", &self.lane.0.name)
            .field("ask", &self.ask)
            .finish_non_exhaustive()
    }
}
