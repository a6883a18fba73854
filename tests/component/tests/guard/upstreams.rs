//! Upstreams that mean harm, or were taken over.

use serde_json::json;
use spinlane_component_tests::chat::{Chat, last, send};
use spinlane_component_tests::{Dj, PATIENCE, settled, start_upstreams};
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::{Reply, Sink};

/// The most that a run's frames take.
const MAX_FRAMES: usize = 8 * 1024 * 1024;

/// An answer of 40 MB, plain and of what takes six bytes each as JSON.
#[tokio::test]
async fn an_upstream_that_never_ends_is_cut_after_8_mib() {
    let dj = Dj::start(&[]).await;
    let anthropic = dj.upstreams.anthropic();
    for text in ["x".repeat(4_000), "\u{1}".repeat(4_000)] {
        anthropic.reset();
        anthropic.script(Script::text(vec![text; 10_000]));
        let mut chat = Chat::read(send(&dj.origin(), &json!({"message": "hello"})).await);
        let frames = chat.rest().await;
        let cut = json!({"incomplete": true, "reason": "upstream_cut"});
        assert_eq!(last(&frames), ("done", &cut));
        let heartbeats = chat.text().matches(": heartbeat\n\n").count() * 13;
        let bytes = chat.raw.len() - heartbeats;
        assert!(bytes <= MAX_FRAMES, "{bytes}");
        assert!(bytes > MAX_FRAMES / 2, "{bytes}");
        // And it is not read on.
        let ended = anthropic
            .wait_for(PATIENCE, |counts| counts.open == 0)
            .await;
        assert_eq!(ended.map(|counts| counts.cancelled), Ok(1));
    }
    settled(&dj.host).await;
}

/// A redirect of an upstream leads nowhere: not to another host, and with no key.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = start_upstreams().await;
    let upstream = Sink::start().await.expect("an upstream");
    let location = format!("{}/v1/messages", elsewhere.anthropic().origin());
    let origin = format!("http://{}", upstream.addr());
    let dj = Dj::start(&[("anthropic_base_url", &origin)]).await;
    for status in [301, 302, 303, 307, 308] {
        upstream.reply(Reply {
            status,
            location: Some(location.clone()),
            ..Reply::default()
        });
        let frames = Chat::read(send(&dj.origin(), &json!({"message": "hello"})).await)
            .rest()
            .await;
        let (kind, error) = last(&frames);
        assert_eq!(
            (kind, &error["code"]),
            ("error", &"upstream_protocol".into())
        );
    }
    assert_eq!(upstream.counts().started, 5, "each was asked once");
    assert_eq!(elsewhere.anthropic().counts().started, 0);
}
