//! The same prompt twice is one run.

use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::runs::{prompt, read, refused, run_of, sent};
use spinlane_component_tests::{Dj, settled, with_upstreams};
use spinlane_core::cache::Key;
use spinlane_upstreams::anthropic::Script;

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn keyed(origin: &str, body: &Value, key: &str) -> RequestBuilder {
    prompt(origin, body).header("idempotency-key", key)
}

/// 50 at once, over two hosts, for a caller that has one place.
#[tokio::test]
async fn one_key_is_one_run_over_two_hosts() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let variables = [("caller_limit", "10/10m"), ("caller_runs", "1")];
    let dj = Dj::start_public_on(&redis.url, &variables).await;
    let other = with_upstreams(&dj.upstreams).store(&redis.url);
    let other = variables
        .iter()
        .fold(other, |host, (name, value)| host.variable(*name, *value));
    let other = other.start().await.expect("the host starts");
    let session = Browser::new(&dj).log_in().await;
    let anthropic = dj.upstreams.anthropic();
    anthropic.reset();
    let tracks: Vec<_> = dj.upstreams.catalogue().tracks[..2].iter().collect();
    let ids: Vec<_> = tracks.iter().map(|track| track.id.as_str()).collect();
    let input = json!({"name": "Once", "description": "x", "trackIds": ids});
    anthropic.push(Script::tools().use_tool("create_playlist", input));
    let words = (0..40).map(|n| format!("{n} ")).collect::<Vec<_>>();
    anthropic.push(Script::text(words).pace(Duration::from_millis(20)));
    let before = dj.upstreams.playlists().ids().len();
    let body = json!({"message": "Make me a playlist", "mode": "create"});
    let origins = [dj.origin(), other.url("")];
    let all = join_all((0..50).map(|n| {
        let request = keyed(&origins[n % 2], &body, KEY).bearer_auth(&session);
        async { read(sent(request).await, None).await }
    }))
    .await;
    for text in &all {
        assert!(text.ended);
        assert_eq!(text.frames, all[0].frames);
    }
    assert_eq!(all[0].last(), json!({"type": "done", "data": null}));
    assert_eq!(dj.upstreams.playlists().ids().len() - before, 1);
    assert_eq!(anthropic.counts().started, 2);
    // One of ten is used, and one more now.
    anthropic.script(Script::text(["x"]));
    let next = sent(prompt(&origins[0], &json!({"message": "x"})).bearer_auth(&session)).await;
    let left = next.headers()["ratelimit"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(left.contains("r=7") || left.contains("r=8"), "{left}");
    read(next, None).await;
    let reused = keyed(&origins[1], &json!({"message": "Another"}), KEY).bearer_auth(&session);
    assert_eq!(refused(reused).await, (422, "key_reused".into()));
    settled(&dj.host).await;
    settled(&other).await;
}

/// It is known for as long as a day, and what it said for ten minutes: it is not run again
/// for that.
#[tokio::test]
async fn a_key_whose_run_is_gone_begins_none() {
    let dj = Dj::start(&[]).await;
    let anthropic = dj.upstreams.anthropic();
    anthropic.script(Script::text(["x"]));
    let (origin, body) = (dj.origin(), json!({"message": "hello"}));
    let first = sent(keyed(&origin, &body, KEY)).await;
    let run = run_of(&first);
    let first = read(first, None).await;
    let second = sent(keyed(&origin, &body, KEY)).await;
    assert_eq!(run_of(&second), run);
    assert_eq!(read(second, None).await, first);
    // A client that connects again by itself goes on where it was.
    let rest = sent(keyed(&origin, &body, KEY).header("last-event-id", 1)).await;
    let rest = read(rest, None).await.frames;
    assert!(rest.starts_with("id: 2\n") && first.frames.ends_with(&rest));
    dj.host.advance_wall_clock(Duration::from_secs(700));
    let gone = refused(keyed(&origin, &body, KEY)).await;
    assert_eq!(gone, (410, "run_gone".into()));
    assert_eq!(anthropic.counts().started, 1);
    for bad in ["short", &"k".repeat(256)] {
        let bad = refused(keyed(&origin, &body, bad)).await;
        assert_eq!(bad, (422, "invalid_request".into()));
    }
    settled(&dj.host).await;
}

/// Whoever was first has died with the claim: nobody runs it again, and who asks is told
/// after 5 s.
#[tokio::test]
async fn a_claim_whose_holder_has_died_is_a_409() {
    let dj = Dj::start(&[]).await;
    let anthropic = dj.upstreams.anthropic();
    let day = 86_400;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a time");
    let hash = Key::exact(["127.0.0.1", KEY]).hash();
    let counter = format!(
        "~n:run-key:{hash}@{}:{}",
        day * 1_000_000_000,
        now.as_secs() / day
    );
    dj.host.store().put_raw(&counter, 1_i64.to_le_bytes());
    let begin = Instant::now();
    let answer = sent(keyed(&dj.origin(), &json!({"message": "hello"}), KEY)).await;
    assert!(begin.elapsed() >= Duration::from_secs(5));
    assert_eq!(answer.status(), 409);
    assert_eq!(answer.headers()["retry-after"], "5");
    let problem: Value = answer.json().await.expect("JSON");
    assert_eq!(problem["code"], "key_pending");
    assert_eq!(anthropic.counts().started, 0);
    let seen = Client::new().get(dj.host.url("/health")).send().await;
    assert_eq!(seen.expect("an answer").status(), 200);
    settled(&dj.host).await;
}
