//! The limits of all instances, and of hosts that share a store.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use serde_json::Value;
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::{PATIENCE, alone, fixture, fixture_host, settled};
use spinlane_core::sse::Decoder;
use spinlane_host::Host;
use spinlane_upstreams::{Reply, Sink};

/// The default of the component; the burst is a second's worth.
const RATE: f64 = 40.0;

/// A lease (10 s, renewed 2 s before its end), and a waiter's longest time
/// between two looks.
const LEASE: Duration = Duration::from_secs(13);

/// What the fixture's `/calls` says of each of its calls, as it comes.
pub(crate) struct Calls {
    response: reqwest::Response,
    decoder: Decoder,
}

impl Calls {
    pub(crate) async fn start(host: &Host, upstream: &Sink, query: &str) -> Self {
        let url = host.url(&format!("/calls?to={}/x&{query}", upstream.addr()));
        Self {
            response: reqwest::get(url).await.expect("an answer"),
            decoder: Decoder::new(1 << 16),
        }
    }

    /// All that is still to come, to the end of the stream or of its
    /// connection.
    async fn rest(self) -> Vec<Value> {
        let mut reports = Vec::new();
        let mut decoder = self.decoder;
        let mut chunks = self.response.bytes_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            let decoded = decoder.push(&chunk, |event| {
                reports.push(serde_json::from_str(&event.data).expect("JSON"));
            });
            decoded.expect("small events");
        }
        reports
    }
}

pub(crate) async fn calls(host: &Host, upstream: &Sink, query: &str) -> Vec<Value> {
    Calls::start(host, upstream, query).await.rest().await
}

/// Over any interval at most `rate` × t + burst calls begin.
fn assert_rate(upstream: &Sink, rate: f64) {
    let mut starts: Vec<_> = upstream.calls().iter().map(|call| call.started).collect();
    starts.sort();
    for (first, begin) in starts.iter().enumerate() {
        for (last, end) in starts.iter().enumerate().skip(first) {
            let (count, span) = ((last - first + 1) as f64, (*end - *begin).as_secs_f64());
            let most = rate * span + rate;
            assert!(count <= most, "{count} calls in {span} s, {most} allowed");
        }
    }
}

/// All layers hold over all instances of all of `hosts`.
async fn hold_over(hosts: &[Host]) {
    let _alone = alone().await;
    a_crowd_keeps_to_lane_and_rate(hosts).await;
    a_lane_is_full_and_not_fuller(hosts).await;
    a_lane_keeps_to_its_own_rate(hosts).await;
    all_keep_to_a_pause(hosts).await;
}

/// 200 requests at once, over all of `hosts`, each with 5 calls. The lane is so
/// wide that the rate can be reached.
async fn a_crowd_keeps_to_lane_and_rate(hosts: &[Host]) {
    const LIMIT: u64 = 20;
    const CALLS: usize = 1_000;
    let upstream = Sink::start().await.unwrap();
    upstream.reply(Reply {
        head_delay: Duration::from_millis(20),
        body_delay: Duration::from_millis(20),
        ..Reply::default()
    });
    let query = format!("lane=x&limit={LIMIT}&n=5");
    let requests = (0..CALLS / 5).map(|n| calls(&hosts[n % hosts.len()], &upstream, &query));
    let reports = join_all(requests).await.concat();
    assert_eq!(reports.len(), CALLS);
    for report in &reports {
        assert_eq!(report["status"], 200, "{report}");
    }
    let counts = upstream.counts();
    assert_eq!(counts.started, CALLS as u64);
    assert!(counts.max_open <= LIMIT, "{counts:?}");
    assert_rate(&upstream, RATE);
    let calls = upstream.calls();
    let starts = calls.iter().map(|call| call.started);
    let took = starts.clone().max().unwrap() - starts.min().unwrap();
    let achieved = CALLS as f64 / took.as_secs_f64();
    println!(
        "{achieved:.1} calls/s of {RATE}, at most {} at once",
        counts.max_open
    );
    assert!(achieved >= 0.95 * RATE, "{achieved} calls/s");
}

