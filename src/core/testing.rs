//! The [`ports`](super::ports) in memory, in virtual time, for tests.
//!
//! [`World::run`] drives a future and all that it spawns on one thread. When
//! nothing can move it advances the clock to the next timer, so that a test of
//! 90 days takes microseconds; when there is no timer either it panics, which
//! makes a lost wake-up a failing test instead of a hanging one.

pub mod suite;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::channel::oneshot;

use super::ports::{
    BodyStream, BoxFuture, Clock, Counters, Entropy, HttpClient, HttpError, Instant, KeyValue,
    Ports, Spawner, StoreError, Timeouts, check_key,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Timers {
    now: u64,
    /// Added to `now` to make the wall clock.
    unix_offset: Duration,
    next_id: u64,
    waiting: BTreeMap<(u64, u64), Waker>,
}

/// A clock that moves only when it is told to, or when [`World::run`] has
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

    fn advance_to(&self, to: Instant) {
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

    fn next_deadline(&self) -> Option<Instant> {
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

/// A store in memory, with faults on demand.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<MemoryState>>);

#[derive(Debug, Default)]
struct MemoryState {
    values: BTreeMap<String, Vec<u8>>,
    counters: BTreeMap<String, i64>,
    fault: Option<StoreError>,
    /// How long each call holds everything up.
    delay: Option<(VirtualClock, Duration)>,
    full: bool,
    calls: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every later call fails with `fault`; `None` heals the store.
    pub fn fail_with(&self, fault: Option<StoreError>) {
        lock(&self.0).fault = fault;
    }

    /// Every later call takes so long on `clock`, and blocks the guest as long
    /// as Spin's do; zero heals the store.
    pub fn slow_down(&self, clock: &VirtualClock, delay: Duration) {
        lock(&self.0).delay = (!delay.is_zero()).then(|| (clock.clone(), delay));
    }

    /// Whether every later write is refused.
    pub fn fill(&self, full: bool) {
        lock(&self.0).full = full;
    }

    /// Calls seen so far, of every kind.
    pub fn calls(&self) -> u64 {
        lock(&self.0).calls
    }

    /// Values held (counters left out).
    pub fn len(&self) -> usize {
        lock(&self.0).values.len()
    }

    /// Whether it holds neither values nor counters.
    pub fn is_empty(&self) -> bool {
        let state = lock(&self.0);
        state.values.is_empty() && state.counters.is_empty()
    }

    /// A copy of all counters, to look into.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        lock(&self.0).counters.clone()
    }

    /// Counters held.
    pub fn counters_len(&self) -> usize {
        lock(&self.0).counters.len()
    }

    /// A copy of all values, to look into.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        lock(&self.0).values.clone()
    }

    /// Puts raw bytes under `key`, past every check: corrupts on purpose.
    pub fn put_raw(&self, key: &str, value: Vec<u8>) {
        lock(&self.0).values.insert(key.into(), value);
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        f: impl FnOnce(&mut MemoryState) -> Result<T, StoreError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        // Acts when polled, not when called, as a real store does.
        async move {
            let delay = lock(&self.0).delay.clone();
            if let Some((clock, delay)) = delay {
                clock.advance(delay);
            }
            let mut state = lock(&self.0);
            state.calls += 1;
            match &state.fault {
                Some(fault) => Err(fault.clone()),
                None => f(&mut state),
            }
        }
        .boxed()
    }
}

impl KeyValue for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        self.call(move |state| {
            check_key(key)?;
            Ok(state.values.get(key).cloned())
        })
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.call(move |state| {
            check_key(key)?;
            if state.full {
                return Err(StoreError::Refused("no room".into()));
            }
            state.values.insert(key.into(), value.into());
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.call(move |state| {
            check_key(key)?;
            state.values.remove(key);
            Ok(())
        })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.call(|state| Ok(state.values.keys().cloned().collect()))
    }
}

impl Counters for MemoryStore {
    fn increment<'a>(
        &'a self,
        name: &'a str,
        delta: i64,
    ) -> BoxFuture<'a, Result<i64, StoreError>> {
        self.call(move |state| {
            let value = state.counters.entry(name.into()).or_default();
            *value = value.wrapping_add(delta);
            Ok(*value)
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.call(move |state| {
            state.counters.remove(name);
            Ok(())
        })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.call(|state| Ok(state.counters.keys().cloned().collect()))
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

type Answer = Result<http::Response<BodyStream>, HttpError>;
type Handler = dyn Fn(http::Request<Bytes>) -> BoxFuture<'static, Answer> + Send + Sync;

/// An upstream written as a closure.
#[derive(Clone)]
pub struct ScriptedHttp {
    handler: Arc<Handler>,
    calls: Arc<AtomicU64>,
}

impl fmt::Debug for ScriptedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedHttp")
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

impl ScriptedHttp {
    /// `handler` answers every request.
    pub fn new<F, Fut>(handler: F) -> Self
    where
        F: Fn(http::Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Self {
            handler: Arc::new(move |request| handler(request).boxed()),
            calls: Arc::default(),
        }
    }

    /// An upstream that refuses every connection.
    pub fn refusing() -> Self {
        Self::new(|_| async { Err(HttpError::Connect("connection refused".into())) })
    }

    /// Requests seen so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl HttpClient for ScriptedHttp {
    fn send(&self, request: http::Request<Bytes>, _: Timeouts) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        async move {
            this.calls.fetch_add(1, Ordering::SeqCst);
            (this.handler)(request).await
        }
        .boxed()
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
    use super::*;

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
