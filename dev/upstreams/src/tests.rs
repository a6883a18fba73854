//! Deezer, Last.fm, and what all services have in common.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::catalogue::Track;
use crate::{Fault, Options, Outcome, Service, Upstreams};

const SOON: Duration = Duration::from_secs(10);

async fn upstreams() -> Upstreams {
    Upstreams::start(Options::default()).await.unwrap()
}

async fn get(service: &Service, path: &str) -> Value {
    let response = reqwest::get(format!("{}{path}", service.origin()))
        .await
        .unwrap();
    response.json().await.unwrap()
}

fn query(pairs: &[(&str, &str)]) -> String {
    crate::params::encode(pairs.iter().copied())
}

fn find(upstreams: &Upstreams, test: impl Fn(&&Track) -> bool) -> Track {
    upstreams
        .catalogue()
        .tracks
        .iter()
        .find(test)
        .unwrap()
        .clone()
}

#[tokio::test]
async fn deezer_has_the_tempo_in_the_song_alone() {
    let upstreams = upstreams().await;
    let deezer = upstreams.deezer();
    let track = find(&upstreams, |track| {
        track.isrc.is_some()
            && track
                .deezer
                .as_ref()
                .is_some_and(|known| known.by_isrc && known.bpm > 0.0)
    });
    let known = track.deezer.clone().unwrap();
    let by_isrc = get(
        deezer,
        &format!("/track/isrc:{}", track.isrc.as_deref().unwrap()),
    )
    .await;
    assert_eq!(
        (&by_isrc["id"], &by_isrc["bpm"]),
        (&json!(known.id), &json!(known.bpm))
    );
    assert_eq!(get(deezer, &format!("/track/{}", known.id)).await, by_isrc);
    let artist = &upstreams.catalogue().artists[track.artists[0]].name;
    let text = format!("artist:\"{artist}\" track:\"{}\"", track.plain_title());
    let found = get(deezer, &format!("/search?{}", query(&[("q", &text)]))).await;
    assert_eq!(found["data"][0]["id"], known.id);
    assert_eq!(found["data"][0].get("bpm"), None);
}

#[tokio::test]
async fn deezer_says_no_inside_a_200() {
    let upstreams = upstreams().await;
    let deezer = upstreams.deezer();
    let hidden = find(&upstreams, |track| {
        track.isrc.is_some() && track.deezer.as_ref().is_some_and(|known| !known.by_isrc)
    });
    let by_isrc = format!("/track/isrc:{}", hidden.isrc.unwrap());
    for (path, code) in [
        (by_isrc.as_str(), 800),
        ("/track/isrc:ZZ0000000000", 800),
        ("/track/7", 800),
        ("/search", 501),
        ("/radio", 600),
    ] {
        assert_eq!(get(deezer, path).await["error"]["code"], code, "{path}");
    }
    let nothing = get(deezer, "/search?q=qqqqzzzz").await;
    assert_eq!(nothing, json!({"data": [], "total": 0}));
    let beyond = get(deezer, "/search?q=jazz&index=18446744073709551615").await;
    assert_eq!((&beyond["data"], beyond.get("next")), (&json!([]), None));
    deezer.push(Fault::code(4));
    assert_eq!(
        get(deezer, "/search?q=jazz").await["error"]["message"],
        "Quota limit exceeded"
    );
}

#[tokio::test]
async fn deezers_quota_is_kept_when_asked() {
    let upstreams = upstreams().await;
    upstreams
        .deezer_quota()
        .set(Some((3, Duration::from_secs(60))));
    let calls = (0..5).map(|_| get(upstreams.deezer(), "/search?q=jazz"));
    let answers = join_all(calls).await;
    let refused = answers
        .iter()
        .filter(|answer| answer["error"]["code"] == 4)
        .count();
    assert_eq!(refused, 2);
}

