//! Enrichment against upstreams in virtual time.

mod route;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::report::{Skipped, What};
use super::*;
use crate::error::code;
use crate::music::ArtistRef;
use crate::testing::{Reply, Seen, Stage, nobody};
use spinlane_core::abort::AbortSignal;
use spinlane_core::ports::{Clock, HttpError, TimeoutPhase};
use spinlane_core::scope::Scope;

const DEEZER: &str = "api.deezer.com";
const LASTFM: &str = "ws.audioscrobbler.com";

/// Track `n` of a catalogue: of ten, Deezer knows eight by ISRC, one by name
/// only, and one not at all; Last.fm does not know every seventh.
fn track(n: usize) -> Track {
    Track {
        id: format!("t{n}"),
        title: format!("Song {n}"),
        artists: vec![ArtistRef {
            id: String::new(),
            name: format!("Artist {}", n % 40),
        }],
        isrc: Some(format!("ZZA2325{n:05}")),
        ..Track::default()
    }
}

fn tracks(count: usize) -> Vec<Track> {
    (0..count).map(track).collect()
}

fn bpm(n: usize) -> Option<f32> {
    (n % 10 != 5).then_some(60.0 + (n % 100) as f32)
}

fn no_data() -> Reply {
    Reply::Json(
        200,
        json!({"error": {"type": "DataException", "message": "no data", "code": 800}}),
    )
}

fn deezer(seen: &Seen) -> Reply {
    let number = |text: &str| text.parse::<usize>().unwrap();
    let known = |n: usize| {
        let artist = json!({"name": format!("artist {}", n % 40)});
        json!({"id": n, "title": format!("Song {n}"), "artist": artist, "duration": 200, "bpm": bpm(n)})
    };
    if let Some(isrc) = seen.path.strip_prefix("/track/isrc:ZZA2325") {
        let n = number(isrc);
        return match n % 5 {
            0 => no_data(),
            _ => Reply::Json(200, known(n)),
        };
    }
    if let Some(id) = seen.path.strip_prefix("/track/") {
        return Reply::Json(200, known(number(id)));
    }
    assert_eq!(seen.path, "/search");
    let query = seen.field("q");
    let title = query
        .rsplit("track:\"")
        .next()
        .unwrap()
        .trim_end_matches('"');
    let n = number(title.strip_prefix("Song ").unwrap());
    let found: Vec<Value> = bpm(n).map(|_| known(n)).into_iter().collect();
    Reply::Json(200, json!({"data": found, "total": found.len()}))
}

fn lastfm(seen: &Seen) -> Reply {
    let n: usize = seen
        .field("track")
        .strip_prefix("Song ")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(seen.field("api_key"), "lastfm-key");
    if n.is_multiple_of(7) {
        return Reply::Json(200, json!({"error": 6, "message": "Track not found"}));
    }
    let tags = json!({"tag": [{"name": "Soul"}, {"name": format!("tag {n}")}]});
    let (name, artist) = (seen.field("track"), json!({"name": seen.field("artist")}));
    Reply::Json(
        200,
        json!({"track": {"name": name, "artist": artist, "listeners": n.to_string(),
            "playcount": "9", "toptags": tags}}),
    )
}

fn catalogue(seen: &Seen) -> Reply {
    match seen.host.as_str() {
        DEEZER => deezer(seen),
        LASTFM => lastfm(seen),
        host => panic!("{host}"),
    }
}

