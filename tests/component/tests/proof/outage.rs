//! A Redis that is killed under load, and comes back: with what it had, or with nothing.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::chat::{Chat, last, said};
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::runs::{again, prompt, refused, run_of, sent};
use spinlane_component_tests::{Dj, OPERATOR, PATIENCE, get, settled};
use spinlane_upstreams::anthropic::Script;
use tokio::sync::Notify;

const VARIABLES: [(&str, &str); 4] = [
    ("caller_limit", "1000/10m"),
    ("client_ip_header", "x-client"),
    ("lane_limits", "anthropic=20"),
    ("admin_token", OPERATOR),
];

/// For so long a store is left alone that has failed.
const ALONE: Duration = Duration::from_secs(5);

/// So many are served, or refused, before the next thing happens.
const ENOUGH: usize = 20;

/// What a client has seen of one request.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When it was sent, and when the answer was there.
    at: Instant,
    answered: Instant,
    is_served: bool,
}

/// Clients that ask one thing after the other.
struct Load<'a> {
    dj: &'a Dj,
    seen: RefCell<Vec<Seen>>,
    /// Somebody has seen something.
    news: Notify,
    is_over: Cell<bool>,
}

async fn ask(dj: &Dj, caller: &str) -> Response {
    let prompt = prompt(&dj.origin(), &json!({"message": "hello", "resume": true}));
    sent(prompt.header("x-client", caller)).await
}

impl Load<'_> {
    /// Whatever the store does, a chat is whole, or it is refused as it should be.
    async fn client(&self, number: usize) {
        while !self.is_over.get() {
            let at = Instant::now();
            let answer = ask(self.dj, &format!("192.0.2.{number}")).await;
            let status = answer.status().as_u16();
            if status == 200 {
                let frames = Chat::read(answer).rest().await;
                assert_eq!(last(&frames), ("done", &Value::Null));
            } else {
                assert!(answer.headers().contains_key("retry-after"));
                let problem: Value = answer.json().await.expect("a problem");
                assert_eq!(
                    (status, &problem["code"]),
                    (503, &"store_unavailable".into())
                );
                // As a client that comes again, if sooner than it was told.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            self.seen.borrow_mut().push(Seen {
                at,
                answered: Instant::now(),
                is_served: status == 200,
            });
            self.news.notify_one();
        }
    }

    /// Waits until so many are served, or refused, that were sent after `begin`.
    async fn until(&self, begin: Instant, is_served: bool, count: usize) {
        let enough = async {
            loop {
                let (served, refused) = self.counted(|seen| seen.at >= begin);
                if count <= if is_served { served } else { refused } {
                    return;
                }
                self.news.notified().await;
            }
        };
        let enough = tokio::time::timeout(PATIENCE, enough).await;
        enough.expect("as many in time");
    }

    /// How many were served and refused of those that `which`.
    fn counted(&self, which: impl Fn(&Seen) -> bool) -> (usize, usize) {
        let seen = self.seen.borrow();
        let within = seen.iter().filter(|seen| which(seen));
        let (served, refused): (Vec<&Seen>, Vec<&Seen>) = within.partition(|seen| seen.is_served);
        (served.len(), refused.len())
    }
}

/// Tempo and tags of some tracks.
async fn enriched(dj: &Dj) -> Value {
    let catalogue = dj.upstreams.catalogue();
    let tracks = catalogue.tracks.iter().take(5).map(|track| {
        let artist = catalogue.artist_names(track).next();
        json!({"title": track.title, "artist": artist, "isrc": track.isrc})
    });
    let request = Client::new().post(dj.host.url("/api/enrich"));
    let request = request.header("accept", "application/json");
    let tracks: Vec<_> = tracks.collect();
    let found = sent(request.json(&json!({"tracks": tracks}))).await;
    assert_eq!(found.status(), 200);
    let found: Value = found.json().await.expect("JSON");
    assert_eq!(found["skipped"], json!([]));
    found["tracks"].clone()
}

async fn session(dj: &Dj, token: &str) -> u16 {
    let ask = Client::new().get(dj.host.url("/api/auth/session"));
    sent(ask.bearer_auth(token)).await.status().as_u16()
}

