//! Whose a run is, and what is left of it.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Client;
use serde_json::json;
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::runs::{again, prompt, read, refused, run_of, sent};
use spinlane_component_tests::{Dj, PATIENCE, get, settled};
use spinlane_upstreams::anthropic::Script;

#[tokio::test]
async fn only_who_has_begun_it_reads_a_run() {
    let dj = Dj::start_public(&[]).await;
    let origin = dj.origin();
    dj.upstreams.anthropic().script(Script::text(["hello"]));
    let session = Browser::new(&dj).log_in().await;
    let body = json!({"message": "hello", "resume": true});
    let answer = sent(prompt(&origin, &body).bearer_auth(&session)).await;
    let run = run_of(&answer);
    let whole = read(answer, None).await;
    let unknown = (404, "not_found".to_owned());
    // No session; and the same user's, of another login.
    assert_eq!(refused(again(&origin, &run, 0)).await, unknown);
    let same = Browser::new(&dj).log_in().await;
    assert_ne!(same, session);
    for session in [&session, &same] {
        let again = sent(again(&origin, &run, 0).bearer_auth(session)).await;
        assert_eq!(read(again, None).await.frames, whole.frames);
    }
    // A run that nobody owns takes its id alone, and no other.
    let answer = sent(prompt(&origin, &body)).await;
    let run = run_of(&answer);
    let whole = read(answer, None).await;
    let theirs = sent(again(&origin, &run, 0).bearer_auth(&session)).await;
    assert_eq!(read(theirs, None).await.frames, whole.frames);
    let mut guessed = run.clone().into_bytes();
    guessed[7] = if guessed[7] == b'0' { b'1' } else { b'0' };
    let guessed = String::from_utf8(guessed).expect("text");
    for id in [&guessed, &run.to_uppercase(), "x"] {
        if *id != run {
            assert_eq!(refused(again(&origin, id, 0)).await, unknown, "{id}");
        }
    }
    settled(&dj.host).await;
}

/// Five read at once, and the next is told; who reads costs no quota of prompts.
#[tokio::test]
async fn readers_are_counted_apart_from_prompts() {
    let dj = Dj::start(&[("caller_limit", "2/10m")]).await;
    let origin = dj.origin();
    dj.upstreams
        .anthropic()
        .script(Script::text(["x"]).hang_after(1));
    let body = json!({"message": "hello", "resume": true});
    let answer = sent(prompt(&origin, &body)).await;
    let run = run_of(&answer);
    drop(answer);
    let readers = join_all((0..5).map(|_| sent(again(&origin, &run, 0)))).await;
    assert!(readers.iter().all(|answer| answer.status() == 200));
    let sixth = refused(again(&origin, &run, 0)).await;
    assert_eq!(sixth, (429, "too_many_readers".into()));
    drop(readers);
    let run_alone = dj
        .host
        .wait_for_instances(PATIENCE, |instances| instances.live == 1);
    run_alone.await.expect("that readers have gone is noticed");
    // Another prompt may be sent, and no third.
    let second = sent(prompt(&origin, &body)).await;
    assert_eq!(second.status(), 200);
    let (run_two, third) = (run_of(&second), refused(prompt(&origin, &body)).await);
    assert_eq!(third, (429, "too_many_requests".into()));
    for run in [run, run_two] {
        // Who has used up its prompts still stops and reads what it has begun.
        let stop = format!("{origin}/api/chat-stream/{run}/stop");
        assert_eq!(sent(Client::new().post(stop)).await.status(), 204);
        let text = read(sent(again(&origin, &run, 0)).await, None).await;
        assert_eq!(text.last()["data"]["reason"], "stopped");
    }
    settled(&dj.host).await;
}

/// The store has no word of what was asked and answered; and after a week nothing at all
/// of the run.
#[tokio::test]
async fn the_store_knows_nothing_and_keeps_nothing() {
    let dj = Dj::start(&[]).await;
    let words = ["Lighthouse", "Marmalade"];
    dj.upstreams
        .anthropic()
        .script(Script::text(words).pace(Duration::from_millis(300)));
    let body = json!({"message": "Tell me of Periwinkles"});
    let keyed = prompt(&dj.origin(), &body).header("idempotency-key", "0123456789abcdef");
    let answer = sent(keyed).await;
    let run = run_of(&answer);
    let reader = sent(again(&dj.origin(), &run, 0)).await;
    let (own, other) = futures::future::join(read(answer, None), read(reader, None)).await;
    assert_eq!(own, other);
    settled(&dj.host).await;
    let dump = dj.host.store().dump();
    let of_runs = |key: &&String| key.contains("run:") || key.contains("run-key");
    assert!(
        dump.keys().filter(of_runs).count() >= 5,
        "{:?}",
        dump.keys()
    );
    let secrets = ["Lighthouse", "Marmalade", "Periwinkles", "content", &run];
    for (key, value) in &dump {
        let value = String::from_utf8_lossy(value);
        for secret in secrets {
            assert!(!key.contains(secret) && !value.contains(secret), "{key}");
        }
    }
    for _ in 0..7 * 24 {
        dj.host.advance_wall_clock(Duration::from_secs(3_600));
        assert_eq!(get(&dj.host, "/ready").await.0, 200);
        settled(&dj.host).await;
    }
    let dump = dj.host.store().dump();
    let left: Vec<_> = dump.keys().filter(of_runs).collect();
    assert_eq!(left, Vec::<&String>::new());
}
