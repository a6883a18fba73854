//! The example `examples/relay`: what it says on the wire, and in the README.

use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::Response;
use serde_json::{Value, json};
use spinlane_component_tests::{
    KEY, PATIENCE, hosts, relay_host, repository, settled, start_upstreams,
};
use spinlane_core::sse::Decoder;
use spinlane_host::Host;
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::{Fault, Upstreams};

async fn relay() -> (Host, Upstreams) {
    let upstreams = start_upstreams().await;
    let host = relay_host(&upstreams).start().await;
    (host.expect("the host starts"), upstreams)
}

/// What must hold on every host: `test` gets where the example answers, and its
/// upstreams.
async fn on_each_host(test: impl AsyncFn(&str, &Upstreams)) {
    let (host, upstreams) = relay().await;
    test(&host.url(""), &upstreams).await;
    settled(&host).await;
    let upstreams = start_upstreams().await;
    let variables = [
        ("anthropic_api_key", KEY),
        ("anthropic_base_url", &upstreams.anthropic().origin()),
        ("deezer_base_url", &upstreams.deezer().origin()),
    ];
    if let Some((spin, _state)) = hosts::spin("examples/relay/spin.toml", &variables).await {
        test(&spin.origin, &upstreams).await;
    }
}

async fn post(origin: &str, prompt: impl Into<reqwest::Body>) -> Response {
    let request = reqwest::Client::new()
        .post(format!("{origin}/"))
        .body(prompt);
    request.send().await.expect("an answer")
}

/// Every event's data, numbered from 1.
async fn frames(response: Response) -> Vec<Value> {
    assert_eq!(response.status(), 200);
    let bytes = tokio::time::timeout(PATIENCE, response.bytes()).await;
    let bytes = bytes.expect("an end in time").expect("a whole stream");
    let mut frames = Vec::new();
    Decoder::new(1 << 20)
        .push(&bytes, |event| {
            frames.push(serde_json::from_str(&event.data).expect("JSON"));
            assert_eq!(event.id, frames.len().to_string());
        })
        .expect("events of moderate size");
    frames
}

/// Every event's data but the first and the last but one, `run` and `usage`.
async fn said(response: Response) -> Vec<Value> {
    let mut frames = frames(response).await;
    assert_eq!(frames.remove(0)["type"], "run");
    let usage = frames.remove(frames.len() - 2);
    assert_eq!(usage["type"], "usage");
    frames
}

fn text(text: &str) -> Value {
    json!({"type": "content", "data": text})
}

fn done() -> Value {
    json!({"type": "done", "data": null})
}

/// Why an answer is not whole.
fn cut(reason: &str) -> Value {
    json!({"type": "done", "data": {"incomplete": true, "reason": reason}})
}

#[tokio::test]
async fn every_delta_is_relayed_and_the_answer_is_kept_for_an_hour() {
    let (host, upstreams) = relay().await;
    let origin = host.url("");
    let anthropic = upstreams.anthropic();
    anthropic.script(Script::text(["Hel", "lo\n", "wörld"]).ping_every(1));
    let response = post(&origin, "greet me").await;
    let head = response.headers();
    assert_eq!(head["content-type"], "text/event-stream");
    assert_eq!(head["x-accel-buffering"], "no");
    assert!(head.contains_key("x-request-id"));
    assert!(head.contains_key("traceparent"));
    let all = [text("Hel"), text("lo\n"), text("wörld"), done()];
    assert_eq!(said(response).await, all);
    let asked = &anthropic.calls()[0];
    assert!(asked.has_key);
    let content = json!([{"type": "text", "text": "greet me"}]);
    assert_eq!(asked.request["messages"][0]["content"], content);
    // Written before its instance ends.
    settled(&host).await;

    let whole = [text("Hello\nwörld"), done()];
    assert_eq!(said(post(&origin, "greet me").await).await, whole);
    assert_eq!(anthropic.counts().started, 1);
    said(post(&origin, "greet us").await).await;
    assert_eq!(anthropic.counts().started, 2);
    host.advance_wall_clock(Duration::from_secs(3_601));
    assert_eq!(said(post(&origin, "greet me").await).await, all);
    assert_eq!(anthropic.counts().started, 3);
    // As much as it may say is not all that it had to say, and is not kept.
    for calls in [4, 5] {
        anthropic.script(Script::text(["a"]).stop_reason("max_tokens"));
        let answer = said(post(&origin, "greet all").await).await;
        assert_eq!(answer, [text("a"), cut("max_tokens")]);
        assert_eq!(anthropic.counts().started, calls);
    }
    settled(&host).await;
}

