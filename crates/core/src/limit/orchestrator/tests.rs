use super::*;
use crate::limit::{BusyCause, LaneConfig, Observer, Scope};
use crate::ports::Clock;
use crate::testing::{ScriptedHttp, World};
use bytes::Bytes;
use futures::future::join_all;
use futures::{FutureExt, StreamExt, stream};
use http::StatusCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

const SECOND: Duration = Duration::from_secs(1);

/// An answer of an upstream: status and `Retry-After`.
type Line = (u16, Option<&'static str>);

/// An upstream that goes through `lines` and stays at the last one; status 0
/// refuses the connection. Notes when it was called.
struct Upstream {
    world: World,
    calls: Arc<Mutex<Vec<Duration>>>,
}

impl Upstream {
    fn new(lines: &[Line]) -> Self {
        Self::taking(Duration::ZERO, lines)
    }

    /// One whose heads take `time`.
    fn taking(time: Duration, lines: &[Line]) -> Self {
        let lines = lines.to_vec();
        let calls: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let (noted, mut world) = (Arc::clone(&calls), World::new());
        let clock = world.ports().clock;
        world.http = ScriptedHttp::new(move |_| {
            let mut calls = noted.lock().unwrap();
            let (status, retry_after) = lines[calls.len().min(lines.len() - 1)];
            calls.push(clock.now() - Instant::default());
            let head = clock.sleep(time);
            async move {
                head.await;
                if status == 0 {
                    return Err(HttpError::Connect("refused".into()));
                }
                let mut response = http::Response::builder().status(status);
                if let Some(value) = retry_after {
                    response = response.header("retry-after", value);
                }
                let body = stream::iter([Ok(Bytes::from("hello"))]).boxed();
                Ok(response.body(body).unwrap())
            }
        });
        Self { world, calls }
    }

    fn orchestrator(&self) -> Orchestrator {
        orchestrator(&self.world, instance())
    }

    /// Seconds since `start` of each call.
    fn called_at(&self, start: Instant) -> Vec<f64> {
        let since = |at: &Duration| (*at - (start - Instant::default())).as_secs_f64();
        self.calls.lock().unwrap().iter().map(since).collect()
    }
}

/// The limits of an instance of its own.
fn orchestrator(world: &World, limits: Limits) -> Orchestrator {
    let ports = world.ports();
    Orchestrator::new(limits, &ports, &Store::open(&ports))
}

fn instance() -> Limits {
    let limits = shared().with_lane("narrow", LaneConfig::new(2));
    limits.with_scope(Scope::Instance)
}

/// Those of all instances, with three calls at a time in whatever lane.
fn shared() -> Limits {
    Limits::default().with_other_lanes(LaneConfig::new(3))
}

/// A name with a slip in it is no lane of its own.
#[test]
fn a_lane_that_nobody_configured_is_refused_and_says_what_to_do() {
    let upstream = Upstream::new(&[(200, None)]);
    let limits = Limits::default().with_lane("narrow", LaneConfig::new(2));
    let (door, budget) = (orchestrator(&upstream.world, limits), Budget::default());
    let refused = upstream.world.run(door.run(call("narow", &budget)));
    let error = refused.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the lane `narow` is not configured: give it limits (`Limits::with_lane`), or all lanes \
         that have none of their own (`Limits::with_other_lanes`)"
    );
    assert!(door.lane(&"narow".into()).is_none());
    let lanes = upstream.world.run(door.status());
    assert_eq!(lanes.len(), 1, "it is in no status: {lanes:?}");
    assert_eq!(
        (budget.used(), upstream.calls.lock().unwrap().len()),
        (0, 0)
    );
}

/// Nobody's upstreams are known before they are named.
#[test]
fn there_are_no_lanes_but_those_that_are_configured_or_used() {
    let upstream = Upstream::new(&[(200, None)]);
    let door = orchestrator(&upstream.world, shared());
    let lanes = || {
        let status = upstream.world.run(door.status());
        let lanes = status
            .into_iter()
            .map(|status| (status.lane.into_owned(), status.limit));
        lanes.collect::<Vec<_>>()
    };
    assert_eq!(lanes(), []);
    upstream.world.run(door_call(&door, &Budget::default()));
    assert_eq!(lanes(), [("x".to_owned(), 3)]);
}

fn call(lane: &'static str, budget: &Budget) -> Call {
    Call::new(lane, http::Request::new(Bytes::new()), budget.clone())
}

