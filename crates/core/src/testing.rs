//! The [`ports`](super::ports) in memory, in virtual time, for tests.
//!
//! [`World::run`] drives a future and all that it spawns on one thread. When
//! nothing can move it advances the clock to the next timer, so that a test of
//! 90 days takes microseconds; when there is no timer either it panics, which
//! makes a lost wake-up a failing test instead of a hanging one.

mod clock;
mod doubles;
mod store;
pub mod suite;
mod unopened;
mod upstream;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::FutureExt;
use futures::channel::oneshot;

pub use clock::{SkewedClock, VirtualClock};
pub use doubles::StoreDouble;
pub use store::MemoryStore;
pub use unopened::Unopened;
pub use upstream::ScriptedHttp;

use super::ports::{BoxFuture, Entropy, Ports, Spawner};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many random schedules a property is tried on: a thousand, or more by the
/// variable `PROPTEST_CASES`.
#[cfg(any(test, feature = "proptest"))]
pub fn schedules() -> u32 {
    proptest::test_runner::Config::default().cases.max(1_000)
}

/// As [`join_all`](futures::future::join_all), which polls every one whenever one
/// of them is woken: with many that costs more than what they do.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    use futures::stream::{FuturesOrdered, StreamExt};
    futures
        .into_iter()
        .collect::<FuturesOrdered<_>>()
        .collect()
        .await
}

/// A task's wake-up flag.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Task = (BoxFuture<'static, ()>, Arc<Flag>);

/// Collects what is spawned until [`World::run`] polls it.
#[derive(Clone, Default)]
pub struct TestSpawner(Arc<Mutex<Spawned>>);

#[derive(Default)]
struct Spawned {
    tasks: VecDeque<BoxFuture<'static, ()>>,
    /// Tasks for after the response.
    later: VecDeque<BoxFuture<'static, ()>>,
    /// Who waits for idleness.
    idle: Vec<oneshot::Sender<()>>,
}

impl TestSpawner {
    /// Lets those go on who wait for idleness. Returns whether there were any.
    fn idles(&self) -> bool {
        let waiting = std::mem::take(&mut lock(&self.0).idle);
        let woken = waiting.into_iter().filter_map(|idle| idle.send(()).ok());
        woken.count() > 0
    }
}

impl fmt::Debug for TestSpawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestSpawner").finish_non_exhaustive()
    }
}

impl Spawner for TestSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        lock(&self.0).tasks.push_back(task);
    }

    fn after_response(&self, task: BoxFuture<'static, ()>) {
        lock(&self.0).later.push_back(task);
    }

    fn idle(&self) -> BoxFuture<'static, ()> {
        let (sender, idle) = oneshot::channel();
        lock(&self.0).idle.push(sender);
        idle.map(|_| ()).boxed()
    }
}

/// Reproducible "random" bytes (SplitMix64). Never for real secrets.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The same seed gives the same bytes.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// All ports at once, and the executor that drives them.
#[derive(Clone, Debug)]
pub struct World {
    /// Virtual time.
    pub clock: VirtualClock,
    /// Values and counters.
    pub store: MemoryStore,
    /// The upstreams.
    pub http: ScriptedHttp,
    spawner: TestSpawner,
    entropy: Arc<SeededEntropy>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world whose upstreams refuse every connection.
    pub fn new() -> Self {
        Self::with_http(ScriptedHttp::refusing())
    }

    /// A world with `http` as its upstreams.
    pub fn with_http(http: ScriptedHttp) -> Self {
        Self {
            clock: VirtualClock::new(),
            store: MemoryStore::new(),
            http,
            spawner: TestSpawner::default(),
            entropy: Arc::new(SeededEntropy::new(1)),
        }
    }

    /// Another instance on the same store, in the same time, with tasks of its
    /// own: dropping it ends them, as death does.
    #[must_use]
    pub fn instance(&self) -> Self {
        Self {
            spawner: TestSpawner::default(),
            ..self.clone()
        }
    }

    /// What an application is given.
    pub fn ports(&self) -> Ports {
        Ports {
            clock: Arc::new(self.clock.clone()),
            http: Arc::new(self.http.clone()),
            spawner: Arc::new(self.spawner.clone()),
            entropy: Arc::clone(&self.entropy) as Arc<dyn Entropy>,
            key_value: Some(Arc::new(self.store.clone())),
            counters: Some(Arc::new(self.store.clone())),
        }
    }

    /// Drives `root`, and what it spawns meanwhile, until `root` has ended.
    /// Spawned tasks that are not done by then stay for the next call.
    ///
    /// # Panics
    /// When nothing can move and no timer is left: a lost wake-up.
    pub fn run<F: Future>(&self, root: F) -> F::Output {
        let mut root = std::pin::pin!(root);
        let root_flag = Arc::new(Flag(AtomicBool::new(true)));
        let mut tasks: Vec<Task> = Vec::new();
        loop {
            let mut moved = false;
            if root_flag.0.swap(false, Ordering::SeqCst) {
                moved = true;
                let waker = Waker::from(Arc::clone(&root_flag));
                if let Poll::Ready(output) = root.as_mut().poll(&mut Context::from_waker(&waker)) {
                    let mut left = lock(&self.spawner.0);
                    left.tasks.extend(tasks.into_iter().map(|(task, _)| task));
                    return output;
                }
            }
            moved |= self.turn(&mut tasks);
            if !moved && !root_flag.0.load(Ordering::SeqCst) && !self.spawner.idles() {
                let next = self.clock.next_deadline();
                let next = next.expect("a lost wake-up: nothing is ready and no timer is set");
                self.clock.advance_to(next);
            }
        }
    }