#[tokio::test]
async fn an_answer_that_is_kept_is_given_whole_by_another_instance() {
    on_each_host(async |origin, upstreams| {
        let anthropic = upstreams.anthropic();
        anthropic.script(Script::text(["Hel", "lo"]));
        let deltas = [text("Hel"), text("lo"), done()];
        assert_eq!(said(post(origin, "greet me").await).await, deltas);
        let begin = Instant::now();
        // It is written after the response, which nobody tells.
        while said(post(origin, "greet me").await).await != [text("Hello"), done()] {
            assert!(begin.elapsed() < PATIENCE, "it is not kept");
        }
        let calls = anthropic.counts().started;
        assert_eq!(
            said(post(origin, "greet me").await).await,
            [text("Hello"), done()]
        );
        assert_eq!(anthropic.counts().started, calls);
    })
    .await;
}

/// What the model was told before the conversation.
fn told(upstreams: &Upstreams) -> Option<String> {
    let calls = upstreams.anthropic().calls();
    let system = &calls.last().expect("a call").request["system"];
    Some(system.get(0)?["text"].as_str()?.to_owned())
}

#[tokio::test]
async fn songs_are_looked_up_once_in_their_own_lane_and_left_out_where_that_fails() {
    let (host, upstreams) = relay().await;
    let origin = host.url("");
    let (anthropic, deezer) = (upstreams.anthropic(), upstreams.deezer());
    anthropic.script(Script::text(["a"]));
    let tracks = &upstreams.catalogue().tracks;
    let known = tracks.iter().find(|track| track.deezer.is_some());
    let title = known.expect("a song").plain_title().to_owned();
    // To the catalogue they are the same, to the model they are not.
    for prompt in [title.clone(), format!(" {title}")] {
        assert_eq!(said(post(&origin, prompt).await).await, [text("a"), done()]);
        let told = told(&upstreams).expect("songs");
        assert!(
            told.starts_with("The catalogue has ") && told.contains(&title),
            "{told}"
        );
        settled(&host).await;
    }
    assert_eq!(deezer.counts().started, 1);
    for (prompt, fault, calls) in [
        ("trouble", Fault::status(503), 3),
        ("nothing", Fault::status(404), 1),
        // Longer than its lane waits, which is less than a model is given.
        ("silence", Fault::hang(), 3),
    ] {
        upstreams.reset();
        anthropic.script(Script::text(["a"]));
        deezer.fault(fault);
        assert_eq!(said(post(&origin, prompt).await).await, [text("a"), done()]);
        assert_eq!(told(&upstreams), None);
        assert_eq!(deezer.counts().started, calls);
    }
    settled(&host).await;
}

