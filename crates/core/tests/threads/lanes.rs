//! Many callers of a lane: in an instance, and of several instances on one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use spinlane_core::limit::{
    Ask, Budget, Call, Lane, LaneConfig, LaneError, LaneLimits, Limits, Orchestrator, Priority,
    Scope,
};
use spinlane_core::store::Store;
use spinlane_core::testing::{ScriptedHttp, World};

use crate::{Chance, for_each_seed, ports, side_by_side};

const CALLERS: u64 = 10;

/// Who is inside, and the most that were.
#[derive(Default)]
struct Inside {
    now: AtomicU64,
    most: AtomicU64,
}

impl Inside {
    fn enter(self: &Arc<Self>) -> Entered {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Entered(Arc::clone(self))
    }
}

struct Entered(Arc<Inside>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whatever callers ask and whenever they go, no more are inside than may be, everybody
/// gets through, and nothing is left.
#[test]
fn a_lane_is_never_exceeded_and_never_stuck() {
    for_each_seed(|seed| async move {
        let limit = 1 + (seed % 3) as u32;
        let clock = ports(&World::new()).clock;
        let lane = Lane::new(
            "x",
            LaneLimits::concurrency(limit).queue(6),
            Arc::clone(&clock),
        );
        let inside = Arc::<Inside>::default();
        side_by_side(CALLERS, |caller| {
            let (lane, inside) = (lane.clone(), Arc::clone(&inside));
            let (chance, clock) = (Chance::new(seed, caller), Arc::clone(&clock));
            async move {
                for _ in 0..20 {
                    let mut ask = Ask::default();
                    if chance.below(3) == 0 {
                        ask.priority = Priority::Background;
                    }
                    if chance.below(3) == 0 {
                        ask.deadline = Some(clock.now() + Duration::from_micros(chance.below(500)));
                    }
                    let permit = match chance.below(3) {
                        0 => chance.perhaps(lane.acquire(ask)).await,
                        _ => Some(lane.acquire(ask).await),
                    };
                    match permit {
                        Some(Ok(permit)) => {
                            let entered = inside.enter();
                            chance.pause().await;
                            drop(entered);
                            drop(permit);
                        }
                        Some(Err(LaneError::Deadline { .. })) => assert!(ask.deadline.is_some()),
                        Some(Err(LaneError::QueueFull { waiting, .. })) => assert!(waiting >= 6),
                        Some(Err(other)) => panic!("{other}"),
                        None => {}
                    }
                    chance.pause().await;
                }
            }
        })
        .await;
        let most = inside.most.load(Ordering::SeqCst);
        assert!(most <= u64::from(limit), "{most} inside, {limit} allowed");
        let lane = lane.snapshot();
        assert_eq!((lane.in_flight, lane.waiting), (0, 0));
    });
}

/// The same through the one door, over two instances whose store is one: also the lane's
/// leases are given back, and of each budget as much is used as calls were made.
#[test]
fn instances_share_a_lane_and_leave_nothing() {
    for_each_seed(|seed| async move {
        let limit = 1 + (seed % 3) as u32;
        let inside = Arc::<Inside>::default();
        let world = World::with_http(upstream(&inside, Chance::new(seed, 200)));
        let limits = Limits::default()
            .with_lane("x", LaneConfig::new(limit))
            .with_scope(Scope::Shared);
        let instances: Arc<[Orchestrator]> = (0..2)
            .map(|_| {
                let ports = ports(&world);
                Orchestrator::new(limits.clone(), &ports, &Store::open(&ports))
            })
            .collect();
        side_by_side(CALLERS, |caller| {
            let upstreams = instances[(caller % 2) as usize].clone();
            let chance = Chance::new(seed, caller);
            async move {
                let budget = Budget::with_reserve(10, 0);
                let mut made = 0;
                for _ in 0..2 {
                    let call = Call::get("x", "http://x.example/", budget.clone());
                    let call = upstreams.run(call.expect("a call"));
                    let answered = match chance.below(3) {
                        0 => chance.perhaps(call).await,
                        _ => Some(call.await),
                    };
                    if let Some(answered) = answered {
                        let answered = answered.expect("it answers");
                        made += 1;
                        match chance.below(2) {
                            0 => drop(answered),
                            _ => drop(answered.bytes(99).await.expect("a body")),
                        }
                    }
                }
                // Of a call that was given up nobody knows whether it was made.
                assert!(
                    (made..=2).contains(&budget.used()),
                    "{made} of {}",
                    budget.used()
                );
            }
        })
        .await;
        let most = inside.most.load(Ordering::SeqCst);
        assert!(most <= u64::from(limit), "{most} inside, {limit} allowed");
        for upstreams in &*instances {
            let lane = upstreams
                .lane(&"x".into())
                .expect("it is configured")
                .snapshot();
            assert_eq!((lane.in_flight, lane.waiting), (0, 0));
        }
        // Leases are given back by tasks of their own.
        while instances[0].status().await.iter().any(|lane| lane.held > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// An upstream that takes a moment, for its head and for its body.
fn upstream(inside: &Arc<Inside>, chance: Chance) -> ScriptedHttp {
    let inside = Arc::clone(inside);
    ScriptedHttp::new(move |_| {
        let (inside, chance) = (Arc::clone(&inside), chance.clone());
        async move {
            let entered = inside.enter();
            chance.pause().await;
            let body = stream::once(async move {
                chance.pause().await;
                drop(entered);
                Ok(Bytes::from_static(b"ok"))
            });
            Ok(http::Response::new(body.boxed()))
        }
    })
}
