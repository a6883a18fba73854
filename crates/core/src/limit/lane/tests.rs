use super::*;
use crate::testing::{VirtualClock, World};
use futures::FutureExt;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

const MS: Duration = Duration::from_millis(1);

fn lane_of(clock: &VirtualClock, limits: LaneLimits) -> Lane {
    Lane::new("spotify", limits, Arc::new(clock.clone()))
}

fn rated(tokens: u32, burst: u32) -> LaneLimits {
    LaneLimits {
        rate: Some((Rate::new(tokens, Duration::from_secs(1)).unwrap(), burst)),
        ..LaneLimits::concurrency(1_000)
    }
}

fn background() -> Ask {
    Ask {
        priority: Priority::Background,
        ..Ask::default()
    }
}

fn before(deadline: Instant) -> Ask {
    Ask {
        deadline: Some(deadline),
        ..Ask::default()
    }
}

fn now(lane: &Lane) -> Option<Permit> {
    lane.acquire(Ask::default()).now_or_never()?.ok()
}

#[test]
fn permits_are_raii_and_send() {
    fn is_send<T: Send + 'static>(_: &T) {}
    let lane = lane_of(&VirtualClock::new(), LaneLimits::concurrency(2));
    let (first, second) = (now(&lane).unwrap(), now(&lane).unwrap());
    is_send(&first);
    assert!(now(&lane).is_none());
    assert_eq!(
        lane.snapshot().waiting,
        0,
        "a dropped waiter leaves no trace"
    );
    drop(first);
    assert!(now(&lane).is_some());
    drop(second);
    assert_eq!(lane.snapshot().in_flight, 0);
}

#[test]
fn a_full_queue_turns_away_and_says_when_to_come_again() {
    let clock = VirtualClock::new();
    let limits = LaneLimits {
        queue: 1,
        ..LaneLimits::concurrency(1)
    };
    let lane = lane_of(&clock, limits);
    let _held = now(&lane).unwrap();
    let mut waiter = lane.acquire(Ask::default());
    assert!((&mut waiter).now_or_never().is_none());
    let refused = lane.acquire(Ask::default()).now_or_never().unwrap();
    let error = refused.unwrap_err();
    assert_eq!(
        error,
        LaneError::QueueFull {
            lane: "spotify".into(),
            waiting: 1,
            retry_after: Duration::from_secs(2),
        }
    );
    assert!(error.to_string().contains("try again in 2 s"));
}

#[test]
fn the_deadline_ends_a_wait_and_a_hopeless_one_is_not_begun() {
    let world = World::new();
    let lane = lane_of(&world.clock, LaneLimits::concurrency(1));
    let held = now(&lane).unwrap();
    let start = world.clock.now();
    let result = world.run(lane.acquire(before(start + 50 * MS)));
    assert!(matches!(result, Err(LaneError::Deadline { .. })));
    assert_eq!(world.clock.now() - start, 50 * MS);
    drop(held);

    let start = world.clock.now();
    lane.pause_until(start + 2_000 * MS);
    let hopeless = lane.acquire(before(start + 1_999 * MS)).now_or_never();
    let Some(Err(LaneError::Deadline { retry_after, .. })) = hopeless else {
        panic!("expected a refusal at once, got {hopeless:?}");
    };
    assert_eq!(retry_after, 2_000 * MS);
    drop(world.run(lane.acquire(before(start + 2_000 * MS))).unwrap());
    assert_eq!(world.clock.now() - start, 2_000 * MS);
}

#[test]
fn a_pause_that_comes_later_fails_those_who_cannot_wait_for_it() {
    let world = World::new();
    let lane = lane_of(&world.clock, LaneLimits::concurrency(1));
    let start = world.clock.now();
    let _held = now(&lane).unwrap();
    let (pausing, clock) = (lane.clone(), world.clock.clone());
    let pause = async move {
        clock.sleep(10 * MS).await;
        pausing.pause_until(start + 5_000 * MS);
    };
    let waiter = lane.acquire(before(start + 1_000 * MS));
    let (result, ()) = world.run(async { futures::join!(waiter, pause) });
    assert!(matches!(result, Err(LaneError::Deadline { .. })));
    assert_eq!(world.clock.now() - start, 10 * MS);
}

#[test]
fn a_rate_of_its_own_is_waited_for_exactly() {
    let world = World::new();
    let lane = lane_of(&world.clock, rated(10, 2));
    let start = world.clock.now();
    let mut starts = Vec::new();
    for _ in 0..4 {
        world.run(lane.acquire(Ask::default())).unwrap().launch();
        starts.push((world.clock.now() - start).as_millis());
    }
    assert_eq!(starts, [0, 0, 100, 200]);
    assert_eq!(world.clock.pending_timers(), 0);
}

