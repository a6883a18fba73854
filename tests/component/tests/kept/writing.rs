//! Everything that the application writes, on a store of its own.

use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use spinlane_component_tests::browser::{Browser, tool_end, use_tool};
use spinlane_component_tests::runs::{Text, prompt, read, run_of, sent};
use spinlane_component_tests::{Dj, PATIENCE, settled};
use spinlane_upstreams::Fault;
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::catalogue::DEMO_PLAYLIST;

use super::files::Kept;

/// Tracks of the catalogue that are asked for.
const TRACKS: usize = 3;

/// What is said with `session`, and what is left of the caller's quota.
pub(crate) async fn say(dj: &Dj, session: &str, body: &Value) -> (Text, u64) {
    dj.upstreams.anthropic().script(Script::text(["Hello."]));
    let answer = sent(prompt(&dj.origin(), body).bearer_auth(session)).await;
    let quota = answer.headers()["ratelimit"].to_str().expect("text");
    let (_, left) = quota.split_once(";r=").expect("what is left");
    let left = left.split(';').next().and_then(|left| left.parse().ok());
    let left = left.expect("a number");
    (read(answer, None).await, left)
}

/// The prompt that has a key.
pub(crate) fn keyed(origin: &str, session: &str) -> RequestBuilder {
    let request = prompt(origin, &json!({"message": "Count to a hundred."}));
    let request = request.bearer_auth(session);
    request.header("idempotency-key", "the-key-of-this-prompt")
}

/// What is found of `tracks`.
pub(crate) async fn enriched(dj: &Dj, tracks: &Value) -> Value {
    let request = Client::new().post(dj.host.url("/api/enrich"));
    let request = request.header("accept", "application/json");
    let found = sent(request.json(&json!({"tracks": tracks}))).await;
    assert_eq!(found.status(), 200);
    let found: Value = found.json().await.expect("JSON");
    json!({"tracks": found["tracks"], "skipped": found["skipped"]})
}

/// Lets the model look for what goes with a playlist, by the genres of its artists.
pub(crate) async fn recommend(browser: &mut Browser<'_>) {
    let input = json!({"playlistId": DEMO_PLAYLIST, "limit": 5});
    let prompt = json!({"message": "What goes with it?"});
    let frames = use_tool(browser, &prompt, "get_recommendations", input).await;
    let ended = tool_end(&frames);
    assert_ne!(ended["error"], true, "{ended}");
}

/// Lets `dj` write all that it can, and ends it in the midst of a run.
pub(crate) async fn written(dj: Dj) -> Kept {
    let origin = dj.origin();
    let (session, ended) = sessions(&dj).await;
    let (run, text) = counted(&dj, &session).await;
    // It has ended: what is raised is kept all the same.
    let stop = format!("{origin}/api/chat-stream/{run}/stop");
    let stop = sent(Client::new().post(stop).bearer_auth(&session)).await;
    assert_eq!(stop.status(), 204);
    recommend(&mut Browser::new(&dj)).await;
    let tracks = tracks(&dj);
    let enriched = enriched(&dj, &tracks).await;
    assert_eq!(enriched["skipped"], json!([]));
    pause(&dj).await;
    let user = Client::new().get(format!("{origin}/api/auth/session"));
    let user: Value = sent(user.bearer_auth(&session))
        .await
        .json()
        .await
        .expect("JSON");
    let (_, left) = say(&dj, &session, &json!({"message": "hello"})).await;
    settled(&dj.host).await;
    let died = died(&dj).await;
    let store = dj.host.store().clone();
    drop(dj);
    let known = json!({"session": session, "ended": ended, "user": user, "left": left,
        "run": run, "died": died, "tracks": tracks, "enriched": enriched});
    Kept::new(store.dump(), known, text)
}

/// A session, and one that was ended.
async fn sessions(dj: &Dj) -> (String, String) {
    let session = Browser::new(dj).log_in().await;
    let mut other = Browser::new(dj);
    let ended = other.log_in().await;
    let gone = other.post("/api/auth/logout", &json!({})).await;
    assert_eq!(gone.status(), 204);
    (session, ended)
}

/// A run of more than a segment, and what it has said.
async fn counted(dj: &Dj, session: &str) -> (String, String) {
    let words = (1..=100).map(|n| format!("{n}\n"));
    let script = Script::text(words.collect::<Vec<_>>());
    let paced = script.pace(Duration::from_millis(10));
    dj.upstreams.anthropic().script(paced);
    let answer = sent(keyed(&dj.origin(), session)).await;
    let run = run_of(&answer);
    (run, read(answer, None).await.frames)
}

/// Some that are known, and one that nobody knows.
fn tracks(dj: &Dj) -> Value {
    let catalogue = dj.upstreams.catalogue();
    let known = catalogue
        .tracks
        .iter()
        .filter(|track| track.deezer.is_some());
    let known = known.filter(|track| track.lastfm.is_some()).take(TRACKS);
    let known = known.map(|track| {
        let artist = catalogue.artist_names(track).next();
        json!({"title": track.title, "artist": artist, "isrc": track.isrc})
    });
    let unknown = json!({"title": "Nothing", "artist": "Nobody"});
    known.chain([unknown]).collect()
}

/// Last.fm asks for an hour.
async fn pause(dj: &Dj) {
    let lastfm = dj.upstreams.lastfm();
    lastfm.fault(Fault::status(429).retry_after(3_600));
    let found = enriched(dj, &json!([{"title": "Later", "artist": "Nobody"}])).await;
    assert_eq!(found["skipped"][0]["reason"], "rate_limited", "{found}");
    lastfm.heal();
}

/// A run in whose midst the instance dies, with all that it holds.
async fn died(dj: &Dj) -> String {
    let anthropic = dj.upstreams.anthropic();
    anthropic.reset();
    anthropic.script(Script::text(["the last word"]).hang_after(1));
    let body = json!({"message": "hello", "resume": true});
    let answer = sent(prompt(&dj.origin(), &body)).await;
    let run = run_of(&answer);
    let reader = sent(super::again(&dj.origin(), &run, 0)).await;
    // What a reader has is in the store.
    let mut chunks = reader;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("the last word") {
        let chunk = tokio::time::timeout(PATIENCE, chunks.chunk()).await;
        let chunk = chunk
            .expect("it is read in time")
            .expect("an unbroken stream");
        seen.extend_from_slice(&chunk.expect("it goes on"));
    }
    drop(answer);
    run
}
