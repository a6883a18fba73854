//! The API as a client sees it, streams left out (they are tested with the
//! chat).

mod access_log;
mod cors;
mod panic;
mod stop;

use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::App;
use spinlane_core::testing::{ScriptedHttp, World};

const CHAT: &str = "/api/chat-stream/message";

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The problem document's code, after a look at what all of them have.
    pub(super) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["detail"], body["message"]);
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("/problems/{code}"));
        code
    }

    fn pointers(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().unwrap().iter();
        let mut pointers: Vec<String> = errors
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect();
        pointers.sort();
        pointers
    }
}

fn variables(name: &str) -> Option<String> {
    (name == "anthropic_api_key").then(|| "sk-test".into())
}

/// Asks an application whose upstream must not be called.
pub(super) fn ask_with(
    variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    request: Request<Body>,
) -> Answer {
    let world = World::with_http(ScriptedHttp::refusing());
    let app = App::new(world.ports(), variables);
    let answer = take(&world, &app, request);
    assert_eq!(world.http.calls(), 0, "an upstream was called");
    answer
}

/// Asks one application so many times: the last answer.
pub(super) fn ask_again(
    variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    request: impl Fn() -> Request<Body>,
    times: usize,
) -> Answer {
    let world = World::with_http(ScriptedHttp::refusing());
    let app = App::new(world.ports(), variables);
    for _ in 1..times {
        take(&world, &app, request());
    }
    take(&world, &app, request())
}

fn take(world: &World, app: &App, request: Request<Body>) -> Answer {
    world.run(async {
        let (head, body) = app.handle(request).await.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    })
}

pub(super) fn ask(request: Request<Body>) -> Answer {
    ask_with(variables, request)
}

pub(super) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// An operator's token that is long enough to be one.
const OPERATOR: &str = "the-operators-own-token";

fn post(body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(CHAT).header("content-type", "application/json");
    request.body(body.into()).unwrap()
}

#[test]
fn health_is_ok() {
    let answer = ask(get("/health"));
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json(), json!({"status": "ok"}));
    let timing = answer.header("server-timing");
    assert!(timing.starts_with("head;dur="), "{timing}");
    assert_eq!(answer.header("content-type"), "application/json");
}

/// `/api/status` where `environment` is this one, asked with this operator's token.
fn status_in(environment: &str, token: Option<&str>) -> Value {
    let mut request = get("/api/status");
    if let Some(token) = token {
        let token = token.parse().unwrap();
        request.headers_mut().insert("x-admin-token", token);
    }
    let environment = environment.to_owned();
    let variables = move |name: &str| {
        let value = match name {
            "anthropic_api_key" => "sk-test",
            "anthropic_base_url" => "http://127.0.0.1:4010",
            "deezer_base_url" => "https://deezer.example",
            "admin_token" => OPERATOR,
            "environment" => &environment,
            _ => return None,
        };
        Some(value.into())
    };
    let answer = ask_with(variables, request);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let secret = ["sk-test", OPERATOR]
        .iter()
        .any(|secret| text.contains(secret));
    assert!(!secret, "{text}");
    answer.json()
}

/// The manual for who runs it says of each line what to do.
#[test]
fn each_line_of_the_status_is_in_the_manual() {
    let manual = include_str!("../../docs/operations.md");
    let words: Vec<_> = manual.split(|char: char| !char.is_alphanumeric()).collect();
    let document = ask(get("/api/openapi.json")).json();
    let mut lines = 0;
    let mut schemas = vec!["Status".to_owned()];
    while let Some(schema) = schemas.pop() {
        let schema = &document["components"]["schemas"][&schema];
        // The members of what has names of its own are those of its schema.
        let text = schema.to_string();
        let others = text.split("#/components/schemas/").skip(1);
        schemas.extend(others.filter_map(|rest| Some(rest.split('"').next()?.to_owned())));
        for (line, _) in schema["properties"].as_object().into_iter().flatten() {
            let upstream = ["anthropic", "spotify", "deezer", "lastfm"].contains(&line.as_str());
            assert!(
                upstream || words.contains(&line.as_str()),
                "{line} is not in the manual"
            );
            lines += 1;
        }
    }
    assert!(lines > 30, "only {lines}");
}

