//! Several instances on one store, in virtual time.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, join_all, select};
use proptest::prelude::*;

use super::*;
use crate::core::limit::Rate;
use crate::core::limit::bucket::bound::holds;
use crate::core::ports::{Instant, StoreError};
use crate::core::testing::World;

const MILLI: Duration = Duration::from_millis(1);

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An instance on the world's store, whose clock is ahead by so much.
fn instance(world: &World, ahead: Duration) -> Shared {
    let ports = Ports {
        clock: Arc::new(world.clock.skewed(ahead)),
        ..world.ports()
    };
    Shared::new(&ports, Arc::new(Health::new())).unwrap()
}

fn rate(per_second: u32) -> Rate {
    Rate::per_second(NonZeroU32::new(per_second).unwrap())
}

fn lane(world: &World, ahead: Duration) -> SharedLane {
    SharedLane::new(instance(world, ahead), "x", LeaseTimes::default())
}

/// Over any interval at most `per_second` × t + `burst` of these calls start.
fn check_rate(times: &[Duration], per_second: u32, burst: u32) -> Result<(), TestCaseError> {
    let starts: Vec<_> = times.iter().map(|time| (*time, 1)).collect();
    holds(&starts, rate(per_second), burst)
}

#[test]
fn the_rate_is_used_and_never_passed() {
    let world = World::new();
    let times = Mutex::new(Vec::new());
    let begin = world.clock.now();
    // Three machines whose clocks differ, two instances on each.
    let skews = [0, 0, 70, 70, 240, 240].map(millis);
    world.run(join_all(skews.map(|ahead| {
        let rate = SharedRate::new(instance(&world, ahead), "all", rate(40), 40);
        let (times, clock) = (&times, &world.clock);
        join_all((0..200).map(move |_| {
            let rate = rate.clone();
            async move {
                rate.acquire(1, None).await.unwrap();
                times.lock().unwrap().push(clock.now() - begin);
            }
        }))
    })));
    let times = times.into_inner().unwrap();
    check_rate(&times, 40, 40).unwrap();
    // 1,200 calls: at 40 a second they take 29 s after the first burst.
    let took = times.iter().max().unwrap().as_secs_f64();
    assert!(took <= 1_200.0 / 40.0 / 0.95, "{took} s");
}

/// Windows of a few milliseconds: a clock that is ahead must not remove those
/// that others still use.
#[test]
fn short_windows_are_kept_for_late_clocks() {
    let world = World::new();
    let times = Mutex::new(Vec::new());
    let begin = world.clock.now();
    let skews = [0, 30].map(millis);
    world.run(join_all(skews.map(|ahead| {
        let rate = SharedRate::new(instance(&world, ahead), "all", rate(1_000), 8);
        let (times, clock) = (&times, &world.clock);
        async move {
            // Each window is asked for twice as much as it has, in small steps.
            for _ in 0..400 {
                for _ in 0..2 {
                    let acquired = rate.acquire(1, Some(clock.now())).await;
                    if acquired.is_ok() {
                        times.lock().unwrap().push(clock.now() - begin);
                    }
                }
                clock.sleep(MILLI / 2).await;
            }
        }
    })));
    let times = times.into_inner().unwrap();
    // Clocks that differ by 30 ms may add the tokens of 30 ms.
    check_rate(&times, 1_000, 8 + 30).unwrap();
    // All that the windows have, and not more: the tickets of windows 0 to 76.
    assert!(times.len() <= 3 * 78, "{}", times.len());
}

