//! Runs with tools, in virtual time.

use super::*;

/// What the catalogue answers, and after how long.
type Catalogue = dyn Fn(&str) -> (u64, Value) + Send + Sync;

/// Calls to the catalogue: which, when each began and ended, in milliseconds; a
/// call that was dropped has no end.
type Calls = Arc<Mutex<Vec<(String, u64, Option<u64>)>>>;

/// An application whose model says what it is told to, turn by turn.
pub(super) struct Show {
    pub(super) world: World,
    /// What the model was asked.
    asked: Arc<Mutex<Vec<Value>>>,
    calls: Calls,
}

/// A playlist's id.
const OPEN: &str = "37i9dQZF1DXcBWIGoYBM5M";

const VARIABLES: [(&str, &str); 3] = [
    ("spotify_client_id", "client"),
    ("spotify_client_secret", "secret"),
    ("deezer_base_url", "http://127.0.0.1:9"),
];

impl Show {
    /// The last of `turns` is said again and again.
    pub(super) fn new(turns: Vec<Vec<Step>>) -> Self {
        Self::with(turns, |_| {
            (300, json!({"tracks": {"items": [track(1)], "total": 1}}))
        })
    }

    fn with(
        turns: Vec<Vec<Step>>,
        catalogue: impl Fn(&str) -> (u64, Value) + Send + Sync + 'static,
    ) -> Self {
        let (asked, calls) = (Arc::default(), Arc::default());
        let clock = VirtualClock::new();
        let catalogue: Arc<Catalogue> = Arc::new(catalogue);
        let http = {
            let (asked, calls, clock) = (Arc::clone(&asked), Arc::clone(&calls), clock.clone());
            ScriptedHttp::new(move |request| {
                let host = request.uri().host().unwrap_or_default().to_owned();
                if host == "api.anthropic.com" {
                    let asked: &Mutex<Vec<Value>> = &asked;
                    let mut asked = asked.lock().unwrap();
                    asked.push(serde_json::from_slice(request.body()).unwrap());
                    let turn = turns.get(asked.len() - 1).or(turns.last()).unwrap();
                    return streamed(body(clock.clone(), turn.clone())).boxed();
                }
                let path = request.uri().path_and_query().unwrap().to_string();
                let answer = match host.as_str() {
                    "api.spotify.com" => catalogue(&path),
                    "accounts.spotify.com" => (
                        0,
                        json!({
                            "access_token": "t", "token_type": "Bearer", "expires_in": 3600,
                        }),
                    ),
                    _ => (
                        0,
                        json!({"error": {"type": "DataException", "message": "no data", "code": 800}}),
                    ),
                };
                answered(answer, host == "api.spotify.com", path, &calls, &clock).boxed()
            })
        };
        let mut world = World::with_http(http);
        world.clock = clock;
        Self {
            world,
            asked,
            calls,
        }
    }

    pub(super) fn app(&self, variables: &[(&'static str, &'static str)]) -> App {
        let all: Vec<_> = variables.iter().chain(&VARIABLES).copied().collect();
        app(&self.world, &all)
    }

    pub(super) fn run(&self, request: &Value) -> Vec<(String, Value)> {
        run_with(&self.world, &self.app(&[]), prompt(request))
    }

    pub(super) fn hello(&self) -> Vec<(String, Value)> {
        self.run(&json!({"message": "hello"}))
    }

    pub(super) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn calls(&self) -> Vec<(String, u64, Option<u64>)> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) fn millis(&self) -> u64 {
        self.world.clock.now().as_nanos() / 1_000_000
    }
}

async fn streamed(body: BodyStream) -> Result<Response<BodyStream>, HttpError> {
    let response = Response::builder().header("content-type", "text/event-stream");
    Ok(response.body(body).unwrap())
}

fn answered(
    (millis, answer): (u64, Value),
    noted: bool,
    path: String,
    calls: &Calls,
    clock: &VirtualClock,
) -> impl Future<Output = Result<Response<BodyStream>, HttpError>> + use<> {
    let (calls, clock) = (Arc::clone(calls), clock.clone());
    async move {
        let now = || clock.now().as_nanos() / 1_000_000;
        let note = |call| {
            let mut calls = calls.lock().unwrap();
            calls.push(call);
            calls.len() - 1
        };
        let index = noted.then(|| note((path, now(), None)));
        clock.sleep(Duration::from_millis(millis)).await;
        if let Some(index) = index {
            calls.lock().unwrap()[index].2 = Some(now());
        }
        let body = stream::iter([Ok(Bytes::from(answer.to_string()))]).boxed();
        Ok(Response::builder().body(body).unwrap())
    }
}

