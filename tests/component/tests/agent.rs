//! The agent against all its upstreams.

use std::time::{Duration, Instant};

use futures::future::join;
use serde_json::{Value, json};
use spinlane_component_tests::chat::{Chat, Frame, last, said, send};
use spinlane_component_tests::{Dj, PATIENCE, settled, start_upstreams, with_upstreams};
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::catalogue::{DEMO_PLAYLIST, Track};
use spinlane_upstreams::{Counts, Fault, Service};

/// What a run does not wait for: the promise is a second.
const STOP: Duration = Duration::from_secs(2);

/// A lease of 10 s, which is renewed 2 s before its end, and a little more.
const LEASE: Duration = Duration::from_secs(13);

async fn ask(origin: &str, body: &Value) -> Chat {
    Chat::read(send(origin, body).await)
}

async fn run(dj: &Dj, body: &Value) -> Vec<Frame> {
    ask(&dj.origin(), body).await.rest().await
}

fn of<'a>(frames: &'a [Frame], kind: &str) -> Vec<&'a Value> {
    let frames = frames.iter().filter(|frame| frame.kind == kind);
    frames.map(|frame| &frame.data).collect()
}

fn usage(frames: &[Frame]) -> &Value {
    assert_eq!(frames[frames.len() - 2].kind, "usage");
    &frames[frames.len() - 2].data
}

fn reason(frames: &[Frame]) -> &str {
    let (kind, data) = last(frames);
    assert_eq!(kind, "done", "{data}");
    data["reason"].as_str().unwrap_or("none")
}

fn search(number: u64) -> Value {
    json!({"query": format!("love {number}")})
}

/// The results that the model was given last.
fn told(dj: &Dj) -> Vec<String> {
    let calls = dj.upstreams.anthropic().calls();
    let messages = calls.last().expect("a call").request["messages"].clone();
    let parts = messages.as_array().expect("messages").iter();
    let parts = parts.filter_map(|message| message["content"].as_array());
    let results = parts.flatten().filter(|part| part["type"] == "tool_result");
    results
        .map(|part| part["content"].as_str().expect("text").to_owned())
        .collect()
}

