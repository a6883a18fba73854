//! Several instances in front of one upstream, in virtual time.

use std::cell::RefCell;
use std::num::NonZeroU32;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use proptest::prelude::*;

use super::*;
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
