//! How a run ends that its client has left: by itself, by who asks for it, because nobody
//! reads it, with its host.

use std::time::{Duration, Instant};

use serde_json::json;
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::runs::{again, prompt, read, refused, run_of, sent};
use spinlane_component_tests::{Dj, PATIENCE, hosts, settled, start_upstreams, with_upstreams};
use spinlane_upstreams::anthropic::Script;

/// A run of `dj` that says a word and then nothing, whose client has gone.
async fn left(dj: &Dj, script: Script) -> String {
    dj.upstreams.anthropic().script(script);
    let body = json!({"message": "hello", "resume": true});
    let answer = sent(prompt(&dj.origin(), &body)).await;
    let run = run_of(&answer);
    let begun = dj
        .upstreams
        .anthropic()
        .wait_for(PATIENCE, |counts| counts.started == 1);
    begun.await.expect("the model is called");
    drop(answer);
    run
}

#[tokio::test]
async fn a_run_that_nobody_reads_ends_and_its_call_with_it() {
    let dj = Dj::start(&[("abandon_ms", "3000")]).await;
    let begin = Instant::now();
    let run = left(&dj, Script::text(["x"]).hang_after(1)).await;
    let gone = dj
        .upstreams
        .anthropic()
        .wait_for(PATIENCE, |counts| counts.cancelled == 1);
    gone.await.expect("the call is closed");
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(3), "{took:?}");
    let text = read(sent(again(&dj.origin(), &run, 0)).await, None).await;
    assert_eq!(text.last()["data"]["reason"], "abandoned");
    settled(&dj.host).await;
}

/// A reader keeps it, and nothing else does.
#[tokio::test]
async fn a_run_that_is_read_goes_on() {
    let dj = Dj::start(&[("abandon_ms", "7000")]).await;
    let run = left(&dj, Script::text(["x"]).hang_after(1)).await;
    let reader = sent(again(&dj.origin(), &run, 0)).await;
    let cut = read(reader, Some(Duration::from_secs(10))).await;
    assert!(!cut.ended && cut.frames.contains("\"x\""), "{cut:?}");
    assert_eq!(dj.upstreams.anthropic().counts().cancelled, 0);
    let gone = dj
        .upstreams
        .anthropic()
        .wait_for(PATIENCE, |counts| counts.cancelled == 1);
    gone.await.expect("the call is closed");
    settled(&dj.host).await;
}

#[tokio::test]
async fn a_run_ends_with_its_client_where_that_is_set() {
    let dj = Dj::start(&[("abandon_ms", "0")]).await;
    dj.upstreams
        .anthropic()
        .script(Script::text(["x"]).hang_after(1));
    let body = json!({"message": "hello", "resume": true});
    let answer = sent(prompt(&dj.origin(), &body)).await;
    let run = run_of(&answer);
    let cut = read(answer, Some(Duration::from_secs(1))).await;
    assert!(cut.frames.contains("\"resumable\":false"), "{cut:?}");
    let gone = dj
        .upstreams
        .anthropic()
        .wait_for(Duration::from_secs(2), |counts| counts.cancelled == 1);
    gone.await.expect("the call is closed at once");
    let unknown = refused(again(&dj.origin(), &run, 0)).await;
    assert_eq!(unknown, (404, "not_found".into()));
    settled(&dj.host).await;
}

#[tokio::test]
async fn a_run_without_a_client_is_stopped() {
    let dj = Dj::start(&[]).await;
    let run = left(&dj, Script::text(["x"]).hang_after(1)).await;
    let reader = sent(again(&dj.origin(), &run, 0)).await;
    let stop = format!("{}/api/chat-stream/{run}/stop", dj.origin());
    let stopped = sent(reqwest::Client::new().post(stop)).await;
    assert_eq!(stopped.status(), 204);
    let text = read(reader, None).await;
    assert_eq!(text.last()["data"]["reason"], "stopped");
    settled(&dj.host).await;
}

/// A run that one host holds, whose clock is a minute late, is read at another; then the
/// first is killed.
#[tokio::test]
async fn a_run_is_read_at_another_host_until_its_own_is_killed() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let upstreams = start_upstreams().await;
    let port = hosts::free_port();
    let program = env!("CARGO_BIN_EXE_host-to-kill");
    let mut command = hosts::apart(program, port, &redis.url, &upstreams, &[]);
    let first = hosts::start(&mut command, port).await;
    let other = with_upstreams(&upstreams).store(&redis.url).start();
    let other = other.await.expect("the host starts");
    other.advance_wall_clock(Duration::from_secs(60));
    let words: Vec<String> = (0..2_000).map(|n| format!("{n} ")).collect();
    upstreams
        .anthropic()
        .script(Script::text(words).pace(Duration::from_millis(50)));
    let body = json!({"message": "hello", "resume": true});
    let answer = sent(prompt(&first.origin, &body)).await;
    let run = run_of(&answer);
    let reader = sent(again(&other.url(""), &run, 0)).await;
    let reading = tokio::spawn(read(reader, None));
    let own = read(answer, Some(Duration::from_secs(4))).await;
    // Its client has gone, and comes back to the other one.
    let gap = sent(again(&other.url(""), &run, own.newest())).await;
    let gap = read(gap, Some(Duration::from_secs(2))).await;
    assert!(gap.newest() > own.newest(), "{gap:?}");
    drop(first);
    let killed = Instant::now();
    let text = reading.await.expect("it is read to its end");
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert_eq!(text.last()["type"], "error");
    assert_eq!(text.last()["data"]["code"], "run_lost");
    assert!(text.frames.starts_with(&(own.frames + &gap.frames)));
    println!("{} frames, and lost after {took:?}", text.newest());
    settled(&other).await;
}
