//! A store that a release has written is read by those after it.
//!
//! `stores/` has a folder for each form of what is stored, called as the release that had
//! it first: all that was in the store (`store.txt`), what a user and a client knew of it
//! (`known.json`), and what a run had said (`run.txt`). It was written at a fixed time,
//! to which the component's clock is moved here.
//!
//! `SPINLANE_WRITE_STORE=NAME` writes another one. The present one stays as it is: it is
//! what is out there.

mod files;
mod writing;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::runs::{again, read, refused, run_of, sent};
use spinlane_component_tests::{Dj, OPERATOR, settled};
use tokio::sync::OnceCell;

use files::{Kept, Values};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How the host is set up that writes, and those that read.
const VARIABLES: [(&str, &str); 2] = [("admin_token", OPERATOR), ("caller_limit", "100/10m")];

/// The present release, at the time of the fixtures.
async fn present() -> Dj {
    let dj = Dj::start_public(&VARIABLES).await;
    files::to_their_time(&dj.host);
    dj
}

/// All that are kept, and first another one where that is asked for.
async fn all() -> Vec<Kept> {
    static WRITTEN: OnceCell<()> = OnceCell::const_new();
    let write = || async {
        if let Ok(name) = std::env::var("SPINLANE_WRITE_STORE") {
            writing::written(present().await).await.save(&name);
        }
    };
    WRITTEN.get_or_init(write).await;
    Kept::all()
}

/// The forms of values: of their first lines, and of what lies under them.
fn forms(values: &Values) -> Vec<String> {
    let header = |value: &Vec<u8>| -> Option<String> {
        let line = value.split(|byte| *byte == b'\n').next()?;
        let header: Value = serde_json::from_slice(line).ok()?;
        let part = |name: &str| header[name].clone();
        let form = [part("spinlane"), part("kind"), part("version"), part("is")];
        header.get("spinlane")?;
        Some(Value::from(form.to_vec()).to_string())
    };
    let mut forms: Vec<_> = values.values().filter_map(header).collect();
    forms.sort();
    forms.dedup();
    forms
}

/// Who changes the form of what is stored adds a fixture: by then the one before has to
/// be read, or to be known as nobody's.
#[tokio::test]
async fn the_present_release_writes_what_the_newest_fixture_has() {
    let newest = all().await.pop().expect("a fixture");
    let written = writing::written(present().await).await;
    let (was, is) = (forms(&newest.values), forms(&written.values));
    assert_eq!(is, was, "SPINLANE_WRITE_STORE=NAME writes another fixture");
    assert!(is.len() >= 10, "{is:?}");
}

#[tokio::test]
async fn what_a_release_has_written_in_sqlite_is_read() {
    for kept in all().await {
        let dj = present().await;
        kept.put_into(&dj.host, i64::to_le_bytes);
        is_read(&dj, &kept).await;
    }
}

#[tokio::test]
async fn what_a_release_has_written_in_redis_is_read() {
    for kept in all().await {
        let Some(redis) = Redis::start().await else {
            return;
        };
        let dj = Dj::start_public_on(PathBuf::from(&redis.url), &VARIABLES).await;
        files::to_their_time(&dj.host);
        kept.put_into(&dj.host, |count| count.to_string());
        is_read(&dj, &kept).await;
    }
}

async fn is_read(dj: &Dj, kept: &Kept) {
    dj.host.advance_wall_clock(2 * MINUTE);
    // Says that it is lost when nothing has moved for 20 s.
    let died = sent(again(&dj.origin(), kept.text("died"), 0)).await;
    let died = tokio::spawn(read(died, None));
    counters_mean_what_they_meant(dj, kept).await;
    sessions_are_as_they_were(dj, kept).await;
    cached_values_are_found(dj, kept).await;
    artists_are_known(dj).await;
    runs_are_read_again(dj, kept).await;
    let died = died.await.expect("it is read to its end");
    assert_eq!(died.last()["data"]["code"], "run_lost");
    assert!(died.frames.contains("the last word"), "{died:?}");
    settled(&dj.host).await;
    // By then: misses and runs are past, sessions are not; and at last everything is.
    is_swept(dj, kept, 13 * MINUTE, "2040-01-01T00:15:00.000Z").await;
    sessions_are_as_they_were(dj, kept).await;
    let left = is_swept(dj, kept, 98 * DAY, "2040-04-08T00:15:00.000Z").await;
    assert_eq!(left, Vec::<String>::new());
}

