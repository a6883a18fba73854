//! Hosts that have nothing to outlive a connection: all is as it was.

use std::time::Duration;

use serde_json::json;
use spinlane_component_tests::hosts::{self, Process};
use spinlane_component_tests::runs::{again, prompt, read, refused, run_of, sent};
use spinlane_component_tests::{KEY, built, dj_host, settled, start_upstreams};
use spinlane_upstreams::Anthropic;
use spinlane_upstreams::anthropic::Script;
use tokio::process::Command;

/// The same prompt with the same key is two runs, each of which ends with its client.
async fn nothing_is_resumed(origin: &str, anthropic: &Anthropic) {
    anthropic.reset();
    anthropic.script(Script::text(["a", "b"]).hang_after(1));
    let body = json!({"message": "hello", "resume": true});
    let keyed = || prompt(origin, &body).header("idempotency-key", "0123456789abcdef");
    for n in 1..=2 {
        let answer = sent(keyed()).await;
        let run = run_of(&answer);
        let cut = read(answer, Some(Duration::from_millis(500))).await;
        assert!(cut.frames.contains("\"resumable\":false"), "{cut:?}");
        let gone = anthropic
            .wait_for(Duration::from_secs(2), |counts| counts.cancelled == n)
            .await;
        gone.expect("the call is closed at once");
        assert_eq!(
            refused(again(origin, &run, 0)).await,
            (404, "not_found".into())
        );
    }
    let seen = refused(keyed().header("last-event-id", 1)).await;
    assert_eq!(seen, (409, "not_resumable".into()));
    anthropic.reset();
    anthropic.script(Script::text(["a", "b"]));
    let whole = read(sent(keyed()).await, None).await;
    assert_eq!(whole.last(), json!({"type": "done", "data": null}));
}

#[tokio::test]
async fn the_build_without_counters_resumes_nothing() {
    let upstreams = start_upstreams().await;
    let host = dj_host(&upstreams.anthropic().origin())
        .component(built("SPINLANE_PLAIN_COMPONENT"))
        .start()
        .await
        .expect("the host starts");
    nothing_is_resumed(&host.url(""), upstreams.anthropic()).await;
    settled(&host).await;
    assert_eq!(
        host.store()
            .dump()
            .keys()
            .filter(|key| key.starts_with("run"))
            .count(),
        0
    );
}

#[tokio::test]
async fn wasmtime_serve_resumes_nothing() {
    let Some(program) = hosts::program("SPINLANE_WASMTIME") else {
        return;
    };
    let upstreams = start_upstreams().await;
    let port = hosts::free_port();
    let mut command = Command::new(program);
    command
        .args(["serve", "-S", "cli", "-S", "keyvalue", "--addr"])
        .arg(format!("127.0.0.1:{port}"))
        .args(["--env", &format!("SPINLANE_ANTHROPIC_API_KEY={KEY}")])
        .arg("--env")
        .arg(format!(
            "SPINLANE_ANTHROPIC_BASE_URL={}",
            upstreams.anthropic().origin()
        ))
        .arg(built("SPINLANE_WASI_COMPONENT"));
    let process: Process = hosts::start(&mut command, port).await;
    nothing_is_resumed(&process.origin, upstreams.anthropic()).await;
}
