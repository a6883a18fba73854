//! How answers end, as other services and proxies end them.

use super::agent::{Show, done, incomplete, results, says, searches, text, tool};
use super::*;

/// An answer that ends with `end`, whatever that is.
fn ending(events: &str, end: &str) -> Vec<Step> {
    vec![Step::Write(sse("message_start", START) + events + end)]
}

/// `message_delta` with `reason` in JSON, without a `message_stop` after it.
fn reason(reason: &str) -> String {
    let data =
        format!("{{\"delta\":{{\"stop_reason\":{reason}}},\"usage\":{{\"output_tokens\":7}}}}");
    sse("message_delta", &data)
}

fn thinking(signature: &str) -> String {
    let block = json!({"type": "thinking", "thinking": "hm", "signature": signature});
    let start = json!({"index": 0, "content_block": block}).to_string();
    sse("content_block_start", &start) + &sse("content_block_stop", r#"{"index":0}"#)
}

fn search(index: usize, id: &str, query: &str) -> String {
    tool(
        index,
        id,
        "search_tracks",
        &json!({"query": query}).to_string(),
    )
}

fn code(frames: &[(String, Value)]) -> &str {
    let (kind, error) = last(frames);
    assert_eq!(kind, "error", "{error}");
    error["code"].as_str().unwrap()
}

#[test]
fn an_answer_is_whole_once_it_has_its_reason() {
    let stop = sse("message_stop", STOP);
    for (name, end) in [
        ("closed", reason("\"end_turn\"")),
        ("[DONE]", reason("\"end_turn\"") + "data: [DONE]\n\n"),
        ("an unknown reason", reason("\"bored\"")),
        (
            "no blank line",
            reason("\"end_turn\"").trim_end().to_owned(),
        ),
        ("no line end", sse("message_delta", "{}") + stop.trim_end()),
        (
            "half a stop",
            reason("\"end_turn\"") + &stop[..stop.len() / 2],
        ),
        ("no reason", reason("null") + &stop),
        ("no message_delta", stop.clone()),
        (
            "an error afterwards",
            reason("\"end_turn\"") + &sse("error", "{}"),
        ),
        (
            "garbage afterwards",
            reason("\"end_turn\"") + &sse("content_block_delta", "{"),
        ),
    ] {
        let show = Show::new(vec![ending(&text("Hi"), &end)]);
        let frames = show.hello();
        assert_eq!(
            (said(&frames), last(&frames)),
            (vec!["Hi"], ("done", &Value::Null)),
            "{name}"
        );
        // And so is a tool, whatever the reason says.
        let calls = text("Hm. ") + &search(1, "t0", "x");
        let show = Show::new(vec![ending(&calls, &end), done()]);
        let frames = show.hello();
        assert_eq!(said(&frames), ["Hm. ", "There."], "{name}");
        assert_eq!(
            (show.calls().len(), results(&show, 2).len()),
            (1, 1),
            "{name}"
        );
    }
    for end in [
        String::new(),
        reason("null"),
        "data: [DONE]\n\n".to_owned(),
        reason("\"\""),
    ] {
        let calls = text("Hm. ") + &search(1, "t0", "x");
        let show = Show::new(vec![ending(&calls, &end)]);
        assert_eq!(
            last(&show.hello()),
            ("done", &incomplete("upstream_cut")),
            "{end}"
        );
        assert_eq!(show.calls().len(), 0, "{end}");
    }
}

#[test]
fn tools_that_came_whole_run_unless_the_answer_stopped_short() {
    for reason in ["tool_use", "end_turn", "stop_sequence", "bored"] {
        let show = Show::new(vec![says(search(0, "t0", "x"), reason), done()]);
        assert_eq!(last(&show.hello()), ("done", &Value::Null), "{reason}");
        assert_eq!(show.calls().len(), 1, "{reason}");
    }
    for (reason, told) in [
        ("refusal", "refusal"),
        ("max_tokens", "max_tokens"),
        ("model_context_window_exceeded", "max_tokens"),
    ] {
        for (events, said) in [(text("Hm. "), true), (String::new(), false)] {
            let events = events + &search(1, "t0", "x");
            let show = Show::new(vec![says(events, reason)]);
            let frames = show.hello();
            assert_eq!((show.calls().len(), show.asked().len()), (0, 1), "{reason}");
            match said {
                true => assert_eq!(last(&frames), ("done", &incomplete(told)), "{reason}"),
                false => {
                    assert_eq!(code(&frames), "no_answer", "{reason}");
                    assert_eq!(last(&frames).1["context"]["reason"], told, "{reason}");
                }
            }
        }
    }
}

#[test]
fn an_answer_without_a_word_is_asked_for_once_more() {
    let empty = [
        says("", "end_turn"),
        says("", "tool_use"),
        says("", "stop_sequence"),
        says("", "pause_turn"),
        says(thinking("s=="), "end_turn"),
        says(text("\n\n"), "end_turn"),
        ending("", &sse("message_stop", STOP)),
    ];
    for empty in empty {
        // At once, and after the results of tools.
        for before in [vec![], vec![searches(1)]] {
            let asked_before = before.len();
            let turns = |then: Vec<Step>| [before.clone(), vec![empty.clone(), then]].concat();
            let show = Show::new(turns(done()));
            let frames = show.hello();
            assert_eq!(last(&frames), ("done", &Value::Null));
            assert_eq!(said(&frames).last(), Some(&"There."));
            let asked = show.asked();
            assert_eq!(asked.len(), asked_before + 2);
            // No tool runs again, and the results are there, in their own message.
            assert_eq!(show.calls().len(), asked_before);
            let messages = asked.last().unwrap()["messages"].as_array().unwrap();
            let go_on = messages.last().unwrap();
            assert_eq!(go_on["role"], "user");
            assert!(
                go_on["content"][0]["text"]
                    .as_str()
                    .unwrap()
                    .starts_with("Go on")
            );
            assert_eq!(go_on["content"].as_array().map(Vec::len), Some(1));
            let before = &messages[messages.len() - 2];
            assert_eq!(before["role"], "user", "{before}");
            let usage = &frames[frames.len() - 2].1;
            assert_eq!(usage["turns"], asked_before + 2);
            // And then no more.
            let show = Show::new(turns(empty.clone()));
            let frames = show.hello();
            assert_eq!(code(&frames), "no_answer");
            assert_eq!(show.asked().len(), asked_before + 2);
        }
    }
    // The last turn is the last.
    let show = Show::new(vec![
        searches(1),
        searches(2),
        searches(3),
        searches(4),
        says("", "end_turn"),
    ]);
    assert_eq!(code(&show.hello()), "no_answer");
    assert_eq!(show.asked().len(), 5);
    // Between two that are empty it did something.
    let turns = vec![
        says("", "end_turn"),
        searches(1),
        says("", "end_turn"),
        done(),
    ];
    assert_eq!(last(&Show::new(turns).hello()), ("done", &Value::Null));
}

#[test]
fn a_model_that_calls_tools_forever_is_ended_after_five_turns() {
    let turns = (0..9).map(|turn| {
        let input = format!("{{\"query\":\"q{turn}\"}}");
        says(
            tool(0, &format!("t{turn}"), "search_tracks", &input),
            "tool_use",
        )
    });
    let show = Show::new(turns.collect());
    let frames = show.hello();
    // Nothing was said.
    let (kind, error) = last(&frames);
    assert_eq!((kind, &error["code"]), ("error", &json!("no_answer")));
    assert_eq!(error["context"]["reason"], "turn_limit");
    assert_eq!(show.asked().len(), 5);
    // What the last answer asks for would be read by nobody.
    assert_eq!(show.calls().len(), 4);
    let asked = show.asked();
    // The last turn has the same tools, may use none, and the results stand
    // alone in their message.
    assert_eq!(asked[3]["tool_choice"], Value::Null);
    assert_eq!(asked[4]["tool_choice"], json!({"type": "none"}));
    assert_eq!(asked[4]["tools"], asked[0]["tools"]);
    let last = asked[4]["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"].as_array().map(Vec::len), Some(1));
    assert_eq!(last["content"][0]["type"], "tool_result");
    let usage = &frames[frames.len() - 2].1;
    assert_eq!(
        (&usage["turns"], &usage["toolCalls"]),
        (&json!(5), &json!(4))
    );
    assert_eq!(usage["partial"], false);
}