#[test]
fn tokens_count_from_the_start_and_come_back_without_one() {
    let world = World::new();
    let lane = lane_of(&world.clock, rated(10, 2));
    let mut held_up = now(&lane).unwrap();
    drop(now(&lane).unwrap());
    let mut other = now(&lane).unwrap();
    world.clock.advance(10_000 * MS);
    assert!(now(&lane).is_none(), "two starts are outstanding already");
    held_up.launch();
    other.launch();
    assert!(now(&lane).is_none(), "they started now, not 10 s ago");
    world.clock.advance(100 * MS);
    assert!(now(&lane).is_some());
}

#[test]
fn interactive_goes_first_and_background_is_not_starved() {
    let world = World::new();
    let lane = lane_of(&world.clock, LaneLimits::concurrency(1));
    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let held = now(&lane).unwrap();
    let mut all = Vec::new();
    for (count, ask, name) in [(3, background(), "b"), (7, Ask::default(), "i")] {
        for _ in 0..count {
            let (order, acquire) = (Arc::clone(&order), lane.acquire(ask));
            all.push(async move {
                let _permit = acquire.await.unwrap();
                order.lock().unwrap().push(name);
            });
        }
    }
    let mut all = futures::future::join_all(all).boxed();
    assert!((&mut all).now_or_never().is_none());
    drop(held);
    world.run(all);
    assert_eq!(order.lock().unwrap().concat(), "iiiibiiibb");
}

#[test]
fn limits_change_while_it_runs() {
    let world = World::new();
    let lane = lane_of(&world.clock, LaneLimits::concurrency(1));
    let held = now(&lane).unwrap();
    let mut waiter = lane.acquire(Ask::default());
    assert!((&mut waiter).now_or_never().is_none());
    lane.set_limit(2);
    let second = world.run(waiter).unwrap();
    lane.set_limit(0);
    drop(held);
    assert!(now(&lane).is_none());
    drop(second);
    lane.set_rate(rated(1, 1).rate);
    now(&lane).unwrap().launch();
    assert!(now(&lane).is_none());
    lane.set_rate(rated(1, 2).rate);
    now(&lane).unwrap().launch();
    assert!(now(&lane).is_none());
    lane.set_rate(None);
    assert!(now(&lane).is_some());
}

#[test]
fn a_hundred_thousand_waiters_end() {
    let clock = VirtualClock::new();
    let limits = LaneLimits {
        queue: usize::MAX,
        ..LaneLimits::concurrency(1)
    };
    let lane = lane_of(&clock, limits);
    let held = now(&lane).unwrap();
    let mut waiters: Vec<_> = (0..100_000).map(|_| lane.acquire(Ask::default())).collect();
    for waiter in &mut waiters {
        assert!(waiter.now_or_never().is_none());
    }
    // From the middle, from the front, then in order.
    waiters.drain(1_000..51_000);
    waiters.drain(..10);
    drop(held);
    for waiter in waiters {
        drop(waiter.now_or_never().unwrap().unwrap());
    }
    assert_eq!(lane.snapshot().waiting, 0);
}

/// A future that is polled only after it was woken: a lost wake-up shows.
struct Caller {
    acquire: Acquire,
    flag: Arc<Flag>,
    asked: usize,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A random schedule's world.
struct Model {
    clock: VirtualClock,
    lane: Lane,
    limit: u32,
    callers: Vec<Caller>,
    permits: Vec<Permit>,
    asked: usize,
    /// Who waits, by priority and order of asking.
    waiting: [BTreeSet<usize>; 2],
    /// When calls started.
    starts: Vec<u64>,
}

impl Model {
    fn new(limit: u32, rate: Option<(Rate, u32)>) -> Self {
        let clock = VirtualClock::new();
        let limits = LaneLimits {
            rate,
            ..LaneLimits::concurrency(limit)
        };
        Self {
            lane: lane_of(&clock, limits),
            clock,
            limit,
            callers: Vec::new(),
            permits: Vec::new(),
            asked: 0,
            waiting: Default::default(),
            starts: Vec::new(),
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.asked += 1;
        self.waiting[ask.priority as usize].insert(self.asked);
        self.callers.push(Caller {
            acquire: self.lane.acquire(ask),
            flag: Arc::new(Flag(AtomicBool::new(true))),
            asked: self.asked,
        });
    }

    /// Polls whoever was woken until nobody is.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while let Some(index) = self
            .callers
            .iter()
            .position(|c| c.flag.0.load(Ordering::SeqCst))
        {
            let caller = &mut self.callers[index];
            caller.flag.0.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(&caller.flag));
            let poll = Pin::new(&mut caller.acquire).poll(&mut Context::from_waker(&waker));
            let Poll::Ready(result) = poll else {
                continue;
            };
            let caller = self.callers.swap_remove(index);
            let queue = &mut self.waiting[caller.acquire.ask.priority as usize];
            if let Ok(mut permit) = result {
                prop_assert_eq!(
                    queue.first(),
                    Some(&caller.asked),
                    "not first in, first out"
                );
                permit.launch();
                self.starts.push(self.clock.now().as_nanos());
                self.permits.push(permit);
                prop_assert!(self.permits.len() <= self.limit as usize);
            }
            queue.remove(&caller.asked);
        }
        Ok(())
    }

