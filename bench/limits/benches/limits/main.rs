//! What a limit costs, beside `governor`'s and tower's, on fake clocks.
//!
//! governor's `check` is the yardstick: one atomic operation that answers yes or
//! no. What Spinlane puts in front of a call does more (it queues, holds a slot
//! until the body has ended, counts per request, over all instances, and tries
//! again), so the layers are also measured one by one.

mod waiters;
mod whole;

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use futures::FutureExt;
use futures::future::BoxFuture;
use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use spinlane_core::limit::{Ask, Budget, Global, Lane, LaneLimits, Rate, TokenBucket};
use spinlane_core::ports::{Clock, Instant};
use tower::{Service, ServiceBuilder, ServiceExt};

/// So high that nobody waits: what is measured is the asking.
const FAST: NonZeroU32 = NonZeroU32::new(1_000_000_000).unwrap();

/// Time by one atomic, as governor's fake clock has it.
#[derive(Clone, Debug, Default)]
struct FakeClock(Arc<AtomicU64>);

impl FakeClock {
    fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn unix(&self) -> Duration {
        Duration::from_secs(1_767_225_600) + Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Never: nobody waits here.
    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        std::future::pending().boxed()
    }
}

/// A microsecond goes by between two calls.
const STEP: Duration = Duration::from_micros(1);

fn governor(c: &mut Criterion) {
    let clock = FakeRelativeClock::default();
    let limiter = RateLimiter::direct_with_clock(Quota::per_second(FAST), clock.clone());
    c.bench_function("governor: check", |b| {
        b.iter(|| {
            clock.advance(STEP);
            limiter.check().is_ok()
        });
    });
}

/// tower's limits around a service that does nothing, on tokio's paused clock.
fn tower(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let nothing = || tower::service_fn(|()| std::future::ready(Ok::<_, Infallible>(())));
    let rate = (u64::from(FAST.get()), Duration::from_secs(1));
    let mut limited = ServiceBuilder::new()
        .concurrency_limit(100)
        .service(nothing());
    c.bench_function("tower: concurrency", |b| b.iter(|| once(&mut limited)));
    let mut limited = ServiceBuilder::new()
        .rate_limit(rate.0, rate.1)
        .service(nothing());
    c.bench_function("tower: rate", |b| b.iter(|| once(&mut limited)));
    let mut limited = ServiceBuilder::new()
        .concurrency_limit(100)
        .rate_limit(rate.0, rate.1)
        .service(nothing());
    c.bench_function("tower: concurrency and rate", |b| {
        b.iter(|| once(&mut limited));
    });
}

fn once<S>(service: &mut S)
where
    S: Service<(), Response = (), Error = Infallible>,
{
    let ready = service.ready().now_or_never().expect("nobody waits");
    let Ok(called) = ready.map(|service| service.call(()));
    called
        .now_or_never()
        .expect("it does nothing")
        .unwrap_or(());
}

/// Spinlane's layers, each alone.
fn layers(c: &mut Criterion) {
    let clock = FakeClock::default();
    let mut bucket = TokenBucket::new(Rate::per_second(FAST), FAST.get());
    c.bench_function("token bucket: try_acquire", |b| {
        b.iter(|| {
            clock.advance(STEP);
            bucket.try_acquire(black_box(clock.now())).is_ok()
        });
    });
    let budget = Budget::new(u32::MAX);
    c.bench_function("budget: take and give back", |b| {
        b.iter(|| {
            let taken = budget.take(1).is_ok();
            budget.give_back(1);
            taken
        });
    });
    let lane = Lane::new("x", LaneLimits::concurrency(100), Arc::new(clock.clone()));
    c.bench_function("lane: acquire and release", |b| {
        b.iter(|| {
            lane.acquire(Ask::default())
                .now_or_never()
                .expect("nobody waits")
                .is_ok()
        });
    });
    let rate = Rate::per_second(FAST);
    let global = Global::new(rate, FAST.get(), 10, 100, Arc::new(clock.clone()));
    c.bench_function("global: acquire, launch and release", |b| {
        b.iter(|| {
            clock.advance(STEP);
            let acquired = global.acquire(Ask::default()).now_or_never();
            acquired
                .expect("nobody waits")
                .map(|mut permit| permit.launch())
        });
    });
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = governor, tower, layers, whole::orchestrator, waiters::per_waiter
}
criterion_main!(all);
