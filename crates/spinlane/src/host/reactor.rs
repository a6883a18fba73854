//! The guest's one loop: its tasks, and what they wait for of the host.
//!
//! Tasks that are ready run first, and only when there is none is the host asked, in one
//! call, for all that is waited for: a turn by itself costs no call. Tasks that keep each
//! other busy let the host have its say after [`TURNS`] of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll::{Pollable, poll};

use super::timers::{self, Timers};
use spinlane_core::ports::BoxFuture;

/// So many turns without a pause, and the host is asked who else may go on.
const TURNS: usize = 32;

/// The task that [`run`] is given. Others have later numbers.
const ROOT: u64 = 0;

thread_local! {
    static REACTOR: RefCell<Reactor> = const { RefCell::new(Reactor::new()) };
    /// Beside it: a task may be woken wherever the reactor is being changed.
    static READY: RefCell<VecDeque<Arc<Task>>> = const { RefCell::new(VecDeque::new()) };
}

struct Reactor {
    /// Of tasks and registrations.
    newest: u64,
    /// Spawned tasks that have not ended, but for the one whose turn it is.
    tasks: BTreeMap<u64, BoxFuture<'static, ()>>,
    registered: BTreeMap<u64, Registered>,
    /// Those who wait until nothing else can go on.
    idle: Vec<Waker>,
    /// How often nothing could.
    idle_times: u64,
}

/// A task, as its wakers know it.
struct Task {
    number: u64,
    is_ready: AtomicBool,
}

impl Task {
    fn begin(number: u64) {
        let is_ready = AtomicBool::new(false);
        Arc::new(Self { number, is_ready }).wake();
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::Relaxed) {
            READY.with_borrow_mut(|ready| ready.push_back(self));
        }
    }
}

/// A pollable, and who waits for it.
struct Registered {
    pollable: Pollable,
    waker: Option<Waker>,
}

impl Reactor {
    const fn new() -> Self {
        Self {
            newest: ROOT,
            tasks: BTreeMap::new(),
            registered: BTreeMap::new(),
            idle: Vec::new(),
            idle_times: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.newest += 1;
        self.newest
    }

    /// Asks the host who may go on; `at_once`, or when there is somebody. `None` when
    /// nobody waits.
    fn ask(&mut self, timers: &mut Timers, at_once: bool) -> Option<Vec<Waker>> {
        let registered = self.registered.values_mut();
        let mut waiting: Vec<_> = registered.filter(|one| one.waker.is_some()).collect();
        let mut pollables: Vec<_> = waiting.iter().map(|one| &one.pollable).collect();
        pollables.extend(timers.earliest());
        let last = pollables.len();
        if last == 0 {
            return None;
        }
        let now = at_once.then(|| monotonic_clock::subscribe_duration(0));
        pollables.extend(&now);
        let mut woken = Vec::new();
        for index in poll(&pollables) {
            let index = index as usize;
            match waiting.get_mut(index) {
                Some(one) => woken.extend(one.waker.take()),
                // What comes after the timer is only there for an answer at once.
                None if index < last => woken.extend(timers.fire()),
                None => {}
            }
        }
        Some(woken)
    }
}

/// Runs `root`, and all that is spawned meanwhile, until nothing is left to do.
pub(super) fn run(root: impl Future<Output = ()>) {
    let mut root = Some(pin!(root));
    Task::begin(ROOT);
    loop {
        for _ in 0..TURNS {
            let Some(task) = READY.with_borrow_mut(VecDeque::pop_front) else {
                break;
            };
            task.is_ready.store(false, Ordering::Relaxed);
            let number = task.number;
            let waker = Waker::from(task);
            let mut cx = Context::from_waker(&waker);
            match &mut root {
                Some(future) if number == ROOT => {
                    if future.as_mut().poll(&mut cx).is_ready() {
                        root = None;
                    }
                }
                _ => turn(number, &mut cx),
            }
        }
        if !go_on() {
            break;
        }
    }
    assert!(
        root.is_none(),
        "nothing is left that could wake the request"
    );
    // Tasks that nobody can wake: what they hold may have timers, and may spawn.
    drop(REACTOR.with_borrow_mut(|reactor| std::mem::take(&mut reactor.tasks)));
}

/// The turn of a spawned task.
fn turn(number: u64, cx: &mut Context<'_>) {
    // Out of its place: it may spawn others.
    let future = REACTOR.with_borrow_mut(|reactor| reactor.tasks.remove(&number));
    if let Some(mut future) = future
        && future.as_mut().poll(cx).is_pending()
    {
        REACTOR.with_borrow_mut(|reactor| reactor.tasks.insert(number, future));
    }
}

/// Sees to it that some task is ready. Returns whether one is, or may be.
fn go_on() -> bool {
    let is_busy = READY.with_borrow(|ready| !ready.is_empty());
    let woken = REACTOR.with_borrow_mut(|reactor| {
        let at_once = is_busy || !reactor.idle.is_empty();
        let woken = timers::with(|timers| reactor.ask(timers, at_once));
        match woken {
            Some(woken) if is_busy || !woken.is_empty() => Some(woken),
            None if is_busy => Some(Vec::new()),
            _ if !reactor.idle.is_empty() => {
                reactor.idle_times += 1;
                Some(std::mem::take(&mut reactor.idle))
            }
            waiting => waiting,
        }
    });
    let goes_on = woken.is_some();
    woken.into_iter().flatten().for_each(Waker::wake);
    goes_on
}

/// Starts `task`.
pub(super) fn spawn(task: BoxFuture<'static, ()>) {
    let number = REACTOR.with_borrow_mut(|reactor| {
        let number = reactor.number();
        reactor.tasks.insert(number, task);
        number
    });
    Task::begin(number);
}

/// Resolves when nothing else can go on, neither by itself nor by the host.
pub(super) fn idle() -> impl Future<Output = ()> + Send {
    let mut since = None;
    poll_fn(move |cx| {
        REACTOR.with_borrow_mut(|reactor| {
            let now = reactor.idle_times;
            if *since.get_or_insert(now) != now {
                return Poll::Ready(());
            }
            reactor.idle.push(cx.waker().clone());
            Poll::Pending
        })
    })
}

/// A pollable that can be waited for. It is the host's again when this is dropped.
pub(super) struct Registration(u64);

impl Registration {
    pub(super) fn new(pollable: Pollable) -> Self {
        Self(REACTOR.with_borrow_mut(|reactor| {
            let number = reactor.number();
            let waker = None;
            let registered = Registered { pollable, waker };
            reactor.registered.insert(number, registered);
            number
        }))
    }

    /// Wakes `waker` when the host says that it is ready, and nobody else. Asks nothing
    /// by itself: whoever can tell by a call of its own tries that first.
    pub(super) fn wake(&self, waker: &Waker) {
        // Dropped when nothing is borrowed any more: it may hold a future that has
        // registrations.
        let _before = REACTOR.with_borrow_mut(|reactor| {
            let registered = reactor.registered.get_mut(&self.0)?;
            registered.waker.replace(waker.clone())
        });
    }

    fn is_waited_for(&self) -> bool {
        REACTOR.with_borrow(|reactor| {
            let registered = reactor.registered.get(&self.0);
            registered.is_some_and(|registered| registered.waker.is_some())
        })
    }

    /// Resolves when the host says that it is ready.
    pub(super) async fn ready(self) {
        let mut asked = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) && !self.is_waited_for() {
                return Poll::Ready(());
            }
            self.wake(cx.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _registered = REACTOR.with_borrow_mut(|reactor| reactor.registered.remove(&self.0));
    }
}