#[test]
fn status_shows_the_set_up_without_secrets() {
    let status = status_in("development", None);
    let upstream = |name: &str| {
        let upstream = &status["upstreams"][name];
        (
            upstream["kind"].as_str().unwrap(),
            upstream["configured"].as_bool().unwrap(),
        )
    };
    assert_eq!(upstream("anthropic"), ("simulated", true));
    assert_eq!(upstream("spotify"), ("real", false));
    assert_eq!(upstream("deezer"), ("custom", true));
    assert_eq!(upstream("lastfm"), ("real", false));
    assert_eq!(status["limits"]["scope"], "shared");
    assert_eq!(status["limits"]["lanes"]["anthropic"]["limit"], 2);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
}

/// What the page needs is there for everybody; where things are is not.
#[test]
fn in_production_the_set_up_is_the_operators() {
    for (environment, token, whole) in [
        ("development", None, true),
        ("staging", None, true),
        // Unless it is said otherwise.
        ("", None, false),
        ("production", None, false),
        ("production", Some("guess"), false),
        ("production", Some(OPERATOR), true),
    ] {
        let status = status_in(environment, token);
        let what = format!("{environment} {token:?}: {status}");
        assert_eq!(status.get("configuration").is_some(), whole, "{what}");
        let anthropic = &status["upstreams"]["anthropic"];
        assert_eq!(anthropic.get("baseUrl").is_some(), whole, "{what}");
        assert_eq!(anthropic["kind"], "simulated", "{what}");
        assert_eq!(status["limits"]["lanes"]["anthropic"]["limit"], 2, "{what}");
        let text = status.to_string();
        assert_eq!(text.contains("deezer.example"), whole, "{what}");
    }
}

/// On every answer, whoever makes it, and nothing but for this host.
#[test]
fn browsers_stay_with_https_where_it_is_served() {
    let of = |public_url: &'static str, request| {
        let variables = move |name: &str| (name == "public_url").then(|| public_url.into());
        let answer = ask_with(variables, request);
        answer.header("strict-transport-security").to_owned()
    };
    let requests = || {
        let options = Request::options(CHAT).body(Body::empty()).unwrap();
        let paths = [
            "/",
            "/health",
            "/api/status",
            "/api/nothing",
            "/problems/busy",
        ];
        paths.map(get).into_iter().chain([options, post("{}")])
    };
    for request in requests() {
        let what = request.uri().clone();
        assert_eq!(
            of("https://dj.example", request),
            "max-age=31536000",
            "{what}"
        );
    }
    for request in requests() {
        assert_eq!(of("http://dj.example", request), "");
    }
}

#[test]
fn unknown_routes_and_methods() {
    let answer = ask(get("/api/nothing?secret=1"));
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::NOT_FOUND, "not_found".into())
    );
    assert_eq!(answer.json()["context"], json!({"path": "/api/nothing"}));

    let answer = ask(get(CHAT));
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.problem(), "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST, OPTIONS");

    let answer = ask(Request::delete("/health").body(Body::empty()).unwrap());
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
}

#[test]
fn targets_that_are_too_long() {
    let query: Vec<String> = (0..2_000).map(|n| format!("p{n}={n}")).collect();
    for path in ["/", "/health", "/api/status", "/assets/app.js"] {
        let answer = ask(get(&format!("{path}?{}", query.join("&"))));
        assert_eq!(answer.status, StatusCode::URI_TOO_LONG, "{path}");
        assert_eq!(answer.problem(), "uri_too_long");
    }
    assert_eq!(
        ask(get(&format!("/health?{}", query[..100].join("&")))).status,
        StatusCode::OK
    );
}

#[test]
fn head_and_options() {
    let head = |path| Request::head(path).body(Body::empty()).unwrap();
    for (path, status) in [("/health", 200), ("/api/nothing", 404), (CHAT, 405)] {
        let answer = ask(head(path));
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (status, 0),
            "{path}"
        );
        assert_ne!(answer.header("content-length"), "0", "{path}");
    }
    let answer = ask(Request::options(CHAT).body(Body::empty()).unwrap());
    assert_eq!(
        (answer.status.as_u16(), answer.header("allow")),
        (204, "POST, OPTIONS")
    );
}

