//! Runs that outlive their connections, in virtual time.

use axum::extract::FromRequestParts;
use http::{HeaderMap, Request, StatusCode};
use spinlane_core::ports::{Counters, Ports, StoreError};

use super::super::resume::{Attempted, IDEMPOTENCY_KEY};
use super::*;
use crate::problem::Problem;

const SECOND: Duration = Duration::from_secs(1);
const KEY: &str = "a-key-of-the-client";
const READ: &str = "/{run}";

/// Runs of one more instance.
fn runs(world: &World) -> Runs {
    let ports = world.ports();
    let store = Store::open(&ports);
    let runs = Runs::new(&ports.clock, &ports.spawner).stopped_in(&store);
    runs.resumed_in(&store)
}

fn attempt(world: &World, fields: &[(&str, &str)]) -> Result<Attempt, Problem> {
    let mut request = Request::builder();
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    world.run(Attempt::from_request_parts(&mut parts, &()))
}

/// A run that says these, one a second, and goes on for ever or ends.
fn begun(
    world: &World,
    runs: &Runs,
    said: &[&'static str],
    ending: Option<RunEnd<Plain>>,
) -> Response {
    let begin = begin(world, runs, &[]);
    let run = world.run(begin.resumable(runs, named(), None)).unwrap();
    let work = Words {
        said: said.to_vec(),
        ending,
        clock: world.ports().clock,
    };
    start(runs, &context(), run, work, None)
}

fn begin(world: &World, runs: &Runs, fields: &[(&str, &str)]) -> crate::run::resume::Begin {
    match asked(world, runs, fields, "{}").unwrap() {
        Attempted::New(begin) => begin,
        Attempted::Again(again) => panic!("{again:?}"),
    }
}

fn asked(
    world: &World,
    runs: &Runs,
    fields: &[(&str, &str)],
    body: &str,
) -> Result<Attempted, Problem> {
    let attempt = attempt(world, fields)?;
    world.run(attempt.claim(runs, "me", body.as_bytes(), READ))
}

/// The whole stream of an answer, heartbeats left out.
fn text(world: &World, answer: Response) -> String {
    let body = world.run(answer.into_body().collect());
    let text = String::from_utf8(body.unwrap().to_bytes().into()).unwrap();
    text.replace(": heartbeat\n\n", "")
}

fn read_again(world: &World, after: u64) -> Result<Response, Problem> {
    let (runs, context) = (runs(world), context());
    world.run(read::<Plain>(&runs, &context, ID, None, After(after), None))
}

fn code_of(problem: &Problem) -> (u16, &'static str) {
    (problem.status().as_u16(), problem.error().code.as_str())
}

#[test]
fn a_client_that_goes_takes_nothing_with_it() {
    let world = World::new();
    let answer = begun(&world, &runs(&world), &["a", "b", "c"], Some(RunEnd::Whole));
    let mut body = answer.into_body();
    let first = world
        .run(body.frame())
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    let first = String::from_utf8(first.to_vec()).unwrap();
    assert!(first.contains(r#""resumable":true"#), "{first}");
    drop(body);
    // As another instance reads it, from the beginning, and after what was there.
    let other = world.instance();
    let whole = read_again(&other, 0).unwrap();
    assert_eq!(whole.headers()["cache-control"], "no-store");
    assert_eq!(whole.headers()["x-run-id"], ID);
    // The run goes on beside it.
    world.run(world.clock.sleep(30 * SECOND));
    let whole = text(&other, whole);
    assert!(whole.starts_with(&first), "{whole}");
    assert!(
        whole.ends_with("data: {\"type\":\"done\",\"data\":null}\n\n"),
        "{whole}"
    );
    for word in ["a", "b", "c"] {
        assert!(whole.contains(&format!("\"data\":\"{word}\"")), "{whole}");
    }
    let rest = text(&other, read_again(&other, 2).unwrap());
    assert!(
        rest.starts_with("id: 3\n") && whole.ends_with(&rest),
        "{rest}"
    );
    let nothing = read_again(&other, 99).unwrap();
    assert_eq!(nothing.status(), StatusCode::NO_CONTENT);
    assert_eq!(nothing.headers()["cache-control"], "no-store");
    world.drain();
}

#[test]
fn who_reads_to_the_end_has_the_same() {
    let world = World::new();
    let answer = begun(&world, &runs(&world), &["a", "b"], Some(RunEnd::Whole));
    let attached = text(&world, answer);
    world.drain();
    assert_eq!(text(&world, read_again(&world, 0).unwrap()), attached);
}

/// The last frame of the run that is in the log.
fn last_of(world: &World) -> Value {
    let text = text(world, read_again(world, 0).unwrap());
    let last = text.trim_end().rsplit("data: ").next().unwrap();
    serde_json::from_str(last).unwrap()
}

#[test]
fn a_run_that_nobody_reads_is_abandoned() {
    let world = World::new();
    let runs = runs(&world).abandoned_after(20 * SECOND);
    let begin = world.clock.now();
    // It says nothing, which is no error of anybody's.
    drop(begun(&world, &runs, &[], None));
    world.drain();
    let took = world.clock.now() - begin;
    assert!(took >= 20 * SECOND && took < 40 * SECOND, "{took:?}");
    let last = last_of(&world);
    assert_eq!(last["data"]["reason"], "abandoned");
}

#[test]
fn a_run_without_a_client_is_stopped_as_any_other() {
    let world = World::new();
    let runs = runs(&world);
    let begin = world.clock.now();
    drop(begun(&world, &runs, &["a"], None));
    world.run(world.clock.sleep(3 * SECOND));
    world.run(stop::ask(runs.stops.as_ref(), ID)).unwrap();
    world.drain();
    assert!(world.clock.now() - begin < 20 * SECOND);
    assert_eq!(last_of(&world)["data"]["reason"], "stopped");
}

/// Where its log has ended, nobody will ever read what it says.
#[test]
fn a_run_that_nobody_can_read_ends_with_its_client() {
    let world = World::new();
    let answer = begun(&world, &runs(&world), &["a"], None);
    let mut body = answer.into_body();
    world.run(body.frame()).unwrap().unwrap();
    world.store.fail_with(Some(StoreError::unavailable("gone")));
    world.run(world.clock.sleep(10 * SECOND));
    world.store.fail_with(None);
    let begin = world.clock.now();
    drop(body);
    world.drain();
    assert!(world.clock.now() - begin < 30 * SECOND);
}

#[test]
fn what_is_begun_by_a_key_is_begun_once() {
    let world = World::new();
    let runs = runs(&world);
    let key = [("idempotency-key", KEY)];
    let run = begin(&world, &runs, &key);
    let run = world.run(run.resumable(&runs, named(), None)).unwrap();
    let work = Words {
        said: vec!["a"],
        ending: Some(RunEnd::Whole),
        clock: world.ports().clock,
    };
    let answer = text(&world, start(&runs, &context(), run, work, None));
    world.drain();
    let again = |fields: &[(&str, &str)]| match asked(&world, &runs, fields, "{}") {
        Ok(Attempted::Again(again)) => {
            let answer = world.run(again.read::<Plain>(&runs, &context(), None));
            answer.map(|answer| text(&world, answer))
        }
        Ok(Attempted::New(_)) => panic!("a second run"),
        Err(problem) => Err(problem),
    };
    assert_eq!(again(&key).unwrap(), answer);
    // A client that connects again by itself has the rest.
    let seen = [key[0], ("last-event-id", "2")];
    let rest = again(&seen).unwrap();
    assert!(
        rest.starts_with("id: 3\n") && answer.ends_with(&rest),
        "{rest}"
    );
    let malformed = again(&[key[0], ("last-event-id", "two")]).unwrap_err();
    assert_eq!(code_of(&malformed), (422, "invalid_request"));
    let other = asked(&world, &runs, &key, "{} ").unwrap_err();
    assert_eq!(code_of(&other), (422, "key_reused"));
    // Its log is gone by then, and it is not run again for that.
    world.clock.advance(3_600 * SECOND);
    assert_eq!(code_of(&again(&key).unwrap_err()), (410, "run_gone"));
}

#[test]
fn a_key_is_free_again_where_its_run_was_refused() {
    let world = World::new();
    let runs = runs(&world);
    let key = [("idempotency-key", KEY)];
    let begin_one = begin(&world, &runs, &key);
    let full = || Problem::store_unavailable("not now");
    let refused = world.run(begin_one.unless::<()>(async { Err(full()) }));
    assert_eq!(
        refused.err().map(|problem| problem.status().as_u16()),
        Some(503)
    );
    let begin_one = begin(&world, &runs, &key);
    // Whoever has claimed it dies.
    drop(begin_one);
    let pending = asked(&world, &runs, &key, "{}").unwrap_err();
    assert_eq!(code_of(&pending), (409, "key_pending"));
    let response = axum::response::IntoResponse::into_response(pending);
    assert_eq!(response.headers()["retry-after"], "5");
}

/// Who has seen something of a key that nobody knows is not told anew.
#[test]
fn nothing_is_done_twice_for_who_has_seen_something() {
    let world = World::new();
    let runs = runs(&world);
    let seen = ("last-event-id", "3");
    let problem = asked(&world, &runs, &[seen], "{}").unwrap_err();
    assert_eq!(code_of(&problem), (409, "not_resumable"));
    assert!(problem.error().message.contains("GET /{run}"));
    let problem = asked(&world, &runs, &[("idempotency-key", KEY), seen], "{}").unwrap_err();
    assert_eq!(code_of(&problem), (410, "run_gone"));
    begin(
        &world,
        &runs,
        &[("idempotency-key", KEY), ("last-event-id", "")],
    );
}

#[test]
fn keys_have_their_form() {
    let world = World::new();
    let long = "k".repeat(255);
    for good in ["0123456789abcdef", "\"8e03978e-40d5-43dd-bc93\"", &long] {
        let fields = [("idempotency-key", good)];
        assert!(attempt(&world, &fields).unwrap().has_key(), "{good}");
    }
    let longer = "k".repeat(256);
    for bad in ["", "0123456789abcde", "0123456789 abcdef", &longer] {
        let problem = attempt(&world, &[("idempotency-key", bad)]).unwrap_err();
        assert_eq!(code_of(&problem), (422, "invalid_request"), "{bad}");
    }
    let twice = [("idempotency-key", KEY), ("idempotency-key", KEY)];
    assert!(attempt(&world, &twice).is_err());
    assert!(!attempt(&world, &[]).unwrap().has_key());
    assert_eq!(IDEMPOTENCY_KEY, "idempotency-key");
}

#[test]
fn numbers_are_read_from_the_header_before_the_query() {
    let world = World::new();
    let after = |uri: &str, id: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.extend(id.map(|id| (super::super::new::LAST_EVENT_ID, id.parse().unwrap())));
        let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        parts.headers = headers;
        let after = world.run(After::from_request_parts(&mut parts, &()));
        after
            .map(|After(number)| number)
            .map_err(|problem| problem.status().as_u16())
    };
    for (uri, id, expected) in [
        ("/", None, Ok(0)),
        ("/?after=7", None, Ok(7)),
        ("/?x=1&after=7", Some("9"), Ok(9)),
        ("/?after=7", Some(""), Ok(7)),
        ("/?after=2147483647", None, Ok((1 << 31) - 1)),
        ("/?after=2147483648", None, Err(422)),
        ("/?after=-1", None, Err(422)),
        ("/?after=", None, Err(422)),
        ("/?after=7", Some("+9"), Err(422)),
        ("/", Some("99999999999999999999999"), Err(422)),
    ] {
        assert_eq!(after(uri, id), expected, "{uri} {id:?}");
    }
}

/// Where instances have no store in common, or no counters: all is as it was.
#[test]
fn without_a_shared_store_a_run_ends_with_its_client() {
    let world = World::new();
    let ports = Ports {
        counters: None::<Arc<dyn Counters>>,
        ..world.ports()
    };
    let store = Store::open(&ports);
    let runs = Runs::new(&ports.clock, &ports.spawner).resumed_in(&store);
    let key = [("idempotency-key", KEY)];
    for _ in 0..2 {
        let run = begin(&world, &runs, &key);
        let run = world.run(run.resumable(&runs, named(), None)).unwrap();
        let work = Words {
            said: vec!["a"],
            ending: None,
            clock: ports.clock.clone(),
        };
        let mut body = start(&runs, &context(), run, work, None).into_body();
        let first = world
            .run(body.frame())
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap();
        assert!(String::from_utf8_lossy(&first).contains(r#""resumable":false"#));
        drop(body);
        // The work would go on for ever.
        world.drain();
    }
    assert_eq!(world.store.len(), 0);
    let unknown = world.run(read::<Plain>(&runs, &context(), ID, None, After(0), None));
    assert_eq!(code_of(&unknown.unwrap_err()), (404, "not_found"));
    let seen = asked(&world, &runs, &[key[0], ("last-event-id", "3")], "{}");
    assert_eq!(code_of(&seen.unwrap_err()), (409, "not_resumable"));
}

#[test]
fn a_store_in_trouble_refuses_keys_and_nobody_else() {
    let world = World::new();
    let plain = runs(&world);
    let begin_plain = begin(&world, &plain, &[]);
    let keyed = runs(&world);
    let begin_keyed = begin(&world, &keyed, &[("idempotency-key", KEY)]);
    world.store.fail_with(Some(StoreError::unavailable("gone")));
    let run = world
        .run(begin_plain.resumable(&plain, named(), None))
        .unwrap();
    assert!(run.log.is_none());
    let refused = world
        .run(begin_keyed.resumable(&keyed, named(), None))
        .unwrap_err();
    assert_eq!(code_of(&refused), (503, "store_unavailable"));
    let other = asked(&world, &runs(&world), &[("idempotency-key", KEY)], "{}").unwrap_err();
    assert_eq!(code_of(&other), (503, "store_unavailable"));
    let read = read_again(&world, 0).unwrap_err();
    assert_eq!(code_of(&read), (503, "store_unavailable"));
}

/// What there is before the first frame: one call to keep a run, and two for its key.
#[test]
fn a_head_costs_one_call_more() {
    for (fields, calls) in [(&[][..], 1), (&[("idempotency-key", KEY)], 3)] {
        let world = World::new();
        let runs = runs(&world);
        let begin = begin(&world, &runs, fields);
        world.run(begin.resumable(&runs, named(), None)).unwrap();
        assert_eq!(world.store.calls(), calls, "{fields:?}");
    }
}
