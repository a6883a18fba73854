//! All timers of an instance, on one pollable of the host.
//!
//! A stream has several (its heartbeat, the probe for its client, leases, the
//! look whether it is to stop), and hardly one of them is ever due. A pollable
//! for each would be looked at on every turn and handed over in every `poll`;
//! here a timer is an entry in a map, and the host has the earliest alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use wasip2::clocks::monotonic_clock;
use wstd::runtime::{AsyncPollable, WaitFor};

use super::spawner::counted;

thread_local! {
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers::new()) };
}

/// When a timer is due, on the host's monotonic clock, and a number that tells
/// it from others that are due then.
type Key = (u64, u64);

struct Timers {
    newest: u64,
    waiting: BTreeMap<Key, Waker>,
    driver: Driver,
    armed: Option<Armed>,
}

/// The task that learns from the host that time has passed. It ends when nobody
/// waits.
enum Driver {
    None,
    /// Spawned: its first turn is to come.
    Starting,
    Running(Waker),
}

/// What the host has.
struct Armed {
    deadline: u64,
    wait: WaitFor,
}

impl Timers {
    const fn new() -> Self {
        Self {
            newest: 0,
            waiting: BTreeMap::new(),
            driver: Driver::None,
            armed: None,
        }
    }

    fn insert(&mut self, deadline: u64, waker: &Waker) -> Key {
        self.newest += 1;
        let key = (deadline, self.newest);
        self.waiting.insert(key, waker.clone());
        self.arm();
        key
    }

    /// Sees to it that the host wakes the driver when the earliest is due, or a
    /// little before: one that was dropped is not worth a call. With nobody
    /// waiting the host has nothing, or the instance would not end.
    fn arm(&mut self) {
        let Some((&(earliest, _), _)) = self.waiting.first_key_value() else {
            self.armed = None;
            if let Driver::Running(driver) = &self.driver {
                driver.wake_by_ref();
            }
            return;
        };
        let armed = self.armed.as_ref();
        if armed.is_some_and(|armed| armed.deadline <= earliest) {
            return;
        }
        match &self.driver {
            Driver::Starting => {}
            Driver::None => {
                self.driver = Driver::Starting;
                let drive = poll_fn(|cx| {
                    let (due, turn) = TIMERS.with_borrow_mut(|timers| timers.drive(cx));
                    due.into_values().for_each(Waker::wake);
                    turn
                });
                wstd::runtime::spawn(counted(drive)).detach();
            }
            Driver::Running(driver) => {
                let pollable = AsyncPollable::new(monotonic_clock::subscribe_instant(earliest));
                let mut armed = Armed {
                    deadline: earliest,
                    wait: pollable.wait_for(),
                };
                let mut cx = Context::from_waker(driver);
                if Pin::new(&mut armed.wait).poll(&mut cx).is_ready() {
                    driver.wake_by_ref();
                }
                self.armed = Some(armed);
            }
        }
    }

    /// The driver's turn: returns who is due, and whether it was the last one.
    fn drive(&mut self, cx: &mut Context<'_>) -> (BTreeMap<Key, Waker>, Poll<()>) {
        self.driver = Driver::Running(cx.waker().clone());
        let mut due = BTreeMap::new();
        if let Some(armed) = &mut self.armed
            && Pin::new(&mut armed.wait).poll(cx).is_ready()
        {
            let later = self.waiting.split_off(&(armed.deadline, u64::MAX));
            due = std::mem::replace(&mut self.waiting, later);
            self.armed = None;
        }
        if self.waiting.is_empty() {
            self.armed = None;
            self.driver = Driver::None;
            return (due, Poll::Ready(()));
        }
        self.arm();
        (due, Poll::Pending)
    }
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
        TIMERS.with_borrow_mut(|timers| {
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
        let _waker = TIMERS.with_borrow_mut(|timers| {
            let waker = timers.waiting.remove(&key);
            timers.arm();
            waker
        });
    }
}
