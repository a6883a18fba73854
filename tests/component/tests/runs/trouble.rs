//! Runs whose store is slow, fails, or is full: the log may end, the answer never.

use std::time::{Duration, Instant};

use serde_json::json;
use spinlane_component_tests::chat::{Chat, Frame, last, said};
use spinlane_component_tests::runs::{again, prompt, read, refused, run_of, sent};
use spinlane_component_tests::{Dj, settled};
use spinlane_upstreams::anthropic::Script;

const PACE: Duration = Duration::from_millis(250);

/// A run of so many words, a quarter of a second apart, which is begun on a good store.
async fn begun(dj: &Dj, words: usize) -> (Chat, String) {
    let words = (0..words).map(|n| format!("{n} ")).collect::<Vec<_>>();
    dj.upstreams
        .anthropic()
        .script(Script::text(words).pace(PACE));
    let body = json!({"message": "hello", "resume": true});
    let answer = sent(prompt(&dj.origin(), &body)).await;
    let run = run_of(&answer);
    (Chat::read(answer), run)
}

fn assert_whole(frames: &[Frame], words: usize) {
    assert_eq!(last(frames), ("done", &serde_json::Value::Null));
    let words = (0..words).map(|n| format!("{n} ")).collect::<Vec<_>>();
    assert_eq!(said(frames), words);
}

#[tokio::test]
async fn a_slow_store_delays_no_frame_by_more_than_a_call() {
    let dj = Dj::start(&[]).await;
    let store = dj.host.store();
    let delay = Duration::from_millis(200);
    store.delay(Some(delay));
    store.record();
    let words = 80;
    let begin = Instant::now();
    let (mut chat, run) = begun(&dj, words).await;
    let frames = chat.rest().await;
    let took = begin.elapsed();
    assert_whole(&frames, words);
    let writes = store.recorded();
    let writes = writes
        .iter()
        .filter(|call| call.function == "set" && call.key.starts_with("run:"));
    let spent = delay * u32::try_from(writes.count()).expect("few");
    assert!(spent <= took / 10, "{spent:?} of {took:?}");
    // A word may come while a call is made, of the log or of the look for a stop, which
    // every run makes; the rest is the machine's.
    let content: Vec<_> = frames
        .iter()
        .filter(|frame| frame.kind == "content")
        .collect();
    let latest = content.windows(2).map(|pair| pair[1].at - pair[0].at).max();
    let latest = latest.expect("words");
    println!("{spent:?} of {took:?} for the log; {latest:?} at most between two words");
    assert!(
        latest <= PACE + 2 * delay + Duration::from_millis(150),
        "{latest:?}"
    );
    store.delay(None);
    let again = read(sent(again(&dj.origin(), &run, 0)).await, None).await;
    assert_eq!(again.frames, chat.text().replace(": heartbeat\n\n", ""));
    settled(&dj.host).await;
}

#[tokio::test]
async fn a_store_that_fails_or_is_full_ends_the_log_and_not_the_answer() {
    for full in [false, true] {
        let dj = Dj::start(&[]).await;
        let words = 20;
        let (mut chat, run) = begun(&dj, words).await;
        chat.next_of("content").await;
        let store = dj.host.store();
        match full {
            true => store.fill(true),
            false => store.fail(Some("gone".into())),
        }
        // Longer than the log is written anew by then.
        for _ in 0..6 {
            chat.next_of("content").await;
        }
        store.fail(None);
        let rest = chat.remaining().await;
        let frames = said(&rest);
        assert_eq!(frames.last(), Some(&"19 "), "{frames:?}");
        assert_eq!(last(&rest), ("done", &serde_json::Value::Null));
        settled(&dj.host).await;
        store.fill(false);
        let answer = refused(again(&dj.origin(), &run, 0)).await;
        let expected = match full {
            true => (404, "not_found"),
            false => (410, "run_gone"),
        };
        assert_eq!((answer.0, answer.1.as_str()), expected);
    }
}

/// A run that its store does not take begins all the same, and says what it is not.
#[tokio::test]
async fn a_store_that_takes_nothing_refuses_keys_alone() {
    let dj = Dj::start(&[]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    dj.host.store().fill(true);
    let body = json!({"message": "hello", "resume": true});
    let text = read(sent(prompt(&dj.origin(), &body)).await, None).await;
    assert!(text.frames.contains("\"resumable\":false"), "{text:?}");
    assert_eq!(text.last(), json!({"type": "done", "data": null}));
    let keyed = prompt(&dj.origin(), &body).header("idempotency-key", "0123456789abcdef");
    assert_eq!(refused(keyed).await, (503, "store_unavailable".into()));
    settled(&dj.host).await;
}
