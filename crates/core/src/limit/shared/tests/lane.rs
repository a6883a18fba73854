//! Lanes.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::*;
use crate::testing::all;

fn lane(world: &World, ahead: Duration) -> SharedLane {
    SharedLane::new(&instance(world, ahead), "x").unwrap()
}

/// Counts who is inside, and the most that were.
#[derive(Default)]
struct Inside {
    now: AtomicI64,
    most: AtomicI64,
}

impl Inside {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Calls of many instances that come, hold and give up at random, over
    /// several lease periods: the limit holds, nobody hangs, and in the end the
    /// lane is whole.
    #[test]
    fn a_lane_is_never_exceeded_and_never_lost(
        limit in 1..6_u32,
        calls in prop::collection::vec((0..25_000_u64, 1..14_000_u64, prop::option::of(0..9_000_u64)), 1..40),
        skews in prop::collection::vec(0..900_u64, 3),
    ) {
        let world = World::new();
        let inside = Arc::new(Inside::default());
        let entered = AtomicUsize::new(0);
        world.run(all(calls.iter().enumerate().map(|(n, (start, hold, patience))| {
            let lane = lane(&world, millis(skews[n % skews.len()]));
            let (clock, inside, entered) = (&world.clock, Arc::clone(&inside), &entered);
            async move {
                clock.sleep(millis(*start)).await;
                let give_up = clock.sleep(millis(patience.unwrap_or(1_000_000)));
                let acquire = Box::pin(lane.acquire(limit, None, |_| {}));
                let Either::Left((lease, _)) = select(acquire, give_up).await else {
                    return;
                };
                let lease = lease.unwrap();
                assert!(lease.is_counted());
                inside.enter();
                entered.fetch_add(1, Ordering::SeqCst);
                clock.sleep(millis(*hold)).await;
                inside.leave();
                drop(lease);
            }
        })));
        let most = inside.most.load(Ordering::SeqCst);
        prop_assert!(most <= limit.into(), "{most} inside, {limit} allowed");
        let patient = calls.iter().filter(|(_, _, patience)| patience.is_none()).count();
        prop_assert!(entered.load(Ordering::SeqCst) >= patient);
        world.drain();
        // Whole again after a lease (returns by clocks that were ahead may have
        // been too late for their period): all slots at once, without a wait.
        world.run(async {
            world.clock.sleep(LEASE + OVERLAP).await;
            let begin = world.clock.now();
            let lane = lane(&world, Duration::ZERO);
            let leases = (0..limit).map(|_| lane.acquire(limit, None, |_| {}));
            let leases = all(leases).await;
            prop_assert_eq!(world.clock.now(), begin);
            drop(leases);
            Ok(())
        })?;
        world.drain();
    }
}

