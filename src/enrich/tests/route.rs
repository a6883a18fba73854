//! `POST /api/enrich`, from request to last byte.

use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;

use super::*;
use spinlane_core::sse::Decoder;

fn request(body: &Value, accept: &str) -> Request<Body> {
    Request::post("/api/enrich")
        .header("content-type", "application/json")
        .header("accept", accept)
        .header("spin-client-addr", "192.0.2.1:1")
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn asked(count: usize) -> Value {
    let track = |n: usize| {
        let Track { title, isrc, .. } = track(n);
        json!({"id": format!("t{n}"), "title": title, "artist": format!("Artist {}", n % 40),
            "isrc": isrc, "durationMs": 200_000, "unknown": [1]})
    };
    json!({"tracks": (0..count).map(track).collect::<Vec<_>>()})
}

fn ask(stage: &Stage, request: Request<Body>) -> Response<bytes::Bytes> {
    let api = stage.api();
    let response = stage.world.run(async {
        let (head, body) = api.handle(request).await.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    });
    stage.world.drain();
    let text = String::from_utf8_lossy(response.body());
    assert!(!text.contains("lastfm-key"), "{text}");
    response
}

fn frames(response: &Response<bytes::Bytes>) -> Vec<(String, Value)> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut frames = Vec::new();
    let mut decoder = Decoder::new(1 << 20);
    let decoded = decoder.push(response.body(), |event| {
        let mut frame: Value = serde_json::from_str(&event.data).unwrap();
        let data = frame["data"].take();
        frames.push((frame["type"].as_str().unwrap().to_owned(), data));
    });
    decoded.unwrap();
    frames
}

