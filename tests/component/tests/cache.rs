//! The cache over real instances and real stores, by the fixture.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::Value;
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::{alone, built, fixture, fixture_host, get, hosts, settled};
use spinlane_host::Host;
use spinlane_upstreams::{Reply, Sink};
use tokio::process::Command;

const DAY: Duration = Duration::from_secs(86_400);

/// What the cache of a new instance answers for `key`, and its counts.
async fn lookup(host: &Host, upstream: &Sink, query: &str) -> (u16, Value) {
    let path = format!("/lookup?to={}/x&{query}", upstream.addr());
    let (status, body) = get(host, &path).await;
    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
    (status, body)
}

fn says(word: &str) -> Reply {
    Reply {
        body: word.into(),
        ..Reply::default()
    }
}

fn down() -> Reply {
    Reply {
        status: 503,
        ..Reply::default()
    }
}

/// `requests` at once, each an instance of its own.
async fn stampede(host: &Host, requests: usize) {
    let _alone = alone().await;
    let upstream = Sink::start().await.unwrap();
    upstream.reply(Reply {
        head_delay: Duration::from_millis(300),
        ..says("seven")
    });
    let all = join_all((0..requests).map(|_| lookup(host, &upstream, "key=cold"))).await;
    for (status, answer) in all {
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["values"], serde_json::json!(["seven"]));
    }
    let asked = upstream.counts().started;
    println!("{asked} upstream calls for {requests} requests");
    assert!(asked <= 3, "{asked} upstream calls");
    settled(host).await;
    let dump = host.store().dump();
    let leases = dump.keys().filter(|key| key.starts_with("~n:fetch:"));
    assert_eq!(leases.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stampede_for_one_cold_key_asks_about_once() {
    stampede(&fixture().await, 500).await;
}

/// Fewer: a call takes longer here the more come at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stampede_for_one_cold_key_asks_about_once_on_redis() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let host = fixture_host().store(&redis.url).start().await.unwrap();
    stampede(&host, 100).await;
}

/// 12 requests at once for one cold key, and an upstream that fails: all know as
/// soon as it has, and who comes later asks anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_known_at_once_in_every_instance() {
    let _alone = alone().await;
    let (host, upstream) = (fixture().await, Sink::start().await.unwrap());
    upstream.reply(Reply {
        head_delay: Duration::from_millis(500),
        ..down()
    });
    let begin = Instant::now();
    let all = join_all((0..12).map(|_| lookup(&host, &upstream, "key=cold"))).await;
    let took = begin.elapsed();
    assert!(all.iter().all(|(status, _)| *status == 502), "{all:?}");
    let asked = upstream.counts().started;
    println!("{asked} upstream calls, the last of 12 after {took:?}");
    assert!(asked <= 3, "{asked} upstream calls");
    assert!(took < Duration::from_secs(5), "{took:?}");
    settled(&host).await;
    upstream.reply(says("seven"));
    let (_, answer) = lookup(&host, &upstream, "key=cold").await;
    assert_eq!(answer["values"], serde_json::json!(["seven"]));
}

#[tokio::test]
async fn one_request_asks_once_however_often_it_wants_to_know() {
    let (host, upstream) = (fixture().await, Sink::start().await.unwrap());
    let (_, answer) = lookup(&host, &upstream, "key=k&n=50").await;
    assert_eq!(answer["cache"]["misses"], 1);
    assert_eq!(answer["cache"]["shared"], 49);
    assert_eq!(upstream.counts().started, 1);
}

/// Real expiry on the wall clock of components: hits, misses, and failures.
#[tokio::test]
async fn hits_live_for_90_days_misses_for_5_minutes_failures_not_at_all() {
    let (host, upstream) = (fixture().await, Sink::start().await.unwrap());
    upstream.push(down());
    assert_eq!(lookup(&host, &upstream, "key=hit").await.0, 502);
    upstream.push(says("one"));
    assert_eq!(
        lookup(&host, &upstream, "key=hit").await.1["values"][0],
        "one"
    );
    upstream.push(Reply {
        status: 404,
        ..Reply::default()
    });
    assert_eq!(
        lookup(&host, &upstream, "key=miss").await.1["values"][0],
        Value::Null
    );
    settled(&host).await;
    let asked = upstream.counts().started;
    upstream.reply(down());
    let (_, hit) = lookup(&host, &upstream, "key=hit").await;
    assert_eq!(
        (&hit["values"][0], &hit["cache"]["hits"]),
        (&"one".into(), &1.into())
    );
    let (_, miss) = lookup(&host, &upstream, "key=miss").await;
    assert_eq!(miss["cache"]["negativeHits"], 1);
    assert_eq!(upstream.counts().started, asked);
    host.advance_wall_clock(Duration::from_secs(5 * 60));
    assert_eq!(lookup(&host, &upstream, "key=miss").await.0, 502);
    // In its last days it is served while nobody can refresh it.
    host.advance_wall_clock(89 * DAY);
    let (_, stale) = lookup(&host, &upstream, "key=hit").await;
    assert_eq!(
        (&stale["values"][0], &stale["cache"]["staleHits"]),
        (&"one".into(), &1.into())
    );
    settled(&host).await;
    host.advance_wall_clock(DAY);
    assert_eq!(lookup(&host, &upstream, "key=hit").await.0, 502);
}

