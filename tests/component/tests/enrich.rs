//! `POST /api/enrich`: tempo and tags of tracks, within the request's budget.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use spinlane_component_tests::chat::{Chat, last};
use spinlane_component_tests::{Dj, KEY, PATIENCE, settled};
use spinlane_upstreams::catalogue::{Catalogue, Track};
use spinlane_upstreams::{Fault, Service};

fn asked(catalogue: &Catalogue, track: &Track) -> Value {
    let artist = catalogue.artist_names(track).next().expect("an artist");
    json!({"id": track.id, "title": track.title, "artist": artist, "isrc": track.isrc,
        "durationMs": track.duration_ms})
}

/// The catalogue's first tracks, and after its end some that nobody knows.
fn tracks(dj: &Dj, count: usize) -> Value {
    let catalogue = dj.upstreams.catalogue();
    let known = catalogue.tracks.iter().map(|track| asked(catalogue, track));
    let unknown = (0..).map(|n| json!({"title": format!("Nothing {n}"), "artist": "Nobody"}));
    json!({"tracks": known.chain(unknown).take(count).collect::<Vec<_>>()})
}

async fn post(dj: &Dj, body: &Value, accept: &str) -> reqwest::Response {
    let request = reqwest::Client::new()
        .post(format!("{}/api/enrich", dj.origin()))
        .header("accept", accept)
        .json(body);
    request.send().await.expect("an answer")
}

/// What a run has found, and how it ended.
struct Run {
    result: Value,
    usage: Value,
}

impl Run {
    /// From a stream, whose frames are looked at.
    async fn streamed(dj: &Dj, body: &Value) -> Self {
        let mut stream = Chat::read(post(dj, body, "*/*").await);
        let frames = stream.rest().await;
        assert_eq!(last(&frames), ("done", &Value::Null));
        let mut kinds: Vec<_> = frames.iter().map(|frame| frame.kind.as_str()).collect();
        kinds.retain(|kind| *kind != "thinking");
        kinds.dedup();
        assert_eq!(kinds, ["run", "progress", "result", "usage", "done"]);
        let data = |kind: &str| {
            let frame = frames.iter().find(|frame| frame.kind == kind);
            frame.expect("one of each").data.clone()
        };
        let (result, usage) = (data("result"), data("usage"));
        Self { result, usage }
    }

    /// From a document.
    async fn document(dj: &Dj, body: &Value) -> Self {
        let response = post(dj, body, "application/json").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        let text = response.text().await.expect("a whole answer");
        assert!(!text.contains(KEY), "the key is in the answer");
        let result: Value = serde_json::from_str(&text).expect("JSON");
        let usage = result["usage"].clone();
        Self { result, usage }
    }

    fn skipped(&self) -> &[Value] {
        self.result["skipped"].as_array().expect("a list")
    }

    fn bpms(&self) -> Vec<Option<f64>> {
        let tracks = self.result["tracks"].as_array().expect("a list");
        tracks.iter().map(|track| track["bpm"].as_f64()).collect()
    }
}

fn started(dj: &Dj) -> (u64, u64) {
    let started = |service: &Service| service.counts().started;
    (
        started(dj.upstreams.deezer()),
        started(dj.upstreams.lastfm()),
    )
}

#[tokio::test]
async fn tempo_and_tags_are_those_of_the_catalogue() {
    let dj = Dj::start(&[]).await;
    let body = tracks(&dj, 40);
    let run = Run::streamed(&dj, &body).await;
    assert_eq!(run.skipped(), [] as [Value; 0]);
    assert_eq!(run.result["notes"], json!([]));
    let known = dj.upstreams.catalogue().tracks.iter();
    for (track, found) in known.zip(run.result["tracks"].as_array().unwrap()) {
        let bpm = track
            .deezer
            .as_ref()
            .map(|known| known.bpm)
            .filter(|bpm| *bpm > 0.0);
        let apart = bpm.unwrap_or(0.0) - found["bpm"].as_f64().unwrap_or(0.0);
        assert!(apart.abs() < 0.01, "{bpm:?} {found}");
        let listeners = track.lastfm.as_ref().map(|known| known.listeners);
        assert_eq!(found["listeners"].as_u64(), listeners, "{found}");
        assert_eq!(found["id"], track.id.as_str());
    }
    let (deezer, lastfm) = started(&dj);
    assert_eq!(run.usage["upstreamCalls"], deezer + lastfm);
    assert!(lastfm == 40 && deezer >= 40, "{deezer} {lastfm}");

    // Once more, as one document: all is known.
    let again = Run::document(&dj, &body).await;
    assert_eq!(started(&dj), (deezer, lastfm));
    assert_eq!(again.result["tracks"], run.result["tracks"]);
    assert_eq!(again.usage["upstreamCalls"], 0);
    let logs = dj.host.logs();
    assert!(
        !logs.iter().any(|line| line.contains(KEY)),
        "the key is in the log"
    );
}

