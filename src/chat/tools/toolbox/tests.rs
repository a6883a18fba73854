//! Calls of one turn, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use garde::Validate;
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::AppState;
use crate::chat::tools::Report;
use crate::chat::tools::report::Entry;
use crate::clients::spotify::Access;
use crate::config::Config;
use crate::frames::{Output, Waits};
use spinlane_core::sse::{self, Decoder, WriterConfig};
use spinlane_core::testing::World;

/// When a call was run, in milliseconds, and with what.
type Runs = Arc<Mutex<Vec<(u64, u64, Input)>>>;

/// A tool that takes its time.
fn fake(name: &'static str, writes: bool, world: &World, runs: &Runs) -> Tool {
    let (clock, runs) = (world.clock.clone(), Arc::clone(runs));
    let mut tool = Tool::reading(name, "…", move |input: Input, _| {
        let (clock, runs) = (clock.clone(), Arc::clone(&runs));
        async move {
            let now = || clock.now().as_nanos() / 1_000_000;
            let begin = now();
            // The higher the number, the sooner.
            let n = input.n;
            clock.sleep(Duration::from_millis(300 - 10 * n)).await;
            let playlist = input.playlist_id.clone();
            runs.lock().unwrap().push((begin, now(), input));
            match playlist.as_str() {
                "bad" => Err(unfit("no luck")),
                "long" => Ok(long()),
                _ => Ok(Report::new(format!("{name} {n}"))),
            }
        }
        .boxed()
    });
    tool.spec.writes = writes;
    tool
}

#[derive(Clone, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    #[garde(length(chars, min = 1))]
    playlist_id: String,
    #[serde(default)]
    #[garde(skip)]
    n: u64,
}

/// A list that is too long for the model to have it in detail.
fn long() -> Report {
    let track = |n: usize| Entry {
        detail: json!({"id": n, "tags": ["slow", "blue"], "album": "A".repeat(200)}),
        compact: json!({"id": n}),
    };
    Report {
        tracks: (0..40).map(track).collect(),
        ..Report::new("forty")
    }
}

struct Bench {
    world: World,
    app: AppState,
    toolbox: Toolbox,
    runs: Runs,
    playlist: Option<&'static str>,
    frames: Vec<Value>,
}

impl Bench {
    fn new() -> Self {
        Self::configured(|_| None)
    }

    fn configured(variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let world = World::new();
        let runs = Runs::default();
        let fake = |name, writes| fake(name, writes, &world, &runs);
        let config = Config::new(variables);
        Self {
            app: AppState::new(world.ports(), config),
            toolbox: Toolbox::new(vec![fake("look", false), fake("change", true)]),
            world: world.clone(),
            runs,
            playlist: None,
            frames: Vec::new(),
        }
    }

    /// The results of one turn, and how many milliseconds it took.
    fn turn(&mut self, calls: Vec<ToolCall>) -> (Vec<(String, String, bool)>, u64) {
        let clock = self.world.clock.clone();
        let (writer, body) = sse::channel(Arc::new(clock.clone()), WriterConfig::default(), None);
        let output = Output::new(writer);
        let begin = clock.now();
        let parts = {
            let waits = Arc::new(Waits::new(output.clone(), crate::frames::whose));
            let context = ToolContext::new(&self.app, Access::App, &output, &waits, self.playlist);
            self.world.run(self.toolbox.run(calls, &context, &clock))
        };
        let took = (clock.now() - begin).as_millis();
        drop(output);
        let bytes = self.world.run(body.collect()).unwrap().to_bytes();
        let decoded = Decoder::new(1 << 20).push(&bytes, |event| {
            self.frames.push(serde_json::from_str(&event.data).unwrap());
        });
        decoded.unwrap();
        let result = |part| match part {
            Part::ToolResult {
                tool_use_id,
                content,
                is_error,
                ..
            } => (tool_use_id, content, is_error),
            other => panic!("{other:?}"),
        };
        let results = parts.unwrap().into_iter().map(result).collect();
        (results, u64::try_from(took).unwrap())
    }

    fn call(&mut self, call: ToolCall) -> (String, bool) {
        let (mut results, _) = self.turn(vec![call]);
        let (_, content, is_error) = results.remove(0);
        (content, is_error)
    }

    fn runs(&self) -> usize {
        self.runs.lock().unwrap().len()
    }
}