#[test]
fn a_deadline_before_a_word_is_an_error() {
    let show = Show::new(vec![vec![
        Step::Write(sse("message_start", START)),
        Step::Hang,
    ]]);
    let app = show.app(&[("request_deadline_ms", "5000")]);
    let frames = run_with(&show.world, &app, hello());
    assert_eq!(code(&frames), "no_answer");
    assert_eq!(last(&frames).1["context"]["reason"], "deadline");
}

#[test]
fn what_is_given_back_is_what_the_service_takes() {
    let calls = |ids: [&str; 2]| search(1, ids[0], "a") + &search(2, ids[1], "b");
    let turns = vec![
        says(thinking("") + &calls(["call_0", "call_0"]), "tool_use"),
        says(calls(["call_0", ""]), "tool_use"),
        says(calls(["", "fine"]), "tool_use"),
        done(),
    ];
    let show = Show::new(turns);
    let frames = show.hello();
    assert_eq!(last(&frames), ("done", &Value::Null));
    let messages = show.asked()[3]["messages"].clone();
    let messages = messages.as_array().unwrap();
    let parts = |role: &str, id: &str| -> Vec<String> {
        let own = messages.iter().filter(|message| message["role"] == role);
        let parts = own.flat_map(|message| message["content"].as_array().unwrap());
        parts
            .filter_map(|part| Some(part[id].as_str()?.to_owned()))
            .collect()
    };
    let asked = parts("assistant", "id");
    assert_eq!(asked, parts("user", "tool_use_id"));
    let mut distinct = asked.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((asked.len(), distinct.len()), (6, 6), "{asked:?}");
    assert!(asked.iter().all(|id| !id.is_empty()) && asked.contains(&"fine".to_owned()));
    // The user is told of the same ones.
    let started = frames.iter().filter(|(kind, _)| kind == "tool_start");
    let started: Vec<_> = started
        .map(|(_, data)| data["id"].as_str().unwrap())
        .collect();
    assert_eq!(started, asked);
    // Reasoning without a signature is left out, one with it is not.
    assert!(
        !messages[1].to_string().contains("thinking"),
        "{}",
        messages[1]
    );
    let signed = says(thinking("s==") + &search(1, "t0", "a"), "tool_use");
    let show = Show::new(vec![signed, done()]);
    show.hello();
    assert_eq!(
        show.asked()[1]["messages"][1]["content"][0]["type"],
        "thinking"
    );
}