#[tokio::test]
async fn a_delta_leaves_before_the_next_one_comes_and_a_client_that_goes_ends_the_call() {
    on_each_host(async |origin, upstreams| {
        let anthropic = upstreams.anthropic();
        anthropic.script(Script::text(["first", "second"]).hang_after(1));
        let response = post(origin, "go on").await;
        let run = run_id(&response);
        let mut stream = response.bytes_stream();
        let expected = format!(
            "id: 1\ndata: {{\"type\":\"run\",\"data\":{{\"id\":\"{run}\",\"resumable\":false}}}}\n\n\
             id: 2\ndata: {{\"type\":\"content\",\"data\":\"first\"}}\n\n"
        );
        let mut came = Vec::new();
        while came.len() < expected.len() {
            let read = tokio::time::timeout(PATIENCE, stream.next()).await;
            came.extend(read.expect("in time").expect("a frame").expect("unbroken"));
        }
        assert_eq!(String::from_utf8_lossy(&came), expected);
        drop(stream);
        let gone = anthropic.wait_for(PATIENCE, |counts| counts.open == 0);
        assert_eq!(gone.await.map(|counts| counts.cancelled), Ok(1));
        // Half an answer is not kept.
        anthropic.script(Script::text(["first", "second"]));
        let all = [text("first"), text("second"), done()];
        assert_eq!(said(post(origin, "go on").await).await, all);
    })
    .await;
}

/// By which a run can be stopped.
fn run_id(response: &Response) -> String {
    let id = response.headers()["x-run-id"].to_str();
    id.expect("a text").to_owned()
}

#[tokio::test]
async fn a_run_is_stopped_from_another_instance() {
    on_each_host(async |origin, upstreams| {
        let anthropic = upstreams.anthropic();
        anthropic.script(Script::text(["first", "second"]).hang_after(1));
        let response = post(origin, "go on").await;
        let stop = format!("{origin}/{}/stop", run_id(&response));
        // The call has begun, so that there is something to end.
        let begun = anthropic.wait_for(PATIENCE, |counts| counts.open == 1);
        begun.await.expect("a call");
        let stopped = reqwest::Client::new().post(stop).send().await;
        assert_eq!(stopped.expect("an answer").status(), 204);
        let said = said(response).await;
        assert_eq!(said.last(), Some(&cut("stopped")));
        let gone = anthropic.wait_for(PATIENCE, |counts| counts.open == 0);
        assert_eq!(gone.await.map(|counts| counts.cancelled), Ok(1));
    })
    .await;
}

#[tokio::test]
async fn an_overload_inside_a_200_is_tried_again() {
    on_each_host(async |origin, upstreams| {
        let anthropic = upstreams.anthropic();
        let words = || Script::text(["a"]);
        anthropic.script(words());
        anthropic.push(words().error_event_after(0, "overloaded_error", "Overloaded"));
        let line = "That did not work at anthropic: trying again";
        let thinking = json!({"type": "thinking", "data": line});
        let all = [thinking, text("a"), done()];
        assert_eq!(said(post(origin, "hello").await).await, all);
        assert_eq!(anthropic.counts().started, 2);
    })
    .await;
}