fn call(id: &str, name: &str, input: Value) -> ToolCall {
    let Value::Object(input) = input else {
        panic!("{input}")
    };
    ToolCall {
        id: id.into(),
        name: name.into(),
        input: Ok(input),
    }
}

fn look(n: u32) -> ToolCall {
    let input = json!({"playlistId": "p", "n": n});
    call(&format!("t{n}"), "look", input)
}

#[test]
fn calls_run_beside_each_other_and_results_keep_their_order() {
    let mut bench = Bench::new();
    let (results, took) = bench.turn((0..5).map(look).collect());
    assert_eq!(took, 300);
    let contents: Vec<_> = results
        .iter()
        .map(|(id, content, _)| (id, content))
        .collect();
    for (n, (id, content)) in contents.into_iter().enumerate() {
        assert_eq!(*id, format!("t{n}"));
        assert_eq!(*content, format!("{{\"summary\":\"look {n}\"}}"));
    }
    // They end as they end, and each is told at once.
    let ended = |frame: &&Value| frame["type"] == "tool_end";
    let ended = bench.frames.iter().filter(ended);
    let ids: Vec<_> = ended.map(|frame| frame["data"]["id"].clone()).collect();
    assert_eq!(ids, ["t4", "t3", "t2", "t1", "t0"]);
    let first = &bench.frames[0];
    let started = json!({"tool": "look", "args": {"playlistId": "p", "n": 0}, "id": "t0"});
    assert_eq!(*first, json!({"type": "tool_start", "data": started}));
    let last = bench.frames.last().unwrap();
    let result = json!({"summary": "look 0"});
    let ended = json!({"tool": "look", "result": result, "id": "t0", "ms": 300});
    assert_eq!(*last, json!({"type": "tool_end", "data": ended}));
}

#[test]
fn a_person_sees_more_of_a_list_than_the_model() {
    let mut bench = Bench::new();
    let (told, _) = bench.call(call("t", "look", json!({"playlistId": "long"})));
    assert!(told.len() <= LIMIT, "{}", told.len());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["tracks"][39], json!({"id": 39}));
    let shown = &bench.frames.last().unwrap()["data"]["result"];
    assert!(size(shown) <= SHOWN);
    assert_eq!(shown["tracks"][39]["tags"], json!(["slow", "blue"]));
    assert_eq!(shown["summary"], told["summary"]);
}

#[test]
fn changes_run_in_their_order_beside_the_rest() {
    let mut bench = Bench::new();
    let change = |n: u32| {
        let input = json!({"playlistId": "p", "n": n});
        call(&format!("c{n}"), "change", input)
    };
    let (results, took) = bench.turn(vec![change(1), look(2), change(3), look(4)]);
    let ids: Vec<_> = results.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids, ["c1", "t2", "c3", "t4"]);
    assert_eq!(took, 290 + 270);
    let runs = bench.runs.lock().unwrap();
    let of = |n: u64| runs.iter().find(|(_, _, input)| input.n == n).unwrap();
    assert_eq!((of(1).0, of(1).1, of(3).0), (0, 290, 290));
    assert_eq!((of(2).0, of(4).0), (0, 0));
}

#[test]
fn a_call_is_not_run_a_third_time() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        assert!(!bench.call(look(1)).1);
    }
    let (told, is_error) = bench.call(look(1));
    assert!(is_error && told.contains("same input 2 times"), "{told}");
    assert_eq!(bench.runs(), 2);
    // The order of fields does not make another call, another value does.
    let same = json!({"n": 1, "playlistId": "p"});
    assert!(bench.call(call("x", "look", same)).1);
    assert!(!bench.call(look(2)).1);
    // Within one turn it counts as well.
    let mut bench = Bench::new();
    let (results, _) = bench.turn(vec![look(1), look(1), look(1)]);
    let errors: Vec<_> = results.iter().map(|(.., is_error)| *is_error).collect();
    assert_eq!(errors, [false, false, true]);
}