/// 8 requests want 3 slots: all three are used, by no more than three.
async fn a_lane_is_full_and_not_fuller(hosts: &[Host]) {
    const LIMIT: u64 = 3;
    let upstream = Sink::start().await.unwrap();
    upstream.reply(Reply {
        body_delay: Duration::from_millis(200),
        ..Reply::default()
    });
    let query = format!("lane=narrow&limit={LIMIT}&n=2");
    let requests = (0..8).map(|n| calls(&hosts[n % hosts.len()], &upstream, &query));
    for report in join_all(requests).await.concat() {
        assert_eq!(report["status"], 200, "{report}");
    }
    assert_eq!(upstream.counts().max_open, LIMIT);
}

/// 30 requests in a lane whose rate is below that of all lanes.
async fn a_lane_keeps_to_its_own_rate(hosts: &[Host]) {
    const LANE_RATE: f64 = 10.0;
    let upstream = Sink::start().await.unwrap();
    upstream.reply(Reply::default());
    let query = format!("lane=slow&limit=30&lane_rate={LANE_RATE}&n=1");
    let requests = (0..30).map(|n| calls(&hosts[n % hosts.len()], &upstream, &query));
    for report in join_all(requests).await.concat() {
        assert_eq!(report["status"], 200, "{report}");
    }
    assert_eq!(upstream.counts().started, 30);
    assert_rate(&upstream, LANE_RATE);
}

/// After an answer that asks for 2 s, no call begins from 100 ms after it
/// until they are over, in whatever instance.
async fn all_keep_to_a_pause(hosts: &[Host]) {
    let upstream = Sink::start().await.unwrap();
    upstream.push(Reply {
        status: 429,
        retry_after: Some("2".into()),
        ..Reply::default()
    });
    let query = "lane=paused&limit=3&n=5&in_turn=1&repeatable=1";
    let requests = (0..20).map(|n| calls(&hosts[n % hosts.len()], &upstream, query));
    let reports = join_all(requests).await;
    for report in reports.concat() {
        assert_eq!(report["status"], 200, "{report}");
    }
    let calls = upstream.calls();
    let (asked, _) = calls[0].ended.expect("the first call was answered");
    let (from, until) = (Duration::from_millis(100), Duration::from_secs(2));
    for call in &calls {
        let after = call.started.saturating_sub(asked);
        assert!(after <= from || after >= until, "a call after {after:?}");
    }
    assert_eq!(calls.len(), 101);
}

#[tokio::test]
async fn limits_hold_over_all_instances_of_a_host() {
    hold_over(&[fixture().await]).await;
}

#[tokio::test]
async fn limits_hold_over_two_hosts_that_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let one = fixture_host().store(&file).start().await.unwrap();
    let two = fixture_host().store(&file).start().await.unwrap();
    hold_over(&[one, two]).await;
}

#[tokio::test]
async fn limits_hold_over_two_hosts_that_share_a_redis() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let one = fixture_host().store(&redis.url).start().await.unwrap();
    let two = fixture_host().store(&redis.url).start().await.unwrap();
    hold_over(&[one, two]).await;
}

/// An answer that takes as long as the test wants.
pub(crate) fn held() -> Reply {
    Reply {
        body_delay: 10 * PATIENCE,
        ..Reply::default()
    }
}

/// Takes both slots of a lane, by calls whose bodies do not end.
async fn take_lane(host: &Host, upstream: &Sink) -> Calls {
    upstream.reply(held());
    let holder = Calls::start(host, upstream, "lane=x&limit=2&n=2").await;
    let both = upstream.wait_for(PATIENCE, |counts| counts.open == 2).await;
    both.expect("both slots are taken");
    upstream.reply(Reply::default());
    holder
}

