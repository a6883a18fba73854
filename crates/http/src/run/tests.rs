//! Runs from their start to their last frame, in virtual time.

mod resume;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use spinlane_core::cache::Signals;
use spinlane_core::limit::Budget;
use spinlane_core::scope::Scope;
use spinlane_core::sse::Decoder;
use spinlane_core::store::Store;
use spinlane_core::testing::World;

use super::plain::Plain;
use super::*;
use crate::context::AnswerHead;

/// Says these, each after a second, and then goes on for ever or ends.
struct Words {
    said: Vec<&'static str>,
    ending: Option<RunEnd<Plain>>,
    clock: Arc<dyn Clock>,
}

impl Work<Plain> for Words {
    fn opening(&self) -> Option<&'static str> {
        Some("Beginning")
    }

    fn work<'a>(
        &'a mut self,
        output: &'a Output<Plain>,
        _: &'a Arc<Waits<Plain>>,
    ) -> BoxFuture<'a, RunEnd<Plain>> {
        async move {
            for word in &self.said {
                self.clock.sleep(Duration::from_secs(1)).await;
                let mut held = Held::default();
                if output.content(word, &mut held).is_err() {
                    return RunEnd::Gone;
                }
                if output.release(held).await.is_err() {
                    return RunEnd::Gone;
                }
            }
            match self.ending.take() {
                Some(ending) => ending,
                None => futures::future::pending().await,
            }
        }
        .boxed()
    }

    fn report(&self, _: &mut plain::Usage) {}
}

fn context() -> RequestContext {
    let abort = AbortHandle::new();
    let scope = Scope::new("id", Budget::new(20), abort.signal());
    RequestContext {
        scope: Arc::new(scope),
        abort,
        answer: AnswerHead::default(),
    }
}

const ID: &str = "0123456789abcdef0123456789abcdef";

fn named() -> Run {
    Run {
        id: ID.into(),
        debug: false,
        log: None,
    }
}

/// Every frame of a run that says "a" and "b" and ends so, set up by `set`.
fn frames(world: &World, ending: Option<RunEnd<Plain>>, set: impl FnOnce(&mut Runs)) -> Vec<Value> {
    let ports = world.ports();
    let mut runs = Runs::new(&ports.clock, &ports.spawner);
    set(&mut runs);
    let work = Words {
        said: vec!["a", "b"],
        ending,
        clock: ports.clock.clone(),
    };
    let response = start(&runs, &context(), named(), work, None);
    assert_eq!(response.headers()["x-run-id"], ID);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = world.run(response.into_body().collect());
    world.drain();
    let mut frames = Vec::new();
    Decoder::new(1 << 16)
        .push(&body.unwrap().to_bytes(), |event| {
            let number: usize = event.id.parse().unwrap();
            assert_eq!(number, frames.len() + 1);
            frames.push(serde_json::from_str(&event.data).unwrap());
        })
        .unwrap();
    frames
}

/// The last frame, after a look at those before it.
fn last(frames: &[Value]) -> &Value {
    assert_eq!(
        frames[0],
        json!({"type": "run", "data": {"id": ID, "resumable": false}})
    );
    assert_eq!(frames[1], json!({"type": "thinking", "data": "Beginning"}));
    let [.., usage, last] = frames else {
        panic!("{frames:?}")
    };
    assert_eq!(usage["type"], "usage");
    assert_eq!(usage["data"]["upstreamCalls"], 0);
    last
}

#[test]
fn a_run_ends_in_one_terminal_frame() {
    let error = ErrorObject::new(spinlane_core::error::code::BUSY, "later");
    let cut = RunEnd::Incomplete(plain::Reason::new("max_tokens"));
    for (ending, expected) in [
        (RunEnd::Whole, json!({"type": "done", "data": null})),
        (
            cut,
            json!({"type": "done", "data": {"incomplete": true, "reason": "max_tokens"}}),
        ),
        (
            RunEnd::Failed(error),
            json!({"type": "error", "data": {"code": "busy", "message": "later"}}),
        ),
    ] {
        let frames = frames(&World::new(), Some(ending), |_| {});
        assert_eq!(frames[2], json!({"type": "content", "data": "a"}));
        assert_eq!(frames[3], json!({"type": "content", "data": "b"}));
        assert_eq!((frames.len(), last(&frames)), (6, &expected));
    }
}

