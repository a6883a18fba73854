//! What is asked of the model, and what is said of it.

use spinlane_component_tests::KEY;
use spinlane_component_tests::chat::{Chat, send};

use super::*;

/// The reason is the operator's to read; users get a sentence of ours.
#[tokio::test]
async fn a_gateways_words_are_in_the_log() {
    let dj = Dj::start(&[]).await;
    let blocked = r#"{"error":{"type":"forbidden","message":"Request not allowed 5"}}"#;
    for (status, media_type, body, code, words) in [
        (
            403,
            "text/html",
            "<title>Blocked 1</title><p>no</p>",
            "upstream_rejected",
            "Blocked 1",
        ),
        (
            400,
            "application/json",
            "\"no route 2\"",
            "upstream_rejected",
            "no route 2",
        ),
        (
            422,
            "application/json",
            r#"{"detail": "bad field 3"}"#,
            "upstream_rejected",
            "bad field 3",
        ),
        (
            400,
            "application/json",
            r#"{"type":"error","error":{"type":null,"message":"odd 4"}}"#,
            "upstream_rejected",
            "odd 4",
        ),
        (
            403,
            "application/json",
            blocked,
            "upstream_rejected",
            "Request not allowed 5",
        ),
        (
            401,
            "text/plain",
            "who are you 6",
            "upstream_auth",
            "who are you 6",
        ),
        (
            500,
            "text/plain",
            "the key sk-component-test-0123456789 7",
            "upstream_error",
            "the key *** 7",
        ),
    ] {
        dj.upstreams
            .anthropic()
            .script(Script::answer(status, media_type, body));
        let frames = hello(&dj).await;
        let (kind, error) = last(&frames);
        assert_eq!(
            (kind, &error["code"], &error["status"]),
            ("error", &json!(code), &json!(status)),
            "{body}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("Anthropic") && !message.contains(words),
            "{message}"
        );
        assert_eq!(
            message.contains("check the variable"),
            status == 401,
            "{message}"
        );
        let logs = dj.host.logs().join("\n");
        assert!(logs.contains(words), "{words}: {logs}");
        assert!(!logs.contains(KEY));
    }
}

#[tokio::test]
async fn a_model_is_asked_to_think_as_it_can() {
    for (model, variable, value, thinking, max_tokens) in [
        (
            "claude-sonnet-4-6",
            "anthropic_thinking",
            "2048",
            json!({"type": "enabled", "budget_tokens": 2048}),
            6144,
        ),
        (
            "claude-sonnet-4-6",
            "anthropic_thinking",
            "off",
            Value::Null,
            4096,
        ),
        (
            "claude-opus-4-7",
            "anthropic_thinking",
            "adaptive:high",
            json!({"type": "adaptive"}),
            16_000,
        ),
        (
            "claude-opus-4-7",
            "anthropic_thinking",
            "off",
            Value::Null,
            4096,
        ),
        (
            "claude-sonnet-5",
            "anthropic_thinking",
            "adaptive",
            json!({"type": "adaptive"}),
            16_000,
        ),
        (
            "claude-sonnet-5",
            "anthropic_thinking",
            "",
            json!({"type": "disabled"}),
            4096,
        ),
        (
            "claude-sonnet-4-6",
            "anthropic_thinking_tokens",
            "1024",
            json!({"type": "enabled", "budget_tokens": 1024}),
            5120,
        ),
    ] {
        let dj = Dj::start(&[("anthropic_model", model), (variable, value)]).await;
        // The seeded model: it thinks where it is asked to, or by itself.
        let frames = hello(&dj).await;
        let row = format!("{model} {value}: {:?}", last(&frames));
        assert_eq!(last(&frames), WHOLE, "{row}");
        let asked = asked(&dj);
        assert_eq!(
            (&asked[0]["thinking"], &asked[0]["max_tokens"]),
            (&thinking, &json!(max_tokens)),
            "{row}"
        );
        let effort = value.strip_prefix("adaptive:");
        assert_eq!(
            asked[0]["output_config"]["effort"].as_str(),
            effort,
            "{row}"
        );
        let thinks = !matches!(thinking["type"].as_str(), None | Some("disabled"));
        let told = frames.iter().any(|frame| frame.data == "Thinking");
        assert_eq!(told, thinks, "{row}");
        let warned = dj
            .host
            .logs()
            .join("\n")
            .contains("read for one release more");
        assert_eq!(warned, variable != "anthropic_thinking", "{row}");
    }
    // What the model would refuse is named before it is asked.
    for (model, value) in [
        ("claude-opus-4-7", "2048"),
        ("claude-sonnet-4-5", "adaptive"),
    ] {
        let dj = Dj::start(&[("anthropic_model", model), ("anthropic_thinking", value)]).await;
        let response = send(&dj.origin(), &json!({"message": "hello"})).await;
        assert_eq!(response.status(), 503);
        let problem = response.text().await.unwrap();
        assert!(problem.contains("anthropic_thinking"), "{problem}");
    }
}

#[tokio::test]
async fn a_wait_in_vain_is_counted_once() {
    let dj = Dj::start(&[
        ("lane_limits", "anthropic=1"),
        ("queue_deadline_ms", "1500"),
    ])
    .await;
    let anthropic = dj.upstreams.anthropic();
    anthropic.script(Script::text(["x"]).hang_after(1));
    let mut holder = prompt(&dj.origin()).await;
    holder.next_of("content").await;
    let frames = hello(&dj).await;
    assert_eq!(code(&frames), "busy");
    let waited = frames[frames.len() - 2].data["laneWaitMs"]
        .as_u64()
        .unwrap();
    assert!((1_400..1_500 + 3_000).contains(&waited), "{waited}");
    let ended = format!("\"lane_wait_ms\":{waited}");
    let logs = dj.host.logs().join("\n");
    assert!(logs.contains(&ended), "{ended}: {logs}");
}

#[tokio::test]
async fn white_space_is_no_message() {
    let dj = Dj::start(&[]).await;
    for blank in [" ", "\n\t ", "\u{a0}\u{2003}\u{3000}", "\u{1f}", "\u{85}"] {
        let response = send(&dj.origin(), &json!({"message": blank})).await;
        assert_eq!(response.status(), 422, "{blank:?}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["errors"][0]["pointer"], "/message", "{problem}");
    }
    assert_eq!(dj.upstreams.anthropic().counts().started, 0);
    let chat = send(&dj.origin(), &json!({"message": " x "})).await;
    Chat::read(chat).rest().await;
}