fn stage(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Stage {
    Stage::new(&[], answer)
}

/// Enriches in a request with `budget` calls, and tells what is left of it.
fn run(stage: &Stage, budget: u32, tracks: &[Track]) -> (Report, u32) {
    let budget = Budget::new(budget);
    let scope = Arc::new(Scope::new("r", budget.clone(), AbortSignal::never()));
    let observer = nobody();
    let report = enrich(&stage.app, &observer, tracks, &|_, _, _| {});
    let report = stage.world.run(scope::run(scope, report));
    stage.world.drain();
    (report, budget.used())
}

fn calls(stage: &Stage) -> (usize, usize) {
    let seen = stage.take();
    let count = |host| seen.iter().filter(|seen| seen.host == host).count();
    (count(DEEZER), count(LASTFM))
}

#[test]
fn tempo_and_tags_are_found() {
    let stage = stage(catalogue);
    let tracks = tracks(20);
    let (report, used) = run(&stage, 950, &tracks);
    assert_eq!((report.skipped, report.notes), (vec![], vec![]));
    for (n, found) in report.tracks.iter().enumerate() {
        assert_eq!((&found.track, found.bpm), (&tracks[n], bpm(n)), "{n}");
        let tags = (n % 7 != 0).then(|| vec!["soul".to_owned(), format!("tag {n}")]);
        assert_eq!(found.tags, tags.unwrap_or_default());
        assert_eq!(found.listeners, (n % 7 != 0).then_some(n as u64));
    }
    // 16 by ISRC; 4 not by it, of which 2 are found by name.
    assert_eq!(calls(&stage), (16 + 4 + 2 * 2 + 2, 20));
    assert_eq!(used, 46);
}

#[test]
fn what_is_known_costs_nothing() {
    let mut stage = stage(catalogue);
    let tracks = tracks(30);
    let (first, _) = run(&stage, 950, &tracks);
    stage.take();
    let (second, used) = run(&stage, 950, &tracks);
    assert_eq!((first.clone(), used), (second, 0));
    assert_eq!(calls(&stage), (0, 0));
    // Another instance, and a track that its sender knows less about.
    stage.restart(&[]);
    let mut bare = tracks;
    bare.iter_mut().for_each(|track| track.isrc = None);
    let (third, used) = run(&stage, 950, &bare);
    assert_eq!(used, 0);
    let known = |report: &Report| {
        report
            .tracks
            .iter()
            .map(|track| track.bpm)
            .collect::<Vec<_>>()
    };
    assert_eq!(known(&first), known(&third));
}

#[test]
fn what_is_not_known_is_asked_again_after_five_minutes() {
    let stage = stage(catalogue);
    let tracks = [track(5), track(7)];
    run(&stage, 950, &tracks);
    stage.take();
    stage.world.clock.advance(Duration::from_secs(299));
    run(&stage, 950, &tracks);
    assert_eq!(calls(&stage), (0, 0));
    stage.world.clock.advance(Duration::from_secs(2));
    run(&stage, 950, &tracks);
    // The tempo by ISRC and by name; the tags.
    assert_eq!(calls(&stage), (2, 1));
    stage.world.clock.advance(Duration::from_secs(70 * 86_400));
    run(&stage, 950, &[track(7)]);
    assert_eq!(calls(&stage), (0, 1), "what was found is kept");
}

#[test]
fn the_budget_is_shared_and_what_it_cuts_is_named() {
    let stage = stage(catalogue);
    let tracks = tracks(500);
    let mut runs = 0;
    let mut left = usize::MAX;
    loop {
        let (report, used) = run(&stage, 200, &tracks);
        let (deezer, lastfm) = calls(&stage);
        assert!(deezer <= 95 && lastfm <= 95, "{deezer} {lastfm}");
        assert_eq!(
            used as usize,
            deezer + lastfm,
            "what was set aside is given back"
        );
        assert_eq!(report.tracks.len(), 500);
        assert!(report.notes.is_empty());
        let mut last = None;
        for skipped in &report.skipped {
            assert_eq!(skipped.reason, SkipReason::Budget);
            assert_eq!(skipped.id, format!("t{}", skipped.index));
            assert!(last <= Some(skipped.index), "in order");
            last = Some(skipped.index);
            let track = &report.tracks[skipped.index];
            match skipped.what {
                What::Bpm => assert_eq!(track.bpm, None),
                What::Tags => assert!(track.tags.is_empty()),
            }
        }
        // Nothing was begun that was not finished.
        let skipped = |what, n| {
            let mut skipped = report.skipped.iter();
            skipped.any(|skipped| skipped.what == what && skipped.index == n)
        };
        for n in 0..500 {
            assert_eq!(
                report.tracks[n].bpm.is_some(),
                bpm(n).is_some() && !skipped(What::Bpm, n)
            );
        }
        assert!(
            report.skipped.len() < left,
            "each run goes on from the last"
        );
        left = report.skipped.len();
        runs += 1;
        if left == 0 {
            break;
        }
    }
    // 500 + 100 + 100 + 50 calls to Deezer at no more than 95 a run.
    assert!((7..=9).contains(&runs), "{runs}");
    let (report, used) = run(&stage, 200, &tracks);
    assert_eq!((report.skipped.len(), used, calls(&stage)), (0, 0, (0, 0)));
}

#[test]
fn a_track_is_begun_only_when_it_can_be_finished() {
    for budget in 0..12 {
        let stage = stage(catalogue);
        // Each takes three calls, or two without an ISRC.
        let tracks: Vec<_> = [0, 10, 20].map(track).into();
        let (report, _) = run(&stage, budget * 2, &tracks);
        let (deezer, _) = calls(&stage);
        let found = report
            .tracks
            .iter()
            .filter(|track| track.bpm.is_some())
            .count();
        let share = (budget * 2 - budget * 2 / 10) as usize / 2;
        assert_eq!((found, deezer), ((share / 3).min(3), found * 3), "{budget}");
    }
}

#[test]
fn repeated_attempts_take_nothing_from_what_was_begun() {
    // Every first attempt fails.
    let failed = Mutex::new(std::collections::BTreeSet::new());
    let stage = stage(move |seen| {
        let key = format!("{}{}{:?}", seen.host, seen.path, seen.query);
        match failed.lock().unwrap().insert(key) {
            true => Reply::Text(503, ""),
            false => catalogue(seen),
        }
    });
    let (report, used) = run(&stage, 40, &tracks(40));
    assert!(used <= 36);
    let upstream = |skipped: &&Skipped| skipped.reason == SkipReason::UpstreamFailed;
    let begun = 40 * 2 - report.skipped.len();
    assert!(begun > 0);
    // The last ones have no calls for a second attempt: they say so.
    assert!(report.skipped.iter().filter(upstream).count() <= 20);
    let (again, _) = run(&stage, 950, &tracks(40));
    assert!(again.skipped.is_empty());
}

#[test]
fn the_same_track_is_looked_up_once() {
    let stage = stage(catalogue);
    let tracks = [1, 2, 1, 1, 2].map(track);
    let (report, _) = run(&stage, 950, &tracks);
    assert_eq!(calls(&stage), (2, 2));
    let bpms: Vec<_> = report.tracks.iter().map(|track| track.bpm).collect();
    assert_eq!(bpms, [1, 2, 1, 1, 2].map(bpm));
    assert_eq!(report.tracks[3].tags, report.tracks[0].tags);
}

#[test]
fn ten_at_a_time() {
    let stage = stage(|seen| Reply::After(Duration::from_secs(1), Box::new(catalogue(seen))));
    let began = stage.world.clock.now();
    run(
        &stage,
        950,
        &[1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18].map(track),
    );
    // Of both upstreams: an instance has ten launches at a time.
    let seen = stage.seen();
    let mut starts: Vec<_> = seen.iter().map(|seen| seen.at).collect();
    starts.sort();
    let second = Duration::from_secs(1);
    assert!(
        starts[9] < starts[0] + second && starts[10] >= starts[0] + second,
        "{starts:?}"
    );
    assert!(stage.world.clock.now() - began < Duration::from_secs(5));
}

#[test]
fn without_a_key_lastfm_is_off_and_all_calls_are_deezers() {
    let mut stage = stage(catalogue);
    stage.restart(&[("lastfm_api_key", "")]);
    let (report, _) = run(&stage, 40, &tracks(40));
    let (deezer, lastfm) = calls(&stage);
    assert!((30..=36).contains(&deezer), "{deezer}");
    assert_eq!(lastfm, 0);
    let [note] = &report.notes[..] else {
        panic!("{:?}", report.notes)
    };
    assert_eq!(note.code, code::NOT_CONFIGURED);
    assert!(
        report
            .skipped
            .iter()
            .all(|skipped| skipped.what == What::Bpm)
    );
}

/// All that an upstream can do wrong, and what is said about it.
fn faults() -> Vec<(&'static str, Reply, SkipReason)> {
    let status = |status| Reply::Text(status, "<html>no</html>");
    let deezer = |code: i64| json!({"error": {"type": "X", "message": "m", "code": code}});
    let lastfm = |code: i64| json!({"error": code, "message": "m"});
    let timeout = |phase| Reply::Fail(HttpError::Timeout(phase));
    let failed = SkipReason::UpstreamFailed;
    let limited = SkipReason::RateLimited;
    vec![
        ("401", status(401), failed),
        ("429", status(429), limited),
        ("429, long pause", Reply::RetryAfter(429, 3_000), limited),
        ("500", status(500), failed),
        ("503", status(503), failed),
        ("302", status(302), failed),
        (
            "refused",
            Reply::Fail(HttpError::Connect("no".into())),
            failed,
        ),
        ("denied", Reply::Fail(HttpError::Denied), failed),
        ("silent", timeout(TimeoutPhase::FirstByte), failed),
        ("stuck", timeout(TimeoutPhase::Idle), failed),
        ("garbage", Reply::Text(200, "<html>"), failed),
        ("another shape", Reply::Text(200, "[]"), failed),
        ("cut", Reply::Cut("{\"id\": 1, "), failed),
        ("quota of Deezer", Reply::Json(200, deezer(4)), limited),
        ("Deezer is busy", Reply::Json(200, deezer(700)), limited),
        (
            "a strange error of Deezer",
            Reply::Json(200, deezer(9_999)),
            failed,
        ),
        ("rate of Last.fm", Reply::Json(200, lastfm(29)), limited),
        ("key of Last.fm", Reply::Json(403, lastfm(10)), failed),
        ("Last.fm is offline", Reply::Json(200, lastfm(11)), limited),
    ]
}

#[test]
fn a_fault_of_one_upstream_does_not_touch_the_other() {
    for host in [DEEZER, LASTFM] {
        for (name, fault, reason) in faults() {
            if name.contains("Deezer") && host == LASTFM
                || name.contains("Last.fm") && host == DEEZER
            {
                continue;
            }
            let reply = fault.clone();
            let stage = stage(move |seen| match seen.host == host {
                true => reply.clone(),
                false => catalogue(seen),
            });
            let tracks = tracks(60);
            let began = stage.world.clock.now();
            let (report, _) = run(&stage, 950, &tracks);
            let took = stage.world.clock.now() - began;
            let ours = if host == DEEZER {
                What::Bpm
            } else {
                What::Tags
            };
            assert_eq!(report.skipped.len(), 60, "{host}, {name}");
            for skipped in &report.skipped {
                assert_eq!(
                    (skipped.what, skipped.reason),
                    (ours, reason),
                    "{host}, {name}"
                );
            }
            let good = report.tracks.iter().filter(|track| match host {
                DEEZER => !track.tags.is_empty(),
                _ => track.bpm.is_some(),
            });
            assert_eq!(
                good.count(),
                if host == DEEZER { 51 } else { 54 },
                "{host}, {name}"
            );
            // It is left alone soon, and what is wrong is said once.
            let (deezer, lastfm) = calls(&stage);
            let called = if host == DEEZER { deezer } else { lastfm };
            // Ten at a time, and four more before the fifth has failed.
            assert!(called <= 3 * 14, "{host}, {name}: {called}");
            let [note] = &report.notes[..] else {
                panic!("{host}, {name}: {:?}", report.notes)
            };
            assert_eq!(
                note.context["upstream"],
                if host == DEEZER { "deezer" } else { "lastfm" }
            );
            assert!(!note.message.is_empty() && !note.message.contains("lastfm-key"));
            assert!(took < Duration::from_secs(60), "{host}, {name}: {took:?}");
            // Nothing of it was kept: afterwards all is found.
            assert!(
                report
                    .tracks
                    .iter()
                    .all(|track| track.track.title.starts_with("Song"))
            );
        }
    }
}

#[test]
fn an_upstream_that_recovers_goes_on() {
    let count = AtomicUsize::new(0);
    let stage = stage(move |seen| match count.fetch_add(1, Ordering::SeqCst) % 4 {
        1 => Reply::Text(500, ""),
        2 => Reply::Fail(HttpError::Broken("reset".into())),
        _ => catalogue(seen),
    });
    let (report, _) = run(&stage, 950, &tracks(100));
    assert!(report.skipped.len() < 40, "{}", report.skipped.len());
    for _ in 0..5 {
        run(&stage, 950, &tracks(100));
    }
    let (report, _) = run(&stage, 950, &tracks(100));
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    let found = report.tracks.iter().filter(|track| track.bpm.is_some());
    assert_eq!(found.count(), 90);
}

/// Earlier versions took whatever they were answered: what they have kept is
/// asked for anew.
#[test]
fn what_earlier_versions_have_kept_is_not_believed() {
    use crate::stored::earlier::{BPM, LASTFM};
    use spinlane_core::cache::Key;
    let stage = stage(catalogue);
    let track = track(1);
    let isrc = track.isrc.clone().unwrap();
    stage.world.run(async {
        let old = stage.app.cache.typed::<f32>(&BPM);
        old.put(&Key::exact(["isrc", &isrc]), Some(&99.0)).await;
        let tags = json!({"tags": ["wrong"], "listeners": 1, "playcount": 1});
        let old = stage.app.cache.typed::<Value>(&LASTFM);
        let key = Key::new([track.artist(), &track.title]);
        old.put(&key, Some(&tags)).await;
    });
    stage.world.drain();
    let (report, _) = run(&stage, 950, std::slice::from_ref(&track));
    assert_eq!(report.tracks[0].bpm, bpm(1));
    assert_eq!(report.tracks[0].tags, ["soul", "tag 1"]);
    assert_eq!(calls(&stage), (1, 1));
}

/// A tempo in the cache is that of a recording: who asks for another one by the
/// same code, or by the same name and with another length, does not get it.
#[test]
fn what_is_kept_is_of_one_recording() {
    let stage = stage(catalogue);
    let named = |title: &str, seconds: Option<u64>, isrc: bool| {
        let mut track = track(1);
        track.title = title.into();
        track.duration_ms = seconds.map(|seconds| seconds * 1_000);
        track.isrc = track.isrc.filter(|_| isrc);
        track
    };
    let asked = |track: Track| run(&stage, 950, &[track]).0.tracks[0].bpm;
    assert_eq!(asked(named("Song 1", Some(200), true)), bpm(1));
    // It has this code, and a length of 200 s.
    assert_eq!(asked(named("Song 1", Some(300), true)), None);
    assert_eq!(asked(named("Song 1", Some(300), false)), None);
    assert_eq!(asked(named("Song 1", Some(200), false)), bpm(1));
    // The code is of this artist's, but no proof that the name is.
    assert_eq!(asked(named("Song 7", None, true)), bpm(1));
    assert_eq!(
        asked(named("Song 7", None, false)),
        bpm(7).filter(|_| false)
    );
}

#[test]
fn failures_are_not_remembered() {
    let fail = Arc::new(AtomicUsize::new(1));
    let stage = {
        let fail = Arc::clone(&fail);
        stage(move |seen| match fail.load(Ordering::SeqCst) {
            1 => Reply::Text(500, ""),
            _ => catalogue(seen),
        })
    };
    let (report, _) = run(&stage, 950, &tracks(4));
    assert_eq!(report.skipped.len(), 8);
    fail.store(0, Ordering::SeqCst);
    let (report, _) = run(&stage, 950, &tracks(4));
    assert!(report.skipped.is_empty());
}

#[test]
fn a_deadline_ends_it_with_what_there_is() {
    let stage = stage(|seen| Reply::After(Duration::from_secs(2), Box::new(catalogue(seen))));
    let deadline = stage.world.clock.now() + Duration::from_secs(5);
    let all = tracks(100);
    let observer = nobody();
    let report = enrich_until(&stage.app, &observer, &all, &|_, _, _| {}, Some(deadline));
    let report = stage.world.run(report);
    assert_eq!(stage.world.clock.now(), deadline);
    assert!(report.ended_early());
    // Of both upstreams, which share the launches of an instance.
    let tracks = report.tracks.iter();
    let found =
        tracks.map(|track| usize::from(track.bpm.is_some()) + usize::from(!track.tags.is_empty()));
    let found: usize = found.sum();
    assert!((10..=20).contains(&found), "{found}");
    let late = |skipped: &Skipped| skipped.reason == SkipReason::Deadline;
    assert!(report.skipped.iter().all(late));
}

#[test]
fn progress_goes_from_nothing_to_all() {
    let stage = stage(catalogue);
    let steps = Mutex::new(Vec::new());
    let note =
        |done, total, label: &str| steps.lock().unwrap().push((done, total, label.to_owned()));
    let all = tracks(30);
    let observer = nobody();
    stage.world.run(enrich(&stage.app, &observer, &all, &note));
    let steps = steps.lock().unwrap();
    assert_eq!((steps[0].0, steps.last().unwrap().0), (0, 60));
    assert!(
        steps
            .iter()
            .all(|(_, total, label)| *total == 60 && !label.is_empty())
    );
    assert!(steps.iter().map(|(done, ..)| done).is_sorted());
}

#[test]
fn dropping_it_ends_the_calls() {
    let stage = stage(|seen| Reply::After(Duration::from_secs(600), Box::new(catalogue(seen))));
    let (all, observer) = (tracks(30), nobody());
    let clock = stage.world.clock.clone();
    stage.world.run(async {
        let work = enrich(&stage.app, &observer, &all, &|_, _, _| {});
        let patience = clock.sleep(Duration::from_secs(3));
        futures::future::select(Box::pin(work), patience).await;
    });
    let before = stage.seen().len();
    stage.world.drain();
    assert_eq!(stage.seen().len(), before);
    assert!((10..=20).contains(&before), "{before}");
    assert_eq!(stage.app.upstreams().global().in_flight, 0);
}
