//! How answers end, or do not.

use std::time::{Duration, Instant};

use futures::future::join;
use spinlane_component_tests::chat::said;
use spinlane_component_tests::{PATIENCE, settled};

use super::*;

/// How much later than promised a machine that is busy may be.
const SLACK: Duration = Duration::from_secs(3);

#[tokio::test]
async fn pings_alone_do_not_hold_a_lane() {
    const BOUND: Duration = Duration::from_secs(4);
    let dj = Dj::start(&[("upstream_progress_ms", "4000")]).await;
    let anthropic = dj.upstreams.anthropic();
    let pings = |before: String| Script::wire([Step::Write(before), Step::Pings(500)]);
    anthropic.script(pings(start()));
    let begin = Instant::now();
    let (one, two) = join(hello(&dj), hello(&dj)).await;
    for frames in [one, two] {
        assert_eq!(code(&frames), "upstream_timeout");
    }
    let took = begin.elapsed();
    assert!(took >= BOUND && took < BOUND * 3 / 2 + SLACK, "{took:?}");
    assert_eq!(anthropic.counts().started, 4, "each is asked for once more");
    // After content it is a cut; both slots are free again.
    let frames = run(&dj, [pings(start() + &text("Hm."))]).await;
    let cut = json!({"incomplete": true, "reason": "upstream_cut"});
    assert_eq!(
        (said(&frames), last(&frames)),
        (vec!["Hm."], ("done", &cut))
    );
    assert_eq!(anthropic.counts().started, 1);
    // The second time it may go well.
    let frames = run(&dj, [pings(start()), there()]).await;
    assert_eq!((said(&frames), last(&frames)), (vec!["There."], WHOLE));
    let closed = anthropic
        .wait_for(PATIENCE, |counts| counts.open == 0)
        .await;
    closed.expect("the calls end");
    settled(&dj.host).await;
}

#[tokio::test]
async fn an_answer_without_a_word_is_asked_for_once_more() {
    let dj = Dj::start(&[]).await;
    let silent = [
        whole("", "end_turn"),
        whole("", "tool_use"),
        whole(thinking("c2ln"), "end_turn"),
        bytes(start() + &stop()),
    ];
    for (row, silent) in silent.into_iter().enumerate() {
        let turns = [
            whole(tool(0, "t0", "love 1"), "tool_use"),
            silent.clone(),
            there(),
        ];
        let frames = run(&dj, turns).await;
        assert_eq!(
            (said(&frames), last(&frames)),
            (vec!["There."], WHOLE),
            "{row}"
        );
        assert_eq!((ran(&frames), asked(&dj).len()), (1, 3), "{row}");
        let messages = asked(&dj)[2]["messages"].as_array().unwrap().clone();
        let kinds = messages[2..]
            .iter()
            .map(|message| message["content"][0]["type"].clone());
        assert_eq!(kinds.collect::<Vec<_>>(), ["tool_result", "text"], "{row}");
        let frames = run(&dj, [silent.clone(), silent]).await;
        assert_eq!((code(&frames), asked(&dj).len()), ("no_answer", 2), "{row}");
    }
}

#[tokio::test]
async fn an_end_without_a_word_is_an_error() {
    let dj = Dj::start(&[("request_deadline_ms", "20000")]).await;
    for why in ["max_tokens", "refusal", "model_context_window_exceeded"] {
        // Nor does any tool run.
        let frames = run(&dj, [whole(tool(0, "t0", "love 1"), why)]).await;
        assert_eq!((code(&frames), ran(&frames)), ("no_answer", 0), "{why}");
        let message = last(&frames).1["message"].as_str().unwrap();
        assert!(message.len() > 30, "{message}");
    }
    let turns = (0..9).map(|n| whole(tool(0, "t", &format!("love {n}")), "tool_use"));
    let frames = run(&dj, turns).await;
    assert_eq!(code(&frames), "no_answer");
    let asked = asked(&dj);
    assert_eq!((asked.len(), ran(&frames)), (5, 4));
    assert_eq!(asked[4]["tool_choice"], json!({"type": "none"}));
    assert_eq!(asked[4]["tools"], asked[0]["tools"]);
    let last_message = asked[4]["messages"].as_array().unwrap().last().unwrap();
    let results = last_message["content"].as_array().unwrap();
    assert!(
        results.iter().all(|part| part["type"] == "tool_result"),
        "{results:?}"
    );
    let dj = Dj::start(&[("request_deadline_ms", "1500")]).await;
    let frames = run(&dj, [Script::wire([Step::Write(start()), Step::Hang])]).await;
    assert_eq!(
        (code(&frames), &last(&frames).1["context"]["reason"]),
        ("no_answer", &json!("deadline"))
    );
}

#[tokio::test]
async fn an_answer_is_whole_once_it_has_its_reason() {
    let dj = Dj::start(&[]).await;
    let ends = [
        reason("end_turn"),
        reason("end_turn") + "data: [DONE]\n\n",
        reason("end_turn").trim_end().to_owned(),
        reason("tool_use") + stop().trim_end(),
        reason("stop_sequence"),
        reason("not known yet"),
        reason(Value::Null) + &stop(),
        stop(),
    ];
    for end in ends {
        let first = start() + &text("Hm. ") + &tool(1, "t0", "love 1") + &end;
        let frames = run(&dj, [bytes(first), there()]).await;
        assert_eq!(
            (said(&frames), last(&frames)),
            (vec!["Hm. ", "There."], WHOLE),
            "{end}"
        );
        assert_eq!(ran(&frames), 1, "{end}");
    }
    // Without one it was cut, and no part of it runs.
    let cut = json!({"incomplete": true, "reason": "upstream_cut"});
    let frames = run(
        &dj,
        [bytes(start() + &text("Hm. ") + &tool(1, "t0", "love 1"))],
    )
    .await;
    assert_eq!((last(&frames), ran(&frames)), (("done", &cut), 0));
}