/// Everything that a run held is free again: upstream calls, slots, instances.
async fn nothing_is_held(dj: &Dj) {
    let upstreams = &dj.upstreams;
    let closed = |counts: &Counts| counts.open == 0;
    let anthropic = upstreams.anthropic().wait_for(PATIENCE, closed).await;
    anthropic.expect("the model's calls end");
    for service in [
        upstreams.spotify(),
        upstreams.spotify_accounts(),
        upstreams.deezer(),
        upstreams.lastfm(),
    ] {
        let ended = service.wait_for(PATIENCE, closed).await;
        ended.unwrap_or_else(|counts| panic!("{}: {counts:?}", service.origin()));
    }
    settled(&dj.host).await;
    let begin = Instant::now();
    // Looked for again and again: a slot that the store was not told of in time
    // ends with its lease, and nobody is told of that.
    while let Some((lane, status)) = held(dj).await {
        assert!(begin.elapsed() < LEASE, "{lane}: {status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A lane in which a slot is held.
async fn held(dj: &Dj) -> Option<(String, Value)> {
    let status = reqwest::get(dj.host.url("/api/status")).await.unwrap();
    let status: Value = status.json().await.unwrap();
    let lanes = status["limits"]["lanes"].as_object().unwrap();
    let held = lanes.iter().find(|(_, lane)| lane["held"] != 0);
    let name = held.map(|(name, _)| name.clone())?;
    Some((name, status))
}

/// Tools, progress and content come in a sensible order, and what was looked up
/// once is not looked up again.
#[tokio::test]
async fn a_playlist_is_analysed_and_costs_no_lookup_the_second_time() {
    let dj = Dj::start(&[]).await;
    let request = json!({
        "message": "analyse this playlist and find five tracks that fit",
        "playlistId": DEMO_PLAYLIST,
    });
    let frames = run(&dj, &request).await;
    assert_eq!(last(&frames), ("done", &Value::Null));
    let first = |kind: &str| {
        let at = frames.iter().position(|frame| frame.kind == kind);
        at.unwrap_or_else(|| panic!("no {kind}: {frames:?}"))
    };
    let order = ["run", "thinking", "tool_start", "progress", "tool_end"].map(first);
    assert!(order.is_sorted(), "{order:?}");
    let content = frames.iter().rposition(|frame| frame.kind == "content");
    assert!(content > Some(first("tool_end")));
    let ended = of(&frames, "tool_end");
    let analysed = ended.iter().find(|data| data["tool"] == "analyze_playlist");
    let result = &analysed.expect("the playlist is analysed")["result"];
    assert!(
        result["summary"].as_str().unwrap().contains("BPM"),
        "{result}"
    );
    assert!(
        result["tracks"]
            .as_array()
            .is_some_and(|tracks| !tracks.is_empty())
    );
    for data in &ended {
        assert_eq!(data["error"], Value::Null, "{data}");
    }
    for result in told(&dj) {
        assert!(result.len() <= 5_000, "{result}");
    }
    let lookups = |dj: &Dj| {
        let services = [dj.upstreams.deezer(), dj.upstreams.lastfm()];
        services.map(|service| service.counts().started)
    };
    let summaries = |frames: &[Frame]| {
        let ended = of(frames, "tool_end").into_iter();
        let summary = |data: &Value| format!("{}: {}", data["tool"], data["result"]["summary"]);
        ended.map(summary).collect::<Vec<_>>().join("\n")
    };
    let mut told = summaries(&frames);
    let first = lookups(&dj);
    assert!(first.iter().all(|calls| *calls > 0), "{first:?}");
    // On a machine that is held up a lookup may come too late, and says so.
    for _ in 0..3 {
        if !told.contains("are missing") {
            break;
        }
        told = summaries(&run(&dj, &request).await);
    }
    let before = lookups(&dj);
    let again = run(&dj, &request).await;
    assert_eq!(last(&again), ("done", &Value::Null));
    assert_eq!(lookups(&dj), before, "looked up again:\n{told}");
    nothing_is_held(&dj).await;
}

#[tokio::test]
async fn five_calls_of_one_turn_overlap() {
    let dj = Dj::start(&[]).await;
    let (anthropic, spotify) = (dj.upstreams.anthropic(), dj.upstreams.spotify());
    spotify.latency(Duration::from_millis(300));
    let five = (0..5).fold(Script::text(["Let me look."]), |script, n| {
        script.use_tool("search_tracks", search(n))
    });
    anthropic.converse([five, Script::text(["There."])]);
    let frames = run(&dj, &json!({"message": "hello"})).await;
    assert_eq!(said(&frames), ["Let me look.", "There."]);
    let calls = spotify.calls();
    assert_eq!((calls.len(), spotify.counts().max_open), (5, 5));
    // By the upstream's own log: all had begun before the first had ended.
    let begun = calls.iter().map(|call| call.started).max().unwrap();
    let ends = calls.iter().map(|call| call.ended.unwrap().0);
    assert!(begun < ends.clone().min().unwrap(), "{calls:?}");
    let took = ends.max().unwrap() - calls[0].started;
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    // Every call has its result, in the order of the calls.
    let second = &anthropic.calls()[1].request;
    let messages = second["messages"].as_array().unwrap();
    let content = |at: usize, kind: &str, id: &str| -> Vec<Value> {
        let parts = messages[at]["content"].as_array().unwrap().iter();
        let parts = parts.filter(|part| part["type"] == kind);
        parts.map(|part| part[id].clone()).collect()
    };
    let asked = content(1, "tool_use", "id");
    assert_eq!(asked.len(), 5);
    assert_eq!(content(2, "tool_result", "tool_use_id"), asked);
    nothing_is_held(&dj).await;
}

#[tokio::test]
async fn a_run_ends_with_its_own_reason() {
    let dj = Dj::start(&[("request_deadline_ms", "20000")]).await;
    let anthropic = dj.upstreams.anthropic();
    let hello = json!({"message": "hello"});
    // A model that calls tools for ever, each time another one.
    let turns = (0..9).map(|n| Script::text(["…"]).use_tool("search_tracks", search(n)));
    anthropic.converse(turns);
    let frames = run(&dj, &hello).await;
    assert_eq!(
        (reason(&frames), anthropic.counts().started),
        ("turn_limit", 5)
    );
    assert_eq!(usage(&frames)["turns"], 5);
    anthropic.reset();
    // And the same one: it is told, and runs twice only.
    dj.upstreams.spotify().reset();
    anthropic.script(Script::text(["…"]).use_tool("search_tracks", search(1)));
    let frames = run(&dj, &hello).await;
    assert_eq!(reason(&frames), "turn_limit");
    assert_eq!(dj.upstreams.spotify().counts().started, 2);
    for why in ["max_tokens", "refusal"] {
        anthropic.reset();
        anthropic.script(Script::text(["x"]).stop_reason(why));
        assert_eq!(reason(&run(&dj, &hello).await), why);
    }
    nothing_is_held(&dj).await;
    let dj = Dj::start(&[("request_deadline_ms", "1500")]).await;
    dj.upstreams.spotify().latency(10 * PATIENCE);
    let script = Script::text(["x"]).use_tool("search_tracks", search(1));
    dj.upstreams.anthropic().script(script);
    let frames = run(&dj, &hello).await;
    assert_eq!((reason(&frames), said(&frames)), ("deadline", vec!["x"]));
    nothing_is_held(&dj).await;
}

/// The model's reasoning goes back as it came: the stand-in checks the
/// signature, as the service does.
#[tokio::test]
async fn reasoning_goes_back_as_it_came() {
    let dj = Dj::start(&[("anthropic_thinking", "1024")]).await;
    let first = Script::tools()
        .thinking("Where to begin?\nWith \"love\".")
        .redacted_thinking("b3BhcXVl")
        .use_tool("search_tracks", search(1));
    let anthropic = dj.upstreams.anthropic();
    anthropic.converse([first, Script::text(["There."])]);
    let frames = run(&dj, &json!({"message": "hello"})).await;
    assert_eq!(said(&frames), ["There."], "{frames:?}");
    assert_eq!(last(&frames), ("done", &Value::Null));
    let content = &anthropic.calls()[1].request["messages"][1]["content"];
    let kinds: Vec<_> = content
        .as_array()
        .unwrap()
        .iter()
        .map(|part| &part["type"])
        .collect();
    assert_eq!(kinds, ["thinking", "redacted_thinking", "tool_use"]);
}

async fn stop(origin: &str, run: &str) -> u16 {
    let url = format!("{origin}/api/chat-stream/{run}/stop");
    let response = reqwest::Client::new().post(url).send().await;
    response.expect("an answer").status().as_u16()
}

/// From another instance, and from another host that shares the store.
#[tokio::test]
async fn a_run_is_stopped_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let upstreams = start_upstreams().await;
    let host = with_upstreams(&upstreams)
        .store(&file)
        .start()
        .await
        .unwrap();
    let other = with_upstreams(&upstreams)
        .store(&file)
        .start()
        .await
        .unwrap();
    let dj = Dj { host, upstreams };
    let anthropic = dj.upstreams.anthropic();
    let spotify = dj.upstreams.spotify();
    spotify.latency(10 * PATIENCE);
    let in_a_tool = Script::text(["x"]).use_tool("search_tracks", search(1));
    for (script, from) in [
        (Script::text(["x"]).hang_after(1), dj.origin()),
        (in_a_tool, other.url("")),
    ] {
        anthropic.script(script);
        let mut chat = ask(&dj.origin(), &json!({"message": "hello"})).await;
        let run = chat.next_of("run").await.data["id"]
            .as_str()
            .unwrap()
            .to_owned();
        chat.next_of("content").await;
        let begin = Instant::now();
        assert_eq!(stop(&from, &run).await, 204);
        let frames = chat.remaining().await;
        let took = begin.elapsed();
        assert!(took < STOP, "{took:?}");
        assert_eq!(reason(&frames), "stopped");
        nothing_is_held(&dj).await;
        // It has ended by now, which makes no difference.
        assert_eq!(stop(&from, &run).await, 204);
    }
    assert_eq!(stop(&dj.origin(), &"0".repeat(32)).await, 204);
    assert_eq!(stop(&dj.origin(), "nonsense").await, 404);
}

/// Faults, at each of three steps: before anything was said, after it, and in
/// the middle of a tool's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Before,
    After,
    Inside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Status(u16),
    Timeout,
    Garbage,
    Cut,
}

const STEPS: [Step; 3] = [Step::Before, Step::After, Step::Inside];
const FAULTS: [Wrong; 7] = [
    Wrong::Status(401),
    Wrong::Status(404),
    Wrong::Status(429),
    Wrong::Status(500),
    Wrong::Timeout,
    Wrong::Garbage,
    Wrong::Cut,
];

fn rows() -> impl Iterator<Item = (Step, Wrong)> {
    let row = |step| FAULTS.into_iter().map(move |wrong| (step, wrong));
    STEPS.into_iter().flat_map(row)
}

/// Upstreams that are silent for a moment are given up.
const IMPATIENT: (&str, &str) = ("upstream_timeouts_ms", "1500");

/// The beginning of a turn that asks for a tool: in silence, or with a word.
fn opening(step: Step) -> Script {
    match step {
        Step::After => Script::text(["Well."]),
        Step::Before | Step::Inside => Script::tools(),
    }
}

/// A search first, in silence or with a word before it.
fn tool_turn(step: Step, number: u64) -> Script {
    opening(step).use_tool("search_tracks", search(number))
}

/// What goes wrong with the model's own answer.
fn model_script(step: Step, wrong: Wrong, number: u64) -> Vec<Script> {
    let failing = || match (step, wrong) {
        (_, Wrong::Status(status)) => Script::status(status),
        (Step::Before, Wrong::Timeout) => Script::text(["a"]).hang_after(0),
        (Step::Before, Wrong::Garbage) => Script::text(["a"]).garbage_after(0),
        (Step::Before, Wrong::Cut) => Script::text(["a"]).cut_after(0),
        (Step::After, Wrong::Timeout) => Script::text(["a", "b"]).hang_after(1),
        (Step::After, Wrong::Garbage) => Script::text(["a", "b"]).garbage_after(1),
        (Step::After, Wrong::Cut) => Script::text(["a", "b"]).cut_after(1),
        (Step::Inside, Wrong::Timeout) => tool_turn(step, number).hang_after(1).inside_tool(),
        (Step::Inside, Wrong::Garbage) => tool_turn(step, number).garbage_after(1).inside_tool(),
        (Step::Inside, Wrong::Cut) => tool_turn(step, number).cut_after(1).inside_tool(),
    };
    let mut script = Vec::new();
    // A status is an answer of its own: what comes before it is another turn.
    if step != Step::Before && matches!(wrong, Wrong::Status(_)) {
        script.push(tool_turn(step, number));
    }
    script.extend((0..3).map(|_| failing()));
    script
}

#[tokio::test]
async fn every_fault_of_the_model_ends_well() {
    let dj = Dj::start(&[IMPATIENT]).await;
    let anthropic = dj.upstreams.anthropic();
    for (number, (step, wrong)) in (100..).zip(rows()) {
        anthropic.reset();
        dj.upstreams.spotify().reset();
        anthropic.converse(model_script(step, wrong, number));
        let frames = run(&dj, &json!({"message": "hello"})).await;
        let row = format!("{step:?} {wrong:?}: {:?}", last(&frames));
        if step == Step::After {
            assert_eq!(reason(&frames), "upstream_cut", "{row}");
            assert!(!said(&frames).is_empty(), "{row}");
        } else {
            let (kind, error) = last(&frames);
            assert_eq!((kind, said(&frames).len()), ("error", 0), "{row}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("Anthropic"), "{row}");
            assert!(message.len() > 30, "{row}");
        }
        // What was cut is not run.
        let cut_inside = step == Step::Inside && !matches!(wrong, Wrong::Status(_));
        let begun = of(&frames, "tool_start").len();
        assert!(!cut_inside || begun == 0, "{row}");
        nothing_is_held(&dj).await;
    }
}

fn fault(wrong: Wrong) -> Fault {
    match wrong {
        Wrong::Status(status) => Fault::status(status),
        Wrong::Timeout => Fault::hang(),
        Wrong::Garbage => Fault::garbage(),
        Wrong::Cut => Fault::cut_after(20),
    }
}

/// The catalogue fails, for a tool that is the first thing, that comes after
/// words, or in the middle of what a tool does.
#[tokio::test]
async fn every_fault_of_the_catalogue_ends_well() {
    let dj = Dj::start(&[IMPATIENT]).await;
    let spotify = dj.upstreams.spotify();
    for (number, (step, wrong)) in (200..).zip(rows()) {
        dj.upstreams.reset();
        let turn = match step {
            Step::Inside => Script::tools().use_tool("get_playlist_tracks", json!({})),
            _ => tool_turn(step, number),
        };
        spotify.fault(match step {
            // The playlist is there, its tracks are not.
            Step::Inside => fault(wrong).on(&format!("/v1/playlists/{DEMO_PLAYLIST}/items")),
            _ => fault(wrong),
        });
        dj.upstreams
            .anthropic()
            .converse([turn, Script::text(["There."])]);
        let request = json!({"message": "hello", "playlistId": DEMO_PLAYLIST});
        let frames = run(&dj, &request).await;
        let ended = of(&frames, "tool_end");
        let row = format!("{step:?} {wrong:?}: {ended:?}");
        // The tool fails, and the conversation goes on.
        assert_eq!(last(&frames), ("done", &Value::Null), "{row}");
        assert_eq!(said(&frames).last(), Some(&"There."), "{row}");
        assert_eq!(
            (ended.len(), &ended[0]["error"]),
            (1, &json!(true)),
            "{row}"
        );
        let error = &ended[0]["result"];
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("Spotify") && message.len() > 30, "{row}");
        let told = dj.upstreams.anthropic().calls()[1].request.to_string();
        assert!(told.contains("\"is_error\":true"), "{row}");
        nothing_is_held(&dj).await;
    }
}

/// Tempo and tags fail: what else there is is told, and what is missing.
async fn lookups_fail(service: impl Fn(&Dj) -> &Service, title: &str) {
    let dj = Dj::start(&[IMPATIENT]).await;
    let known = |track: &&Track| {
        let by_isrc = track.deezer.as_ref().is_some_and(|deezer| deezer.by_isrc);
        by_isrc && track.lastfm.is_some()
    };
    let tracks = dj.upstreams.catalogue().tracks.iter().filter(known);
    let ids: Vec<_> = tracks.map(|track| track.id.clone()).collect();
    for ((step, wrong), ids) in rows().zip(ids.chunks(2)) {
        dj.upstreams.reset();
        let turn = opening(step).use_tool("get_track_details", json!({"trackIds": ids}));
        match step {
            // The first lookup fails with all that is tried, the rest do not.
            Step::Inside => (0..3).for_each(|_| service(&dj).push(fault(wrong))),
            _ => service(&dj).fault(fault(wrong)),
        }
        dj.upstreams
            .anthropic()
            .converse([turn, Script::text(["There."])]);
        let frames = run(&dj, &json!({"message": "hello"})).await;
        let ended = of(&frames, "tool_end");
        let row = format!("{title} {step:?} {wrong:?}: {ended:?}");
        assert_eq!(last(&frames), ("done", &Value::Null), "{row}");
        assert_eq!(said(&frames).last(), Some(&"There."), "{row}");
        assert_eq!(
            (ended.len(), &ended[0]["error"]),
            (1, &Value::Null),
            "{row}"
        );
        let result = &ended[0]["result"];
        assert_eq!(result["tracks"].as_array().map(Vec::len), Some(2), "{row}");
        // A 404 is an answer: there is no such thing.
        let told = result.to_string();
        let gaps = told.contains("missing") || told.contains(title);
        let absent = wrong == Wrong::Status(404);
        assert!(gaps || absent || step == Step::Inside, "{row}");
        nothing_is_held(&dj).await;
    }
}

#[tokio::test]
async fn every_fault_of_the_lookups_ends_well() {
    join(
        lookups_fail(|dj| dj.upstreams.deezer(), "Deezer"),
        lookups_fail(|dj| dj.upstreams.lastfm(), "Last.fm"),
    )
    .await;
}