#[test]
fn it_is_first_come_first_served_over_instances() {
    let world = World::new();
    let order = Mutex::new(Vec::new());
    world.run(join_all((0..10_u64).map(|n| {
        let lane = lane(&world, Duration::ZERO);
        let (order, clock) = (&order, &world.clock);
        async move {
            clock.sleep(millis(n)).await;
            let _lease = lane.acquire(1, None, |_| {}).await.unwrap();
            order.lock().unwrap().push(n);
            clock.sleep(millis(100)).await;
        }
    })));
    assert_eq!(order.into_inner().unwrap(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_dead_holder_is_forgotten_within_a_lease() {
    let world = World::new();
    // Its tasks are never run again: it has died.
    let dead = world.instance();
    let lost = SharedLane::new(&Store::open(&dead.ports()), "x").unwrap();
    let leases = dead.run(join_all((0..2).map(|_| lost.acquire(2, None, |_| {}))));
    world.run(async {
        let begin = world.clock.now();
        let ahead = Mutex::new(Vec::new());
        let lane = lane(&world, Duration::ZERO);
        let lease = lane
            .acquire(2, None, |n| ahead.lock().unwrap().push(n))
            .await;
        assert!(lease.unwrap().is_counted());
        assert!(world.clock.now() - begin <= LEASE + OVERLAP);
        assert_eq!(ahead.lock().unwrap()[0], 1);
    });
    drop(leases);
    world.drain();
}

#[test]
fn a_lease_is_renewed_for_as_long_as_it_is_held() {
    let world = World::new();
    world.run(async {
        let long = lane(&world, Duration::ZERO);
        let lease = long.acquire(1, None, |_| {}).await.unwrap();
        for _ in 0..7 {
            world.clock.sleep(Duration::from_secs(13)).await;
            let now = world.clock.now();
            let other = lane(&world, Duration::ZERO);
            let refused = other.acquire(1, Some(now + 600 * MILLI), |_| {}).await;
            assert!(refused.is_err(), "the lease was lost");
        }
        drop(lease);
        let free = lane(&world, Duration::ZERO).acquire(1, None, |_| {}).await;
        drop(free);
    });
    world.drain();
}

/// Who looks at a lane that nobody uses leaves nothing behind.
#[test]
fn a_look_writes_nothing_where_nobody_has_counted() {
    let world = World::new();
    let lane = lane(&world, Duration::ZERO);
    assert_eq!(world.run(lane.held(3)), Some(0));
    world.drain();
    assert_eq!(
        (world.store.increments(), world.store.counters_len()),
        (0, 0)
    );
    world.run(async {
        let lease = lane.acquire(3, None, |_| {}).await.unwrap();
        assert_eq!(lane.held(3).await, Some(1));
        drop(lease);
    });
}

/// However many leases of a lane an instance has: one increment renews them.
#[test]
fn leases_are_renewed_together() {
    let world = World::new();
    world.run(async {
        let lane = lane(&world, Duration::ZERO);
        let leases = join_all((0..10).map(|_| lane.acquire(10, None, |_| {}))).await;
        world.clock.sleep(LEASE / 2).await;
        let calls = world.store.calls();
        world.clock.sleep(3 * LEASE).await;
        assert_eq!(world.store.calls() - calls, 3);
        assert_eq!(lane.held(10).await, Some(10));
        drop(leases);
    });
    world.drain();
    assert_eq!(world.run(lane(&world, Duration::ZERO).held(10)), Some(0));
}

/// The slot that an instance gives back is free for its own next call at once,
/// in the increment that this call makes anyway.
#[test]
fn a_slot_given_back_is_free_for_the_next_call() {
    let world = World::new();
    let lane = lane(&world, Duration::ZERO);
    let counted = || {
        world
            .store
            .counters()
            .values()
            .map(|value| value >> 32)
            .sum::<i64>()
    };
    world.run(async {
        let begin = world.clock.now();
        let mut lease = lane.acquire(1, None, |_| {}).await.unwrap();
        for _ in 0..10 {
            drop(lease);
            // Before the task has its turn that would tell the store.
            lease = lane.acquire(1, None, |_| panic!("it waits")).await.unwrap();
        }
        assert_eq!(world.clock.now(), begin);
        drop(lease);
    });
    world.drain();
    assert_eq!(counted(), 11);
    assert_eq!(world.run(lane.held(1)), Some(0));
}

/// A crowd makes a store slow. That must not let it through to the upstream.
#[test]
fn a_store_that_is_slow_opens_nothing() {
    let world = World::new();
    for delay in [260, 2_000] {
        world.store.slow_down(&world.clock, millis(delay));
        let inside = Inside::default();
        world.run(join_all((0..3).map(|_| {
            let lane = lane(&world, Duration::ZERO);
            let (inside, clock) = (&inside, &world.clock);
            async move {
                let lease = lane.acquire(1, None, |_| {}).await.unwrap();
                assert!(lease.is_counted());
                inside.enter();
                clock.sleep(millis(300)).await;
                inside.leave();
            }
        })));
        assert_eq!(inside.most.load(Ordering::SeqCst), 1);
        world.drain();
    }
}

#[test]
fn a_deadline_ends_the_wait() {
    let world = World::new();
    world.run(async {
        let lane = lane(&world, Duration::ZERO);
        let _held = lane.acquire(1, None, |_| {}).await.unwrap();
        let begin = world.clock.now();
        let refused = lane.acquire(1, Some(begin + 3 * SECOND), |_| {}).await;
        let wait = 3 * SECOND;
        assert_eq!(refused.unwrap_err(), NoSlot::Deadline { wait });
    });
    world.drain();
}
