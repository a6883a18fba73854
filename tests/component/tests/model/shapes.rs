//! Events, errors and texts of other shapes.

use spinlane_component_tests::chat::said;

use super::*;

#[tokio::test]
async fn what_means_nothing_ends_nothing() {
    let dj = Dj::start(&[("log_level", "debug")]).await;
    let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":1234.4,"output_tokens":"1"}}}"#;
    let alive =
        "data:\n\ndata: []\n\ndata: heartbeat\n\n: comment\n\ndata: {\"type\":\"alive\"}\n\n";
    let signature = json!({"type": "thinking", "thinking": null, "signature": null});
    let null = |kind: &str, field: &str| json!({"type": kind, field: null});
    let pieces = [
        null("text_delta", "text"),
        json!({"type": "text_delta", "text": "Hm. "}),
        json!({"type": "text_delta"}),
    ];
    let input = [
        null("input_json_delta", "partial_json"),
        json!({"partial_json": "{\"query\": \"love 1\"}"}),
    ];
    let search = json!({"type": "tool_use", "id": "t0", "name": "search_tracks"});
    let end = r#"{"delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":5.0}}"#;
    let answer = format!("data: {start}\n\n")
        + &block(0, &signature, &[null("signature_delta", "signature")])
        + alive
        + &block(1, &json!({"type": "text", "text": null}), &pieces)
        + alive
        + &block(2, &search, &input)
        + &format!("event: message_delta\ndata: {end}\n\n")
        + alive;
    let frames = run(&dj, [bytes(answer), there()]).await;
    assert_eq!(
        (said(&frames), last(&frames)),
        (vec!["Hm. ", "There."], WHOLE)
    );
    assert_eq!(ran(&frames), 1);
    let usage = &frames[frames.len() - 2].data;
    assert_eq!(
        (&usage["inputTokens"], &usage["outputTokens"]),
        (&json!(1243), &json!(12))
    );
    let logs = dj.host.logs().join("\n");
    assert!(logs.contains("means nothing, and is skipped"), "{logs}");
}

#[tokio::test]
async fn errors_of_any_shape_are_errors_of_the_service() {
    let dj = Dj::start(&[]).await;
    let passing = [
        r#"event: error
data: {"type":"error","error":"overloaded_error"}"#,
        r#"event: error
data: {"type":"error","error":{"type":"overloaded_error","message":null}}"#,
        r#"data: {"error":{"message":"The service is overloaded"}}"#,
        "event: error\ndata: upstream overloaded",
        r#"data: {"type":"overloaded_error"}"#,
    ];
    for error in passing {
        let frames = run(&dj, [bytes(start() + error + "\n\n"), there()]).await;
        assert_eq!(
            (said(&frames), last(&frames)),
            (vec!["There."], WHOLE),
            "{error}"
        );
        let always = (0..3).map(|_| bytes(start() + error + "\n\n"));
        let frames = run(&dj, always).await;
        assert_eq!(code(&frames), "overloaded", "{error}");
    }
    for status in [520, 522, 524, 527, 530] {
        let frames = run(
            &dj,
            [Script::answer(status, "text/html", "<h1>Oh</h1>"), there()],
        )
        .await;
        assert_eq!(
            (said(&frames), last(&frames)),
            (vec!["There."], WHOLE),
            "{status}"
        );
    }
    for status in [501, 505] {
        let frames = run(
            &dj,
            [Script::answer(status, "text/html", "<h1>Oh</h1>"), there()],
        )
        .await;
        assert_eq!(
            (code(&frames), asked(&dj).len()),
            ("upstream_error", 1),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_character_that_was_cut_in_two_is_put_together() {
    let dj = Dj::start(&[]).await;
    let delta = |index: usize, field: &str, json: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"index\":{index},\"delta\":{{\"type\":\"{field}\",{json}}}}}\n\n"
        )
    };
    let begin = json!({"type": "content_block_start", "index": 1, "content_block":
        {"type": "tool_use", "id": "t0", "name": "search_tracks", "input": {}}});
    let events = delta(0, "text_delta", r#""text":"Party \ud83c""#)
        + &delta(0, "text_delta", r#""text":"\udf89 time \ud83c""#)
        + &event(&json!({"type": "content_block_stop", "index": 0}))
        + &event(&begin)
        + &delta(
            1,
            "input_json_delta",
            r#""partial_json":"{\"query\": \"love \ud83c""#,
        )
        + &delta(
            1,
            "input_json_delta",
            r#""partial_json":"\udf89 \\ud83c\"}""#,
        )
        + &event(&json!({"type": "content_block_stop", "index": 1}));
    let frames = run(&dj, [whole(events, "tool_use"), there()]).await;
    assert_eq!(last(&frames), WHOLE);
    assert_eq!(said(&frames).concat(), "Party 🎉 time \u{fffd}There.");
    let tool = frames
        .iter()
        .find(|frame| frame.kind == "tool_start")
        .unwrap();
    assert_eq!(tool.data["args"]["query"], "love 🎉 \u{fffd}");
}

/// The stand-in refuses what the service refuses.
#[tokio::test]
async fn what_is_given_back_is_taken() {
    let dj = Dj::start(&[]).await;
    let calls = |one: &str, two: &str, n: usize| {
        tool(1, one, &format!("love {n}")) + &tool(2, two, &format!("rain {n}"))
    };
    let turns = [
        whole(thinking("") + &calls("call_0", "call_0", 1), "tool_use"),
        whole(calls("call_0", "", 2), "tool_use"),
        whole(calls("functions.search:0", "", 3), "tool_use"),
        there(),
    ];
    let frames = run(&dj, turns).await;
    assert_eq!((said(&frames), last(&frames)), (vec!["There."], WHOLE));
    assert_eq!(ran(&frames), 6);
}
