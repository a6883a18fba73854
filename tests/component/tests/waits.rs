//! What a caller of the DJ sees of its limits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spinlane_component_tests::chat::{Chat, last, prompt, send};
use spinlane_component_tests::{Dj, settled};
use spinlane_upstreams::anthropic::Script;

#[tokio::test]
async fn who_waits_is_told_and_then_served() {
    let dj = Dj::start(&[("lane_limits", "anthropic=1")]).await;
    let anthropic = dj.upstreams.anthropic();
    anthropic.script(Script::text(["x"]).hang_after(1));
    let mut holder = prompt(&dj.origin()).await;
    holder.next_of("content").await;
    anthropic.script(Script::text(["y"]));
    let begin = Instant::now();
    let mut waiter = prompt(&dj.origin()).await;
    let mut told = waiter.next_of("thinking").await;
    while !told.data.as_str().unwrap().contains("free slot") {
        told = waiter.next_of("thinking").await;
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{told:?}");
    let url = dj.host.url("/api/status");
    let status: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let lane = &status["limits"]["lanes"]["anthropic"];
    assert_eq!(*lane, json!({"limit": 1, "held": 1}), "{status}");
    drop(holder);
    let frames = waiter.remaining().await;
    assert_eq!(last(&frames), ("done", &Value::Null));
    let usage = &frames[frames.len() - 2];
    assert!(usage.data["laneWaitMs"].as_u64() > Some(0), "{usage:?}");
}

#[tokio::test]
async fn who_waits_for_too_long_is_told_to_come_again() {
    let dj = Dj::start(&[
        ("lane_limits", "anthropic=1"),
        ("queue_deadline_ms", "1500"),
    ])
    .await;
    let anthropic = dj.upstreams.anthropic();
    anthropic.script(Script::text(["x"]).hang_after(1));
    let mut holder = prompt(&dj.origin()).await;
    holder.next_of("content").await;
    let frames = prompt(&dj.origin()).await.rest().await;
    let (kind, error) = last(&frames);
    assert_eq!((kind, &error["code"]), ("error", &"busy".into()));
    assert!(error["retryAfterMs"].as_u64() > Some(0), "{error}");
    assert_eq!(anthropic.counts().started, 1);
}

/// One chat after the other, to the end; a forged address changes nothing.
#[tokio::test]
async fn a_caller_has_a_quota() {
    let dj = Dj::start(&[("caller_limit", "3/10m")]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    let url = format!("{}/api/chat-stream/message", dj.origin());
    let client = reqwest::Client::new();
    for left in [2, 1, 0] {
        let request = client
            .post(&url)
            .header("spin-client-addr", format!("10.0.0.{left}:1"))
            .header("x-forwarded-for", format!("10.0.0.{left}"))
            .json(&json!({"message": "hello"}));
        let response = request.send().await.unwrap();
        let policy = response.headers()["ratelimit-policy"].to_str().unwrap();
        assert_eq!(policy, "\"requests\";q=3;w=600");
        let limit = response.headers()["ratelimit"].to_str().unwrap().to_owned();
        assert!(
            limit.starts_with(&format!("\"requests\";r={left};t=")),
            "{limit}"
        );
        Chat::read(response).rest().await;
    }
    let started = dj.upstreams.anthropic().counts().started;
    let response = send(&dj.origin(), &json!({"message": "hello"})).await;
    assert_eq!(response.status(), 429);
    let wait = response.headers()["retry-after"].to_str().unwrap();
    assert!((1..=600).contains(&wait.parse::<u32>().unwrap()), "{wait}");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "too_many_requests");
    assert_eq!(dj.upstreams.anthropic().counts().started, started);
    // What is free stays free.
    for path in ["/health", "/api/status"] {
        let response = reqwest::get(dj.host.url(path)).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    // The quota comes back with time.
    dj.host.advance_wall_clock(Duration::from_secs(1_200));
    let response = send(&dj.origin(), &json!({"message": "hello"})).await;
    Chat::read(response).rest().await;
    settled(&dj.host).await;
}

/// A store that is gone takes nothing from the chat but the limits of upstream calls,
/// which each instance then keeps alone.
#[tokio::test]
async fn a_chat_does_without_the_store() {
    // With a quota it is refused: nobody could be counted.
    let dj = Dj::start(&[("caller_limit", "off")]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    dj.host.store().fail(Some("gone".into()));
    for _ in 0..2 {
        let frames = prompt(&dj.origin()).await.rest().await;
        assert_eq!(last(&frames), ("done", &Value::Null));
    }
}