fn document(response: &Response<bytes::Bytes>) -> Value {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn events_come_in_their_order() {
    let stage = stage(catalogue);
    let response = ask(&stage, request(&asked(12), "*/*"));
    assert_eq!(response.headers()["x-run-id"].len(), 32);
    let frames = frames(&response);
    let mut kinds: Vec<_> = frames.iter().map(|(kind, _)| kind.as_str()).collect();
    kinds.dedup();
    assert_eq!(kinds, ["run", "progress", "result", "usage", "done"]);
    let data = |kind: &str| &frames.iter().rfind(|(known, _)| known == kind).unwrap().1;
    assert_eq!(*data("done"), Value::Null);
    let progress = data("progress");
    assert_eq!(
        (&progress["done"], &progress["total"]),
        (&json!(24), &json!(24))
    );
    let result = data("result");
    let expected = json!({"id": "t3", "title": "Song 3", "artists": [{"name": "Artist 3"}],
        "durationMs": 200_000, "isrc": "ZZA232500003", "explicit": false,
        "bpm": 63.0, "tags": ["soul", "tag 3"], "listeners": 3, "playcount": 9});
    assert_eq!(result["tracks"][3], expected);
    assert_eq!(
        (&result["skipped"], &result["notes"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(data("usage")["upstreamCalls"], calls_of(12));
}

/// Upstream calls for the first `count` tracks.
fn calls_of(count: usize) -> usize {
    let by_name = (0..count).filter(|n| n % 5 == 0).count();
    let found_by_name = (0..count).filter(|n| n % 10 == 0).count();
    2 * count + by_name + found_by_name
}

#[test]
fn who_wants_json_gets_one_document() {
    let stage = stage(catalogue);
    let answer = document(&ask(&stage, request(&asked(12), "application/json")));
    assert_eq!(answer["tracks"].as_array().map(Vec::len), Some(12));
    assert_eq!(answer["usage"]["upstreamCalls"], calls_of(12));
    let again = document(&ask(&stage, request(&asked(12), "application/json")));
    assert_eq!(again["usage"]["upstreamCalls"], 0);
    assert_eq!(again["tracks"], answer["tracks"]);
    let events = frames(&ask(&stage, request(&asked(12), "text/event-stream")));
    let result = events.iter().find(|(kind, _)| kind == "result");
    assert_eq!(result.unwrap().1["tracks"], answer["tracks"]);
}

#[test]
fn what_is_skipped_is_named() {
    let stage = Stage::new(&[("subrequest_budget", "20")], catalogue);
    let answer = document(&ask(&stage, request(&asked(12), "application/json")));
    let skipped = answer["skipped"].as_array().unwrap();
    let first = &skipped[0];
    assert_eq!(first["reason"], "budget");
    assert!(first["title"].is_string() && first["id"].is_string() && first["index"].is_u64());
    let whats: std::collections::BTreeSet<_> = skipped
        .iter()
        .map(|skipped| skipped["what"].as_str().unwrap())
        .collect();
    assert_eq!(whats.into_iter().collect::<Vec<_>>(), ["bpm", "tags"]);
    assert_eq!(
        answer["usage"]["budgetLeft"],
        18 - answer["usage"]["upstreamCalls"].as_u64().unwrap()
    );
}

#[test]
fn fields_that_are_wrong_are_named() {
    let stage = stage(|_| panic!("nothing is asked"));
    let good = json!({"title": "a", "artist": "b"});
    let with = |name: &str, value: Value| {
        let mut track = good.clone();
        track[name] = value;
        json!({"tracks": [good, track]})
    };
    let many = |count| json!({"tracks": vec![good.clone(); count]});
    let cases = [
        (json!({}), "/tracks"),
        (json!({"tracks": {}}), "/tracks"),
        (many(0), "/tracks"),
        (many(501), "/tracks"),
        (json!({"tracks": [good, 7]}), "/tracks/1"),
        (
            json!({"tracks": [good, {"title": "a"}]}),
            "/tracks/1/artist",
        ),
        (with("title", json!("")), "/tracks/1/title"),
        (with("title", json!("é".repeat(501))), "/tracks/1/title"),
        (with("artist", json!(null)), "/tracks/1/artist"),
        (with("id", json!(7)), "/tracks/1/id"),
        (with("isrc", json!("")), "/tracks/1/isrc"),
        (with("isrc", json!("../../x")), "/tracks/1/isrc"),
        (with("durationMs", json!(-1)), "/tracks/1/durationMs"),
        (
            with("durationMs", json!(90_000_000)),
            "/tracks/1/durationMs",
        ),
    ];
    for (body, pointer) in cases {
        let response = ask(&stage, request(&body, "application/json"));
        assert_eq!(
            response.status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "{pointer}"
        );
        let problem: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert_eq!(
            problem["errors"].as_array().map(Vec::len),
            Some(1),
            "{problem}"
        );
    }
}

#[test]
fn the_callers_quota_holds_here_too() {
    let variables = [("caller_limit", "1/10m"), ("limit_scope", "shared")];
    let stage = Stage::new(&variables, catalogue);
    let response = ask(&stage, request(&asked(1), "application/json"));
    assert!(response.headers().contains_key("ratelimit"));
    let response = ask(&stage, request(&asked(1), "application/json"));
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let problem: Value = serde_json::from_slice(response.body()).unwrap();
    let message = problem["message"].as_str().unwrap();
    assert!(message.starts_with("1 requests in 600 s"), "{message}");
    // An address is counted before anybody reads what it wants.
    assert_eq!(
        ask(&stage, request(&json!({}), "*/*")).status(),
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[test]
fn the_requests_deadline_leaves_time_to_tell() {
    for accept in ["application/json", "text/event-stream"] {
        let slow = |seen: &Seen| Reply::After(Duration::from_secs(2), Box::new(catalogue(seen)));
        let stage = Stage::new(&[("request_deadline_ms", "5000")], slow);
        let began = stage.world.clock.now();
        let response = ask(&stage, request(&asked(100), accept));
        let took = stage.world.clock.now() - began;
        assert!(took < Duration::from_secs(5), "{took:?}");
        let result = match accept {
            "application/json" => document(&response),
            _ => {
                let frames = frames(&response);
                let (kind, data) = frames.last().unwrap();
                let expected = json!({"incomplete": true, "reason": "deadline"});
                assert_eq!((kind.as_str(), data), ("done", &expected));
                frames
                    .iter()
                    .find(|(kind, _)| kind == "result")
                    .unwrap()
                    .1
                    .clone()
            }
        };
        assert_eq!(result["tracks"].as_array().map(Vec::len), Some(100));
        assert_eq!(result["skipped"][0]["reason"], "deadline");
    }
}

#[test]
fn when_the_client_goes_so_do_the_calls() {
    for accept in ["application/json", "text/event-stream"] {
        let stage = stage(|seen| Reply::After(Duration::from_secs(600), Box::new(catalogue(seen))));
        let api = stage.api();
        let clock = stage.world.clock.clone();
        stage.world.run(async {
            let mut body = api.handle(request(&asked(30), accept)).await.into_body();
            let read = async { while body.frame().await.is_some() {} };
            futures::future::select(Box::pin(read), clock.sleep(Duration::from_secs(5))).await;
        });
        let before = stage.seen().len();
        assert!((1..=20).contains(&before), "{accept}: {before}");
        stage.world.drain();
        assert_eq!(stage.seen().len(), before, "{accept}");
        assert_eq!(stage.app.upstreams().global().in_flight, 0, "{accept}");
    }
}