/// Nobody gets a slot of it.
async fn is_full(host: &Host, upstream: &Sink) {
    let reports = calls(host, upstream, "lane=x&limit=2&deadline_ms=300").await;
    let error = reports[0]["error"].as_str().expect("no call");
    assert!(error.contains("x is busy"), "{error}");
    assert!(reports[0]["retryAfterMs"].is_u64(), "{reports:?}");
}

/// Within one lease both slots are free again.
async fn is_whole_again(host: &Host, upstream: &Sink, within: Duration) {
    let begin = Instant::now();
    let reports = calls(host, upstream, "lane=x&limit=2&n=2").await;
    let took = begin.elapsed();
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert_eq!(report["status"], 200, "{report}");
    }
    assert!(took < within, "{took:?}");
}

#[tokio::test]
async fn a_client_that_goes_frees_its_slots() {
    let (host, upstream) = (fixture().await, Sink::start().await.unwrap());
    let holder = take_lane(&host, &upstream).await;
    is_full(&host, &upstream).await;
    drop(holder);
    is_whole_again(&host, &upstream, LEASE).await;
    assert_eq!(upstream.counts().cancelled, 2);
}

#[tokio::test]
async fn slots_of_an_instance_that_trapped_are_free_after_a_lease() {
    let (host, upstream) = (fixture().await, Sink::start().await.unwrap());
    upstream.reply(held());
    let trapped = calls(&host, &upstream, "lane=x&limit=2&n=2&trap=1").await;
    assert_eq!(trapped, Vec::<Value>::new());
    // The stream ends before the instance is counted.
    let counted = host.wait_for_instances(PATIENCE, |instances| instances.trapped == 1);
    counted.await.expect("it has trapped");
    upstream.reply(Reply::default());
    is_full(&host, &upstream).await;
    is_whole_again(&host, &upstream, LEASE).await;
}

#[tokio::test]
async fn slots_of_a_host_that_was_killed_are_free_after_a_lease() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let one = fixture_host().store(&file).start().await.unwrap();
    let two = fixture_host().store(&file).start().await.unwrap();
    let upstream = Sink::start().await.unwrap();
    let holder = take_lane(&one, &upstream).await;
    // Everything that it runs ends on the spot.
    drop(one);
    is_full(&two, &upstream).await;
    is_whole_again(&two, &upstream, LEASE).await;
    drop(holder);
}

/// A store that fails is left alone after one call: limits hold within the
/// instance, there is one warning, and the next instance uses it again. One that
/// answers late is believed: limits hold over all instances.
#[tokio::test]
async fn a_store_that_fails_is_left_alone_and_a_slow_one_is_used() {
    const WARNING: &str = "the key-value store fails";
    let (host, upstream) = (fixture().await, Sink::start().await.unwrap());
    let store = host.store();
    for (what, fault, delay, warnings) in [
        ("well", None, None, 0),
        ("failing", Some("gone".to_owned()), None, 1),
        ("slow", None, Some(Duration::from_millis(400)), 1),
        ("well again", None, None, 1),
    ] {
        let fails = fault.is_some();
        store.fail(fault);
        store.delay(delay);
        let before = store.calls();
        let n = if delay.is_some() { 3 } else { 8 };
        let reports = calls(&host, &upstream, &format!("lane=x&limit=2&n={n}")).await;
        for report in &reports {
            assert_eq!(report["status"], 200, "{what}: {report}");
        }
        assert_eq!(reports.len(), n);
        settled(&host).await;
        let used = store.calls() - before;
        match fails {
            true => assert_eq!(used, 1, "{what}"),
            false => assert!(used > 8, "{what}: {used} calls"),
        }
        let logs = host.logs();
        let logged = logs.iter().filter(|line| line.contains(WARNING));
        assert_eq!(logged.count(), warnings, "{what}");
    }
    assert!(upstream.counts().max_open <= 2);
}
