//! Hostile load with an honest client beside it: rows of what was done to the product,
//! mixed at random from a seed.
//!
//! A few seconds in the suite; a minute with `SPINLANE_HOSTILE_SECONDS=60`.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use reqwest::Client;
use serde_json::json;
use spinlane_component_tests::chat::{Chat, last};
use spinlane_component_tests::{Dj, alone};
use spinlane_upstreams::anthropic::Script;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// How long an answer takes.
const ANSWER: Duration = Duration::from_secs(3);

/// Hostile clients at a time.
const HOSTILE: u64 = 40;

fn seconds() -> u64 {
    let set = std::env::var("SPINLANE_HOSTILE_SECONDS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// The next of a row of numbers that looks like chance (SplitMix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One after another: chats with sessions that are none, bodies that never come, many
/// chats at once; all from one address.
async fn hostile(dj: &Dj, seed: u64, until: Instant) {
    let client = Client::new();
    let mut state = seed;
    while Instant::now() < until {
        match next(&mut state) % 3 {
            0 => {
                let session = format!("{:043}", next(&mut state));
                let request = client.post(dj.host.url("/api/chat-stream/message"));
                let request = request
                    .header("x-client", "192.0.2.66")
                    .header("cookie", format!("__Host-spinlane-session={session}"));
                let _ = request.json(&json!({"message": "x"})).send().await;
            }
            1 => {
                if let Ok(mut stream) = TcpStream::connect(dj.host.addr()).await {
                    let head = "POST /api/auth/token HTTP/1.1\r\nhost: dj\r\nx-client: \
                        192.0.2.66\r\ncontent-type: application/json\r\n\
                        content-length: 100\r\n\r\n{";
                    let _ = stream.write_all(head.as_bytes()).await;
                    tokio::time::sleep(Duration::from_millis(next(&mut state) % 500)).await;
                }
            }
            _ => {
                let one = || {
                    let request = client.post(dj.host.url("/api/chat-stream/message"));
                    let request = request.header("x-client", "192.0.2.66");
                    request.json(&json!({"message": "x"})).send()
                };
                let _ = join_all((0..5).map(|_| one())).await;
            }
        }
    }
}

/// One chat after another, each read to its end: how long each took.
async fn honest(dj: &Dj, until: Instant) -> Vec<Duration> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let begin = Instant::now();
        let request = Client::new().post(dj.host.url("/api/chat-stream/message"));
        let request = request.header("x-client", "192.0.2.7");
        let answer = request.json(&json!({"message": "hello"})).send().await;
        let frames = Chat::read(answer.expect("an answer")).rest().await;
        assert_eq!(last(&frames).0, "done", "{frames:?}");
        took.push(begin.elapsed());
    }
    took
}

#[tokio::test]
async fn an_honest_client_is_served_under_hostile_load() {
    let _alone = alone().await;
    let dj = Dj::start(&[
        ("caller_limit", "100/10m"),
        ("client_ip_header", "x-client"),
        ("lane_limits", "anthropic=3"),
    ])
    .await;
    let anthropic = dj.upstreams.anthropic();
    anthropic.script(Script::text(["a", "b"]).silence_after(1, ANSWER));
    let until = Instant::now() + Duration::from_secs(seconds());
    let crowd = join_all((0..HOSTILE).map(|seed| hostile(&dj, seed, until)));
    let (mut took, _) = join(honest(&dj, until), crowd).await;
    took.sort();
    let p95 = took[(took.len() * 95).div_ceil(100) - 1];
    println!(
        "{} honest chats, p95 {p95:?} for answers of {ANSWER:?}",
        took.len()
    );
    let counts = anthropic.counts();
    assert!(counts.max_open <= 3, "{counts:?}");
}
