//! The application without a host, in virtual time.

use spinlane::core::testing::{ScriptedHttp, World};
use spinlane::http::axum::body::{Body, to_bytes};

use super::*;

const HELLO: &str = r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hello"}}

data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}

data: {"type":"message_stop"}

"#;

/// What opens a 200 where the service has no capacity.
const OVERLOADED: &str = r#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}

"#;

/// A world whose model answers so, in turn.
fn world(answers: &[(u16, &'static str)]) -> World {
    World::with_http(ScriptedHttp::in_turn(answers.iter().map(
        |(status, body)| {
            let answer = Response::builder().status(*status);
            let answer = answer.header("content-type", "text/event-stream");
            answer.body(Bytes::from(*body)).expect("an answer")
        },
    )))
}

/// The status and the body of what the application answers to a POST.
fn post(world: &World, key: &str, path: &str, body: &'static str) -> (u16, String) {
    // Each request is an instance of its own.
    let instance = world.instance();
    let variable = |name: &str| (name == "anthropic_api_key").then(|| key.to_owned());
    let request = Request::post(path)
        .body(Body::from(body))
        .expect("a request");
    let answer = instance.run(answer(request, instance.ports(), variable));
    let status = answer.status().as_u16();
    let body = instance.run(to_bytes(answer.into_body(), 1 << 20));
    instance.drain();
    let body = body.expect("a whole body").to_vec();
    (status, String::from_utf8(body).expect("a text"))
}

/// The data of all events but the first and the last but one, which differ: `run` and
/// `usage`.
fn frames(world: &World, prompt: &'static str) -> Vec<String> {
    let (status, body) = post(world, "sk-…", "/", prompt);
    assert_eq!(status, 200, "{body}");
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut frames: Vec<String> = data.map(str::to_owned).collect();
    assert!(frames.remove(0).starts_with(r#"{"type":"run""#));
    let usage = frames.remove(frames.len() - 2);
    assert!(usage.starts_with(r#"{"type":"usage""#));
    frames
}

const CONTENT: &str = r#"{"type":"content","data":"Hello"}"#;
const DONE: &str = r#"{"type":"done","data":null}"#;
const AGAIN: &str = r#"{"type":"thinking","data":"That did not work at anthropic: trying again"}"#;

#[test]
fn an_overload_inside_a_200_is_tried_again_and_the_answer_is_kept() {
    let world = world(&[(200, OVERLOADED), (200, HELLO)]);
    assert_eq!(frames(&world, "hello"), [AGAIN, CONTENT, DONE]);
    assert_eq!(frames(&world, "hello"), [CONTENT, DONE]);
    assert_eq!(world.http.calls(), 2);
    assert_eq!(frames(&world, "hello again"), [CONTENT, DONE]);
    assert_eq!(world.http.calls(), 3);
}

#[test]
fn what_went_wrong_is_told_in_one_error() {
    for (answer, code, calls) in [
        ((529, ""), "overloaded", 3),
        ((500, ""), "upstream_error", 3),
        ((401, ""), "upstream_auth", 1),
        ((200, OVERLOADED), "overloaded", 3),
        ((200, HELLO.split_at(90).0), "upstream_cut", 1),
    ] {
        let world = world(&[answer]);
        let frames = frames(&world, "hello");
        let last = frames.last().expect("the end");
        let expected = format!(r#"{{"type":"error","data":{{"code":"{code}""#);
        assert!(last.starts_with(&expected), "{last}");
        assert_eq!(world.http.calls(), calls, "{last}");
    }
}

#[test]
fn what_is_no_prompt_is_refused_before_the_stream() {
    let world = world(&[]);
    for (key, path, body, status, code) in [
        ("k", "/", " \n", 400, "invalid_request"),
        ("", "/", "hello", 503, "not_configured"),
        ("k", "/x", "hello", 404, "not_found"),
        ("k", "/x/stop", "", 404, "not_found"),
    ] {
        let (answered, problem) = post(&world, key, path, body);
        assert_eq!(answered, status, "{problem}");
        assert!(
            problem.contains(&format!(r#""code":"{code}""#)),
            "{problem}"
        );
    }
    let stop = "/0123456789abcdef0123456789abcdef/stop";
    assert_eq!(post(&world, "k", stop, ""), (204, String::new()));
}
