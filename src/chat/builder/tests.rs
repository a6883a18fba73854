use super::*;
use proptest::prelude::*;
use serde_json::json;

fn start(index: u32, block: Block) -> StreamEvent<'static> {
    let index = Some(index);
    StreamEvent::BlockStart { index, block }
}

fn delta(index: u32, delta: Delta<'_>) -> StreamEvent<'_> {
    let index = Some(index);
    StreamEvent::BlockDelta { index, delta }
}

fn stop(index: u32) -> StreamEvent<'static> {
    let index = Some(index);
    StreamEvent::BlockStop { index }
}

fn tool(index: u32, input: Value) -> StreamEvent<'static> {
    let (id, name) = (format!("t{index}"), "search".to_owned());
    start(index, Block::ToolUse { id, name, input })
}

fn built(events: &[StreamEvent<'_>]) -> AnswerBuilder {
    let mut built = AnswerBuilder::default();
    events.iter().for_each(|event| built.take(event));
    built
}

fn finish(built: AnswerBuilder) -> FinishedAnswer {
    built.finish(&mut Ids::default()).unwrap()
}

fn input(events: &[StreamEvent<'_>]) -> Result<Value, String> {
    let FinishedAnswer { parts, calls, .. } = finish(built(events));
    let Some(Part::ToolUse { input, .. }) = parts.last() else {
        panic!("{parts:?}");
    };
    assert!(input.is_object(), "{input}");
    calls[0].input.clone().map(Value::Object)
}

#[test]
fn everything_is_given_back_as_it_came() {
    let thinking = Block::Thinking {
        thinking: "h".into(),
        signature: String::new(),
    };
    let redacted = Block::RedactedThinking { data: "xyz".into() };
    let events = [
        StreamEvent::Ping,
        start(0, thinking),
        delta(0, Delta::Thinking("m".into())),
        delta(0, Delta::Signature("s=".into())),
        delta(0, Delta::Signature("=".into())),
        stop(0),
        start(1, redacted),
        stop(1),
        start(2, Block::Text(String::new())),
        delta(2, Delta::Text("Let ".into())),
        delta(2, Delta::Text("me".into())),
        stop(2),
        start(3, Block::Text(" ".into())),
        stop(3),
        tool(4, json!({})),
        delta(4, Delta::InputJson("{\"q\": \"a".into())),
        delta(4, Delta::InputJson("b\"}".into())),
        stop(4),
        tool(5, json!({})),
        stop(5),
    ];
    let FinishedAnswer {
        parts,
        calls,
        unsigned,
    } = finish(built(&events));
    assert!(!unsigned);
    let tool_use = |id: &str, input| Part::ToolUse {
        id: id.into(),
        name: "search".into(),
        input,
    };
    assert_eq!(
        parts,
        [
            Part::Thinking {
                thinking: "hm".into(),
                signature: "s==".into()
            },
            Part::RedactedThinking { data: "xyz".into() },
            Part::text("Let me"),
            tool_use("t4", json!({"q": "ab"})),
            tool_use("t5", json!({})),
        ]
    );
    let ids: Vec<_> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["t4", "t5"]);
    assert_eq!(calls[1].input, Ok(Map::new()));
}

#[test]
fn an_input_that_is_cut_or_no_object_is_none() {
    let json = |text: &'static str| {
        let piece = delta(0, Delta::InputJson(text.into()));
        input(&[tool(0, json!({})), piece, stop(0)])
    };
    assert_eq!(json("{\"a\": [1]}"), Ok(json!({"a": [1]})));
    for (text, words) in [
        ("{\"a\": [1", "not valid JSON"),
        ("{\"a\": 1} {", "not valid JSON"),
        ("[1]", "must be a JSON object"),
        ("null", "must be a JSON object"),
    ] {
        let error = json(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    let piece = delta(0, Delta::InputJson("{\"a\": 1}".into()));
    let unfinished = input(&[tool(0, json!({})), piece]);
    assert!(unfinished.unwrap_err().contains("cut off"));
    let deep = "[".repeat(100_000);
    let piece = delta(0, Delta::InputJson(deep[..MAX_INPUT].into()));
    let error = input(&[tool(0, json!({})), piece, stop(0)]);
    assert!(error.unwrap_err().contains("not valid JSON"));
    let piece = delta(0, Delta::InputJson(deep.into()));
    let error = input(&[tool(0, json!({})), piece, stop(0)]);
    assert!(error.unwrap_err().contains("longer"));
}

#[test]
fn an_input_may_come_whole_at_the_start() {
    assert_eq!(
        input(&[tool(0, json!({"a": 1})), stop(0)]),
        Ok(json!({"a": 1}))
    );
    assert_eq!(input(&[tool(0, Value::Null), stop(0)]), Ok(json!({})));
}

#[test]
fn half_a_character_in_an_input_is_none() {
    let json = r#"{"q": "Party \ud83c", "r": "\ud83c\udf89"}"#;
    let piece = delta(0, Delta::InputJson(json.into()));
    let expected = json!({"q": "Party \u{fffd}", "r": "🎉"});
    assert_eq!(input(&[tool(0, json!({})), piece, stop(0)]), Ok(expected));
    let whole = tool(0, json!(r#"{"q": "\udf89"}"#));
    assert_eq!(input(&[whole, stop(0)]), Ok(json!({"q": "\u{fffd}"})));
}

#[test]
fn reasoning_that_is_not_signed_is_left_out() {
    let thinking = Block::Thinking {
        thinking: "h".into(),
        signature: String::new(),
    };
    let said = finish(built(&[
        start(0, thinking),
        stop(0),
        tool(1, json!({})),
        stop(1),
    ]));
    assert!(said.unsigned && !said.is_empty());
    assert!(matches!(said.parts[..], [Part::ToolUse { .. }]));
}

#[test]
fn blocks_whose_start_was_lost_are_what_their_deltas_are() {
    let said = finish(built(&[
        delta(0, Delta::Text("Let me".into())),
        delta(1, Delta::InputJson("{}".into())),
        stop(1),
    ]));
    assert_eq!(said.parts[0], Part::text("Let me"));
    let call = &said.calls[0];
    assert_eq!((call.name.as_str(), call.input.is_ok()), ("", true));
    assert_eq!(
        said.parts[1],
        Part::ToolUse {
            id: call.id.clone(),
            name: "unknown".into(),
            input: json!({}),
        }
    );
    // Without an index it is the newest.
    let mut one = built(&[tool(3, json!({}))]);
    for piece in ["{\"q\"", ": 1}"] {
        let delta = Delta::InputJson(piece.into());
        one.take(&StreamEvent::BlockDelta { index: None, delta });
    }
    one.take(&StreamEvent::BlockStop { index: None });
    let index = None;
    let block = Block::Text("x".into());
    one.take(&StreamEvent::BlockStart { index, block });
    one.take(&delta(4, Delta::Text("y".into())));
    let said = finish(one);
    assert_eq!(
        said.calls[0].input.clone().map(Value::Object),
        Ok(json!({"q": 1}))
    );
    assert_eq!(said.parts[1], Part::text("xy"));
}

#[test]
fn an_answer_that_is_only_reasoning_says_nothing() {
    let thinking = |signature: &str| Block::Thinking {
        thinking: "h".into(),
        signature: signature.into(),
    };
    let text = Block::Text("\n\n".into());
    let only = [
        start(0, thinking("s")),
        start(1, thinking("")),
        start(2, text),
    ];
    assert!(finish(built(&only)).is_empty());
    assert!(finish(AnswerBuilder::default()).is_empty());
}

#[test]
fn what_is_kept_has_a_bound() {
    let long = "x".repeat(1000);
    let mut built = built(&[start(0, Block::Text(String::new()))]);
    for _ in 0..1100 {
        built.take(&delta(0, Delta::Text(long.as_str().into())));
    }
    assert!(built.blocks[0].content.len() <= MAX_KEPT);
    built.take(&tool(1, json!({})));
    let too_long = Err(TooLong { tools: true });
    assert_eq!(built.finish(&mut Ids::default()), too_long);
    let mut blocks = AnswerBuilder::default();
    for index in 0..1_000_000 {
        blocks.take(&start(index, Block::Unknown));
    }
    assert!(blocks.blocks.len() * size_of::<Kept>() <= MAX_KEPT);
    let too_long = Err(TooLong { tools: false });
    assert_eq!(blocks.finish(&mut Ids::default()), too_long);
}

proptest! {
    /// However a tool's input is cut into pieces, it is what was meant; and
    /// any proper beginning of it is none at all.
    #[test]
    fn pieces_of_an_input_are_put_together(
        text in "\\PC{0,20}",
        number in any::<i64>(),
        at in any::<proptest::sample::Index>(),
        size in 1..9usize,
    ) {
        let meant = json!({"text": text, "n": [number, null, true]});
        let json = meant.to_string();
        let chars: Vec<char> = json.chars().collect();
        let mut events = vec![tool(0, json!({}))];
        let pieces = chars.chunks(size).map(|piece| piece.iter().collect::<String>());
        events.extend(pieces.map(|piece| delta(0, Delta::InputJson(piece.into()))));
        events.push(stop(0));
        prop_assert_eq!(input(&events), Ok(meant));
        let cut: String = chars[..1 + at.index(chars.len() - 1)].iter().collect();
        let events = [tool(0, json!({})), delta(0, Delta::InputJson(cut.into())), stop(0)];
        prop_assert!(input(&events).is_err());
    }
}
