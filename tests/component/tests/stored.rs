//! A store that an earlier version has written, whose form nobody reads any more.
//!
//! `stores/` holds what it had there after logins, enrichments, chats, a stop, a
//! pause of an upstream and instances that died, on SQLite and on Redis (a line
//! for each key). It was written with a clock 20 years ahead, so that nothing has
//! expired; `sqlite.json` and `redis.json` hold what opened its sessions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Client;
use serde_json::{Value, json};
use spinlane_component_tests::chat::{last, prompt};
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::{Dj, repository, settled};
use spinlane_upstreams::anthropic::Script;

const OPERATOR: &str = "operator-operator-operator";

fn stores(name: &str) -> PathBuf {
    repository("tests/component/stores").join(name)
}

/// Starts the DJ on `store`.
async fn start(store: impl Into<PathBuf>) -> Dj {
    let variables = [("admin_token", OPERATOR), ("caller_limit", "20/10m")];
    Dj::start_public_on(store, &variables).await
}

async fn status_and_code(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.expect("JSON");
    (status, problem["code"].as_str().unwrap_or_default().into())
}

/// The sessions are ended, the cache knows nothing, and all goes on.
async fn answers(dj: &Dj, known: &Value) {
    let client = Client::new();
    for session in ["session", "ended"] {
        let session = known[session].as_str().expect("a session");
        let ask = client.get(dj.host.url("/api/auth/session"));
        let refused = status_and_code(ask.bearer_auth(session)).await;
        assert_eq!(refused, (401, "session_invalid".into()));
    }
    let page = known["page"].as_str().expect("a page");
    let (_, code) = page.split_once("auth_code=").expect("a code");
    let code = code.split('&').next();
    let exchange = client.post(dj.host.url("/api/auth/token"));
    let refused = status_and_code(exchange.json(&json!({"code": code}))).await;
    assert_eq!(refused, (400, "login_code".into()));

    let tracks = known["tracks"].as_array().expect("tracks").iter();
    let tracks: Vec<_> = tracks
        .map(|track| json!({"title": track[0], "artist": track[1]}))
        .collect();
    let enrich = client.post(dj.host.url("/api/enrich"));
    let enrich = enrich.header("accept", "application/json");
    let found = enrich.json(&json!({"tracks": tracks})).send().await;
    let found = found.expect("an answer");
    assert_eq!(found.status(), 200);
    let found: Value = found.json().await.expect("JSON");
    assert_eq!(found["skipped"], json!([]), "{found}");
    assert_eq!(dj.upstreams.lastfm().counts().started, tracks.len() as u64);
    assert!(dj.upstreams.deezer().counts().started >= tracks.len() as u64);

    dj.upstreams.anthropic().script(Script::text(["Hello."]));
    let frames = prompt(&dj.origin()).await.rest().await;
    assert_eq!(last(&frames), ("done", &Value::Null));
}

/// After the operator's sweep there is nothing of the old form.
async fn is_swept(dj: &Dj, old: &BTreeMap<String, Vec<u8>>) {
    let sweep = Client::new().post(dj.host.url("/api/admin/sweep"));
    let swept = sweep.header("x-admin-token", OPERATOR).send().await;
    let swept = swept.expect("an answer");
    assert_eq!(swept.status(), 200);
    let report: Value = swept.json().await.expect("JSON");
    assert_eq!(report["foreign"], 0, "{report}");
    settled(&dj.host).await;
    for (key, value) in dj.host.store().dump() {
        assert_ne!(old.get(&key), Some(&value), "{key} is left");
        match key.strip_prefix("~n:") {
            // Counters of periods, and of the index.
            Some(counter) => assert!(
                counter.contains('@') || counter.starts_with("~index:"),
                "{counter} is left"
            ),
            None if key.starts_with("~index:") => {}
            None => assert!(
                value.starts_with(b"{\"spinlane\":2,") || key.starts_with("~pause:"),
                "{key} is left"
            ),
        }
    }
}

fn known(name: &str) -> Value {
    let text = std::fs::read(stores(name)).expect("what is known of it");
    serde_json::from_slice(&text).expect("JSON")
}

async fn check(place: &Path, known: &Value) {
    let dj = start(place).await;
    let old = dj.host.store().dump();
    assert!(old.len() > 30, "{}", old.len());
    for begin in [
        "session:",
        "session-ended:",
        "bpm:",
        "cache-index:",
        "limits:",
        "~n:caller:",
    ] {
        assert!(old.keys().any(|key| key.starts_with(begin)), "{begin}");
    }
    answers(&dj, known).await;
    settled(&dj.host).await;
    is_swept(&dj, &old).await;
}

#[tokio::test]
async fn what_an_earlier_version_has_left_in_sqlite_is_nobodys_and_is_swept() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("store.db");
    std::fs::copy(stores("store.sqlite"), &file).expect("a copy");
    check(&file, &known("sqlite.json")).await;
}

#[tokio::test]
async fn what_an_earlier_version_has_left_in_redis_is_nobodys_and_is_swept() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let place = PathBuf::from(&redis.url);
    let dj = start(&place).await;
    let dump = std::fs::read_to_string(stores("redis.txt")).expect("the dump");
    for line in dump.lines() {
        let (key, value) = line.split_once('\t').expect("a key and a value");
        let value = value.replace("\\n", "\n").replace("\\\\", "\\");
        dj.host.store().put_raw(key, value);
    }
    drop(dj);
    check(&place, &known("redis.json")).await;
}
