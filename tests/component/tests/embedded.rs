//! The DJ in the embedded host.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use spinlane_component_tests::chat::{Chat, last, prompt, said, send};
use spinlane_component_tests::{Dj, KEY, PATIENCE, dj_host, hosts, settled, suite};
use spinlane_upstreams::Counts;
use spinlane_upstreams::anthropic::Script;

#[tokio::test]
async fn holds_what_every_host_must() {
    let dj = Dj::start(&[suite::HEARTBEAT]).await;
    suite::all(&dj.origin(), dj.upstreams.anthropic()).await;
    // Every instance has ended, and none by a trap.
    settled(&dj.host).await;
    let logs = dj.host.logs().join("\n");
    assert!(!logs.contains(KEY), "the key is in the log");
}

#[tokio::test]
async fn a_paced_answer_is_relayed_delta_by_delta() {
    let dj = Dj::start(&[]).await;
    let pace = Duration::from_millis(100);
    let words: Vec<String> = (0..20).map(|n| format!("{n} ")).collect();
    dj.upstreams
        .anthropic()
        .script(Script::text(words.clone()).pace(pace));
    let frames = prompt(&dj.origin()).await.rest().await;
    assert_eq!(said(&frames), words);
    let content: Vec<_> = frames
        .iter()
        .filter(|frame| frame.kind == "content")
        .collect();
    for pair in content.windows(2) {
        assert!(pair[0].read < pair[1].read, "two deltas in one read");
    }
    // Its beginning is sent by itself, and then each delta.
    let call = dj.upstreams.anthropic().calls().pop().expect("a call");
    let sent = &call.sent[1..];
    assert_eq!(sent.len(), content.len());
    for (frame, sent) in content.iter().zip(sent) {
        let late = frame.at.duration_since(*sent);
        assert!(late <= pace, "late by more than the pace: {late:?}");
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_the_upstream_back() {
    let dj = Dj::start(&[]).await;
    // Far more than the buffers of all sockets between.
    let delta = "x".repeat(1_000);
    let deltas = 100_000;
    dj.upstreams
        .anthropic()
        .script(Script::text(vec![delta; deltas]));
    let mut chat = prompt(&dj.origin()).await;
    chat.next_of("content").await;
    // A span in which nothing may happen: there is no event to wait for.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let counts = dj.upstreams.anthropic().counts();
    assert_eq!(
        (counts.open, counts.finished),
        (1, 0),
        "the upstream was read to its end"
    );
    let memory = dj.host.peak_memory();
    assert!(memory < 16 << 20, "{memory} bytes of guest memory");
    // Nothing was lost of the 8 MiB that a run may say.
    let frames = chat.count_content().await;
    assert!((7_900..8_030).contains(&frames), "{frames}");
}

/// A client that is there but takes no byte may not hold a lane for ever.
#[tokio::test]
async fn a_reader_that_stops_for_too_long_is_treated_as_gone() {
    let dj = Dj::start(&[("client_stall_ms", "1000")]).await;
    let anthropic = dj.upstreams.anthropic();
    // Far more than the buffers of all sockets between.
    anthropic.script(Script::text(vec!["x".repeat(1_000); 100_000]));
    let mut chat = prompt(&dj.origin()).await;
    chat.next_of("content").await;
    let gone = |counts: &Counts| counts.cancelled == 1 && counts.open == 0;
    let noticed = anthropic.wait_for(PATIENCE, gone).await;
    noticed.expect("its upstream call ends");
    settled(&dj.host).await;
    // What it reads now is what was under way, and then a cut.
    drop(chat);
}

#[tokio::test]
async fn an_instance_ends_when_its_client_goes() {
    let dj = Dj::start(&[]).await;
    dj.upstreams
        .anthropic()
        .script(Script::text(["x"]).hang_after(1));
    let mut chat = prompt(&dj.origin()).await;
    chat.next_of("content").await;
    assert_eq!(dj.host.instances().live, 1);
    drop(chat);
    let within = Duration::from_secs(3);
    let ended = dj
        .host
        .wait_for_instances(within, |instances| instances.live == 0)
        .await;
    assert_eq!(ended.map(|instances| instances.trapped), Ok(0));
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_given_up() {
    let dj = Dj::start(&[("upstream_timeouts_ms", "500,500,500")]).await;
    let anthropic = dj.upstreams.anthropic();
    let cases = [
        (Script::hang(), "error", "upstream_timeout"),
        (
            Script::text(["a"]).hang_after(0),
            "error",
            "upstream_timeout",
        ),
        (Script::text(["a"]).hang_after(1), "done", "upstream_cut"),
    ];
    for (script, kind, why) in cases {
        anthropic.reset();
        anthropic.script(script);
        let frames = prompt(&dj.origin()).await.rest().await;
        let (ended, data) = last(&frames);
        let said_why = data["code"].as_str().or(data["reason"].as_str());
        assert_eq!((ended, said_why), (kind, Some(why)), "{data}");
        anthropic
            .wait_for(PATIENCE, |counts| counts.open == 0)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_named() {
    let nobody = format!("http://127.0.0.1:{}", hosts::free_port());
    let host = dj_host(&nobody).start().await.unwrap();
    let frames = prompt(&host.url("")).await.rest().await;
    let (kind, error) = last(&frames);
    assert_eq!(
        (kind, &error["code"]),
        ("error", &"upstream_unreachable".into())
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("anthropic_base_url")
    );
}

#[tokio::test]
async fn many_at_once_do_not_mix() {
    let dj = Dj::start(&[("lane_limits", "anthropic=50")]).await;
    let runs = (0..50).map(|n| {
        let origin = dj.origin();
        async move {
            let response = send(&origin, &json!({"message": format!("prompt {n}")})).await;
            let frames = Chat::read(response).rest().await;
            assert_eq!(last(&frames), ("done", &Value::Null));
            let id = frames[0].data["id"].as_str().unwrap().to_owned();
            (id, said(&frames).concat())
        }
    });
    let answers: BTreeMap<_, _> = futures::future::join_all(runs).await.into_iter().collect();
    assert_eq!(answers.len(), 50, "run ids repeat");
    // The seeded DJ answers each prompt the same way every time.
    let response = send(&dj.origin(), &json!({"message": "prompt 7"})).await;
    let again = said(&Chat::read(response).rest().await).concat();
    assert!(answers.values().any(|answer| *answer == again));
}

#[tokio::test]
async fn the_log_comes_with_debug() {
    let dj = Dj::start(&[("environment", "development")]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    let body = json!({"message": "hello", "debug": true});
    let frames = Chat::read(send(&dj.origin(), &body).await).rest().await;
    assert!(frames.iter().any(|frame| frame.kind == "log"), "{frames:?}");
    let id = frames[0].data["id"].as_str().unwrap();
    let line = dj
        .host
        .wait_for_log(PATIENCE, "the run has ended")
        .await
        .unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert!(line["span"]["request_id"].is_string(), "{line}");
    assert_eq!(line["outcome"], "done", "{id}: {line}");
}

#[tokio::test]
async fn a_host_that_stops_lets_streams_end() {
    let dj = Dj::start(&[]).await;
    let pace = Duration::from_millis(100);
    dj.upstreams
        .anthropic()
        .script(Script::text(vec!["x"; 10]).pace(pace));
    let mut chat = prompt(&dj.origin()).await;
    chat.next_of("content").await;
    let Dj { host, upstreams } = dj;
    let (rest, ()) = tokio::join!(chat.remaining(), host.stop());
    assert_eq!(last(&rest), ("done", &Value::Null));
    drop(upstreams);
}