#[test]
fn a_deadline_keeps_what_was_said() {
    let frames = frames(&World::new(), None, |runs| {
        runs.deadline = Some(Duration::from_millis(1_500));
    });
    assert_eq!(frames[2]["data"], "a");
    assert_eq!(last(&frames)["data"]["reason"], "deadline");
    assert_eq!(frames.len(), 5);
}

#[test]
fn a_run_is_stopped_from_elsewhere() {
    let world = World::new();
    let store = Store::open(&world.ports());
    let stops = Signals::new(&store, "stop", stop::LASTS);
    world.run(stops.raise(ID)).unwrap();
    let frames = frames(&world, None, |runs| runs.stops = Some(stops));
    assert_eq!(last(&frames)["data"]["reason"], "stopped");
}

#[test]
fn a_client_that_goes_ends_the_work() {
    let world = World::new();
    let ports = world.ports();
    let runs = Runs::new(&ports.clock, &ports.spawner);
    let work = Words {
        said: vec!["a"],
        ending: None,
        clock: ports.clock.clone(),
    };
    let context = context();
    let response = start(&runs, &context, named(), work, None);
    let mut body = response.into_body();
    world.run(body.frame()).unwrap().unwrap();
    drop(body);
    // The work would go on for ever.
    world.drain();
}

/// Says something, and ends so.
async fn say(output: Output<Plain>, error: Option<ErrorObject>) -> Result<(), RunEnd<Plain>> {
    output.say("a").await?;
    error.map_or(Ok(()), |error| Err(error.into()))
}

const CONTENT: &str = "id: 2\ndata: {\"type\":\"content\",\"data\":\"a\"}\n\n";

#[test]
fn a_function_is_a_run() {
    let error = ErrorObject::new(spinlane_core::error::code::BUSY, "later");
    for (error, last) in [
        (None, r#"{"type":"done","data":null}"#),
        (
            Some(error),
            r#"{"type":"error","data":{"code":"busy","message":"later"}}"#,
        ),
    ] {
        let world = World::new();
        let ports = world.ports();
        let runs = Runs::new(&ports.clock, &ports.spawner);
        let run = Run::new(&*ports.entropy);
        assert!(stop::is_run_id(&run.id));
        let response = serve(&runs, &context(), run, |output, _| say(output, error));
        let body = world.run(response.into_body().collect());
        world.drain();
        let body = String::from_utf8(body.unwrap().to_bytes().into()).unwrap();
        assert!(body.contains(CONTENT), "{body}");
        assert!(body.ends_with(&format!("data: {last}\n\n")), "{body}");
    }
}

#[test]
fn a_panic_ends_the_stream_in_an_error() {
    let world = World::new();
    let ports = world.ports();
    let runs = Runs::new(&ports.clock, &ports.spawner);
    let run = Run::new(&*ports.entropy);
    let response = serve(
        &runs,
        &context(),
        run,
        |output: Output<Plain>, _| async move {
            say(output, None).await?;
            futures::future::pending::<Result<(), RunEnd<Plain>>>().await
        },
    );
    let panic_tail = response.extensions().get::<PanicTail>().cloned();
    let mut body = response.into_body();
    for _ in 0..2 {
        world.run(body.frame()).unwrap().unwrap();
    }
    // As the host's hook does: nothing runs any more.
    let last = String::from_utf8(panic_tail.unwrap().bytes("one")).unwrap();
    let event = "data: {\"type\":\"error\",\"data\":{\"code\":\"internal\"";
    assert!(last.contains(event), "{last}");
    assert!(last.contains("\"requestId\":\"one\""), "{last}");
}

#[test]
fn who_is_told_to_stop_is_told_in_the_store() {
    let world = World::new();
    let ports = world.ports();
    let store = Store::open(&ports);
    let runs = Runs::new(&ports.clock, &ports.spawner).stopped_in(&store);
    let stops = runs.stops.as_ref().unwrap();
    let ask = |stops, id| {
        let asked = world.run(stop::ask(stops, id));
        asked.unwrap_or_else(|problem| problem.status())
    };
    assert_eq!(ask(Some(stops), "x"), 404);
    assert_eq!(ask(None, ID), 503);
    assert_eq!(world.run(stops.is_raised(ID)), Ok(false));
    assert_eq!(ask(Some(stops), ID), 204);
    assert_eq!(world.run(stops.is_raised(ID)), Ok(true));
}
