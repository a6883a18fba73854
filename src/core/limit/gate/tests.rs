//! Several instances in front of one upstream, in virtual time.

use std::cell::RefCell;
use std::num::NonZeroU32;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use proptest::prelude::*;

use super::*;
use crate::core::limit::bucket::bound::holds;
use crate::core::limit::{Budget, LaneConfig, LaneLimits, Rate};
use crate::core::testing::World;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn call(lane: &'static str) -> Call {
    let request = http::Request::new(Bytes::new());
    Call::new(lane, request, Budget::default())
}

fn limits(lane: LaneConfig) -> Limits {
    Limits {
        lanes: [("x".into(), lane)].into(),
        ..Limits::default()
    }
}

fn rated(per_second: u32, burst: u32) -> Option<(Rate, u32)> {
    let tokens = NonZeroU32::new(per_second).unwrap();
    Some((Rate::per_second(tokens), burst))
}

/// An instance whose clock is ahead by so much.
fn instance(world: &World, limits: &Limits, ahead: Duration) -> Gate {
    let ports = Ports {
        clock: Arc::new(world.clock.skewed(ahead)),
        ..world.ports()
    };
    Gate::new(limits.clone(), &ports, Arc::default())
}

/// A call of an instance of its own.
async fn enter(world: &World, limits: &Limits, call: Call) -> Result<(Slot, Permit), CallError> {
    let gate = instance(world, limits, Duration::ZERO);
    let entry = gate.entry(&call.lane);
    gate.enter(&call, &entry).await
}

/// A machine's clock is years ahead: its word counts for as long as the pause
/// that it asked for, and no longer than the longest.
#[test]
fn a_pause_by_a_wrong_clock_ends() {
    let world = World::new();
    let limits = Limits {
        longest_pause: 60 * SECOND,
        ..Limits::default()
    };
    let begin = world.clock.now();
    // By an instance of before pauses told their length.
    let far = (world.clock.unix() + 100_000_000 * SECOND).as_millis();
    let far = far.to_string().into_bytes();
    world.store.put_raw("limits:pause:x", far);
    let patient = call("x").until(begin + 90 * SECOND);
    drop(world.run(enter(&world, &limits, patient)).unwrap());
    assert!(world.clock.now() - begin <= 61 * SECOND);

    let wrong = instance(&world, &limits, 100_000_000 * SECOND);
    world.run(wrong.pause(&wrong.entry(&"x".into()), 5 * SECOND));
    let begin = world.clock.now();
    let patient = call("x").until(begin + 90 * SECOND);
    drop(world.run(enter(&world, &limits, patient)).unwrap());
    assert!(world.clock.now() - begin <= 6 * SECOND);
    let begin = world.clock.now();
    drop(world.run(enter(&world, &limits, call("x"))).unwrap());
    assert_eq!(world.clock.now(), begin, "it has ended for all");
}

#[test]
fn no_clock_ends_a_pause_early() {
    for (one, other) in [(0, 250), (250, 0), (100, 100)] {
        let (world, limits) = (World::new(), Limits::default());
        let begin = world.clock.now();
        let one = instance(&world, &limits, one * MILLI);
        world.run(one.pause(&one.entry(&"x".into()), 2 * SECOND));
        let other = instance(&world, &limits, other * MILLI);
        let entry = other.entry(&"x".into());
        drop(world.run(other.enter(&call("x"), &entry)).unwrap());
        let waited = world.clock.now() - begin;
        assert!((2 * SECOND..3 * SECOND).contains(&waited), "{waited:?}");
    }
}

/// A lane that is full, and paused by another instance beyond the deadline.
#[test]
fn a_pause_beyond_the_deadline_fails_at_once_in_all_instances() {
    let world = World::new();
    let limits = limits(LaneConfig::new(1));
    let begin = world.clock.now();
    let until = |deadline| call("x").until(deadline);
    world.run(async {
        let _held = enter(&world, &limits, call("x")).await.unwrap();
        let pausing = async {
            world.clock.sleep(5 * SECOND).await;
            let other = instance(&world, &limits, Duration::ZERO);
            other.pause(&other.entry(&"x".into()), 60 * SECOND).await;
        };
        // One who waits already, and one who comes later.
        let waiting = enter(&world, &limits, until(begin + 30 * SECOND));
        let (refused, ()) = futures::join!(waiting, pausing);
        assert!(matches!(refused, Err(CallError::Deadline { .. })));
        let now = world.clock.now();
        assert!(now - begin <= 6 * SECOND, "{:?}", now - begin);
        let refused = enter(&world, &limits, until(begin + 30 * SECOND)).await;
        let Err(CallError::Deadline { retry_after, .. }) = refused else {
            panic!("expected a refusal by the pause");
        };
        assert!(retry_after >= 58 * SECOND, "{retry_after:?}");
        assert_eq!(world.clock.now(), now);
    });
    world.drain();
}