fn track(n: u32) -> Value {
    json!({
        "id": format!("track{n}"), "uri": format!("spotify:track:track{n}"), "type": "track",
        "name": format!("Song {n}"), "artists": [{"id": "a1", "name": "Nena Rossi"}],
        "album": {"name": "Luce", "release_date": "2021-03-26"}, "duration_ms": 200_000,
    })
}

pub(super) fn tool(index: usize, id: &str, name: &str, json: &str) -> String {
    let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let start = json!({"index": index, "content_block": block});
    let half = json.len() / 2;
    let half = (half..).find(|at| json.is_char_boundary(*at)).unwrap();
    let mut events = sse("content_block_start", &start.to_string());
    for piece in [&json[..half], &json[half..]] {
        let delta = json!({"type": "input_json_delta", "partial_json": piece});
        let delta = json!({"index": index, "delta": delta});
        events += &sse("content_block_delta", &delta.to_string());
    }
    events + &sse("content_block_stop", &json!({"index": index}).to_string())
}

pub(super) fn text(text: &str) -> String {
    let start = json!({"index": 0, "content_block": {"type": "text", "text": ""}});
    sse("content_block_start", &start.to_string())
        + &delta(text)
        + &sse("content_block_stop", r#"{"index":0}"#)
}

pub(super) fn says(events: impl AsRef<str>, stop_reason: &str) -> Vec<Step> {
    vec![Step::Write(
        sse("message_start", START) + events.as_ref() + &end(stop_reason),
    )]
}

pub(super) fn searches(count: usize) -> Vec<Step> {
    let one = |n| {
        tool(
            n + 1,
            &format!("t{n}"),
            "search_tracks",
            &format!("{{\"query\":\"q{n}\"}}"),
        )
    };
    says(
        text("Let me look. ") + &(0..count).map(one).collect::<String>(),
        "tool_use",
    )
}

pub(super) fn done() -> Vec<Step> {
    says(text("There."), "end_turn")
}

fn kinds(frames: &[(String, Value)]) -> Vec<&str> {
    frames.iter().map(|(kind, _)| kind.as_str()).collect()
}

pub(super) fn incomplete(reason: &str) -> Value {
    json!({"incomplete": true, "reason": reason})
}

/// The results that the model was given with its `turn`th question, from 1.
pub(super) fn results(show: &Show, turn: usize) -> Vec<Value> {
    let request = &show.asked()[turn - 1];
    let last = request["messages"].as_array().unwrap().last().cloned();
    let parts = last.unwrap()["content"].as_array().unwrap().clone();
    let is_result = |part: &Value| part["type"] == "tool_result";
    parts.into_iter().filter(is_result).collect()
}

#[test]
fn five_calls_of_one_turn_take_as_long_as_one() {
    let show = Show::new(vec![searches(5), done()]);
    let begin = show.millis();
    let frames = show.hello();
    let spent = show.millis() - begin;
    assert_eq!(said(&frames), ["Let me look. ", "There."]);
    assert_eq!(last(&frames), ("done", &Value::Null));
    let calls = show.calls();
    assert_eq!(calls.len(), 5);
    for (_, begin, end) in &calls {
        assert_eq!(
            (*begin, *end),
            (calls[0].1, Some(calls[0].1 + 300)),
            "{calls:?}"
        );
    }
    assert!((300..1_000).contains(&spent), "{spent}");
    let ids: Vec<_> = results(&show, 2)
        .iter()
        .map(|part| part["tool_use_id"].clone())
        .collect();
    assert_eq!(ids, ["t0", "t1", "t2", "t3", "t4"]);
    let frames: Vec<_> = kinds(&frames)
        .into_iter()
        .filter(|kind| *kind != "thinking")
        .collect();
    let expected = [
        &["run", "content"][..],
        &["tool_start"; 5],
        &["tool_end"; 5],
        &["content", "usage", "done"],
    ];
    assert_eq!(frames, expected.concat());
}

#[test]
fn what_the_model_is_told() {
    let show = Show::new(vec![searches(1), searches(2), done()]);
    let frames = show.run(&json!({
        "message": "hello",
        "conversationHistory": [{"role": "user", "content": "before"}],
    }));
    assert_eq!(last(&frames), ("done", &Value::Null));
    let asked = show.asked();
    assert_eq!(asked.len(), 3);
    let ephemeral = json!({"type": "ephemeral"});
    let names = |request: &Value| {
        let tools = request["tools"].as_array().unwrap();
        tools
            .iter()
            .map(|tool| tool["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&asked[0]).len(), 5);
    for request in &asked {
        // The beginning is the same each time, so that it is cached.
        assert_eq!(request["tools"], asked[0]["tools"]);
        assert_eq!(request["system"], asked[0]["system"]);
        assert_eq!(request["tools"][4]["cache_control"], ephemeral);
        assert_eq!(request["system"][0]["cache_control"], ephemeral);
        let count = request.to_string().matches("cache_control").count();
        assert!(count <= 4, "{count} breakpoints");
    }
    let messages = asked[2]["messages"].as_array().unwrap();
    let roles: Vec<_> = messages
        .iter()
        .map(|message| message["role"].clone())
        .collect();
    assert_eq!(
        roles,
        ["user", "user", "assistant", "user", "assistant", "user"]
    );
    assert_eq!(
        messages[2]["content"],
        json!([
            {"type": "text", "text": "Let me look. "},
            {"type": "tool_use", "id": "t0", "name": "search_tracks", "input": {"query": "q0"}},
        ])
    );
    let result = &results(&show, 2)[0];
    assert_eq!(result["is_error"], Value::Null);
    let found: Value = serde_json::from_str(result["content"].as_str().unwrap()).unwrap();
    assert_eq!(found["tracks"][0]["title"], "Song 1");
    // Only the ends of the two newest messages of the user are breakpoints.
    assert_eq!(messages[3]["content"][0]["cache_control"], ephemeral);
    assert_eq!(messages[5]["content"][0]["cache_control"], Value::Null);
    assert_eq!(messages[5]["content"][1]["cache_control"], ephemeral);
    assert_eq!(messages[1]["content"][0]["cache_control"], Value::Null);
}

#[test]
fn reasoning_is_given_back_as_it_came() {
    let start =
        json!({"index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}});
    let piece = |kind: &str, field: &str, text: &str| {
        let mut delta = json!({"type": kind});
        delta[field] = text.into();
        sse(
            "content_block_delta",
            &json!({"index": 0, "delta": delta}).to_string(),
        )
    };
    let stop = sse("content_block_stop", r#"{"index":0}"#);
    let redacted =
        json!({"index": 1, "content_block": {"type": "redacted_thinking", "data": "secret=="}});
    let events = sse("content_block_start", &start.to_string())
        + &piece("thinking_delta", "thinking", "Where ")
        + &piece("thinking_delta", "thinking", "to?\n")
        + &piece("signature_delta", "signature", "sig==")
        + &stop
        + &sse("content_block_start", &redacted.to_string())
        + &sse("content_block_stop", r#"{"index":1}"#)
        + &tool(2, "t0", "search_tracks", r#"{"query":"x"}"#);
    let show = Show::new(vec![says(events, "tool_use"), done()]);
    let app = show.app(&[("anthropic_thinking", "2048")]);
    let frames = run_with(&show.world, &app, hello());
    assert_eq!(said(&frames), ["There."]);
    let thinking = ("thinking".to_owned(), json!("Thinking"));
    assert!(frames.contains(&thinking));
    let asked = show.asked();
    let enabled = json!({"type": "enabled", "budget_tokens": 2048});
    assert_eq!(asked[0]["thinking"], enabled);
    assert_eq!(asked[0]["max_tokens"], 2048 + 4096);
    let content = &asked[1]["messages"][1]["content"];
    assert_eq!(
        content[0],
        json!({"type": "thinking", "thinking": "Where to?\n", "signature": "sig=="})
    );
    let data = json!({"type": "redacted_thinking", "data": "secret=="});
    assert_eq!(content[1], data);
}

#[test]
fn a_tool_whose_input_is_cut_is_never_run() {
    let start = json!({"index": 1, "content_block":
        {"type": "tool_use", "id": "t0", "name": "search_tracks", "input": {}}});
    let piece = json!({"index": 1, "delta":
        {"type": "input_json_delta", "partial_json": r#"{"query":"all of it"}"#}});
    let begun = sse("message_start", START)
        + &sse("content_block_start", &start.to_string())
        + &sse("content_block_delta", &piece.to_string());
    // The connection ends before the answer does, with an input that would do.
    let show = Show::new(vec![vec![Step::Write(begun.clone())]]);
    assert_eq!(last(&show.hello()).1["code"], "upstream_cut");
    assert_eq!(show.calls().len(), 0);
    let cut = vec![
        Step::Write(text("Hm") + &begun),
        Step::Fail(HttpError::Broken("cut".into())),
    ];
    let show = Show::new(vec![cut]);
    assert_eq!(last(&show.hello()), ("done", &incomplete("upstream_cut")));
    assert_eq!(show.calls().len(), 0);
    // The answer ends, but the block does not: the model is told.
    let show = Show::new(vec![vec![Step::Write(begun + &end("tool_use"))], done()]);
    assert_eq!(last(&show.hello()), ("done", &Value::Null));
    let result = &results(&show, 2)[0];
    assert_eq!(result["is_error"], true);
    assert!(
        result["content"].as_str().unwrap().contains("cut off"),
        "{result}"
    );
    assert_eq!(show.calls().len(), 0);
}

#[test]
fn the_model_is_told_what_is_wrong_with_a_call() {
    let wrong = tool(0, "a", "search_tracks", r#"{"query": "#)
        + &tool(1, "b", "search_tracks", r#"{"query": 7}"#)
        + &tool(
            2,
            "c",
            "create_playlist",
            r#"{"name": "x", "trackIds": ["a"]}"#,
        );
    let show = Show::new(vec![says(wrong, "tool_use"), done()]);
    let frames = show.hello();
    assert_eq!(last(&frames), ("done", &Value::Null));
    let results = results(&show, 2);
    let words = [
        "not valid JSON",
        "/query must be a string",
        "there is no tool `create_playlist`",
    ];
    for (result, words) in results.iter().zip(words) {
        assert_eq!(result["is_error"], true);
        assert!(
            result["content"].as_str().unwrap().contains(words),
            "{result}"
        );
    }
    assert_eq!(results.len(), 3);
    // An input that was no JSON goes back as the object that the service wants.
    assert_eq!(
        show.asked()[1]["messages"][1]["content"][0]["input"],
        json!({})
    );
    assert_eq!(show.calls().len(), 0);
}

#[test]
fn an_answer_that_stops_short_runs_no_tools() {
    for (stop_reason, reason) in [("max_tokens", "max_tokens"), ("refusal", "refusal")] {
        let call = tool(1, "t0", "search_tracks", r#"{"query":"x"}"#);
        let show = Show::new(vec![says(text("x") + &call, stop_reason)]);
        assert_eq!(last(&show.hello()), ("done", &incomplete(reason)));
        assert_eq!((show.asked().len(), show.calls().len()), (1, 0));
    }
}

#[test]
fn a_pause_goes_on() {
    let show = Show::new(vec![
        says(text("One, "), "pause_turn"),
        says(text("two."), "end_turn"),
    ]);
    let frames = show.hello();
    assert_eq!(said(&frames), ["One, ", "two."]);
    assert_eq!(last(&frames), ("done", &Value::Null));
    let messages = &show.asked()[1]["messages"];
    // The service refuses a last message that ends in white space.
    let said = json!({"role": "assistant", "content": [{"type": "text", "text": "One,"}]});
    assert_eq!(messages[1], said);
    // One that pauses for ever ends like one that calls for ever.
    let show = Show::new(vec![says(text("…"), "pause_turn")]);
    assert_eq!(last(&show.hello()), ("done", &incomplete("turn_limit")));
    assert_eq!(show.asked().len(), 5);
}

#[test]
fn trouble_in_a_later_turn_keeps_what_was_said() {
    let overloaded = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    let trouble = || {
        vec![Step::Write(
            sse("message_start", START) + &sse("error", overloaded),
        )]
    };
    let show = Show::new(vec![searches(1), trouble()]);
    let frames = show.hello();
    assert_eq!(said(&frames), ["Let me look. "]);
    assert_eq!(last(&frames), ("done", &incomplete("upstream_cut")));
    let usage = &frames[frames.len() - 2].1;
    assert_eq!(
        (&usage["inputTokens"], &usage["outputTokens"]),
        (&json!(18), &json!(8))
    );
    assert_eq!(
        (&usage["partial"], &usage["turns"]),
        (&json!(true), &json!(2))
    );
    // Where nothing was said there is an error.
    let silent = says(
        tool(0, "t0", "search_tracks", r#"{"query":"x"}"#),
        "tool_use",
    );
    let frames = Show::new(vec![silent, trouble()]).hello();
    let (kind, error) = last(&frames);
    assert_eq!(
        (kind, &error["code"]),
        ("error", &json!("upstream_rejected"))
    );
}

#[test]
fn usage_is_summed_over_turns() {
    let show = Show::new(vec![searches(1), done()]);
    let frames = show.hello();
    let usage = &frames[frames.len() - 2].1;
    assert_eq!(
        (&usage["inputTokens"], &usage["outputTokens"]),
        (&json!(18), &json!(14))
    );
    assert_eq!(
        (&usage["turns"], &usage["toolCalls"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(usage["partial"], false);
    // Two questions, a token, a search.
    assert_eq!(usage["upstreamCalls"], 4);
}

#[test]
fn the_open_playlist_is_told_and_filled_in() {
    let call = tool(0, "t0", "get_playlist_tracks", "{}");
    let show = Show::with(vec![says(call, "tool_use"), done()], |path| {
        let playlist = json!({"id": OPEN, "name": "Rain", "tracks": {"total": 1}});
        let page = json!({"items": [{"item": track(1)}], "total": 1});
        (
            0,
            if path.contains("/items") {
                page
            } else {
                playlist
            },
        )
    });
    let frames = show.run(&json!({"message": "hello", "playlistId": OPEN}));
    let paths: Vec<_> = show.calls().into_iter().map(|(path, ..)| path).collect();
    assert!(paths.iter().all(|path| path.contains(OPEN)), "{paths:?}");
    assert!(
        show.asked()[0]
            .to_string()
            .contains(&format!("(Playlist: {OPEN})"))
    );
    let started = frames.iter().find(|(kind, _)| kind == "tool_start");
    assert_eq!(started.unwrap().1["args"], json!({"playlistId": OPEN}));
    let ended = frames.iter().find(|(kind, _)| kind == "tool_end").unwrap();
    assert_eq!(ended.1["result"]["tracks"][0]["title"], "Song 1");
}

#[test]
fn tools_do_not_use_up_what_the_model_needs() {
    let show = Show::new(vec![searches(16), done()]);
    let app = show.app(&[("subrequest_budget", "20")]);
    let frames = run_with(&show.world, &app, hello());
    // A question, a token, 16 searches: of 20 calls two are held back, and the
    // second question takes one of them.
    let failed = |(kind, data): &&(String, Value)| kind == "tool_end" && data["error"] == true;
    assert_eq!(frames.iter().filter(failed).count(), 0);
    assert_eq!(last(&frames), ("done", &Value::Null));
    let app = show.app(&[("subrequest_budget", "10")]);
    show.asked.lock().unwrap().clear();
    let frames = run_with(&show.world, &app, hello());
    let refused: Vec<_> = frames.iter().filter(failed).collect();
    // The token is known from the run before: one call more for a search.
    assert_eq!(refused.len(), 8);
    assert_eq!(refused[0].1["result"]["code"], "budget_exhausted");
    assert_eq!(said(&frames), ["Let me look. ", "There."]);
    assert_eq!(last(&frames), ("done", &Value::Null));
}

#[test]
fn a_deadline_comes_inside_a_tool_as_well() {
    let show = Show::with(vec![searches(1), done()], |_| (60_000, json!({})));
    let app = show.app(&[("request_deadline_ms", "5000")]);
    let frames = run_with(&show.world, &app, hello());
    assert_eq!(said(&frames), ["Let me look. "]);
    assert_eq!(last(&frames), ("done", &incomplete("deadline")));
    assert_eq!(show.calls()[0].2, None, "the call went on");
    let usage = &frames[frames.len() - 2].1;
    assert_eq!(
        usage["partial"], false,
        "the model had said all that it said"
    );
}

#[test]
fn tools_end_with_the_client() {
    let show = Show::with(vec![searches(2), done()], |_| (600_000, json!({})));
    let app = show.app(&[]);
    show.world.run(async {
        let mut body = app.handle(hello()).await.into_body();
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains("tool_start") {
            bytes.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        show.world.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(show.calls().len(), 2);
    });
    show.world.drain();
    assert!(show.calls().iter().all(|(.., end)| end.is_none()));
    assert_eq!(show.asked().len(), 1, "the model was asked again");
}
