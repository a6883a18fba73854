//! The example `examples/relay`: what it says on the wire, and in the README.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Response;
use serde_json::{Value, json};
use spinlane_component_tests::{KEY, PATIENCE, relay_host, repository, settled, start_upstreams};
use spinlane_core::sse::Decoder;
use spinlane_host::Host;
use spinlane_upstreams::Upstreams;
use spinlane_upstreams::anthropic::Script;

async fn relay() -> (Host, Upstreams) {
    let upstreams = start_upstreams().await;
    let host = relay_host(&upstreams.anthropic().origin()).start().await;
    (host.expect("the host starts"), upstreams)
}

async fn post(host: &Host, prompt: impl Into<reqwest::Body>) -> Response {
    let request = reqwest::Client::new().post(host.url("/")).body(prompt);
    request.send().await.expect("an answer")
}

/// Every event's data.
async fn frames(response: Response) -> Vec<Value> {
    assert_eq!(response.status(), 200);
    let bytes = tokio::time::timeout(PATIENCE, response.bytes()).await;
    let bytes = bytes.expect("an end in time").expect("a whole stream");
    let mut frames = Vec::new();
    Decoder::new(1 << 20)
        .push(&bytes, |event| {
            frames.push(serde_json::from_str(&event.data).expect("JSON"));
        })
        .expect("events of moderate size");
    frames
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn done(stop_reason: &str) -> Value {
    json!({"type": "done", "stop_reason": stop_reason})
}

#[tokio::test]
async fn every_delta_is_relayed_and_the_answer_is_kept_for_an_hour() {
    let (host, upstreams) = relay().await;
    let anthropic = upstreams.anthropic();
    anthropic.script(Script::text(["Hel", "lo\n", "wörld"]).ping_every(1));
    let response = post(&host, "greet me").await;
    let head = response.headers();
    assert_eq!(head["content-type"], "text/event-stream");
    assert_eq!(head["x-accel-buffering"], "no");
    let all = [text("Hel"), text("lo\n"), text("wörld"), done("end_turn")];
    assert_eq!(frames(response).await, all);
    let asked = &anthropic.calls()[0];
    assert!(asked.has_key);
    assert_eq!(asked.request["messages"][0]["content"], "greet me");
    // Written before its instance ends.
    settled(&host).await;

    let whole = [text("Hello\nwörld"), done("end_turn")];
    assert_eq!(frames(post(&host, "greet me").await).await, whole);
    assert_eq!(anthropic.counts().started, 1);
    frames(post(&host, "greet us").await).await;
    assert_eq!(anthropic.counts().started, 2);
    host.advance_wall_clock(Duration::from_secs(3_601));
    assert_eq!(frames(post(&host, "greet me").await).await, all);
    assert_eq!(anthropic.counts().started, 3);
    settled(&host).await;
}

#[tokio::test]
async fn a_delta_leaves_before_the_next_one_comes_and_a_client_that_goes_ends_the_call() {
    let (host, upstreams) = relay().await;
    let anthropic = upstreams.anthropic();
    anthropic.script(Script::text(["first", "second"]).hang_after(1));
    let mut stream = post(&host, "go on").await.bytes_stream();
    let first = tokio::time::timeout(PATIENCE, stream.next()).await;
    let first = first.expect("in time").expect("a frame").expect("unbroken");
    assert_eq!(first, "data: {\"type\":\"text\",\"text\":\"first\"}\n\n");
    drop(stream);
    let gone = anthropic.wait_for(PATIENCE, |counts| counts.open == 0);
    assert_eq!(gone.await.map(|counts| counts.cancelled), Ok(1));
    settled(&host).await;
    // Half an answer is not kept.
    anthropic.script(Script::text(["first", "second"]));
    let all = [text("first"), text("second"), done("end_turn")];
    assert_eq!(frames(post(&host, "go on").await).await, all);
}

#[tokio::test]
async fn whatever_the_upstream_does_one_error_says_so() {
    let (host, upstreams) = relay().await;
    let anthropic = upstreams.anthropic();
    let words = || Script::text(["a", "b"]);
    for (script, said, code, calls) in [
        // Worth asking again, twice.
        (Script::status(500), 0, "upstream_error", 3),
        (Script::status(401), 0, "upstream_error", 1),
        (Script::raw("text/html", "<html>"), 0, "upstream_cut", 1),
        (words().garbage_after(1), 1, "upstream_error", 1),
        (words().cut_after(1), 1, "upstream_cut", 1),
        (
            words().error_event_after(1, "overloaded_error", "Overloaded"),
            1,
            "upstream_error",
            1,
        ),
        // The last one: nothing is asked in that lane for an hour.
        (Script::status(429).retry_after(3_600), 0, "busy", 1),
    ] {
        anthropic.reset();
        anthropic.script(script);
        let frames = frames(post(&host, "hello").await).await;
        let (last, before) = frames.split_last().expect("frames");
        assert!(before.iter().all(|frame| frame["type"] == "text"));
        assert_eq!(before.len(), said, "{last}");
        assert_eq!(
            (&last["type"], &last["code"]),
            (&"error".into(), &code.into())
        );
        assert!(!last["message"].as_str().expect("a message").is_empty());
        assert!(!last.to_string().contains(KEY), "{last}");
        assert_eq!(anthropic.counts().started, calls, "{last}");
    }
    settled(&host).await;
}

#[tokio::test]
async fn what_is_no_prompt_is_refused_before_the_stream() {
    let (host, upstreams) = relay().await;
    for (prompt, status) in [
        (b"".to_vec(), 400),
        (b" \n".to_vec(), 400),
        (b"\xff".to_vec(), 400),
        (vec![b'x'; 16 * 1024 + 1], 413),
    ] {
        let response = post(&host, prompt).await;
        assert_eq!(response.status(), status);
        assert!(!response.text().await.expect("a text").is_empty());
    }
    let get = reqwest::get(host.url("/")).await.expect("an answer");
    assert_eq!(get.status(), 404);
    assert_eq!(upstreams.anthropic().counts().started, 0);

    let unset = relay_host(&upstreams.anthropic().origin()).variable("anthropic_api_key", "");
    let unset = unset.start().await.expect("the host starts");
    let response = post(&unset, "hello").await;
    assert_eq!(response.status(), 503);
    let why = response.text().await.expect("a text");
    assert!(why.contains("anthropic_api_key"), "{why}");
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