/// Calls of `took` each on a lane of `limit`, all at once and with a deadline.
/// Returns what those are told that found no slot, in order of asking.
fn told(limit: u32, calls: usize, took: Duration, patience: Duration) -> Vec<Duration> {
    let world = World::new();
    let limits = limits(LaneConfig::new(limit));
    let deadline = world.clock.now() + patience;
    let results = world.run(join_all((0..calls).map(|_| async {
        let entered = enter(&world, &limits, call("x").until(deadline)).await;
        let slot = match entered {
            Ok((slot, _)) => slot,
            Err(error) => return error.retry_after(),
        };
        world.clock.sleep(took).await;
        drop(slot);
        None
    })));
    world.drain();
    results.into_iter().flatten().collect()
}

#[test]
fn who_finds_no_slot_is_told_when_one_is_likely() {
    // Nobody moved up: it takes longer than what was waited.
    let told_of_long = told(2, 50, 40 * SECOND, 30 * SECOND);
    assert_eq!(told_of_long.len(), 48);
    let all = told_of_long.iter();
    assert!(all.clone().all(|wait| *wait >= 30 * SECOND));
    assert!(all.clone().all(|wait| *wait <= 600 * SECOND));
    // Ten times five at a time in two seconds, and 30 left: twelve seconds more
    // for the last, by the pace so far.
    let told_of_short = told(5, 60, 2 * SECOND, 10 * SECOND);
    let last = *told_of_short.last().unwrap();
    assert!((8 * SECOND..20 * SECOND).contains(&last), "{last:?}");
    assert!(told_of_short[0] < last);
}

#[test]
fn the_bound_of_a_queue_holds_over_all_instances() {
    let world = World::new();
    let limits = limits(LaneConfig {
        limits: LaneLimits {
            queue: 2,
            ..LaneLimits::concurrency(1)
        },
        ..LaneConfig::new(1)
    });
    world.run(async {
        let held = enter(&world, &limits, call("x")).await.unwrap();
        let begin = world.clock.now();
        let mut waiting: Vec<_> = (0..2)
            .map(|_| enter(&world, &limits, call("x")).boxed_local())
            .collect();
        for waiting in &mut waiting {
            assert!(waiting.now_or_never().is_none());
        }
        for _ in 0..3 {
            let patient = call("x").until(begin + 30 * SECOND);
            let refused = enter(&world, &limits, patient).await;
            let Err(CallError::Shed { retry_after, .. }) = refused else {
                panic!("expected a refusal by the queue");
            };
            assert!(retry_after >= SECOND, "{retry_after:?}");
        }
        assert_eq!(world.clock.now(), begin);
        drop(held);
        for waiting in waiting {
            drop(waiting.await.unwrap());
        }
        assert!(world.clock.now() - begin <= 2 * SECOND);
        // Those that were turned away leave no hole.
        world.clock.sleep(3 * SECOND).await;
        let now = world.clock.now();
        drop(enter(&world, &limits, call("x")).await.unwrap());
        assert_eq!(world.clock.now(), now);
    });
    world.drain();
}

/// When and with what weight calls started.
type Starts = RefCell<Vec<(Duration, u32)>>;

fn check(starts: &Starts, per_second: u32, burst: u32) -> Result<(), TestCaseError> {
    let rate = Rate::per_second(NonZeroU32::new(per_second).unwrap());
    holds(&starts.borrow(), rate, burst)
}

