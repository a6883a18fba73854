//! What each of many waiters costs, from its coming to its going.

use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput};
use futures::FutureExt;
use spinlane_core::limit::{Ask, Lane, LaneLimits};

use crate::FakeClock;

/// The time for one must not grow with their number.
pub(crate) fn per_waiter(c: &mut Criterion) {
    let mut group = c.benchmark_group("lane: waiters");
    for waiters in [10, 100, 1_000, 10_000, 100_000_usize] {
        group.throughput(Throughput::Elements(waiters as u64));
        group.sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(waiters), |b| {
            b.iter_custom(|rounds| {
                let begin = Instant::now();
                (0..rounds).for_each(|_| queue(waiters));
                begin.elapsed()
            });
        });
    }
    group.finish();
}

/// All wait for one slot; then it goes from hand to hand.
fn queue(waiters: usize) {
    let limits = LaneLimits::concurrency(1).queue(waiters);
    let lane = Lane::new("x", limits, Arc::new(FakeClock::default()));
    let held = lane.acquire(Ask::default()).now_or_never();
    let mut queue: Vec<_> = (0..waiters).map(|_| lane.acquire(Ask::default())).collect();
    for waiter in &mut queue {
        assert!(waiter.now_or_never().is_none(), "the slot is taken");
    }
    drop(held);
    for waiter in queue {
        let granted = waiter.now_or_never().expect("it is first");
        drop(granted.expect("a permit"));
    }
}