#[test]
fn requests_are_named() {
    let named = |id: &str| get("/health").map(|body| (body, id.to_owned()));
    for (given, kept) in [
        ("abc-1.2_3", true),
        ("a b", false),
        (&"x".repeat(65), false),
    ] {
        let (mut parts, (body, id)) = named(given).into_parts();
        parts.headers.insert("x-request-id", id.parse().unwrap());
        let answer = ask(Request::from_parts(parts, body));
        assert_eq!(answer.header("x-request-id") == given, kept);
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[test]
fn bodies_that_are_not_json() {
    for body in [
        &b""[..],
        b"hello",
        b"{\"message\": \"x\"",
        b"{\"message\": \"x\"} trailing",
        b"{\"message\": \"\xff\"}",
        b"{\"message\": \"x\", \"ignored\": \"\xff\"}",
        b"{\"message\": \"\\ud800\"}",
    ] {
        let answer = ask(post(body));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:?}");
        assert_eq!(answer.problem(), "invalid_json");
    }
    let deep = format!(
        "{{\"message\":\"x\",\"a\":{}{}}}",
        "[".repeat(9_999),
        "]".repeat(9_999)
    );
    assert_eq!(ask(post(deep)).problem(), "invalid_json");
}

#[test]
fn fields_that_are_wrong_are_named() {
    let history = |entries: usize| vec![json!({"role": "user", "content": "x"}); entries];
    let cases: &[(Value, &[&str])] = &[
        (json!({}), &["/message"]),
        (json!([]), &[""]),
        (json!(null), &[""]),
        (json!({"message": ""}), &["/message"]),
        (json!({"message": "x".repeat(2001)}), &["/message"]),
        (json!({"message": "é".repeat(2001)}), &["/message"]),
        (json!({"message": 7}), &["/message"]),
        (
            json!({"message": "x", "conversationHistory": history(21)}),
            &["/conversationHistory"],
        ),
        (
            json!({"message": "x", "conversationHistory": {}}),
            &["/conversationHistory"],
        ),
        (
            json!({"message": "x", "conversationHistory": [{"role": "system", "content": "x"}]}),
            &["/conversationHistory/0/role"],
        ),
        (
            json!({"message": "x", "conversationHistory":
                [{"role": "user", "content": "x"}, {"role": "user", "content": "x".repeat(20_001)}]}),
            &["/conversationHistory/1/content"],
        ),
        (json!({"message": "x", "mode": "destroy"}), &["/mode"]),
        (json!({"message": null, "mode": null}), &["/message"]),
        (json!({"message": "x", "debug": "yes"}), &["/debug"]),
        (json!({"message": "x", "playlistId": 1}), &["/playlistId"]),
        (
            json!({"message": "", "mode": "x", "conversationHistory": [{}], "debug": 1}),
            &[
                "/conversationHistory/0/content",
                "/conversationHistory/0/role",
                "/debug",
                "/message",
                "/mode",
            ],
        ),
    ];
    for (body, pointers) in cases {
        let answer = ask(post(body.to_string()));
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answer.problem(), "invalid_request");
        assert_eq!(answer.pointers(), *pointers, "{body}");
    }
}

#[test]
fn bodies_that_are_too_large() {
    let large = format!("{{\"message\":\"{}\"}}", "x".repeat(600_000));
    let answer = ask(post(large.clone()));
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (413, "body_too_large".into())
    );
    // Announced: refused before any of it is read.
    let mut announced = post(Body::from_stream(futures::stream::pending::<
        Result<Bytes, String>,
    >()));
    announced
        .headers_mut()
        .insert("content-length", large.len().into());
    assert_eq!(ask(announced).status.as_u16(), 413);
}

