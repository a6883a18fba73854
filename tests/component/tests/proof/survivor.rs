//! Two hosts on one Redis, one of which is killed: the other goes on, and what was held is
//! free again. (That readers learn of the lost run is a test in `runs`.)

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use spinlane_component_tests::chat::{Chat, last, said};
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::runs::{prompt, refused, sent};
use spinlane_component_tests::{PATIENCE, hosts, settled, start_upstreams, with_upstreams};
use spinlane_upstreams::anthropic::Script;

const VARIABLES: [(&str, &str); 3] = [
    ("caller_limit", "1000/10m"),
    ("client_ip_header", "x-client"),
    ("lane_limits", "anthropic=3"),
];

/// What one caller asks at `origin`.
async fn ask(origin: &str, caller: &str) -> Response {
    let prompt = prompt(origin, &json!({"message": "hello", "resume": true}));
    sent(prompt.header("x-client", caller)).await
}

#[tokio::test]
async fn what_a_killed_host_has_held_is_free_within_a_lease_and_the_other_goes_on() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let upstreams = start_upstreams().await;
    let anthropic = upstreams.anthropic();
    let port = hosts::free_port();
    let program = env!("CARGO_BIN_EXE_host-to-kill");
    let mut command = hosts::apart(program, port, &redis.url, &upstreams, &VARIABLES);
    let first = hosts::start(&mut command, port).await;
    let other = with_upstreams(&upstreams).store(&redis.url);
    let other = VARIABLES
        .iter()
        .fold(other, |host, (name, value)| host.variable(*name, *value));
    let other = other.start().await.expect("the host starts");
    let origin = other.url("");

    // All slots and both places of a caller are taken, by one run here and two there.
    let words: Vec<String> = (0..500).map(|n| format!("{n} ")).collect();
    let long = Script::text(words.clone()).pace(Duration::from_millis(50));
    anthropic.script(long);
    let mut goes_on = Chat::read(ask(&origin, "192.0.2.2").await);
    goes_on.next_of("content").await;
    anthropic.script(Script::text(["x"]).hang_after(1));
    let dying = [
        ask(&first.origin, "192.0.2.1").await,
        ask(&first.origin, "192.0.2.1").await,
    ];
    let begun = anthropic.wait_for(PATIENCE, |counts| counts.open == 3);
    begun.await.expect("all slots are taken");
    anthropic.script(Script::text(["y"]));
    let again = prompt(&origin, &json!({"message": "hello"})).header("x-client", "192.0.2.1");
    let again = || again.try_clone().expect("a request without a stream");
    assert_eq!(refused(again()).await, (429, "too_many_runs".into()));
    let mut waits = Chat::read(ask(&origin, "192.0.2.3").await);
    waits.next_of("thinking").await;

    drop((first, dying));
    let killed = Instant::now();
    let served = async {
        let frames = waits.remaining().await;
        assert_eq!(last(&frames), ("done", &Value::Null));
        killed.elapsed()
    };
    let places = async {
        // Nothing tells when a count is over: it is asked for.
        while sent(again()).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        killed.elapsed()
    };
    let (slot, place, frames) = futures::join!(served, places, goes_on.remaining());
    println!("a slot after {slot:?}, a place after {place:?}");
    // One lease, or two for what was counted in the next as well.
    assert!(slot < Duration::from_secs(20), "{slot:?}");
    assert!(place < Duration::from_secs(25), "{place:?}");
    let mut all = vec!["0 "];
    all.extend(said(&frames));
    assert_eq!(all, words);
    assert_eq!(last(&frames), ("done", &Value::Null));
    settled(&other).await;
}
