//! One caller that asks for more than its share: by number, by slow bodies, by runs at a
//! time, and while the store is in trouble.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use spinlane_component_tests::chat::{Chat, last};
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::{
    Dj, KEY, PATIENCE, alone, built, dj_host, get, settled, start_upstreams,
};
use spinlane_upstreams::anthropic::Script;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A chat from `address`, which the host is told by this header.
async fn chat(origin: &str, address: &str, cookie: Option<&str>) -> Response {
    let mut request = Client::new()
        .post(format!("{origin}/api/chat-stream/message"))
        .header("x-client", address)
        .json(&json!({"message": "hello"}));
    if let Some(session) = cookie {
        request = request.header("cookie", format!("__Host-spinlane-session={session}"));
    }
    request.send().await.expect("an answer")
}

/// Reads an answer to its end: its status, and for a stream its last frame.
async fn end(response: Response) -> (u16, String) {
    match response.status().as_u16() {
        200 => {
            let frames = Chat::read(response).rest().await;
            let (kind, data) = last(&frames);
            let code = data["code"].as_str().unwrap_or(kind);
            (200, code.to_owned())
        }
        status => {
            let problem: Value = response.json().await.expect("a problem");
            (status, problem["code"].as_str().expect("a code").to_owned())
        }
    }
}

/// How often each end came.
fn counted(ends: Vec<(u16, String)>) -> BTreeMap<(u16, String), usize> {
    let mut counts = BTreeMap::new();
    for end in ends {
        *counts.entry(end).or_default() += 1;
    }
    counts
}

const NAMED: (&str, &str) = ("client_ip_header", "x-client");

/// A session's token as it should look, and none that there is.
fn forged(n: usize) -> String {
    format!("{n:043}")
}