#[test]
fn bodies_that_do_not_arrive() {
    let never = futures::stream::pending::<Result<Bytes, String>>();
    let answer = ask(post(Body::from_stream(never)));
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (408, "incomplete_request".into())
    );
    let cut = futures::stream::iter([Ok(Bytes::from("{\"mess")), Err("cut".to_owned())]);
    let answer = ask(post(Body::from_stream(cut)));
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (400, "incomplete_request".into())
    );
}

#[test]
fn media_types_that_are_not_json() {
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json+x",
    ] {
        let request = Request::post(CHAT).header("content-type", media_type);
        let answer = ask(request.body(Body::from("{\"message\":\"x\"}")).unwrap());
        assert_eq!(
            answer.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{media_type}"
        );
        assert_eq!(answer.problem(), "unsupported_media_type");
    }
}

#[test]
fn bodies_that_are_encoded_are_named() {
    for (fields, named) in [
        (&["gzip"][..], "gzip"),
        (&["BR"], "BR"),
        (&["identity, zstd"], "zstd"),
        (&["identity", "x-gzip"], "x-gzip"),
        (&["gzip, identity"], "gzip"),
        (&["aws-chunked"], "aws-chunked"),
    ] {
        let mut request = post(&b"\x1f\x8b\x08"[..]);
        for field in fields {
            let field = field.parse().unwrap();
            request.headers_mut().append("content-encoding", field);
        }
        let answer = ask(request);
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(answer.problem(), "unsupported_media_type");
        assert_eq!(answer.header("accept-encoding"), "identity");
        let body = answer.json();
        assert_eq!(body["context"]["contentEncoding"], named, "{fields:?}");
        assert!(body["detail"].as_str().unwrap().contains(named), "{body}");
    }
    for field in ["identity", "Identity", "", " , identity"] {
        let mut request = post("{\"message\":\"\"}");
        let field = field.parse().unwrap();
        request.headers_mut().insert("content-encoding", field);
        // It is read, and found wanting.
        assert_eq!(ask(request).problem(), "invalid_request");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_once() {
    let marked = |times: usize| {
        let mut body = b"\xef\xbb\xbf".repeat(times);
        body.extend_from_slice(b"{\"message\":\"\"}");
        ask(post(body)).problem()
    };
    assert_eq!(marked(1), "invalid_request", "it is read");
    assert_eq!(marked(2), "invalid_json");
}

/// The variables that answering `request` reads, where all of them are good.
fn read_for(request: Request<Body>) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let noting = move |name: &str| {
        sink.lock().unwrap().push(name.to_owned());
        variables(name)
    };
    ask_with(noting, request);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort();
    seen
}

/// Each is a call of the host, and on Spin the dearest part of a short request.
#[test]
fn requests_read_what_they_need() {
    assert_eq!(read_for(get("/health")), ["public_url"]);
    let mut from_page = get("/health");
    let origin = "https://dj.example".parse().unwrap();
    from_page.headers_mut().insert("origin", origin);
    assert_eq!(read_for(from_page), ["frontend_url", "public_url"]);
    assert_eq!(read_for(get("/")), ["public_url"]);
    // One that is refused: a good one would call the model.
    let chat = read_for(post("{}"));
    assert!(chat.contains(&"anthropic_model".into()), "{chat:?}");
    for group in ["admin", "environment", "spotify", "deezer", "lastfm"] {
        let read = chat.iter().find(|name| name.starts_with(group));
        assert_eq!(read, None);
    }
}

#[test]
fn unset_and_malformed_variables_are_named() {
    let answer = ask_with(|_| None, post("{\"message\":\"x\"}"));
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (503, "not_configured".into())
    );
    assert_eq!(
        answer.json()["context"],
        json!({"variable": "anthropic_api_key"})
    );

    let malformed = |name: &str| matches!(name, "heartbeat_ms" | "global_rps").then(|| "x".into());
    let answer = ask_with(malformed, get("/api/status"));
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (503, "misconfigured".into())
    );
    let named = json!({"variables": ["heartbeat_ms", "global_rps"]});
    assert_eq!(answer.json()["context"], named);
    assert_eq!(ask_with(malformed, get("/health")).status, StatusCode::OK);
}
