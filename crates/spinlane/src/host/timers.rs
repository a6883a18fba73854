//! All timers of an instance, on one pollable of the host.
//!
//! A stream has several (its heartbeat, the probe for its client, leases, the
//! look whether it is to stop), and hardly one of them is ever due. A pollable
//! for each would be handed over in every `poll`; here a timer is an entry in a
//! map, and the host has the earliest alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll::Pollable;

thread_local! {
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers::new()) };
}

/// When a timer is due, on the host's monotonic clock, and a number that tells
/// it from others that are due then.
type Key = (u64, u64);

pub(super) struct Timers {
    newest: u64,
    waiting: BTreeMap<Key, Waker>,
    /// What the host has, and when that is due.
    armed: Option<(u64, Pollable)>,
}

impl Timers {
    const fn new() -> Self {
        Self {
            newest: 0,
            waiting: BTreeMap::new(),
            armed: None,
        }
    }

    fn insert(&mut self, deadline: u64, waker: &Waker) -> Key {
        self.newest += 1;
        let key = (deadline, self.newest);
        self.waiting.insert(key, waker.clone());
        key
    }

    /// What is ready when the earliest timer is due, or a little before: one that was
    /// dropped is not worth a call. `None` where there is none.
    pub(super) fn earliest(&mut self) -> Option<&Pollable> {
        let (&(earliest, _), _) = self.waiting.first_key_value()?;
        let armed = self.armed.take().filter(|(due, _)| *due <= earliest);
        let arm = || (earliest, monotonic_clock::subscribe_instant(earliest));
        let (_, pollable) = self.armed.insert(armed.unwrap_or_else(arm));
        Some(pollable)
    }

    /// Those who are due, now that [`earliest`](Self::earliest) is ready.
    pub(super) fn fire(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let mut due = BTreeMap::new();
        if let Some((deadline, _)) = self.armed.take() {
            let later = self.waiting.split_off(&(deadline, u64::MAX));
            due = std::mem::replace(&mut self.waiting, later);
        }
        due.into_values()
    }
}

/// The timers of this instance.
pub(super) fn with<T>(f: impl FnOnce(&mut Timers) -> T) -> T {
    TIMERS.with_borrow_mut(f)
}

/// Resolves when the host's monotonic clock is at `deadline`, in nanoseconds.
/// Dropping it cancels the timer.
pub(super) fn at(deadline: u64) -> Timer {
    Timer {
        deadline,
        key: None,
    }
}

/// Future of [`at`].
#[derive(Debug)]
pub(super) struct Timer {
    deadline: u64,
    /// Once it waits.
    key: Option<Key>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        with(|timers| {
            let Some(key) = self.key else {
                self.key = Some(timers.insert(self.deadline, cx.waker()));
                return Poll::Pending;
            };
            match timers.waiting.get_mut(&key) {
                Some(known) => {
                    known.clone_from(cx.waker());
                    Poll::Pending
                }
                None => Poll::Ready(()),
            }
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        // Dropped after the timers are no longer borrowed: a waker may hold what
        // has timers of its own.
        let _waker = with(|timers| timers.waiting.remove(&key));
    }
}
