//! The application without a host, in virtual time.

use std::sync::{Arc, Mutex};

use spinlane::core::ports::HttpClient;
use spinlane::core::testing::{ScriptedHttp, World};
use spinlane::http::axum::body::{Bytes, to_bytes};
use spinlane::http::axum::http::Error;

use super::*;

const HELLO: &str = r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hello"}}

data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}

data: {"type":"message_stop"}

"#;

/// What opens a 200 where the service has no capacity.
const OVERLOADED: &str = r#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}

"#;

const SONGS: &str = r#"{"data":[{"id":1,"title":"Hello"},{"id":2,"title":"Hello, Again"}]}"#;

/// An upstream that answers so, in turn.
fn upstream(answers: &[(u16, &'static str)]) -> ScriptedHttp {
    ScriptedHttp::in_turn(answers.iter().map(|(status, body)| {
        let answer = Response::builder().status(*status);
        let answer = answer.header("content-type", "text/event-stream");
        answer.body(Bytes::from(*body)).expect("an answer")
    }))
}

/// A world with this model, and a catalogue that has something for every prompt.
fn world(model: &ScriptedHttp) -> World {
    let catalogue = upstream(&[(200, SONGS)]);
    let hosts = [
        ("api.anthropic.com", model.clone()),
        ("api.deezer.com", catalogue),
    ];
    World::with_http(ScriptedHttp::by_host(hosts))
}

/// The status and the body of what the application answers to a POST.
fn post(world: &World, key: &str, path: &str, body: &'static str) -> (u16, String) {
    send(world, key, Request::post(path).body(Body::from(body)))
}

/// The same of any request.
fn send(world: &World, key: &str, request: Result<Request<Body>, Error>) -> (u16, String) {
    // Each request is an instance of its own.
    let instance = world.instance();
    let variable = |name: &str| (name == "anthropic_api_key").then(|| key.to_owned());
    let request = request.expect("a request");
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
    let model = upstream(&[(200, OVERLOADED), (200, HELLO)]);
    let world = world(&model);
    assert_eq!(frames(&world, "hello"), [AGAIN, CONTENT, DONE]);
    assert_eq!(frames(&world, "hello"), [CONTENT, DONE]);
    assert_eq!(model.calls(), 2);
    assert_eq!(frames(&world, "hello again"), [CONTENT, DONE]);
    assert_eq!(model.calls(), 3);
}

#[test]
fn the_model_is_told_of_songs_and_the_catalogue_asked_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let model = {
        let (told, hello) = (Arc::clone(&told), upstream(&[(200, HELLO)]));
        ScriptedHttp::new(move |request| {
            let body = String::from_utf8_lossy(request.body()).into_owned();
            told.lock().expect("nobody panicked").push(body);
            hello.send(request, Timeouts::DEFAULT)
        })
    };
    for (catalogue, calls, expected) in [
        (
            upstream(&[(200, SONGS)]),
            1,
            "The catalogue has Hello, Hello, Again.",
        ),
        // There are none.
        (upstream(&[(404, "")]), 1, ""),
        // Worth asking again: three attempts, by each of both requests.
        (upstream(&[(500, "")]), 6, ""),
        // Its own kind of error, inside a 200. It is asked again by who comes next.
        (upstream(&[(200, r#"{"error":{"code":4}}"#)]), 2, ""),
    ] {
        let hosts = [
            ("api.anthropic.com", model.clone()),
            ("api.deezer.com", catalogue.clone()),
        ];
        let world = World::with_http(ScriptedHttp::by_host(hosts));
        // The same to the catalogue, and not to the model.
        for prompt in ["hello", "Hello "] {
            assert_eq!(frames(&world, prompt), [CONTENT, DONE]);
            let told = told
                .lock()
                .expect("nobody panicked")
                .pop()
                .expect("a request");
            assert_eq!(
                told.contains(r#""system":"#),
                !expected.is_empty(),
                "{told}"
            );
            assert!(told.contains(expected), "{told}");
        }
        assert_eq!(catalogue.calls(), calls);
    }
}

#[test]
fn the_same_prompt_with_the_same_key_is_one_run_that_can_be_read_again() {
    let model = upstream(&[(200, HELLO)]);
    let world = world(&model);
    let ask = |prompt: &'static str| {
        let request = Request::post("/").header("idempotency-key", "0123456789abcdef");
        send(&world, "k", request.body(Body::from(prompt)))
    };
    let (status, first) = ask("hello");
    assert!(
        status == 200 && first.contains(r#""resumable":true"#),
        "{first}"
    );
    assert_eq!(ask("hello"), (200, first.clone()));
    assert_eq!(model.calls(), 1);
    let (status, problem) = ask("something else");
    assert!(status == 422 && problem.contains("key_reused"), "{problem}");
    let (_, run) = first.split_once(r#""id":""#).expect("a run");
    let read = |after: &str| {
        let request = Request::get(format!("/{}", &run[..32])).header("last-event-id", after);
        send(&world, "k", request.body(Body::empty()))
    };
    let (status, rest) = read("1");
    assert!(status == 200 && rest.starts_with("id: 2\n"), "{rest}");
    assert!(first.ends_with(&rest), "{rest}");
    assert_eq!(read("99"), (204, String::new()));
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
        let model = upstream(&[answer]);
        let frames = frames(&world(&model), "hello");
        let last = frames.last().expect("the end");
        let expected = format!(r#"{{"type":"error","data":{{"code":"{code}""#);
        assert!(last.starts_with(&expected), "{last}");
        assert_eq!(model.calls(), calls, "{last}");
    }
}

#[test]
fn what_is_no_prompt_is_refused_before_the_stream() {
    let world = world(&upstream(&[]));
    for (key, path, body, status, code) in [
        ("k", "/", " \n", 400, "invalid_request"),
        ("", "/", "hello", 503, "not_configured"),
        ("k", "/x/y", "hello", 404, "not_found"),
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
