//! What calls ask of the store.

use super::*;
use crate::limit::shared::{LEASE, OVERLAP};
use crate::testing::StoreDouble;

/// Increments that act on limits, and calls of the store, of one call that ends
/// at once and begins `into` a lease period: up to its start, to the return of
/// its slot, and with what is done after the response.
fn cost(into: Duration, rate: Option<(Rate, u32)>) -> (u64, u64, u64) {
    let world = World::new();
    let mut limits = limits(LaneConfig::new(5));
    limits.lanes.get_mut("x").unwrap().limits.rate = rate;
    assert_eq!(world.clock.unix().as_nanos() % LEASE.as_nanos(), 0);
    world.clock.advance(into);
    world.run(async {
        let begin = world.clock.now();
        let entered = enter(&world, &limits, call("x")).await.unwrap();
        assert_eq!(world.clock.now(), begin, "it waits");
        let to_start = world.store.calls();
        drop(entered);
        // Tasks have a turn.
        world.clock.sleep(Duration::from_nanos(1)).await;
        to_start
    });
    let increments = world.store.increments();
    let calls = world.store.calls();
    world.drain();
    (increments, calls, world.store.calls())
}

/// The table of the README: 3 increments and a read; 4 on a lane with a rate; 2
/// more in the last 2 s of a lease period. After the response: what the call has
/// begun is noted by one batch (an increment and two writes), and a look whether
/// anything is due, which is a read and, the first time, a write of each of three.
#[test]
fn a_call_that_does_not_wait_costs_three_increments_and_a_read() {
    for into in [Duration::ZERO, LEASE / 2, LEASE - OVERLAP - MILLI] {
        assert_eq!(cost(into, None), (3, 4, 4 + 3 + 6), "{into:?}");
        assert_eq!(cost(into, rated(10, 10)), (4, 5, 5 + 3 + 6), "{into:?}");
    }
    // It holds a lease of the next period as well.
    for into in [LEASE - OVERLAP, LEASE - MILLI] {
        assert_eq!(cost(into, None), (5, 6, 6 + 3 + 6), "{into:?}");
        assert_eq!(cost(into, rated(10, 10)), (6, 7, 7 + 3 + 6), "{into:?}");
    }
}

/// One that waits looks for its slot at most every quarter of a second, and for a
/// pause every second.
#[test]
fn a_call_that_waits_looks_now_and_then() {
    let world = World::new();
    let limits = limits(LaneConfig::new(1));
    world.run(async {
        let held = enter(&world, &limits, call("x")).await.unwrap();
        let before = world.store.calls();
        let give_up = call("x").until(world.clock.now() + 5 * SECOND);
        let refused = enter(&world, &limits, give_up).await;
        assert_eq!(cause(&refused), Some(BusyCause::Deadline));
        let calls = world.store.calls() - before;
        assert!((10..=1 + 2 * 5 * 4 + 5).contains(&calls), "{calls}");
        drop(held);
    });
    world.drain();
}

/// A call on an idle lane costs as much on a store that is slow, or one more: a
/// ticket may have lapsed.
#[test]
fn a_lone_call_gets_through_a_slow_store_by_one_try() {
    for (per_second, rate) in [
        (0, None),
        (1, rated(1, 2)),
        (5, rated(5, 5)),
        (10, rated(10, 10)),
    ] {
        for delay in [0, 10, 30, 50, 100, 150, 200, 249, 300, 600, 900] {
            for blocks in [false, true] {
                let (most, took) = lone_calls(rate, Duration::from_millis(delay), blocks);
                // A pause, two leases, a ticket of each rate. A guest that is blocked
                // may be held up by the renewal of its lease just when it is due.
                let one_try = 4 + u64::from(rate.is_some()) + 2 * u64::from(blocks);
                let told = format!("{per_second}/s, {delay} ms, {blocks}: {most} in {took:?}");
                assert!(most <= one_try + 1, "{told}");
                assert!(took <= 8 * SECOND, "{told}");
            }
        }
    }
}

/// The most store calls up to its start, and the longest wait, of 20 calls that
/// come alone.
fn lone_calls(rate: Option<(Rate, u32)>, delay: Duration, blocks: bool) -> (u64, Duration) {
    let world = World::new();
    let mut limits = limits(LaneConfig::new(10));
    limits.lanes.get_mut("x").unwrap().limits.rate = rate;
    let (mut most, mut took) = (0, Duration::ZERO);
    for n in 0..20 {
        world.clock.advance(20 * SECOND + n * 37 * MILLI);
        let double = match blocks {
            true => StoreDouble::blocking(&world.store, &world.clock, n.into(), delay),
            false => StoreDouble::delaying(&world.store, &world.clock, n.into(), delay),
        };
        let gate = Gate::new(
            limits.clone(),
            &Store::open(&double.in_ports(world.ports())),
        );
        let entry = gate.entry(&"x".into()).unwrap();
        let (begin, before) = (world.clock.now(), world.store.calls());
        let call = call("x").until(begin + 30 * SECOND);
        let entered = world.run(gate.enter(&call, &entry)).unwrap();
        most = most.max(world.store.calls() - before);
        took = took.max(world.clock.now() - begin);
        drop(entered);
        world.drain();
    }
    (most, took)
}

/// Bursts of instances whose calls interleave leave no more counters for being
/// many.
#[test]
fn bursts_leave_nothing_for_ever() {
    let world = World::new();
    let five = LaneConfig::new(10).rate(Rate::per_second(NonZeroU32::new(5).unwrap()), 5);
    let limits = limits(five);
    let mut left = Vec::new();
    for round in 0..300_u64 {
        world.run(join_all((0..10).map(|n| {
            let most = 10 * MILLI;
            let double = StoreDouble::delaying(&world.store, &world.clock, round * 10 + n, most);
            let ports = double.in_ports(world.ports());
            let gate = Gate::new(limits.clone(), &Store::open(&ports));
            let clock = &world.clock;
            async move {
                let entered = gate
                    .enter(&call("x"), &gate.entry(&"x".into()).unwrap())
                    .await;
                clock.sleep(100 * MILLI).await;
                drop(entered);
            }
        })));
        world.drain();
        left.push(world.store.counters_len());
        world.clock.advance(10 * SECOND);
    }
    // What is begun in the time until it may be removed, and not more of it.
    let (half, end) = (left[149], left[299]);
    assert!(end <= half + half / 4, "{half}, then {end}");
}