    /// Drives spawned tasks until all have ended, those for after the response
    /// too.
    ///
    /// # Panics
    /// As [`World::run`].
    pub fn drain(&self) {
        let mut tasks: Vec<Task> = Vec::new();
        loop {
            {
                let mut spawned = lock(&self.spawner.0);
                let later = std::mem::take(&mut spawned.later);
                spawned.tasks.extend(later);
            }
            let moved = self.turn(&mut tasks);
            let spawned = lock(&self.spawner.0);
            if tasks.is_empty() && spawned.tasks.is_empty() && spawned.later.is_empty() {
                return;
            }
            drop(spawned);
            if !moved && !self.spawner.idles() {
                let next = self.clock.next_deadline();
                let next = next.expect("a lost wake-up: nothing is ready and no timer is set");
                self.clock.advance_to(next);
            }
        }
    }

    /// Polls each spawned task that was woken once. Returns whether any was.
    fn turn(&self, tasks: &mut Vec<Task>) -> bool {
        let fresh = std::mem::take(&mut lock(&self.spawner.0).tasks);
        tasks.extend(
            fresh
                .into_iter()
                .map(|task| (task, Arc::new(Flag(AtomicBool::new(true))))),
        );
        let mut moved = false;
        tasks.retain_mut(|(task, flag)| {
            if !flag.0.swap(false, Ordering::SeqCst) {
                return true;
            }
            moved = true;
            let waker = Waker::from(Arc::clone(flag));
            task.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        });
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ports::{Clock, Counters, KeyValue, StoreError};

    #[test]
    fn virtual_time_passes_only_when_nothing_else_can() {
        let world = World::new();
        let clock = world.clock.clone();
        let (start, unix) = (clock.now(), clock.unix());
        world.run(clock.sleep(Duration::from_secs(90 * 86_400)));
        assert_eq!(clock.now() - start, Duration::from_secs(90 * 86_400));
        assert_eq!(clock.unix() - unix, Duration::from_secs(90 * 86_400));
    }

    #[test]
    fn spawned_tasks_run_beside_the_root() {
        let world = World::new();
        let ports = world.ports();
        let (sender, receiver) = futures::channel::oneshot::channel();
        let clock = Arc::clone(&ports.clock);
        ports.spawner.spawn(Box::pin(async move {
            clock.sleep(Duration::from_secs(1)).await;
            let _ = sender.send(7);
        }));
        assert_eq!(world.run(receiver), Ok(7));
        world.drain();
    }

    #[test]
    #[should_panic(expected = "a lost wake-up")]
    fn a_lost_wake_up_is_noticed() {
        World::new().run(futures::future::pending::<()>());
    }

    #[test]
    fn dropped_sleeps_leave_no_timer() {
        let clock = VirtualClock::new();
        let _ = clock.sleep(Duration::from_secs(1)).now_or_never();
        assert_eq!(clock.pending_timers(), 0);
    }

    #[test]
    fn the_store_in_memory_does_what_every_store_does() {
        let (world, store) = (World::new(), MemoryStore::new());
        assert_eq!(world.run(suite::key_value(&store)), Ok(()));
        assert_eq!(world.run(suite::counters(&store, &store)), Ok(()));
        assert!(store.is_empty());
    }

    #[test]
    fn idleness_comes_before_time_and_the_rest_after_the_response() {
        let world = World::new();
        let ports = world.ports();
        let seen: Arc<Mutex<Vec<&str>>> = Arc::default();
        let note = |what| {
            let seen = Arc::clone(&seen);
            async move { lock(&seen).push(what) }
        };
        let idle = ports.spawner.idle();
        ports.spawner.after_response(Box::pin(note("after")));
        ports.spawner.spawn(Box::pin(idle.then({
            let note = note("idle");
            move |()| note
        })));
        ports.spawner.spawn(Box::pin(note("task")));
        let (clock, slept) = (world.clock.clone(), note("slept"));
        world.run(async move {
            clock.sleep(Duration::from_nanos(1)).await;
            slept.await;
        });
        assert_eq!(*lock(&seen), ["task", "idle", "slept"]);
        world.drain();
        assert_eq!(lock(&seen).last(), Some(&"after"));
    }

    #[test]
    fn counters_and_values_are_kept_apart() {
        let world = World::new();
        let store = world.store.clone();
        world.run(async {
            assert_eq!(store.increment("x", 3).await, Ok(3));
            assert_eq!(store.increment("x", -1).await, Ok(2));
            let refused = store.set("~n:x", b"1").await;
            assert!(matches!(refused, Err(StoreError::Refused(_))));
            assert_eq!(store.get("x").await, Ok(None));
        });
    }
}