#[tokio::test]
async fn lastfm_counts_and_names_what_listeners_say() {
    let upstreams = upstreams().await;
    let lastfm = upstreams.lastfm();
    let track = find(&upstreams, |track| {
        track
            .lastfm
            .as_ref()
            .is_some_and(|known| !known.tags.is_empty())
    });
    let known = track.lastfm.clone().unwrap();
    let artist = &upstreams.catalogue().artists[track.artists[0]].name;
    let ask = |method: &str, artist: &str, title: &str, key: &str| {
        query(&[
            ("method", method),
            ("artist", artist),
            ("track", title),
            ("api_key", key),
            ("format", "json"),
            ("autocorrect", "1"),
        ])
    };
    let call = async |query: String| get(lastfm, &format!("/2.0/?{query}")).await;
    let info = call(ask(
        "track.getInfo",
        &artist.to_uppercase(),
        &track.title,
        "k",
    ))
    .await;
    assert_eq!(info["track"]["listeners"], known.listeners.to_string());
    assert_eq!(info["track"]["toptags"]["tag"][0]["name"], known.tags[0].0);
    let tags = call(ask("track.getTopTags", artist, track.plain_title(), "k")).await;
    assert_eq!(tags["toptags"]["tag"][0]["count"], 100);
    let tags = call(ask("artist.getTopTags", artist, "", "k")).await;
    assert_eq!(tags["toptags"]["@attr"]["artist"], *artist);

    let unheard = find(&upstreams, |track| track.lastfm.is_none());
    let by = &upstreams.catalogue().artists[unheard.artists[0]].name;
    for (query, code) in [
        (ask("track.getInfo", by, &unheard.title, "k"), 6),
        (ask("track.getInfo", "Nobody", "Nothing", "k"), 6),
        (ask("track.getInfo", artist, &track.title, "invalid"), 10),
        (ask("track.getInfo", artist, &track.title, ""), 10),
        (ask("track.love", artist, &track.title, "k"), 3),
    ] {
        assert_eq!(call(query).await["error"], code);
    }
    lastfm.push(Fault::code(29));
    assert_eq!(
        call(ask("track.getInfo", artist, &track.title, "k")).await["error"],
        29
    );
    let calls = lastfm.calls();
    assert!(
        calls
            .iter()
            .all(|call| call.query.contains("api_key=***") && call.has_key)
    );
}

#[tokio::test]
async fn calls_overlap_and_the_log_shows_it() {
    let upstreams = upstreams().await;
    let deezer = upstreams.deezer();
    deezer.latency(Duration::from_millis(300));
    let begin = Instant::now();
    join_all((0..5).map(|_| get(deezer, "/search?q=jazz"))).await;
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let counts = deezer
        .wait_for(SOON, |counts| counts.finished == 5)
        .await
        .unwrap();
    assert_eq!((counts.max_open, counts.open), (5, 0));
    let calls = deezer.calls();
    let last_start = calls.iter().map(|call| call.started).max().unwrap();
    let first_end = calls
        .iter()
        .map(|call| call.ended.unwrap().0)
        .min()
        .unwrap();
    assert!(last_start < first_end);
    upstreams.reset();
    assert_eq!(deezer.counts().started, 0);
}

#[tokio::test]
async fn bodies_are_garbage_cut_or_slow_when_asked() {
    let upstreams = upstreams().await;
    let lastfm = upstreams.lastfm();
    let url = format!(
        "{}/2.0/?method=artist.getInfo&artist=Tonschatten&api_key=k&format=json",
        lastfm.origin()
    );
    let text = async || reqwest::get(&url).await.unwrap().text().await;
    let good = text().await.unwrap();
    lastfm.push(Fault::garbage());
    assert!(serde_json::from_str::<Value>(&text().await.unwrap()).is_err());
    lastfm.push(Fault::cut_after(10));
    assert!(text().await.is_err());
    lastfm.push(Fault::drip(50, Duration::from_millis(1)));
    assert_eq!(text().await.unwrap(), good);
    lastfm.fault(Fault::status(500));
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 500);
    lastfm.heal();
    assert_eq!(text().await.unwrap(), good);
    let finished = lastfm
        .wait_for(SOON, |counts| counts.open == 0)
        .await
        .unwrap()
        .finished;
    assert_eq!(finished, 6);
}

