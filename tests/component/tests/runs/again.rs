//! Clients that lose their connections have in the end what one has that kept it.
//!
//! 20 runs, more with `SPINLANE_RESUMED_RUNS=200`.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Client;
use serde_json::json;
use spinlane_component_tests::runs::{again, prompt, read, run_of, sent};
use spinlane_component_tests::{Dj, settled};
use spinlane_core::testing::SeededEntropy;
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::catalogue::DEMO_PLAYLIST;

/// How often a connection is cut.
const CUTS: usize = 5;

fn runs() -> u64 {
    let set = std::env::var("SPINLANE_RESUMED_RUNS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// What the model says, and how long that takes.
fn scripts(dj: &Dj, chance: &SeededEntropy, with_tools: bool) -> Duration {
    let anthropic = dj.upstreams.anthropic();
    anthropic.reset();
    let deltas = 20 + chance.below(200);
    let pace = Duration::from_millis(2 + chance.below(20));
    if with_tools {
        let input = json!({"playlistId": DEMO_PLAYLIST});
        let tool = Script::tools().use_tool("analyze_playlist", input);
        anthropic.push(tool);
    }
    let words = (0..deltas).map(|n| format!("{n}\n{} ", "x".repeat((n % 90) as usize)));
    anthropic.push(Script::text(words.collect::<Vec<_>>()).pace(pace));
    let tools = Duration::from_millis(if with_tools { 700 } else { 0 });
    pace * u32::try_from(deltas).expect("a few") + tools
}

/// One run, whose client is cut off at random, beside a reader that stays.
async fn run(dj: &Dj, seed: u64) {
    let chance = SeededEntropy::new(seed);
    let with_tools = seed.is_multiple_of(4);
    let length = scripts(dj, &chance, with_tools);
    let part = length / 5;
    let life = || part.mul_f64(chance.below(1_500) as f64 / 1_000.0);
    let origin = dj.origin();
    let body = json!({"message": "hello", "resume": true});
    let first = sent(prompt(&origin, &body)).await;
    let run = run_of(&first);
    let stays = sent(again(&origin, &run, 0)).await;
    let stays = tokio::spawn(read(stays, None));
    let mut text = read(first, Some(life())).await;
    for cut in 1..=CUTS {
        if text.ended {
            break;
        }
        let life = (cut < CUTS).then(&life);
        let answer = sent(again(&origin, &run, text.newest())).await;
        if answer.status() == 204 {
            text.ended = true;
            break;
        }
        let more = read(answer, life).await;
        text.frames += &more.frames;
        text.ended = more.ended;
    }
    let whole = stays.await.expect("it is read to its end");
    assert!(whole.ended && text.ended, "seed {seed}");
    assert_eq!(text.frames, whole.frames, "seed {seed}");
    assert_eq!(whole.last()["type"], "done", "seed {seed}");
    assert_eq!(whole.frames.contains("\"progress\""), with_tools);
    // Nothing is left to read, however it is asked for.
    let query = format!("{origin}/api/chat-stream/{run}?after={}", text.newest());
    let nothing = sent(Client::new().get(query)).await;
    assert_eq!(nothing.status(), 204, "seed {seed}");
    assert_eq!(nothing.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn cut_connections_lose_nothing_and_repeat_nothing() {
    let side_by_side = 4;
    let all = (0..side_by_side).map(|lane| async move {
        let dj = Dj::start(&[]).await;
        dj.upstreams.latency(Duration::from_millis(20));
        for seed in (lane..runs()).step_by(4) {
            run(&dj, seed).await;
        }
        settled(&dj.host).await;
    });
    join_all(all).await;
}