/// 950 at once: as many as may get in, and not one more.
#[tokio::test]
async fn a_quota_holds_for_all_who_come_at_once() {
    let _alone = alone().await;
    let dj = Dj::start(&[("caller_limit", "20/10m"), ("caller_runs", "1000"), NAMED]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    let origin = dj.origin();
    let ends =
        join_all((0..950).map(|_| async { end(chat(&origin, "192.0.2.1", None).await).await }));
    let counts = counted(ends.await);
    let in_time = counts.get(&(200, "done".into())).copied().unwrap_or(0);
    let in_line = counts.get(&(200, "busy".into())).copied().unwrap_or(0);
    assert_eq!(in_time + in_line, 20, "{counts:?}");
    assert_eq!(counts.get(&(429, "too_many_requests".into())), Some(&930));
}

/// A quota that is used up stays so, whatever the sessions that the requests name, and
/// however slow the store is: what succeeds opens nothing.
#[tokio::test]
async fn a_slow_store_opens_no_quota() {
    let _alone = alone().await;
    let dj = Dj::start(&[("caller_limit", "2/10m"), NAMED]).await;
    let anthropic = dj.upstreams.anthropic();
    anthropic.script(Script::text(["x"]).pace(Duration::from_millis(20)));
    let origin = dj.origin();
    for _ in 0..2 {
        assert_eq!(end(chat(&origin, "192.0.2.1", None).await).await.0, 200);
    }
    dj.host.store().delay(Some(Duration::from_millis(1_500)));
    let ends = join_all((0..200).map(|n| {
        let origin = &origin;
        async move { end(chat(origin, "192.0.2.1", Some(&forged(n))).await).await }
    }));
    let counts = counted(ends.await);
    assert_eq!(counts.len(), 1, "{counts:?}");
    assert_eq!(counts.get(&(429, "too_many_requests".into())), Some(&200));
    let seen = anthropic.counts();
    assert!(seen.started == 2 && seen.max_open <= 2, "{seen:?}");
}

/// Once the word is out a flood costs reads: no increment, and one call each.
#[tokio::test]
async fn a_flood_that_is_refused_costs_reads() {
    let dj = Dj::start(&[("caller_limit", "2/10m"), NAMED]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    let origin = dj.origin();
    for _ in 0..4 {
        end(chat(&origin, "192.0.2.1", None).await).await;
    }
    settled(&dj.host).await;
    let store = dj.host.store();
    let (calls, increments) = (store.calls(), store.increments());
    for _ in 0..50 {
        assert_eq!(end(chat(&origin, "192.0.2.1", None).await).await.0, 429);
    }
    settled(&dj.host).await;
    assert_eq!(store.increments() - increments, 0);
    assert_eq!(store.calls() - calls, 50);
}

/// What is counted is refused when the store fails or does not open, and what is not
/// goes on.
#[tokio::test]
async fn a_store_in_trouble_refuses_what_is_counted() {
    let dj = Dj::start(&[("caller_limit", "20/10m"), NAMED]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    let store = dj.host.store();
    let troubles: [(&str, &dyn Fn(bool)); 2] = [
        ("fails", &|trouble| {
            store.fail(trouble.then(|| "gone".into()));
        }),
        ("does not open", &|trouble| store.refuse_to_open(trouble)),
    ];
    for (what, trouble) in troubles {
        trouble(true);
        let refused = chat(&dj.origin(), "192.0.2.1", None).await;
        assert!(refused.headers().contains_key("retry-after"), "{what}");
        let told = (503, "store_unavailable".into());
        assert_eq!(end(refused).await, told, "{what}");
        for (path, status) in [("/health", 200), ("/api/status", 200), ("/ready", 503)] {
            assert_eq!(get(&dj.host, path).await.0, status, "{what}: {path}");
        }
        trouble(false);
        assert_eq!(get(&dj.host, "/ready").await.0, 200, "{what}");
    }
    assert_eq!(
        end(chat(&dj.origin(), "192.0.2.1", None).await).await.0,
        200
    );
    assert_eq!(dj.upstreams.anthropic().counts().started, 1);
}

/// With `off` nobody is counted, so nothing refuses.
#[tokio::test]
async fn without_a_limit_a_failing_store_refuses_no_chat() {
    let dj = Dj::start(&[("caller_limit", "off")]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    dj.host.store().fail(Some("gone".into()));
    let through = (200, "done".to_owned());
    assert_eq!(end(chat(&dj.origin(), "", None).await).await, through);
    dj.host.store().refuse_to_open(true);
    assert_eq!(end(chat(&dj.origin(), "", None).await).await, through);
}

/// The build without counters has no quota and no limit of runs, and nothing refuses
/// for that.
#[tokio::test]
async fn without_counters_nobody_is_counted() {
    let upstreams = start_upstreams().await;
    let host = dj_host(&upstreams.anthropic().origin())
        .component(built("SPINLANE_PLAIN_COMPONENT"))
        .variable("caller_limit", "1/10m")
        .variable("caller_runs", "1")
        .start()
        .await
        .expect("the host starts");
    upstreams.anthropic().script(Script::text(["x"]));
    let origin = host.url("");
    let ends = join_all((0..5).map(|_| async { end(chat(&origin, "", None).await).await }));
    let counts = counted(ends.await);
    assert_eq!(counts.get(&(200, "done".into())), Some(&5), "{counts:?}");
    host.store().fail(Some("gone".into()));
    assert_eq!(
        end(chat(&origin, "", None).await).await,
        (200, "done".into())
    );
}

/// 20 at once over two hosts: two run, the others are told, and both places are free when
/// these have ended. Everybody else is served meanwhile.
#[tokio::test]
async fn a_caller_has_two_runs_at_a_time_over_all_hosts() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let _alone = alone().await;
    let upstreams = start_upstreams().await;
    let anthropic = upstreams.anthropic();
    let start = || async {
        let host = dj_host(&anthropic.origin())
            .variable("caller_limit", "1000/10m")
            .variable("lane_limits", "anthropic=10")
            .variable(NAMED.0, NAMED.1)
            .store(&redis.url);
        host.start().await.expect("the host starts")
    };
    let hosts = [start().await, start().await];
    let origins = hosts.each_ref().map(|host| host.url(""));
    anthropic.script(Script::text(["x"]).hang_after(1));
    let asked = (0..20).map(|n| chat(&origins[n % 2], "192.0.2.1", None));
    let answers = join_all(asked).await;
    let (runs, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.status() == 200);
    assert_eq!((runs.len(), refused.len()), (2, 18));
    for answer in refused {
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(end(answer).await, (429, "too_many_runs".into()));
    }
    let begun = anthropic.wait_for(PATIENCE, |counts| counts.started == 2);
    begun.await.expect("both runs call the model");
    anthropic.script(Script::text(["y"]));
    let other = chat(&origins[0], "192.0.2.2", None).await;
    assert_eq!(end(other).await, (200, "done".into()));
    assert_eq!(end(chat(&origins[1], "192.0.2.1", None).await).await.0, 429);
    // The clients go, and with them the runs.
    drop(runs);
    for host in &hosts {
        settled(host).await;
    }
    for origin in &origins {
        assert_eq!(
            end(chat(origin, "192.0.2.1", None).await).await,
            (200, "done".into())
        );
    }
}

/// Who has read the end of a run may begin the next one at once.
#[tokio::test]
async fn one_run_after_another_is_always_let_in() {
    let dj = Dj::start(&[("caller_limit", "1000/10m"), ("caller_runs", "1"), NAMED]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    let origin = dj.origin();
    for n in 0..30 {
        let ended = end(chat(&origin, "192.0.2.1", None).await).await;
        assert_eq!(ended, (200, "done".into()), "{n}");
    }
}

/// An enrichment counts by its size, and no more than there is.
#[tokio::test]
async fn an_enrichment_counts_one_for_each_fifty_tracks() {
    let dj = Dj::start(&[("caller_limit", "5/10m"), NAMED]).await;
    let enrich = async |tracks: usize, address: &str| {
        let tracks = vec![json!({"title": "a", "artist": "b"}); tracks];
        let request = Client::new().post(dj.host.url("/api/enrich"));
        let request = request
            .header("x-client", address)
            .header("accept", "application/json");
        let answer = request.json(&json!({"tracks": tracks})).send().await;
        let answer = answer.expect("an answer");
        let left = answer.headers().get("ratelimit").map(|left| {
            let left = left.to_str().expect("text");
            left.split(";r=")
                .nth(1)
                .and_then(|left| left.split(';').next())
                .map(str::to_owned)
        });
        let status = answer.status().as_u16();
        answer.bytes().await.expect("a whole answer");
        (status, left.flatten().unwrap_or_default())
    };
    assert_eq!(enrich(50, "192.0.2.1").await, (200, "4".into()));
    assert_eq!(enrich(101, "192.0.2.1").await, (200, "1".into()));
    // What does not fit is refused, and what it was worth is not lost, but for the one
    // that each request counts.
    assert_eq!(enrich(101, "192.0.2.1").await.0, 429);
    assert_eq!(enrich(500, "192.0.2.2").await.0, 200);
}

/// Sockets that promise a body and send a byte: of one address the bodies of as many as
/// its quota has are waited for, and the host stays open to others.
#[tokio::test]
async fn a_flood_of_bodies_that_never_come_is_refused_at_once() {
    let _alone = alone().await;
    let dj = Dj::start(&[("caller_limit", "20/10m")]).await;
    let addr = dj.host.addr();
    let slow = async || {
        let mut stream = TcpStream::connect(addr).await.expect("a connection");
        let head = "POST /api/auth/token HTTP/1.1\r\nhost: dj\r\n\
            content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = vec![0; 12];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        read.expect("it answers").expect("a status");
        (stream, String::from_utf8_lossy(&answer[9..]).into_owned())
    };
    let flood = join_all((0..1_010).map(|_| slow()));
    let others = async {
        for _ in 0..20 {
            assert_eq!(get(&dj.host, "/health").await.0, 200);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (flood, ()) = futures::future::join(flood, others).await;
    let answers = |status: &str| flood.iter().filter(|(_, answer)| answer == status).count();
    // Who is refused is not waited for; whose body is, is told that it never came.
    assert_eq!((answers("429"), answers("408")), (990, 20));
    let ended = dj
        .host
        .wait_for_instances(PATIENCE, |instances| instances.live == 0)
        .await;
    ended.expect("a body that never comes is not waited for");
    assert!(!dj.host.logs().iter().any(|line| line.contains(KEY)));
}
