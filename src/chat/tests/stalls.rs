//! Answers that do not go on: how long they are waited for.

use std::pin::pin;

use futures::future::{Either, select};

use super::*;

/// A ping each second for so long, and nothing else.
fn pings(seconds: u64) -> Vec<Step> {
    let ping = || Step::Write(sse("ping", r#"{"type":"ping"}"#) + ": alive\n\ndata: []\n\n");
    let each = |_| [Step::Wait(Duration::from_secs(1)), ping()];
    (0..seconds).flat_map(each).collect()
}

fn starting(rest: Vec<Step>) -> Vec<Step> {
    let mut steps = vec![Step::Write(sse("message_start", START))];
    steps.extend(rest);
    steps
}

/// The frames of a run, and how many seconds it took.
fn timed(world: &World, variables: &[(&'static str, &'static str)]) -> (Vec<(String, Value)>, u64) {
    let begin = world.clock.now();
    let frames = run_with(world, &app(world, variables), hello());
    (frames, (world.clock.now() - begin).as_secs())
}

#[test]
fn pings_alone_do_not_hold_a_run() {
    let world = in_turn(vec![starting(pings(1_000))]);
    let (frames, seconds) = timed(&world, &[]);
    let (kind, error) = last(&frames);
    assert_eq!(
        (kind, &error["code"]),
        ("error", &json!("upstream_timeout"))
    );
    assert!(error["message"].as_str().unwrap().contains("too long"));
    // 120 s, once more, and in all not more than half as long again.
    assert_eq!((seconds, world.http.calls()), (180, 2));
    let told = |(kind, data): &(String, Value)| {
        kind == "thinking" && data.as_str().unwrap().contains("trying again")
    };
    assert!(frames.iter().any(told), "{frames:?}");
}

#[test]
fn who_does_not_answer_at_first_may_the_second_time() {
    let good = starting(vec![Step::Write(delta("Hi") + &end("end_turn"))]);
    let world = in_turn(vec![starting(pings(1_000)), good]);
    let bound = [("upstream_progress_ms", "2000")];
    let (frames, seconds) = timed(&world, &bound);
    assert_eq!(
        (said(&frames), last(&frames)),
        (vec!["Hi"], ("done", &Value::Null))
    );
    assert_eq!(seconds, 2);
}

#[test]
fn what_was_said_before_a_stall_is_kept() {
    let mut steps = vec![Step::Write(delta("Hi"))];
    steps.extend(pings(1_000));
    let world = in_turn(vec![starting(steps)]);
    let (frames, seconds) = timed(&world, &[]);
    assert_eq!(said(&frames), ["Hi"]);
    let cut = json!({"incomplete": true, "reason": "upstream_cut"});
    assert_eq!(last(&frames), ("done", &cut));
    assert_eq!((seconds, world.http.calls()), (120, 1));
}

/// A block that begins, and the pieces of one, are progress, whatever they are;
/// a piece that is empty is not.
#[test]
fn an_answer_that_is_slow_goes_on() {
    let after =
        |seconds, text: String| [Step::Wait(Duration::from_secs(seconds)), Step::Write(text)];
    let begun = json!({"index": 0, "content_block": {"type": "text", "text": ""}});
    let begun = sse("content_block_start", &begun.to_string());
    let slow = || {
        [
            after(3, begun.clone()),
            after(3, delta("a")),
            after(3, delta("b")),
        ]
        .concat()
    };
    let bound = [("upstream_progress_ms", "4000")];
    let mut whole = starting(slow());
    whole.extend(after(3, end("end_turn")));
    let (frames, seconds) = timed(&in_turn(vec![whole]), &bound);
    assert_eq!(said(&frames), ["a", "b"]);
    assert_eq!((last(&frames), seconds), (("done", &Value::Null), 12));
    let mut empty = starting(slow());
    empty.extend((0..9).flat_map(|_| after(3, delta(""))));
    let (frames, seconds) = timed(&in_turn(vec![empty]), &bound);
    assert_eq!((last(&frames).0, seconds), ("done", 13));
}

/// All has come that matters: its end is not waited for as long.
#[test]
fn an_answer_that_has_ended_is_not_waited_for() {
    let ended = json!({"delta": {"stop_reason": "end_turn"}});
    let mut steps = vec![Step::Write(
        delta("Hi") + &sse("message_delta", &ended.to_string()),
    )];
    steps.extend(pings(1_000));
    let (frames, seconds) = timed(&in_turn(vec![starting(steps)]), &[]);
    assert_eq!(
        (said(&frames), last(&frames)),
        (vec!["Hi"], ("done", &Value::Null))
    );
    assert!(seconds <= 5, "{seconds}");
}

/// One number, in the frame and in the log, whether or not the wait was in vain.
#[test]
fn a_wait_in_vain_is_counted() {
    let world = in_turn(vec![vec![Step::Hang]]);
    let variables = [("lane_limits", "anthropic=1"), ("limit_scope", "instance")];
    let app = app(&world, &variables);
    let bytes = world.run(async {
        let holder = app.handle(hello()).await.into_body().collect();
        let waiter = async {
            world.clock.sleep(Duration::from_secs(1)).await;
            app.handle(hello()).await.into_body().collect().await
        };
        match select(pin!(waiter), pin!(holder)).await {
            Either::Left((waiter, _)) => waiter.unwrap().to_bytes(),
            Either::Right(_) => panic!("the holder has ended"),
        }
    });
    let frames = frames(&bytes);
    let (kind, error) = last(&frames);
    assert_eq!((kind, &error["code"]), ("error", &json!("busy")), "{error}");
    assert_eq!(frames[frames.len() - 2].1["laneWaitMs"], 30_000);
}