/// A model that must reason before it calls a tool is not asked to any more,
/// once its reasoning cannot be given back.
#[test]
fn unsigned_reasoning_ends_reasoning() {
    let turn = || says(thinking("") + &search(1, "t0", "a"), "tool_use");
    for (thinking, max_tokens, then) in [
        ("2048", 2048 + 4096, Value::Null),
        ("adaptive:low", 16_000, json!({"type": "adaptive"})),
    ] {
        let show = Show::new(vec![turn(), done()]);
        let app = show.app(&[("anthropic_thinking", thinking)]);
        run_with(&show.world, &app, hello());
        let asked = show.asked();
        assert_eq!(asked[0]["max_tokens"], max_tokens);
        assert!(asked[0]["thinking"].is_object());
        assert_eq!(asked[1]["thinking"], then);
        let effort = asked[0]["output_config"]["effort"].as_str();
        assert_eq!(effort, (thinking != "2048").then_some("low"));
    }
    let show = Show::new(vec![done()]);
    let app = show.app(&[("anthropic_model", "claude-sonnet-5")]);
    run_with(&show.world, &app, hello());
    assert_eq!(show.asked()[0]["thinking"], json!({"type": "disabled"}));
    assert_eq!(show.asked()[0]["max_tokens"], 4096);
}

#[test]
fn a_character_that_was_cut_in_two_is_put_together() {
    let piece = |index: usize, field: &str, json: &str| {
        sse(
            "content_block_delta",
            &format!(
                "{{\"index\":{index},\"delta\":{{\"type\":\"{field}_delta\",\"{}\":\"{json}\"}}}}",
                if field == "text" {
                    "text"
                } else {
                    "partial_json"
                }
            ),
        )
    };
    let start = json!({"index": 1, "content_block": {"type": "tool_use", "id": "t0", "name": "search_tracks", "input": {}}});
    let events = piece(0, "text", r"Party \ud83c")
        + &piece(0, "text", r"\udf89 time\ud83c")
        + &sse("content_block_stop", r#"{"index":0}"#)
        + &sse("content_block_start", &start.to_string())
        + &piece(1, "input_json", r#"{\"query\": \"\ud83c"#)
        + &piece(1, "input_json", r#"\udf89 \\ud83c\"}"#)
        + &sse("content_block_stop", r#"{"index":1}"#);
    let show = Show::new(vec![says(events, "tool_use"), done()]);
    let frames = show.hello();
    assert_eq!(said(&frames).concat(), "Party 🎉 time\u{fffd}There.");
    let started = frames
        .iter()
        .find(|(kind, _)| kind == "tool_start")
        .unwrap();
    assert_eq!(started.1["args"]["query"], "🎉 \u{fffd}");
}