#[tokio::test]
async fn what_is_stale_is_refreshed_when_the_upstream_is_back() {
    let (host, upstream) = (fixture().await, Sink::start().await.unwrap());
    upstream.reply(says("old"));
    lookup(&host, &upstream, "key=k").await;
    settled(&host).await;
    host.advance_wall_clock(84 * DAY);
    upstream.reply(says("new"));
    let (_, answer) = lookup(&host, &upstream, "key=k").await;
    assert_eq!(answer["values"][0], "old");
    settled(&host).await;
    let (_, answer) = lookup(&host, &upstream, "key=k").await;
    assert_eq!(
        (&answer["values"][0], &answer["cache"]["hits"]),
        (&"new".into(), &1.into())
    );
    assert_eq!(upstream.counts().started, 2);
}

/// The queue of an instance is empty before it ends, and what was written is
/// there after the host has begun anew.
#[tokio::test]
async fn nothing_that_was_put_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let host = fixture_host().store(&file).start().await.unwrap();
    assert_eq!(get(&host, "/lookup/put?n=300").await, (200, "put".into()));
    settled(&host).await;
    host.stop().await;
    let host = fixture_host().store(&file).start().await.unwrap();
    let upstream = Sink::start().await.unwrap();
    for number in [0, 150, 299] {
        let (_, answer) = lookup(&host, &upstream, &format!("key={number}")).await;
        assert_eq!(answer["values"][0], format!("value {number}"));
    }
    assert_eq!(upstream.counts().started, 0);
    let written = host.store().dump();
    let written = written.keys().filter(|key| key.starts_with("words:"));
    assert_eq!(written.count(), 300);
}

#[tokio::test]
async fn a_store_that_is_down_slow_full_or_damaged_costs_the_cache_alone() {
    let (host, upstream) = (fixture().await, Sink::start().await.unwrap());
    upstream.reply(says("word"));
    let store = host.store();
    for trouble in ["down", "slow", "full", "damaged"] {
        lookup(&host, &upstream, "key=k").await;
        settled(&host).await;
        match trouble {
            "down" => store.fail(Some("gone".into())),
            "slow" => store.delay(Some(Duration::from_millis(300))),
            "full" => store.fill(true),
            _ => {
                for (number, key) in store.dump().into_keys().enumerate() {
                    // Random enough: what no reader expects, counters left out.
                    let bytes = ["", "{", "\n", "{}\n", "null", "\u{0}\u{1}"];
                    if !key.starts_with("~n:") {
                        store.put_raw(&key, bytes[number % bytes.len()]);
                    }
                }
            }
        }
        let before = store.calls();
        for key in ["k", "new", "k"] {
            let (status, answer) = lookup(&host, &upstream, &format!("key={key}{trouble}")).await;
            assert_eq!(
                (status, &answer["values"][0]),
                (200, &"word".into()),
                "{trouble}"
            );
        }
        settled(&host).await;
        if trouble == "down" {
            // One in each instance finds out.
            assert_eq!(store.calls() - before, 3, "{trouble}");
        }
        store.fail(None);
        store.delay(None);
        store.fill(false);
    }
}

/// A hit of 1 KB: one store call, none of an upstream, and what that takes as
/// the component sees it.
#[tokio::test]
async fn a_hit_costs_one_store_call() {
    const HITS: u64 = 2_000;
    let redis = Redis::start().await;
    let mut all = vec![("SQLite", fixture().await)];
    if let Some(redis) = &redis {
        let host = fixture_host().store(&redis.url).start().await.unwrap();
        all.push(("Redis", host));
    }
    for (name, host) in all {
        get(&host, "/lookup/hits?n=1").await;
        settled(&host).await;
        let before = host.store().calls();
        let (status, took) = get(&host, &format!("/lookup/hits?n={HITS}")).await;
        assert_eq!(status, 200, "{took}");
        settled(&host).await;
        println!("a hit of 1 KB on {name}: {took}");
        // Each hit one; the value itself, its note, and a look for what is due.
        let calls = host.store().calls() - before;
        assert!(calls <= HITS + 16, "{calls} calls for {HITS} hits");
    }
}

/// The suite of all stores, in a component on what the host has.
#[tokio::test]
async fn every_store_does_what_stores_must() {
    let expected = (200, "values, counters".to_owned());
    assert_eq!(get(&fixture().await, "/stores").await, expected);
    if let Some(redis) = Redis::start().await {
        let host = fixture_host().store(&redis.url).start().await.unwrap();
        assert_eq!(get(&host, "/stores").await, expected);
    }
}

#[tokio::test]
async fn the_store_of_plain_wasi_does_what_stores_must() {
    let Some(wasmtime) = hosts::program("SPINLANE_WASMTIME") else {
        return;
    };
    let port = hosts::free_port();
    let mut command = Command::new(wasmtime);
    command
        .args(["serve", "-S", "cli", "-S", "keyvalue", "--addr"])
        .arg(format!("127.0.0.1:{port}"))
        .arg(built("SPINLANE_WASI_FIXTURE"));
    let process = hosts::start(&mut command, port).await;
    let answer = reqwest::get(format!("{}/stores", process.origin))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "values");
}
