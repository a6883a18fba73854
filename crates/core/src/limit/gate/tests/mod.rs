//! Several instances in front of one upstream, in virtual time.

mod cost;
mod schedules;

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::pin::pin;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{Either, join_all};
use proptest::prelude::*;

use super::*;
use crate::limit::bucket::bound::holds;
use crate::limit::{Budget, LaneConfig, LaneLimits, Rate};
use crate::ports::Ports;
use crate::store::Store;
use crate::testing::World;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn call(lane: &'static str) -> Call {
    let request = http::Request::new(Bytes::new());
    Call::new(lane, request, Budget::default())
}

fn limits(lane: LaneConfig) -> Limits {
    Limits::default()
        .with_lane("x", lane)
        .with_other_lanes(LaneConfig::new(3))
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
    Gate::new(limits.clone(), &Store::open(&ports))
}

/// A call of an instance of its own.
async fn enter(world: &World, limits: &Limits, call: Call) -> Result<(Slot, Permit), CallError> {
    let gate = instance(world, limits, Duration::ZERO);
    let entry = gate.entry(&call.lane).unwrap();
    gate.enter(&call, &entry).await
}

/// Why a call was not let through.
fn cause<T>(entered: &Result<T, CallError>) -> Option<BusyCause> {
    entered.as_ref().err()?.busy()
}

#[test]
fn no_clock_ends_a_pause_early() {
    for (one, other) in [(0, 250), (250, 0), (100, 100)] {
        let (world, limits) = (World::new(), limits(LaneConfig::new(3)));
        let begin = world.clock.now();
        let one = instance(&world, &limits, one * MILLI);
        world.run(one.pause(&one.entry(&"x".into()).unwrap(), 2 * SECOND));
        let other = instance(&world, &limits, other * MILLI);
        let entry = other.entry(&"x".into()).unwrap();
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
            other
                .pause(&other.entry(&"x".into()).unwrap(), 60 * SECOND)
                .await;
        };
        // One who waits already, and one who comes later.
        let waiting = enter(&world, &limits, until(begin + 30 * SECOND));
        let (refused, ()) = futures::join!(waiting, pausing);
        assert_eq!(cause(&refused), Some(BusyCause::Paused));
        let now = world.clock.now();
        assert!(now - begin <= 6 * SECOND, "{:?}", now - begin);
        let refused = enter(&world, &limits, until(begin + 30 * SECOND)).await;
        assert_eq!(cause(&refused), Some(BusyCause::Paused));
        let retry_after = refused.err().unwrap().retry_after().unwrap();
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
        let waiting = (0..2).map(|_| enter(&world, &limits, call("x")));
        let waiting =
            join_all(waiting.map(|entered| entered.map(|entered| drop(entered.unwrap()))));
        let (waiting, soon) = (pin!(waiting), world.clock.sleep(MILLI));
        let Either::Right((_, waiting)) = select(waiting, soon).await else {
            panic!("they wait");
        };
        let begin = world.clock.now();
        for _ in 0..3 {
            let patient = call("x").until(begin + 30 * SECOND);
            let refused = enter(&world, &limits, patient).await;
            assert_eq!(cause(&refused), Some(BusyCause::QueueFull));
            let retry_after = refused.err().unwrap().retry_after().unwrap();
            assert!(retry_after >= SECOND, "{retry_after:?}");
        }
        assert_eq!(world.clock.now(), begin);
        drop(held);
        waiting.await;
        assert!(world.clock.now() - begin <= 2 * SECOND);
        // Those that were turned away leave no hole.
        world.clock.sleep(3 * SECOND).await;
        let now = world.clock.now();
        drop(enter(&world, &limits, call("x")).await.unwrap());
        assert_eq!(world.clock.now(), now);
    });
    world.drain();
}