fn asked(dj: &Dj) -> u64 {
    let services = [dj.upstreams.deezer(), dj.upstreams.lastfm()];
    services
        .map(|service| service.counts().started)
        .iter()
        .sum()
}

/// Each lane has all its slots, and none more, when nobody holds any and a lease is over.
async fn lanes_are_whole(dj: &Dj) {
    dj.host.advance_wall_clock(Duration::from_secs(20));
    let status = Client::new().get(dj.host.url("/api/status"));
    let status = sent(status.header("x-admin-token", OPERATOR)).await;
    let status: Value = status.json().await.expect("JSON");
    for (name, lane) in status["limits"]["lanes"].as_object().expect("lanes") {
        assert_eq!(lane["held"], 0, "{name}: {lane}");
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_has_lost_nobody() {
    if let Some(redis) = Redis::start_durable().await {
        goes_and_comes_back(redis, true).await;
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_does_no_harm() {
    if let Some(redis) = Redis::start().await {
        goes_and_comes_back(redis, false).await;
    }
}

async fn goes_and_comes_back(mut redis: Redis, keeps: bool) {
    let dj = Dj::start_public_on(&redis.url, &VARIABLES).await;
    let anthropic = dj.upstreams.anthropic();
    let token = Browser::new(&dj).log_in().await;
    let known = enriched(&dj).await;
    settled(&dj.host).await;
    let calls = asked(&dj);
    let words: Vec<String> = (0..1_500).map(|n| format!("{n} ")).collect();
    let long = Script::text(words.clone()).pace(Duration::from_millis(10));
    anthropic.script(long);
    let begun = ask(&dj, "198.51.100.1").await;
    let run = run_of(&begun);
    let mut begun = Chat::read(begun);
    begun.next_of("content").await;
    let short = Script::text(["a", "b", "c"]).pace(Duration::from_millis(50));
    anthropic.script(short);

    let load = Load {
        dj: &dj,
        seen: RefCell::default(),
        news: Notify::new(),
        is_over: Cell::new(false),
    };
    let outage = async {
        load.until(Instant::now(), true, ENOUGH).await;
        let gone = Instant::now();
        redis.kill().await;
        load.until(gone, false, ENOUGH).await;
        for (path, status) in [("/health", 200), ("/ready", 503)] {
            assert_eq!(get(&dj.host, path).await.0, status, "{path}");
        }
        redis.go_on().await;
        let back = Instant::now();
        load.until(back + ALONE, true, ENOUGH).await;
        load.is_over.set(true);
        (gone, back)
    };
    let clients = join_all((0..6).map(|number| load.client(number)));
    let (clients, (gone, back), rest) = futures::join!(clients, outage, begun.remaining());
    drop(clients);
    let before = load.counted(|seen| seen.answered < gone);
    let during = load.counted(|seen| seen.at >= gone && seen.answered < back);
    let soon = load.counted(|seen| seen.answered >= back && seen.at < back + ALONE);
    let then = load.counted(|seen| seen.at >= back + ALONE);
    println!("served and refused: {before:?}, outage {during:?}, back {soon:?}, then {then:?}");
    assert_eq!((before.1, then.1), (0, 0));
    // What was under way is told to its end; what of it was kept is not all of it.
    assert_eq!(said(&rest).last(), Some(&"1499 "));
    assert_eq!(last(&rest), ("done", &Value::Null));
    settled(&dj.host).await;
    let reader = again(&dj.origin(), &run, 0).header("x-client", "198.51.100.1");
    let answer = refused(reader).await;
    assert!(
        [(410, "run_gone".into()), (404, "not_found".into())].contains(&answer),
        "{answer:?}"
    );

    assert_eq!(session(&dj, &token).await, if keeps { 200 } else { 401 });
    assert_eq!(enriched(&dj).await, known);
    assert_eq!(asked(&dj) == calls, keeps, "{} after {calls}", asked(&dj));
    let anew = Browser::new(&dj).log_in().await;
    assert_eq!(session(&dj, &anew).await, 200);
    settled(&dj.host).await;
    lanes_are_whole(&dj).await;
    settled(&dj.host).await;
}