/// The global rate is asked for more than it has, and a lane for more than its
/// own: neither loses tickets to the other.
#[test]
fn two_rates_that_are_used_up_waste_nothing() {
    let world = World::new();
    let mut limits = limits(LaneConfig::new(10));
    limits.lanes.get_mut("x").unwrap().limits.rate = rated(5, 5);
    limits.other_lanes = LaneConfig::new(60);
    let (all, of_lane) = (Starts::default(), Starts::default());
    let (begin, length) = (world.clock.now(), 30 * SECOND);
    let callers = |lane: &'static str, count| {
        let (world, limits, all, of_lane) = (&world, &limits, &all, &of_lane);
        join_all((0..count).map(move |_| async move {
            while world.clock.now() - begin < length {
                let entered = enter(world, limits, call(lane)).await.unwrap();
                let at = world.clock.now() - begin;
                all.borrow_mut().push((at, 1));
                if lane == "x" {
                    of_lane.borrow_mut().push((at, 1));
                }
                world.clock.sleep(20 * MILLI).await;
                drop(entered);
            }
        }))
    };
    world.run(async { futures::join!(callers("x", 15), callers("y", 50)) });
    world.drain();
    check(&all, 40, 40).unwrap();
    check(&of_lane, 5, 5).unwrap();
    let counts = (all.borrow().len(), of_lane.borrow().len());
    assert!(counts.0 >= 40 * 30 * 95 / 100, "{counts:?}");
    assert!(counts.1 >= 5 * 30 * 90 / 100, "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Any global rate and any rate of a lane: both hold, for all instances.
    #[test]
    fn both_rates_hold_together(
        global in (1..60_u32, 1..60_u32),
        lane in (1..20_u32, 1..20_u32),
        calls in prop::collection::vec((0..4_000_u64, any::<bool>(), 0..400_u64), 1..80),
    ) {
        let world = World::new();
        let mut limits = limits(LaneConfig::new(10));
        (limits.rate, limits.burst) = rated(global.0, global.1).unwrap();
        limits.lanes.get_mut("x").unwrap().limits.rate = rated(lane.0, lane.1);
        let (all, of_lane) = (Starts::default(), Starts::default());
        let begin = world.clock.now();
        world.run(join_all(calls.iter().map(|(start, rated, took)| {
            let (world, limits, all, of_lane) = (&world, &limits, &all, &of_lane);
            async move {
                world.clock.sleep(Duration::from_millis(*start)).await;
                let lane = if *rated { "x" } else { "y" };
                let entered = enter(world, limits, call(lane)).await.unwrap();
                let at = world.clock.now() - begin;
                all.borrow_mut().push((at, 1));
                if *rated {
                    of_lane.borrow_mut().push((at, 1));
                }
                world.clock.sleep(Duration::from_millis(*took)).await;
                drop(entered);
            }
        })));
        world.drain();
        check(&all, global.0, global.1)?;
        check(&of_lane, lane.0, lane.1)?;
    }
}

/// Rates of a burst of 1 are good for an instant at a time, and two of them meet
/// all the same: whatever their periods, wherever in these a call begins, and
/// with calls of the global one between.
#[test]
fn two_rates_without_a_burst_meet() {
    for (global, lane) in (1..=30).flat_map(|global| (1..=30).map(move |lane| (global, lane))) {
        let world = World::new();
        let mut limits = limits(LaneConfig::new(10));
        (limits.rate, limits.burst) = rated(global, 1).unwrap();
        limits.lanes.get_mut("x").unwrap().limits.rate = rated(lane, 1);
        for (lane_of_call, phase) in [("y", 0), ("x", 1567), ("x", 0), ("y", 10), ("x", 333)] {
            world.clock.advance(Duration::from_millis(phase));
            let entered = world.run(enter(&world, &limits, call(lane_of_call)));
            drop(entered.unwrap_or_else(|error| panic!("{global}, {lane}: {error}")));
        }
        world.drain();
    }
}

/// Calls that wait for the store's tickets leave the launches of their instance
/// to others.
#[test]
fn waiting_for_tickets_is_no_launch() {
    let world = World::new();
    let mut limits = limits(LaneConfig::new(10));
    limits.lanes.get_mut("x").unwrap().limits.rate = rated(1, 8);
    limits.launches = 2;
    world.run(async {
        // Another instance has used up the rate of the lane.
        let other = instance(&world, &limits, Duration::ZERO);
        for _ in 0..3 {
            drop(other.enter(&call("x"), &other.entry(&"x".into())).await);
        }
        let gate = instance(&world, &limits, Duration::ZERO);
        let (x, y) = (gate.entry(&"x".into()), gate.entry(&"y".into()));
        let soon = world.clock.now() + SECOND;
        let (call_x, call_y) = (call("x"), call("y").until(soon));
        let mut waiting: Vec<_> = (0..2)
            .map(|_| gate.enter(&call_x, &x).boxed_local())
            .collect();
        for waiting in &mut waiting {
            assert!(waiting.now_or_never().is_none());
        }
        let begin = world.clock.now();
        drop(gate.enter(&call_y, &y).await.unwrap());
        assert_eq!(world.clock.now(), begin);
        for waiting in waiting {
            drop(waiting.await.unwrap());
        }
    });
    world.drain();
}

/// An upstream that stays overloaded: what was learned of it stays known.
#[test]
fn lasting_overload_is_not_forgotten() {
    let world = World::new();
    let limits = limits(
        LaneConfig::new(2).adaptive(crate::core::limit::AdaptiveLimits {
            min: 1,
            slow: 10 * SECOND,
        }),
    );
    for round in 0..20 {
        let gate = instance(&world, &limits, Duration::ZERO);
        let entry = gate.entry(&"x".into());
        drop(world.run(gate.enter(&call("x"), &entry)).unwrap());
        let expected = if round == 0 { 2 } else { 1 };
        assert_eq!(entry.lane.snapshot().limit, expected, "round {round}");
        let now = world.clock.now();
        world.clock.advance(10 * SECOND);
        world.run(entry.learn(now, world.clock.now(), true));
    }
}