/// When calls started.
type Starts = RefCell<Vec<Duration>>;

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
    limits.other_lanes = Some(LaneConfig::new(60));
    let (all, of_lane) = (Starts::default(), Starts::default());
    let (begin, length) = (world.clock.now(), 30 * SECOND);
    let callers = |lane: &'static str, count| {
        let (world, limits, all, of_lane) = (&world, &limits, &all, &of_lane);
        join_all((0..count).map(move |_| async move {
            while world.clock.now() - begin < length {
                let entered = enter(world, limits, call(lane)).await.unwrap();
                let at = world.clock.now() - begin;
                all.borrow_mut().push(at);
                if lane == "x" {
                    of_lane.borrow_mut().push(at);
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

/// A pause that another instance asks for while a call waits for its tickets, or
/// for its slot, holds it.
#[test]
fn a_pause_that_comes_while_a_call_waits_holds_it() {
    for (slots, per_second) in [(10, 1), (1, 100)] {
        let world = World::new();
        let mut limits = limits(LaneConfig::new(slots));
        limits.lanes.get_mut("x").unwrap().limits.rate = rated(per_second, per_second.max(2));
        let begin = world.clock.now();
        world.run(async {
            let others = join_all((0..9).map(|_| async {
                let entered = enter(&world, &limits, call("x")).await.unwrap();
                world.clock.sleep(800 * MILLI).await;
                drop(entered);
            }));
            let waiting = async {
                world.clock.sleep(100 * MILLI).await;
                drop(enter(&world, &limits, call("x")).await.unwrap());
                world.clock.now() - begin
            };
            let pausing = async {
                world.clock.sleep(SECOND).await;
                let other = instance(&world, &limits, Duration::ZERO);
                other
                    .pause(&other.entry(&"x".into()).unwrap(), 20 * SECOND)
                    .await;
            };
            let (_, at, ()) = futures::join!(others, waiting, pausing);
            assert!(at >= 21 * SECOND, "{at:?} with {slots} slots");
        });
        world.drain();
    }
}

/// Thirty calls of a lane of one a second, each in an instance of its own, and
/// twenty of another lane, well within what all have together.
#[test]
fn a_slow_lanes_line_makes_no_other_wait() {
    let world = World::new();
    let mut limits = limits(LaneConfig::new(30));
    limits.lanes.get_mut("x").unwrap().limits.rate = rated(1, 8);
    limits.other_lanes = Some(LaneConfig::new(60));
    assert!(others_wait(&world, &limits, &["x"; 30]) <= 2 * SECOND);
}

/// The same as applications are set up.
#[test]
fn lanes_with_rates_make_no_other_wait() {
    let world = World::new();
    let lane = |rate| LaneConfig {
        limits: LaneLimits {
            rate: rated(rate, rate),
            ..LaneLimits::concurrency(10)
        },
        ..LaneConfig::new(10)
    };
    let limits = Limits {
        lanes: [("ten".into(), lane(10)), ("five".into(), lane(5))].into(),
        other_lanes: Some(LaneConfig::new(60)),
        ..Limits::default()
    };
    let before = [["ten"; 10], ["five"; 10]].concat();
    assert!(others_wait(&world, &limits, &before) <= 800 * MILLI);
}

/// The longest wait of twenty calls in a lane of their own that come when these
/// have come.
fn others_wait(world: &World, limits: &Limits, before: &[&'static str]) -> Duration {
    let begin = world.clock.now();
    world.run(async {
        let before = before.iter().map(|lane| enter(world, limits, call(lane)));
        let before = join_all(before.map(|entered| entered.map(drop)));
        let others = join_all((0..20).map(|_| async {
            drop(enter(world, limits, call("y")).await.unwrap());
            world.clock.now() - begin
        }));
        let (mut before, others) = (pin!(before), pin!(others));
        assert!((&mut before).now_or_never().is_none());
        let (waits, _) = futures::join!(others, before);
        waits.into_iter().max().unwrap()
    })
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
            drop(
                other
                    .enter(&call("x"), &other.entry(&"x".into()).unwrap())
                    .await,
            );
        }
        let gate = instance(&world, &limits, Duration::ZERO);
        let (x, y) = (
            gate.entry(&"x".into()).unwrap(),
            gate.entry(&"y".into()).unwrap(),
        );
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