#[tokio::test]
async fn five_hundred_tracks_on_a_budget() {
    let dj = Dj::start(&[("subrequest_budget", "200")]).await;
    let body = tracks(&dj, 500);
    let mut before = (0, 0);
    let mut skipped = usize::MAX;
    let mut known = BTreeSet::new();
    while skipped > 0 {
        let run = Run::streamed(&dj, &body).await;
        let after = started(&dj);
        let (deezer, lastfm) = (after.0 - before.0, after.1 - before.1);
        before = after;
        assert!(deezer <= 95 && lastfm <= 95, "{deezer} {lastfm}");
        assert_eq!(run.usage["upstreamCalls"], deezer + lastfm);
        for skipped in run.skipped() {
            assert_eq!(skipped["reason"], "budget");
            let index = skipped["index"].as_u64().unwrap() as usize;
            assert_eq!(skipped["title"], body["tracks"][index]["title"]);
            assert!(["bpm", "tags"].contains(&skipped["what"].as_str().unwrap()));
        }
        assert!(
            run.skipped().len() < skipped,
            "each run goes on from the last"
        );
        skipped = run.skipped().len();
        // What was known stays known.
        let found = run.bpms().into_iter().enumerate();
        let found: BTreeSet<_> = found.filter_map(|(at, bpm)| bpm.map(|_| at)).collect();
        assert!(found.is_superset(&known));
        known = found;
    }
    let run = Run::streamed(&dj, &body).await;
    assert_eq!((run.skipped().len(), started(&dj)), (0, before));
    assert!(known.len() > 250, "{}", known.len());
}

/// What an upstream does wrong, and the reason that is given; `None` where it
/// only knows nothing.
fn faults(own_codes: [(u32, Option<&'static str>); 2]) -> Vec<(Fault, Option<&'static str>)> {
    let failed = Some("upstream_failed");
    let mut faults = vec![
        (Fault::status(401), failed),
        (Fault::status(404), None),
        (Fault::status(429), Some("rate_limited")),
        (Fault::status(429).retry_after(600), Some("rate_limited")),
        (Fault::status(500), failed),
        (Fault::hang(), failed),
        (Fault::hang_after(10), failed),
        (Fault::garbage(), failed),
        (Fault::raw("text/html", "<html>"), failed),
        (Fault::cut_after(10), failed),
    ];
    let codes = own_codes.map(|(code, reason)| (Fault::code(code), reason));
    faults.extend(codes);
    faults
}

/// Lets an upstream fail in every way, each time with tracks of its own.
async fn matrix(
    service: impl Fn(&Dj) -> &Service,
    what: &str,
    faults: Vec<(Fault, Option<&'static str>)>,
) {
    // Long enough for a busy machine: the other upstream is in good health.
    let dj = Dj::start(&[("upstream_timeouts_ms", "5000,3000,3000")]).await;
    let service = service(&dj);
    let all = tracks(&dj, 6 * faults.len());
    let all = all["tracks"].as_array().unwrap().chunks(6);
    for ((fault, reason), tracks) in faults.into_iter().zip(all) {
        let body = json!({"tracks": tracks});
        service.fault(fault.clone());
        let run = Run::streamed(&dj, &body).await;
        for skipped in run.skipped() {
            assert_eq!(skipped["what"], what, "{fault:?}: {skipped}");
            assert_eq!(skipped["reason"].as_str(), reason, "{fault:?}");
        }
        let expected = if reason.is_some() { (6, 1) } else { (0, 0) };
        let notes = run.result["notes"].as_array().unwrap();
        assert_eq!((run.skipped().len(), notes.len()), expected, "{fault:?}");
        // Nothing is left open.
        let closed = service.wait_for(PATIENCE, |counts| counts.open == 0);
        closed.await.expect("no call under way");
        settled(&dj.host).await;
        // Nothing of it was remembered, but pauses, and misses for five minutes.
        service.heal();
        dj.host.advance_wall_clock(Duration::from_secs(700));
        if reason.is_some() {
            let run = Run::streamed(&dj, &body).await;
            assert_eq!(run.skipped(), [] as [Value; 0], "{fault:?}");
        }
    }
}

#[tokio::test]
async fn whatever_deezer_does_the_tags_are_found() {
    let codes = [(4, Some("rate_limited")), (800, None)];
    matrix(|dj| dj.upstreams.deezer(), "bpm", faults(codes)).await;
}

#[tokio::test]
async fn whatever_lastfm_does_the_tempo_is_found() {
    let codes = [(29, Some("rate_limited")), (10, Some("upstream_failed"))];
    matrix(|dj| dj.upstreams.lastfm(), "tags", faults(codes)).await;
}

#[tokio::test]
async fn when_the_client_goes_the_calls_end() {
    for accept in ["application/json", "text/event-stream"] {
        let dj = Dj::start(&[]).await;
        let (deezer, lastfm) = (dj.upstreams.deezer(), dj.upstreams.lastfm());
        deezer.fault(Fault::hang());
        lastfm.fault(Fault::hang());
        let response = post(&dj, &tracks(&dj, 30), accept).await;
        let open = deezer.wait_for(PATIENCE, |counts| counts.open > 0).await;
        open.expect("a call to Deezer");
        drop(response);
        let within = Duration::from_secs(3);
        let ended = dj
            .host
            .wait_for_instances(within, |instances| instances.live == 0);
        assert_eq!(
            ended.await.map(|instances| instances.trapped),
            Ok(0),
            "{accept}"
        );
        for service in [deezer, lastfm] {
            let counts = service.wait_for(within, |counts| counts.open == 0).await;
            assert_eq!(counts.map(|counts| counts.finished), Ok(0), "{accept}");
        }
    }
}

#[tokio::test]
async fn without_a_key_lastfm_is_not_asked() {
    let dj = Dj::start(&[("lastfm_api_key", "")]).await;
    let run = Run::document(&dj, &tracks(&dj, 5)).await;
    assert_eq!(run.result["notes"][0]["code"], "not_configured");
    assert_eq!(
        run.result["notes"][0]["context"]["variable"],
        "lastfm_api_key"
    );
    assert_eq!(started(&dj).1, 0);
}