/// Windows far ahead are in use, and the present one still counts.
#[test]
fn a_long_queue_does_not_make_newcomers_pass() {
    let world = World::new();
    let times = Mutex::new(Vec::new());
    let begin = world.clock.now();
    let rate = SharedRate::new(instance(&world, Duration::ZERO), "all", rate(2), 2);
    world.run(join_all((0..60).map(|n: u64| {
        let (rate, times, clock) = (&rate, &times, &world.clock);
        async move {
            // Forty at once, and the others while these wait.
            clock.sleep(millis(n.saturating_sub(40) * 300)).await;
            rate.acquire(1, None).await.unwrap();
            times.lock().unwrap().push(clock.now() - begin);
        }
    })));
    check_rate(&times.into_inner().unwrap(), 2, 2).unwrap();
    // Windows that were taken long ahead are removed by who comes after them.
    world.clock.advance(Duration::from_secs(10));
    world.run(rate.acquire(1, None)).unwrap();
    let left = world.store.counters();
    assert!(left.len() < 20, "{left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any rate and burst, calls of any weight that they can bear, several
    /// instances: over any interval at most rate × t + burst, and no idling.
    #[test]
    fn no_interval_admits_too_much(
        per_second in 1..60_u32,
        burst in 1..60_u32,
        calls in prop::collection::vec((0..4_000_u64, 0.0..1.0_f64), 1..150),
    ) {
        let world = World::new();
        let begin = world.clock.now();
        let admitted = Mutex::new(Vec::new());
        // The same as `SharedRate`'s.
        let heaviest = (burst.saturating_sub(2 * (burst * 3 / 8).max(1)) + 1).min(burst);
        let weights = calls.iter().map(|(start, weight)| {
            (*start, 1 + (f64::from(heaviest - 1) * weight * weight).round() as u32)
        });
        let weights: Vec<_> = weights.collect();
        world.run(join_all(weights.iter().map(|(start, weight)| {
            let (world, admitted) = (&world, &admitted);
            async move {
                world.clock.sleep(millis(*start)).await;
                let shared = instance(world, Duration::ZERO);
                let rate = SharedRate::new(shared, "all", rate(per_second), burst);
                rate.acquire(*weight, None).await.unwrap();
                admitted.lock().unwrap().push((world.clock.now() - begin, *weight));
            }
        })));
        let mut admitted = admitted.into_inner().unwrap();
        admitted.sort();
        holds(&admitted, rate(per_second), burst)?;
        // Whoever came last waited for no more than all before it need, and two
        // windows: the one that was half over, and the one that a heavy call
        // leaves half full.
        let (last, _) = admitted.last().unwrap();
        let all: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let rate = SharedRate::new(instance(&world, Duration::ZERO), "all", rate(per_second), burst);
        let window = world.run(rate.window()).unwrap().length.as_secs_f64();
        let most = 4.0 + f64::from(all) / f64::from(per_second) + 2.0 * window;
        prop_assert!(last.as_secs_f64() <= most, "{last:?}, {most} s expected");
    }
}

#[test]
fn a_heavy_call_costs_one_increment() {
    let world = World::new();
    let rate = SharedRate::new(instance(&world, Duration::ZERO), "all", rate(40), 40);
    world.run(async {
        rate.acquire(1, None).await.unwrap();
        let before = world.store.calls();
        rate.acquire(10, None).await.unwrap();
        assert_eq!(world.store.calls() - before, 1);
        let window = rate.window().await.unwrap();
        assert_eq!((window.taken, window.tickets), (11, 15));
    });
}

/// A call that weighs more than windows leave room for would break the bound.
#[test]
fn what_is_too_heavy_is_refused() {
    let world = World::new();
    for (burst, heaviest) in [(1, 1), (2, 1), (5, 4), (8, 3), (10, 5), (40, 11)] {
        let rate = SharedRate::new(instance(&world, Duration::ZERO), "all", rate(40), burst);
        assert!(world.run(rate.acquire(heaviest, None)).is_ok(), "{burst}");
        let before = world.store.calls();
        assert!(
            world.run(rate.acquire(heaviest + 1, None)).is_err(),
            "{burst}"
        );
        assert_eq!(world.store.calls(), before);
    }
}

#[test]
fn a_ticket_beyond_the_deadline_is_refused_at_once() {
    let world = World::new();
    let rate = SharedRate::new(instance(&world, Duration::ZERO), "all", rate(1), 8);
    world.run(async {
        let begin = world.clock.now();
        for _ in 0..3 {
            rate.acquire(1, Some(begin)).await.unwrap();
        }
        let refused = rate
            .acquire(1, Some(begin + 100 * MILLI))
            .await
            .unwrap_err();
        let NoTicket::TooLate(refused) = refused else {
            panic!("{refused}");
        };
        assert!(refused.wait > 100 * MILLI, "{refused:?}");
        assert_eq!(world.clock.now(), begin);
    });
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
        world.run(join_all(calls.iter().enumerate().map(|(n, (start, hold, patience))| {
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
            let times = LeaseTimes::default();
            world.clock.sleep(times.period + times.overlap).await;
            let begin = world.clock.now();
            let lane = lane(&world, Duration::ZERO);
            let all = (0..limit).map(|_| lane.acquire(limit, None, |_| {}));
            let leases = join_all(all).await;
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
    let mut dead = World::new();
    dead.clock = world.clock.clone();
    dead.store = world.store.clone();
    let shared = Shared::new(&dead.ports(), Arc::new(Health::new())).unwrap();
    let lost = SharedLane::new(shared, "x", LeaseTimes::default());
    let leases = dead.run(join_all((0..2).map(|_| lost.acquire(2, None, |_| {}))));
    let times = LeaseTimes::default();
    world.run(async {
        let begin = world.clock.now();
        let ahead = Mutex::new(Vec::new());
        let lane = lane(&world, Duration::ZERO);
        let lease = lane
            .acquire(2, None, |n| ahead.lock().unwrap().push(n))
            .await;
        assert!(lease.unwrap().is_counted());
        assert!(world.clock.now() - begin <= times.period + times.overlap);
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

/// What a call costs that does not wait and begins `into` a lease period:
/// tickets and returns, and calls of the store.
fn cost(into: Duration) -> (i64, u64) {
    let world = World::new();
    let rate = SharedRate::new(instance(&world, Duration::ZERO), "all", rate(40), 40);
    let lane = lane(&world, Duration::ZERO);
    let counters = || {
        let sum: i64 = world.store.counters().values().sum();
        // Tickets of the rate, tickets and returns of the lane.
        ((sum & 0xffff_ffff) + (sum >> 32), world.store.calls())
    };
    let call = || {
        world.run(async {
            rate.acquire(1, None).await.unwrap();
            drop(lane.acquire(5, None, |_| {}).await.unwrap());
        });
        world.drain();
    };
    let period = LeaseTimes::default().period.as_nanos();
    assert_eq!(world.clock.unix().as_nanos() % period, 0);
    world.clock.advance(into);
    // The first of a period notes it; after that there is nothing to note.
    call();
    let (before, calls) = counters();
    call();
    let (after, calls_after) = counters();
    (after - before, calls_after - calls)
}

#[test]
fn a_call_that_does_not_wait_costs_three_increments() {
    let LeaseTimes { period, overlap } = LeaseTimes::default();
    for into in [Duration::ZERO, period / 2, period - overlap - MILLI] {
        assert_eq!(cost(into), (3, 3), "{into:?}");
    }
    // It holds a lease of the next period as well.
    for into in [period - overlap, period - MILLI] {
        assert_eq!(cost(into), (5, 5), "{into:?}");
    }
}

/// The slot that an instance gives back is free for its own next call at once,
/// in the increment that this call makes anyway.
#[test]
fn a_slot_given_back_is_free_for_the_next_call() {
    let world = World::new();
    let lane = lane(&world, Duration::ZERO);
    world.run(async {
        drop(lane.acquire(1, None, |_| {}).await.unwrap());
    });
    world.drain();
    let calls = world.store.calls();
    world.run(async {
        let begin = world.clock.now();
        for _ in 0..10 {
            let lease = lane.acquire(1, None, |_| panic!("it waits")).await;
            drop(lease.unwrap());
        }
        assert_eq!(world.clock.now(), begin);
    });
    world.drain();
    assert_eq!(world.store.calls() - calls, 11);
    assert_eq!(world.run(lane.held(1)), Some(0));
}

#[test]
fn old_counters_are_removed() {
    let world = World::new();
    let rate = SharedRate::new(instance(&world, Duration::ZERO), "all", rate(40), 40);
    world.run(async {
        for _ in 0..200 {
            rate.acquire(1, None).await.unwrap();
            drop(lane(&world, Duration::ZERO).acquire(1, None, |_| {}).await);
            world.clock.sleep(Duration::from_secs(3)).await;
        }
    });
    world.drain();
    let left = world.store.counters_len();
    assert!(left <= 20, "{left} counters are left");
}

#[test]
fn a_store_in_trouble_lets_calls_pass() {
    let world = World::new();
    let shared = instance(&world, Duration::ZERO);
    let rate = SharedRate::new(shared.clone(), "all", rate(1), 1);
    let lane = SharedLane::new(shared, "x", LeaseTimes::default());
    world
        .store
        .fail_with(Some(StoreError::Unavailable("gone".into())));
    world.run(async {
        for _ in 0..10 {
            rate.acquire(1, None).await.unwrap();
            assert!(!lane.acquire(1, None, |_| {}).await.unwrap().is_counted());
        }
        // One look, then five seconds of peace.
        assert_eq!(world.store.calls(), 1);
        world.store.fail_with(None);
        world.clock.sleep(health::PAUSE).await;
        assert!(lane.acquire(1, None, |_| {}).await.unwrap().is_counted());
    });
    world.drain();
}

/// A crowd makes a store slow. That must not let it through to the upstream.
#[test]
fn a_store_that_is_no_more_than_slow_opens_nothing() {
    let world = World::new();
    world.store.slow_down(&world.clock, millis(260));
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
    let begin = world.clock.now();
    world.run(join_all((0..4).map(|_| {
        let rate = SharedRate::new(instance(&world, Duration::ZERO), "all", rate(1), 1);
        async move { rate.acquire(1, None).await.unwrap() }
    })));
    assert!(world.clock.now() - begin >= Duration::from_secs(3));
    world.drain();
    // A second is trouble.
    world.store.slow_down(&world.clock, Duration::from_secs(1));
    let open = lane(&world, Duration::ZERO);
    drop(world.run(open.acquire(1, None, |_| {})));
    let lease = world.run(open.acquire(1, None, |_| {}));
    assert!(!lease.unwrap().is_counted());
}

#[test]
fn a_pause_is_known_to_all_and_ends() {
    let world = World::new();
    let pause = || SharedPause::new(instance(&world, Duration::ZERO), "x", millis(60_000));
    let second = Duration::from_secs(1);
    world.run(async {
        assert_eq!(pause().until().await, None);
        let begin = world.clock.now();
        pause().pause(2 * second).await;
        // A shorter one does not shorten it.
        pause().pause(second).await;
        let until = pause().until().await.unwrap();
        let expected = 2 * second + SKEW..2 * second + SKEW + 2 * MILLI;
        assert!(expected.contains(&(until - begin)));
        world.clock.sleep_until(until).await;
        assert_eq!(pause().until().await, None);
        world
            .store
            .put_raw("limits:pause:x", b"\xffgarbage".to_vec());
        assert_eq!(pause().until().await, None);
    });
}

#[test]
fn a_deadline_ends_the_wait() {
    let world = World::new();
    world.run(async {
        let lane = lane(&world, Duration::ZERO);
        let _held = lane.acquire(1, None, |_| {}).await.unwrap();
        let begin = world.clock.now();
        let refused = lane
            .acquire(1, Some(begin + Duration::from_secs(3)), |_| {})
            .await;
        let wait = Duration::from_secs(3);
        assert_eq!(refused.unwrap_err(), NoSlot::TooLate { wait });
        let _: Instant = begin;
    });
    world.drain();
}