/// No lane is held by who has died, the pause goes on, and so does the caller's count.
async fn counters_mean_what_they_meant(dj: &Dj, kept: &Kept) {
    let status = Client::new().get(dj.host.url("/api/status"));
    let status = sent(status.header("x-admin-token", OPERATOR)).await;
    let status: Value = status.json().await.expect("JSON");
    let lanes = status["limits"]["lanes"].as_object().expect("lanes");
    for (name, lane) in lanes {
        assert_eq!(lane["held"], 0, "{name}: {lane}");
        let paused = lane["pausedForMs"].as_u64().unwrap_or_default();
        let expected = match name.as_str() {
            "lastfm" => 3_000_000..3_600_000,
            _ => 0..1,
        };
        assert!(expected.contains(&paused), "{name}: {lane}");
    }
    let (_, left) = writing::say(dj, kept.text("session"), &json!({"message": "hi"})).await;
    assert_eq!(left, kept.known["left"].as_u64().expect("a number") - 1);
}

async fn sessions_are_as_they_were(dj: &Dj, kept: &Kept) {
    let ask = |session: &str| {
        let ask = Client::new().get(dj.host.url("/api/auth/session"));
        ask.bearer_auth(session)
    };
    let session = sent(ask(kept.text("session"))).await;
    let session: Value = session.json().await.expect("JSON");
    assert_eq!(session, kept.known["user"]);
    let ended = refused(ask(kept.text("ended"))).await;
    assert_eq!(ended, (401, "session_invalid".into()));
}

/// There is and there is none, without a call.
async fn cached_values_are_found(dj: &Dj, kept: &Kept) {
    let found = writing::enriched(dj, &kept.known["tracks"]).await;
    assert_eq!(found, kept.known["enriched"]);
    let asked = [dj.upstreams.deezer(), dj.upstreams.lastfm()];
    assert_eq!(asked.map(|service| service.counts().started), [0, 0]);
}

/// No artist is asked for. (The application's own token is asked for anew: it is kept by
/// the address of the accounts service, which has another port here.)
async fn artists_are_known(dj: &Dj) {
    writing::recommend(&mut Browser::new(dj)).await;
    let calls = dj.upstreams.spotify().calls();
    let artists = calls
        .iter()
        .filter(|call| call.path.starts_with("/v1/artists/"));
    assert_eq!(artists.count(), 0, "{calls:?}");
}

/// Byte for byte: from the beginning, after a frame, and as the answer to the same prompt.
async fn runs_are_read_again(dj: &Dj, kept: &Kept) {
    let (origin, session, run) = (dj.origin(), kept.text("session"), kept.text("run"));
    let asked = dj.upstreams.anthropic().counts().started;
    let from = |after| sent(again(&origin, run, after).bearer_auth(session));
    let whole = read(from(0).await, None).await;
    assert_eq!(whole.frames, kept.run);
    assert!(whole.ended && whole.newest() > 64, "{}", whole.newest());
    let begin = kept.run.find("id: 70\n").expect("as many frames");
    assert_eq!(read(from(69).await, None).await.frames, kept.run[begin..]);
    assert_eq!(from(whole.newest()).await.status(), 204);
    let others = refused(again(&origin, run, 0)).await;
    assert_eq!(others, (404, "not_found".into()));
    let same = sent(writing::keyed(&origin, session)).await;
    assert_eq!(run_of(&same), run);
    assert_eq!(read(same, None).await.frames, kept.run);
    assert_eq!(dj.upstreams.anthropic().counts().started, asked);
}

/// After so much more time the operator's sweep leaves what goes on by `now`, and
/// nothing else. The counters that are left.
async fn is_swept(dj: &Dj, kept: &Kept, more: Duration, now: &str) -> Vec<String> {
    dj.host.advance_wall_clock(more);
    let sweep = Client::new().post(dj.host.url("/api/admin/sweep"));
    let report = sent(sweep.header("x-admin-token", OPERATOR)).await;
    let report: Value = report.json().await.expect("JSON");
    assert_eq!(report["foreign"], 0, "{report}");
    settled(&dj.host).await;
    let left = dj.host.store().dump();
    for (key, value) in &kept.values {
        let Some(end) = files::end_of(value) else {
            continue;
        };
        let goes_on = end.as_str() > now;
        assert_eq!(left.contains_key(key), goes_on, "{key}, {end}");
    }
    let counters = kept.counters.keys();
    let counters = counters.filter(|key| left.contains_key(*key));
    counters.cloned().collect()
}
