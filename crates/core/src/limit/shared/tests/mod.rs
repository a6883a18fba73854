//! Several instances on one store, in virtual time.

mod lane;
mod rate;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, join_all, select};
use proptest::prelude::*;

use super::*;
use crate::limit::Rate;
use crate::limit::bucket::bound::holds;
use crate::ports::{Clock, Ports, StoreError};
use crate::store::{LEFT_ALONE, Store};
use crate::testing::World;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An instance on the world's store, whose clock is ahead by so much.
fn instance(world: &World, ahead: Duration) -> Store {
    let ports = Ports {
        clock: Arc::new(world.clock.skewed(ahead)),
        ..world.ports()
    };
    Store::open(&ports)
}

#[test]
fn a_pause_is_known_to_all_and_ends() {
    let world = World::new();
    let pause = || SharedPause::new(&instance(&world, Duration::ZERO), "x", 60 * SECOND);
    world.run(async {
        assert_eq!(pause().until().await, None);
        let begin = world.clock.now();
        pause().pause(2 * SECOND).await;
        // A shorter one does not shorten it.
        pause().pause(SECOND).await;
        let until = pause().until().await.unwrap();
        let expected = 2 * SECOND + SKEW..2 * SECOND + SKEW + 2 * MILLI;
        assert!(expected.contains(&(until - begin)));
        world.clock.sleep_until(until).await;
        assert_eq!(pause().until().await, None);
        for rubbish in ["\u{fffd}garbage", "", "1", "1,", "99999999999999999999,1"] {
            world.store.put_raw("~pause:x", rubbish.into());
            assert_eq!(pause().until().await, None);
        }
    });
}

/// What a clock has written that is ahead is not believed, or it would hold a
/// lane up for as long as that.
#[test]
fn a_pause_by_a_wrong_clock_is_not_believed() {
    let world = World::new();
    let pause = |ahead| SharedPause::new(&instance(&world, ahead), "x", 60 * SECOND);
    world.run(async {
        pause(1_000 * SECOND).pause(5 * SECOND).await;
        assert_eq!(pause(Duration::ZERO).until().await, None);
        // And does not keep another from being noted.
        pause(Duration::ZERO).pause(5 * SECOND).await;
        assert!(pause(Duration::ZERO).until().await.is_some());
        pause(SKEW).pause(7 * SECOND).await;
        let wait = pause(Duration::ZERO).until().await.unwrap() - world.clock.now();
        assert!(wait >= 7 * SECOND, "{wait:?}");
    });
}

#[test]
fn a_store_that_is_left_alone_lets_calls_pass() {
    let world = World::new();
    let store = instance(&world, Duration::ZERO);
    let lane = SharedLane::new(&store, "x").unwrap();
    let fault = StoreError::Unavailable("gone".into());
    world.store.fail_with(Some(fault));
    world.run(async {
        for _ in 0..10 {
            assert!(!lane.acquire(1, None, |_| {}).await.unwrap().is_counted());
        }
        // One look, then five seconds of peace.
        assert_eq!(world.store.calls(), 1);
        world.store.fail_with(None);
        world.clock.sleep(LEFT_ALONE).await;
        assert!(lane.acquire(1, None, |_| {}).await.unwrap().is_counted());
    });
    world.drain();
}