#[test]
fn a_change_is_made_once_unless_it_failed() {
    let change = |playlist: &str| call("c", "change", json!({"playlistId": playlist}));
    let mut bench = Bench::new();
    assert!(!bench.call(change("p")).1);
    let (told, is_error) = bench.call(change("p"));
    assert!(is_error && told.contains("already"), "{told}");
    let (results, _) = bench.turn(vec![change("q"), change("q")]);
    let errors: Vec<_> = results.iter().map(|(.., is_error)| *is_error).collect();
    assert_eq!(errors, [false, true]);
    assert_eq!(bench.runs(), 2);
    for _ in 0..2 {
        assert_eq!(bench.call(change("bad")), ("no luck".into(), true));
    }
    assert!(bench.call(change("bad")).0.contains("same input 2 times"));
    assert_eq!(bench.runs(), 4);
}

/// A service that is named badly counts as not named: it must not be the real one that is
/// asked in its place.
#[test]
fn nothing_is_asked_of_a_service_that_is_misconfigured() {
    for name in ["spotify_api_url", "deezer_base_url", "lastfm_base_url"] {
        let malformed = move |variable: &str| (variable == name).then(|| "nowhere".into());
        let mut bench = Bench::configured(malformed);
        let (content, is_error) = bench.call(look(1));
        assert!(is_error && content.contains(name), "{content}");
        assert_eq!(bench.runs(), 0);
    }
}

#[test]
fn what_cannot_be_run_is_answered_all_the_same() {
    let mut bench = Bench::new();
    let cut = ToolCall {
        input: Err("the input was cut off".into()),
        ..look(1)
    };
    let cases = [
        (
            call("a", "dance", json!({})),
            "there is no tool `dance` here; there are: look, change",
        ),
        (cut, "cut off"),
        (
            call("c", "look", json!({"playlistId": 7, "x": 1})),
            "does not fit its schema: /playlistId must be a string; the input has no field `x`",
        ),
        (call("d", "look", json!({})), "/playlistId is required"),
        (call("e", "look", json!({"playlistId": "bad"})), "no luck"),
    ];
    let ids: Vec<_> = cases.iter().map(|(call, _)| call.id.clone()).collect();
    let (calls, words): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let (results, _) = bench.turn(calls);
    assert_eq!(bench.runs(), 1);
    for ((id, content, is_error), (expected, words)) in results.iter().zip(ids.iter().zip(words)) {
        assert_eq!((id, is_error), (expected, &true));
        assert!(content.contains(words), "{content}");
    }
    // Each has its two frames, and the end says that it is an error.
    let kinds = |kind: &str| {
        bench
            .frames
            .iter()
            .filter(|frame| frame["type"] == kind)
            .count()
    };
    assert_eq!((kinds("tool_start"), kinds("tool_end")), (5, 5));
    for frame in bench
        .frames
        .iter()
        .filter(|frame| frame["type"] == "tool_end")
    {
        assert_eq!(frame["data"]["error"], true);
        assert!(frame["data"]["result"]["message"].is_string(), "{frame}");
    }
}

#[test]
fn the_open_playlist_is_filled_in() {
    let mut bench = Bench::new();
    bench.playlist = Some("open");
    for (input, expected) in [
        (json!({}), "open"),
        (json!({"playlistId": null}), "open"),
        (json!({"playlistId": " "}), "open"),
        (json!({"playlistId": "other"}), "other"),
    ] {
        assert!(!bench.call(call("x", "change", input)).1 || expected == "open");
        let seen = bench.runs.lock().unwrap().last().cloned().unwrap();
        assert_eq!(seen.2.playlist_id, expected);
    }
}

#[test]
fn a_turn_has_a_most_of_calls() {
    let mut bench = Bench::new();
    let (results, took) = bench.turn((0..20).map(look).collect());
    assert_eq!((results.len(), bench.runs(), took), (20, MAX_CALLS, 300));
    assert!(results[MAX_CALLS].1.contains("at most 16 calls"));
}

#[test]
fn nothing_runs_on_for_a_client_that_has_gone() {
    let mut bench = Bench::new();
    let clock = bench.world.clock.clone();
    let (writer, body) = sse::channel(Arc::new(clock.clone()), WriterConfig::default(), None);
    let output = Output::new(writer);
    let waits = Arc::new(Waits::new(output.clone(), crate::frames::whose));
    let context = ToolContext::new(&bench.app, Access::App, &output, &waits, None);
    drop(body);
    let ended = bench
        .world
        .run(bench.toolbox.run(vec![look(1)], &context, &clock));
    assert_eq!(ended, Err(Closed));
    assert_eq!(bench.runs(), 0);
}
