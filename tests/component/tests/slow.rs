//! Limits on a store that is slow, and between hosts whose clocks differ.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::{alone, settled, start_upstreams, with_upstreams};
use spinlane_host::{Host, SPIN_INCREMENT};
use spinlane_upstreams::{Service, Upstreams};

/// What is found out about one song of the catalogue, and how long that took.
async fn enrich(host: &Host, upstreams: &Upstreams, song: usize) -> (Value, Duration) {
    let catalogue = upstreams.catalogue();
    let track = &catalogue.tracks[song];
    let artist = &catalogue.artists[track.artists[0]].name;
    let body = json!({"tracks": [{"title": track.title, "artist": artist}]});
    let begin = Instant::now();
    let request = Client::new().post(host.url("/api/enrich")).json(&body);
    let request = request.header("accept", "application/json");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let found = answer.json().await.expect("JSON");
    (found, begin.elapsed())
}

fn assert_lane(service: &Service, limit: u64) {
    let counts = service.counts();
    assert!(counts.max_open <= limit, "{counts:?}");
}

/// 50 requests at once, while each call of the store takes 200 ms: all of them
/// end with what they were asked for, and no lane is passed.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_on_a_slow_store_ends_and_keeps_to_the_limits() {
    let _alone = alone().await;
    let upstreams = start_upstreams().await;
    upstreams.latency(Duration::from_millis(100));
    // A slot is held for some two seconds on such a store, so the last of a hundred
    // calls waits longer than people would.
    let host = with_upstreams(&upstreams).variable("queue_deadline_ms", "120000");
    let host = host.start().await.unwrap();
    host.store().delay(Some(Duration::from_millis(200)));
    host.store().increment_cost(Some(SPIN_INCREMENT));
    let all = join_all((0..50).map(|song| enrich(&host, &upstreams, song))).await;
    let longest = all.iter().map(|(_, took)| *took).max();
    println!("the last of 50 after {longest:?}");
    for (found, _) in all {
        assert_eq!(found["skipped"], json!([]), "{found}");
        assert_eq!(found["tracks"].as_array().map(Vec::len), Some(1), "{found}");
    }
    settled(&host).await;
    assert_lane(upstreams.deezer(), 10);
    assert_lane(upstreams.lastfm(), 10);
}

/// A host whose clock is a minute ahead has used the limits: the other one is
/// not held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_holds_up_nobody_else() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let upstreams = start_upstreams().await;
    let host = || with_upstreams(&upstreams).store(&redis.url).start();
    let (right, ahead) = (host().await.unwrap(), host().await.unwrap());
    ahead.advance_wall_clock(Duration::from_secs(60));
    join_all((0..20).map(|song| enrich(&ahead, &upstreams, song))).await;
    let asked = (100..120).map(|song| enrich(&right, &upstreams, song));
    let mut longest = Duration::ZERO;
    for (found, took) in join_all(asked).await {
        assert_eq!(found["skipped"], json!([]), "{found}");
        longest = longest.max(took);
    }
    println!("the last of 20 after {longest:?}");
    // 20 songs at 5 a second and a burst as large take 3 s.
    assert!(longest < Duration::from_secs(20), "{longest:?}");
}