#[tokio::test]
async fn a_client_that_goes_is_noticed() {
    let upstreams = upstreams().await;
    let deezer = upstreams.deezer();
    let url = format!("{}/search?q=jazz", deezer.origin());
    deezer.push(Fault::hang());
    let call = tokio::spawn(reqwest::get(url.clone()));
    deezer
        .wait_for(SOON, |counts| counts.open == 1)
        .await
        .unwrap();
    call.abort();
    deezer
        .wait_for(SOON, |counts| counts.cancelled == 1)
        .await
        .unwrap();
    deezer.push(Fault::hang_after(5));
    let mut body = reqwest::get(url).await.unwrap().bytes_stream();
    assert_eq!(body.next().await.unwrap().unwrap().len(), 5);
    drop(body);
    deezer
        .wait_for(SOON, |counts| counts.cancelled == 2)
        .await
        .unwrap();
    assert!(
        deezer
            .calls()
            .iter()
            .all(|call| call.ended.unwrap().1 == Outcome::Cancelled)
    );
}

/// A call of `trace`; its error where there is no answer.
async fn call_of(trace: &str, service: &Service) -> reqwest::Result<reqwest::Response> {
    let request = reqwest::Client::new().get(format!("{}/search?q=jazz", service.origin()));
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    request.send().await
}

#[tokio::test]
async fn one_trace_has_its_own_faults() {
    let upstreams = upstreams().await;
    let deezer = upstreams.deezer();
    let (ill, well) = ("0".repeat(31) + "1", "0".repeat(31) + "2");
    deezer.push(Fault::reset().of_trace(&ill));
    deezer.push(Fault::hang_after(1).of_trace(&ill));
    assert_eq!(call_of(&well, deezer).await.unwrap().status(), 200);
    // Nothing of an answer comes, not even a head.
    assert!(call_of(&ill, deezer).await.unwrap_err().is_request());
    let hanging = call_of(&ill, deezer).await.unwrap();
    assert_eq!(deezer.wait_for_end_of(&well, SOON).await, Ok(()));
    let short = Duration::from_millis(1);
    assert_eq!(deezer.wait_for_end_of(&ill, short).await, Err(1));
    drop(hanging);
    assert_eq!(deezer.wait_for_end_of(&ill, SOON).await, Ok(()));
}

#[tokio::test]
async fn other_languages_have_control_too() {
    let upstreams = upstreams().await;
    let deezer = upstreams.deezer();
    let client = reqwest::Client::new();
    let control = async |path: &str, body: Value| {
        let url = format!("{}/__control/{path}", deezer.origin());
        client
            .post(url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(
        control("push", json!({"code": 4, "path": "/search"})).await,
        204
    );
    assert_eq!(control("latency", json!(1)).await, 204);
    assert_eq!(get(deezer, "/search?q=jazz").await["error"]["code"], 4);
    assert_eq!(control("fault", json!({"status": 503})).await, 204);
    assert_eq!(control("fault", json!({"typo": 503})).await, 422);
    assert_eq!(get(deezer, "/__control/counts").await["started"], 1);
    assert_eq!(get(deezer, "/__control/calls").await[0]["path"], "/search");
    assert_eq!(control("reset", json!({})).await, 204);
    assert!(get(deezer, "/search?q=jazz").await["total"].is_u64());

    let accounts = upstreams.spotify_accounts().origin();
    let user = json!({"client": "app", "scope": "user-read-private"});
    let url = format!("{accounts}/__control/user");
    let granted: Value = client
        .post(url)
        .json(&user)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(granted["access_token"].is_string() && granted["refresh_token"].is_string());
    let change = json!({"lifetime_s": 2, "rotate": true, "expire": true});
    let response = client
        .post(format!("{accounts}/__control/tokens"))
        .json(&change);
    assert_eq!(response.send().await.unwrap().status(), 204);
}