#[tokio::test]
async fn whatever_the_upstream_does_one_error_says_so() {
    on_each_host(async |origin, upstreams| {
        let anthropic = upstreams.anthropic();
        let words = || Script::text(["a", "b"]);
        for (script, said, code, calls) in [
            // Worth asking again, twice.
            (Script::status(500), 0, "upstream_error", 3),
            (Script::status(529), 0, "overloaded", 3),
            (Script::status(401), 0, "upstream_auth", 1),
            (
                Script::raw("text/html", "<html>"),
                0,
                "upstream_protocol",
                1,
            ),
            (words().garbage_after(1), 1, "upstream_protocol", 1),
            (words().cut_after(1), 1, "upstream_cut", 1),
            (
                words().error_event_after(0, "overloaded_error", "Overloaded"),
                0,
                "overloaded",
                3,
            ),
            (
                words().error_event_after(1, "overloaded_error", "Overloaded"),
                1,
                "overloaded",
                1,
            ),
            // The last one: nothing is asked in that lane for an hour.
            (Script::status(429).retry_after(3_600), 0, "rate_limited", 1),
        ] {
            anthropic.reset();
            anthropic.script(script);
            let frames = self::said(post(origin, "hello").await).await;
            let (last, before) = frames.split_last().expect("frames");
            let of = |kind: &str| before.iter().filter(|frame| frame["type"] == kind).count();
            // A line for each time that it is asked again, and what was said.
            assert_eq!(of("thinking") as u64, calls - 1, "{last}");
            assert_eq!(of("content"), said, "{last}");
            assert_eq!(before.len(), of("thinking") + said, "{last}");
            assert_eq!(
                (&last["type"], &last["data"]["code"]),
                (&"error".into(), &code.into())
            );
            let message = last["data"]["message"].as_str().expect("a message");
            assert!(message.contains("Anthropic"), "{message}");
            assert!(!last.to_string().contains(KEY), "{last}");
            assert_eq!(anthropic.counts().started, calls, "{last}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_prompt_is_refused_before_the_stream() {
    on_each_host(async |origin, upstreams| {
        for (prompt, status) in [
            (b"".to_vec(), 400),
            (b" \n".to_vec(), 400),
            (b"\xff".to_vec(), 400),
            (vec![b'x'; 16 * 1024 + 1], 413),
        ] {
            let response = post(origin, prompt).await;
            assert_eq!(response.status(), status);
            assert!(
                !problem(response).await["detail"]
                    .as_str()
                    .expect("words")
                    .is_empty()
            );
        }
        let get = reqwest::get(format!("{origin}/")).await.expect("an answer");
        assert_eq!(get.status(), 405);
        assert_eq!(get.headers()["allow"], "POST, OPTIONS");
        assert_eq!(problem(get).await["code"], "method_not_allowed");
        let nowhere = reqwest::get(format!("{origin}/x"))
            .await
            .expect("an answer");
        assert_eq!(nowhere.status(), 404);
        assert_eq!(problem(nowhere).await["code"], "not_found");
        assert_eq!(upstreams.anthropic().counts().started, 0);
    })
    .await;
}

#[tokio::test]
async fn without_a_key_it_says_which_variable_is_to_be_set() {
    let upstreams = start_upstreams().await;
    let unset = relay_host(&upstreams).variable("anthropic_api_key", "");
    let unset = unset.start().await.expect("the host starts");
    let response = post(&unset.url(""), "hello").await;
    assert_eq!(response.status(), 503);
    let why = problem(response).await;
    assert_eq!(why["code"], "not_configured");
    assert_eq!(why["context"]["variable"], "anthropic_api_key");
    let why = why["detail"].as_str().expect("words");
    assert!(why.contains("anthropic_api_key"), "{why}");
}

/// Why there is no stream.
async fn problem(response: Response) -> Value {
    let kind = &response.headers()["content-type"];
    assert_eq!(kind, "application/problem+json");
    let text = response.text().await.expect("a text");
    serde_json::from_str(&text).expect("JSON")
}

/// The README's words for builders are the example's own.
#[test]
fn the_readme_shows_the_example() {
    let read = |path: &str| std::fs::read_to_string(repository(path)).expect("a file");
    let (readme, code) = (read("README.md"), read("examples/relay/src/lib.rs"));
    let (_, section) = readme.split_once("## Your own application").expect("it");
    let (section, _) = section.split_once("\n## ").expect("an end");
    let blocks = |language: &str| {
        let fence = format!("```{language}\n");
        let blocks = section.split(&fence).skip(1);
        let blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
        blocks.collect::<Vec<_>>()
    };
    let rust = blocks("rust");
    assert!(!rust.is_empty());
    for block in rust {
        assert!(code.contains(&block), "not in the example:\n{block}");
    }
    let manifest = read("examples/relay/Cargo.toml");
    let lines: Vec<_> = manifest
        .lines()
        .map(|line| line.trim_start_matches("# "))
        .collect();
    for line in blocks("toml").iter().flat_map(|block| block.lines()) {
        assert!(
            line.is_empty() || lines.contains(&line),
            "not in Cargo.toml: {line}"
        );
    }
}