    fn apply(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        match step {
            Step::Ask(priority, deadline) => self.ask(Ask {
                priority,
                deadline: deadline.map(|ms| now + ms * MS),
            }),
            Step::Cancel(which) if !self.callers.is_empty() => {
                let caller = self.callers.swap_remove(which % self.callers.len());
                self.waiting[caller.acquire.ask.priority as usize].remove(&caller.asked);
            }
            Step::Release(which) if !self.permits.is_empty() => {
                drop(self.permits.swap_remove(which % self.permits.len()));
            }
            Step::Limit(limit) => {
                // Never below what is out: the model's bound is then exact.
                self.limit = limit
                    .max(1)
                    .max(u32::try_from(self.permits.len()).unwrap_or(1));
                self.lane.set_limit(self.limit);
            }
            Step::Pause(ms) => self.lane.pause_until(now + ms * MS),
            Step::Pass(ms) => self.clock.advance(ms * MS),
            Step::Cancel(_) | Step::Release(_) => {}
        }
        self.settle()?;
        self.nobody_is_forgotten()
    }

    /// Nobody waits where a slot is free, a token there and no pause: a wake-up
    /// that was lost must not be made good by a later one.
    fn nobody_is_forgotten(&self) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        let idle = self.lane.0.with(|state| {
            let token = |bucket: &TokenBucket| bucket.available(now) > 0;
            let slot = state.in_flight < state.limit && state.paused_until <= now;
            slot && state.bucket.as_ref().is_none_or(token)
        });
        let waiting = self.callers.len();
        prop_assert!(!idle || waiting == 0, "{waiting} wait for nothing");
        Ok(())
    }

    /// Lets all that is left end: nobody may be forgotten.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..10_000 {
            if self.callers.is_empty() {
                break;
            }
            self.permits.clear();
            self.settle()?;
            self.clock.advance(100 * MS);
            self.settle()?;
        }
        prop_assert!(self.callers.is_empty(), "a wake-up was lost");
        self.permits.clear();
        let after = self.lane.snapshot();
        prop_assert_eq!(
            (after.in_flight, after.waiting),
            (0, 0),
            "a permit was lost"
        );
        prop_assert_eq!(self.clock.pending_timers(), 0);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(Priority, Option<u32>),
    Cancel(usize),
    Release(usize),
    Limit(u32),
    Pause(u32),
    Pass(u32),
}

fn schedule() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop_oneof![
        3 => Just(Priority::Interactive),
        1 => Just(Priority::Background)
    ];
    let deadline = proptest::option::weighted(0.4, 0..3_000u32);
    let step = prop_oneof![
        8 => (priority, deadline).prop_map(|(priority, deadline)| Step::Ask(priority, deadline)),
        2 => any::<usize>().prop_map(Step::Cancel),
        5 => any::<usize>().prop_map(Step::Release),
        1 => (0..8u32).prop_map(Step::Limit),
        1 => (0..2_000u32).prop_map(Step::Pause),
        4 => (0..700u32).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_schedule_keeps_the_limits_and_ends(
        limit in 1..6u32,
        rate in proptest::option::of((1..30u32, 1..8u32)),
        steps in schedule(),
    ) {
        let rate = rate.map(|(tokens, burst)| (Rate::new(tokens, 1_000 * MS).unwrap(), burst));
        let mut model = Model::new(limit, rate);
        for step in steps {
            model.apply(step)?;
        }
        model.finish()?;
        let Some((rate, burst)) = rate else {
            return Ok(());
        };
        for (first, start) in model.starts.iter().enumerate() {
            for (count, end) in (1u128..).zip(&model.starts[first..]) {
                let may = u128::from(end - start) * u128::from(rate.tokens())
                    + u128::from(burst) * rate.per().as_nanos();
                prop_assert!(count * rate.per().as_nanos() <= may);
            }
        }
    }
}