#[test]
fn each_attempt_pays_and_the_last_answer_is_handed_on() {
    let upstream = Upstream::new(&[(0, None), (500, None), (503, None), (200, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let answered = upstream
        .world
        .run(door.run(call("x", &budget).repeatable()));
    let answered = answered.unwrap();
    assert_eq!(answered.response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answered.verdict, Verdict::Failed { retryable: true });
    assert_eq!((answered.stats.attempts, budget.used()), (3, 3));
    assert_eq!(answered.stats.waited, Duration::ZERO);
}

#[test]
fn what_is_not_repeatable_is_sent_once() {
    let upstream = Upstream::new(&[(0, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let error = upstream
        .world
        .run(door.run(call("x", &budget)))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no answer from x: could not connect: refused"
    );
    assert_eq!((error.retry_after(), budget.used()), (None, 1));
}

#[test]
fn a_spent_budget_sends_nothing() {
    let upstream = Upstream::new(&[(500, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::new(2));
    // No budget for the third attempt: the second answer is handed on.
    let answered = upstream
        .world
        .run(door.run(call("x", &budget).repeatable()));
    assert_eq!(answered.unwrap().stats.attempts, 2);
    let error = upstream
        .world
        .run(door.run(call("x", &budget)))
        .unwrap_err();
    assert!(matches!(error, CallError::Budget(_)));
    assert_eq!(upstream.calls.lock().unwrap().len(), 2);
}

#[test]
fn the_slot_is_held_until_the_body_has_ended() {
    let upstream = Upstream::new(&[(200, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let world = &upstream.world;
    let first = world.run(door.run(call("narrow", &budget))).unwrap();
    let second = world.run(door.run(call("narrow", &budget))).unwrap();
    assert_eq!(door.lane(&"narrow".into()).unwrap().snapshot().in_flight, 2);
    assert_eq!(door.global().in_flight, 0, "a launch ends with the head");

    let late = call("narrow", &budget).until(world.clock.now() + SECOND);
    let error = world.run(door.run(late)).unwrap_err();
    assert!(matches!(&error, CallError::Busy { lane, .. } if lane == "narrow"));
    assert_eq!(error.busy(), Some(BusyCause::Deadline));
    assert_eq!(budget.used(), 2, "nothing was sent, so nothing is paid");

    let body: Vec<_> = world.run(first.response.into_body().collect());
    assert_eq!(body, [Ok(Bytes::from("hello"))]);
    drop(second);
    assert_eq!(door.lane(&"narrow".into()).unwrap().snapshot().in_flight, 0);
}

#[test]
fn retry_after_pauses_the_lane_for_all() {
    let upstream = Upstream::new(&[(429, Some("2")), (200, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let world = &upstream.world;
    let start = world.clock.now();
    let calls = (0..8).map(|_| async {
        let result = door.run(call("narrow", &budget).repeatable()).await;
        result.unwrap().response.status()
    });
    let statuses = world.run(join_all(calls));
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    let at = upstream.called_at(start);
    // The second of the two slots was launched with the first.
    assert_eq!(at.len(), 9);
    assert!(at[2..].iter().all(|at| (2.0..2.1).contains(at)), "{at:?}");
}

#[test]
fn a_pause_beyond_the_deadline_fails_at_once() {
    let upstream = Upstream::new(&[(429, Some("60")), (200, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let world = &upstream.world;
    let start = world.clock.now();
    for _ in 0..2 {
        let late = call("x", &budget).repeatable().until(start + 30 * SECOND);
        let error = world.run(door.run(late)).unwrap_err();
        assert_eq!(error.retry_after(), Some(60 * SECOND));
        assert_eq!(error.busy(), Some(BusyCause::Paused));
    }
    assert_eq!(world.clock.now(), start);
    assert_eq!(upstream.calls.lock().unwrap().len(), 1);
}

/// "At once", and a date that has passed by the upstream's clock: the backoff
/// stands between the attempts all the same.
#[test]
fn a_pause_of_no_length_leaves_the_backoff() {
    for value in ["0", "Thu, 01 Jan 2015 00:00:00 GMT"] {
        let upstream = Upstream::new(&[(429, Some(value))]);
        let (door, budget) = (upstream.orchestrator(), Budget::default());
        let start = upstream.world.clock.now();
        let answered = upstream
            .world
            .run(door.run(call("x", &budget).repeatable()));
        assert_eq!(answered.unwrap().stats.attempts, 3);
        let at = upstream.called_at(start);
        assert!(at[0] < at[1] && at[1] < at[2], "{at:?}");
    }
}

#[test]
fn a_hostile_retry_after_is_capped() {
    let upstream = Upstream::new(&[(429, Some("99999999999999999999"))]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let answered = upstream.world.run(door.run(call("x", &budget))).unwrap();
    assert!(matches!(answered.verdict, Verdict::Overloaded { .. }));
    let paused_for = door.lane(&"x".into()).unwrap().snapshot().paused_for;
    assert_eq!(paused_for, 24 * 3_600 * SECOND);
}

#[test]
fn pauses_end_when_the_operator_says_so() {
    for scope in [Scope::Shared, Scope::Instance] {
        let upstream = Upstream::new(&[(429, Some("79892")), (200, None)]);
        let door = || orchestrator(&upstream.world, shared().with_scope(scope));
        let first = door();
        let (world, budget) = (&upstream.world, Budget::default());
        let answered = world.run(first.run(call("x", &budget))).unwrap();
        assert!(matches!(answered.verdict, Verdict::Overloaded { .. }));
        let soon = || Call {
            deadline: Some(world.clock.now() + SECOND),
            ..call("x", &budget)
        };
        // Whoever shares the store is told how long it takes.
        let other = match scope {
            Scope::Shared => door(),
            Scope::Instance => first,
        };
        let error = world.run(other.run(soon())).unwrap_err();
        assert_eq!(error.busy(), Some(BusyCause::Paused));
        let retry_after = error.retry_after().unwrap();
        let asked = 79_892 * SECOND;
        assert!(asked <= retry_after && retry_after <= asked + SECOND);
        assert_eq!(world.run(other.end_pauses()), 1);
        assert_eq!(world.run(other.end_pauses()), 0);
        assert_eq!(world.run(other.run(soon())).unwrap().verdict, Verdict::Good);
        assert_eq!(world.run(other.status())[0].paused_for, Duration::ZERO);
    }
}

#[test]
fn errors_inside_a_200_are_seen() {
    let upstream = Upstream::new(&[(200, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let inspected = |limit, verdict| Call {
        inspect: Inspect::Body {
            limit,
            read: verdict,
        },
        ..call("x", &budget).repeatable()
    };
    let overloaded = inspected(5, |_, body| {
        assert_eq!(body, b"hello");
        Verdict::Overloaded { retry_after: None }
    });
    let answered = upstream.world.run(door.run(overloaded)).unwrap();
    assert_eq!(answered.stats.attempts, 3);
    let body: Vec<_> = upstream.world.run(answered.response.into_body().collect());
    assert_eq!(body, [Ok(Bytes::from("hello"))]);

    let long = inspected(4, |_, _| Verdict::Failed { retryable: false });
    let answered = upstream.world.run(door.run(long)).unwrap();
    assert_eq!(answered.verdict, Verdict::Good);
}

#[test]
fn a_body_that_trickles_is_given_up() {
    let mut world = World::new();
    let clock = world.ports().clock;
    world.http = ScriptedHttp::new(move |_| {
        let clock = Arc::clone(&clock);
        let body = stream::repeat(()).then(move |()| {
            let tick = clock.sleep(SECOND);
            tick.map(|()| Ok(Bytes::from("x")))
        });
        async move { Ok(http::Response::new(body.boxed())) }
    });
    let (door, budget) = (orchestrator(&world, instance()), Budget::default());
    let whole = Call {
        inspect: Inspect::Body {
            limit: 1_000,
            read: |_, _| Verdict::Good,
        },
        ..call("x", &budget).repeatable()
    };
    let error = world.run(door.run(whole)).unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Http {
                error: HttpError::Timeout(TimeoutPhase::Idle),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(door.lane(&"x".into()).unwrap().snapshot().in_flight, 0);
    assert_eq!(budget.used(), 1);
}

#[test]
fn overhead_may_use_the_reserve() {
    let upstream = Upstream::new(&[(503, None), (503, None), (200, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::with_reserve(4, 3));
    let overhead = call("x", &budget).repeatable().overhead();
    let answered = upstream.world.run(door.run(overhead)).unwrap();
    assert_eq!((answered.stats.attempts, budget.used()), (3, 3));
    let error = upstream.world.run(door.run(call("x", &budget)));
    assert!(matches!(error, Err(CallError::Budget(_))));
    let last = call("x", &budget).overhead();
    assert!(upstream.world.run(door.run(last)).is_ok());
}

#[derive(Default)]
struct Notes {
    waits: Mutex<Vec<u64>>,
    attempts: AtomicU32,
    retries: AtomicU32,
}

impl Observer for Notes {
    fn waiting(&self, lane: &str, waited: Duration) {
        assert_eq!(lane, "narrow");
        let waited = u64::try_from(waited.as_millis()).unwrap();
        self.waits.lock().unwrap().push(waited);
    }

    fn attempt(&self, _: &str, attempt: u32, _: Duration) {
        self.attempts.fetch_max(attempt, Ordering::SeqCst);
    }

    fn retrying(&self, _: &str, _: u32, _: Duration) {
        self.retries.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn who_waits_is_told() {
    let upstream = Upstream::new(&[(529, None), (200, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let world = &upstream.world;
    let start = world.clock.now();
    door.lane(&"narrow".into())
        .unwrap()
        .pause_until(start + 12 * SECOND);
    let notes = Arc::new(Notes::default());
    let observed = Call {
        observer: Some(Arc::clone(&notes) as Arc<dyn Observer>),
        ..call("narrow", &budget).repeatable()
    };
    let answered = world.run(door.run(observed)).unwrap();
    assert_eq!(*notes.waits.lock().unwrap(), [500, 5_500, 10_500]);
    assert_eq!(notes.attempts.load(Ordering::SeqCst), 2);
    assert_eq!(notes.retries.load(Ordering::SeqCst), 1);
    assert_eq!(answered.stats.waited, 12 * SECOND);
    assert_eq!(world.clock.pending_timers(), 0);
}

/// Who backs off leaves its slot to others.
#[test]
fn a_slot_is_free_while_its_call_backs_off() {
    let upstream = Upstream::new(&[(503, None), (200, None)]);
    let limits = Limits {
        lanes: [("one".into(), LaneConfig::new(1))].into(),
        ..instance()
    };
    let (door, budget) = (orchestrator(&upstream.world, limits), Budget::default());
    let start = upstream.world.clock.now();
    let again = door.run(call("one", &budget).repeatable());
    let other = door.run(call("one", &budget));
    let ((), ()) = upstream.world.run(async {
        let again = again.map(|answered| drop(answered.unwrap()));
        let other = other.map(|answered| drop(answered.unwrap()));
        futures::join!(again, other)
    });
    let at = upstream.called_at(start);
    assert_eq!(at[..2], [0.0, 0.0], "{at:?}");
    assert!(at[2] > 0.0, "{at:?}");
}

/// A backoff that outlasts the deadline is not begun: the answer is what there is.
#[test]
fn a_backoff_beyond_the_deadline_is_not_waited_for() {
    let upstream = Upstream::new(&[(503, None)]);
    let (door, budget) = (upstream.orchestrator(), Budget::default());
    let start = upstream.world.clock.now();
    let soon = start + Duration::from_millis(1);
    let answered = upstream
        .world
        .run(door.run(call("x", &budget).repeatable().until(soon)));
    let answered = answered.unwrap();
    assert_eq!(answered.response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answered.stats.attempts, 1);
    assert_eq!(upstream.world.clock.now(), start);
}

async fn door_call(door: &Orchestrator, budget: &Budget) {
    let answered = door.run(call("x", budget)).await.unwrap();
    // Read to the end, so that the slot is free again.
    answered.response.into_body().collect::<Vec<_>>().await;
}

#[test]
fn a_dropped_call_leaves_nothing() {
    let mut world = World::new();
    world.http = ScriptedHttp::new(|_| futures::future::pending());
    let door = orchestrator(&world, instance());
    let budget = Budget::default();
    let mut calls: Vec<_> = (0..5)
        .map(|_| door.run(call("narrow", &budget)).boxed())
        .collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    assert_eq!((budget.used(), world.http.calls()), (5, 2));
    drop(calls);
    assert_eq!(budget.used(), 2, "only what was sent is paid");
    let lane = door.lane(&"narrow".into()).unwrap().snapshot();
    assert_eq!((lane.in_flight, lane.waiting), (0, 0));
    assert_eq!(door.global().in_flight, 0);
}

#[test]
fn errors_and_debug_keep_secrets() {
    let budget = Budget::default();
    let request = http::Request::get("http://127.0.0.1/path?key=secret")
        .header("x-api-key", "secret")
        .body(Bytes::from("secret"));
    let call = Call::new("x", request.unwrap(), budget);
    assert!(!format!("{call:?}").contains("secret"));
}
