//! Pages of other origins.

use axum::body::Body;
use http::Request;

use crate::api::cors::READ;
use crate::api::tests::{Answer, ask_again};

const FRONTEND: &str = "https://dj.example";
const OTHERS: [&str; 6] = [
    "https://evil.example",
    "https://dj.example.evil.example",
    "http://dj.example",
    "https://dj.example:8443",
    "https://sub.dj.example",
    "null",
];

/// `frontend_url`, an origin, what it is allowed, and whether credentials
/// are.
fn origins() -> Vec<(&'static str, &'static str, &'static str, bool)> {
    // Normalised before it is compared: browsers write it so.
    let set = "https://DJ.example:443/";
    let mut origins = vec![(set, FRONTEND, FRONTEND, true), ("", FRONTEND, "*", false)];
    for other in OTHERS {
        origins.push(("", other, "*", false));
        origins.push(("*", other, "*", false));
        origins.push(("same-origin", other, "", false));
        origins.push((set, other, "", true));
    }
    origins
}

/// A request, the variable that it needs, and what it comes to.
#[derive(Clone)]
struct Case {
    method: &'static str,
    path: String,
    fields: &'static [(&'static str, &'static str)],
    body: &'static str,
    variable: (&'static str, &'static str),
    times: usize,
    status: u16,
}

fn case(method: &'static str, path: &str, status: u16) -> Case {
    Case {
        method,
        path: path.into(),
        fields: &[("content-type", "application/json")],
        body: "",
        variable: ("anthropic_api_key", "sk-test"),
        times: 1,
        status,
    }
}

/// Requests of every kind, and each way to be refused: a page may know why.
fn cases() -> Vec<Case> {
    const CHAT: &str = "/api/chat-stream/message";
    const TRACKS: &str = r#"{"tracks":[{"title":"a","artist":"b"}]}"#;
    let long = |path| format!("{path}?{}", "x".repeat(9_000));
    let malformed = ("heartbeat_ms", "soon");
    let with = |body, case: Case| Case { body, ..case };
    let sent = |fields, case: Case| Case { fields, ..case };
    let set = |variable, case: Case| Case { variable, ..case };
    vec![
        case("GET", "/api/status", 200),
        case("HEAD", "/health", 200),
        case("GET", "/problems/busy", 303),
        sent(
            &[
                ("content-type", "application/json"),
                ("authorization", "Bearer x"),
            ],
            with(r#"{"message":"hello"}"#, case("POST", CHAT, 401)),
        ),
        case("GET", "/api/nothing", 404),
        case("GET", "/api", 404),
        case("GET", "/problems/nothing", 404),
        case("DELETE", "/api/status", 405),
        sent(
            &[
                ("content-type", "application/json"),
                ("content-length", "600000"),
            ],
            case("POST", CHAT, 413),
        ),
        case("GET", &long("/api/status"), 414),
        case("GET", &long("/health"), 414),
        sent(&[("content-type", "text/plain")], case("POST", CHAT, 415)),
        with("{}", case("POST", CHAT, 422)),
        Case {
            times: 2,
            ..set(
                ("caller_limit", "1/10m"),
                with(TRACKS, case("POST", "/api/enrich", 429)),
            )
        },
        set(malformed, case("GET", "/api/status", 503)),
        set(malformed, case("POST", CHAT, 503)),
        set(malformed, case("GET", "/problems/busy", 303)),
        set(malformed, case("GET", "/health", 200)),
    ]
}

/// Sends the case's request, with `fields` as well.
fn send(case: &Case, frontend: &str, fields: &[(&str, &str)]) -> Answer {
    let (variable, frontend) = (case.variable, frontend.to_owned());
    let variables = move |name: &str| match name {
        "frontend_url" => Some(frontend.clone()),
        name => (name == variable.0).then(|| variable.1.to_owned()),
    };
    let request = || {
        let mut request = Request::builder().method(case.method).uri(&case.path);
        for (name, value) in case.fields.iter().chain(fields) {
            request = request.header(*name, *value);
        }
        request.body(Body::from(case.body)).unwrap()
    };
    ask_again(variables, request, case.times)
}

/// Asks whether the case's request may be sent.
fn preflight(case: &Case, frontend: &str, origin: &str) -> Answer {
    let asked = Case {
        method: "OPTIONS",
        fields: &[],
        body: "",
        ..case.clone()
    };
    let fields = [
        ("origin", origin),
        ("access-control-request-method", case.method),
        ("access-control-request-headers", SENT),
    ];
    send(&asked, frontend, &fields)
}

/// What our own page sends, and what others do: a reconnecting stream client,
/// a tracing library, a gateway.
const SENT: &str = "accept,authorization,baggage,cache-control,content-type,idempotency-key,\
    if-none-match,last-event-id,sentry-trace,traceparent,x-admin-token,x-request-id,\
    x-whatever-comes-next";

fn listed(answer: &Answer, name: &str) -> Vec<String> {
    let items = answer.header(name).split(',');
    items.map(|item| item.trim().to_ascii_lowercase()).collect()
}

#[test]
fn origins_methods_and_credentials() {
    for (frontend, origin, allowed, credentials) in origins() {
        for (case, cookie) in cases().iter().flat_map(|case| [(case, ""), (case, "a=b")]) {
            let what = format!("{frontend} {origin} {} {:.40}", case.method, case.path);
            let answer = send(case, frontend, &[("origin", origin), ("cookie", cookie)]);
            assert_eq!(answer.status.as_u16(), case.status, "{what}");
            let allow = answer.header("access-control-allow-origin");
            assert_eq!(allow, allowed, "{what} {}", case.status);
            let with = answer.header("access-control-allow-credentials");
            assert_eq!(with == "true", credentials, "{what}");
            // Never any origin, and credentials as well.
            assert!(allow != "*" || with.is_empty(), "{what}");
            assert!(listed(&answer, "vary").contains(&"origin".into()), "{what}");
            if !allowed.is_empty() {
                let readable = listed(&answer, "access-control-expose-headers");
                for name in &READ {
                    assert!(readable.contains(&name.to_string()), "{what}: {name}");
                }
            }
        }
    }
}

#[test]
fn preflights() {
    for (frontend, origin, allowed, _) in origins() {
        for case in cases() {
            let answer = preflight(&case, frontend, origin);
            let Case { method, path, .. } = case;
            let what = format!("{frontend} {origin} {method} {path:.40}");
            assert!(answer.status.is_success(), "{what} {}", answer.status);
            assert!(answer.body.is_empty(), "{what}");
            let allow = answer.header("access-control-allow-origin");
            assert_eq!(allow, allowed, "{what}");
            let methods = listed(&answer, "access-control-allow-methods");
            let known = ["GET", "HEAD", "POST"].contains(&method);
            assert_eq!(
                methods.contains(&method.to_ascii_lowercase()),
                known,
                "{what}"
            );
            let headers = answer.header("access-control-allow-headers");
            assert_eq!(headers, SENT, "{what}");
            let vary = listed(&answer, "vary");
            assert!(vary.contains(&"access-control-request-headers".into()));
            assert_eq!(answer.header("access-control-max-age"), "7200");
        }
    }
}

#[test]
fn an_origin_that_cannot_be_read_is_named_to_every_page_and_opens_nothing_else() {
    for frontend in ["dj.example", "https://dj.example/path", "ftp://dj.example"] {
        for (method, path, status) in [
            ("GET", "/api/status", 503),
            ("POST", "/api/chat-stream/message", 503),
            ("GET", "/api/nothing", 503),
            ("GET", "/health", 200),
        ] {
            let case = case(method, path, status);
            let asked = preflight(&case, frontend, FRONTEND);
            assert!(asked.status.is_success(), "{frontend} {path}");
            let answer = send(&case, frontend, &[("origin", FRONTEND)]);
            assert_eq!(answer.status.as_u16(), status, "{frontend} {path}");
            if status == 503 {
                let variables = &answer.json()["context"]["variables"];
                assert_eq!(*variables, serde_json::json!(["frontend_url"]));
            }
            for answer in [asked, answer] {
                assert_eq!(answer.header("access-control-allow-origin"), "*");
                assert_eq!(answer.header("access-control-allow-credentials"), "");
            }
        }
    }
}

#[test]
fn what_is_not_for_other_origins_says_nothing() {
    let origin = ("origin", "https://other.example");
    for path in [
        "/",
        "/deep/link",
        "/assets/app.js",
        // The page answers here, whatever it begins with.
        "/healthy",
        "/apis",
        "/problems/",
        "/problems/busy/x",
        "/health/x",
    ] {
        let answer = send(&case("GET", path, 0), "", &[origin]);
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    // Without the question it is not a preflight: what does the route have?
    let answer = send(&case("OPTIONS", "/api/status", 0), "", &[origin]);
    let allow = answer.header("allow");
    assert_eq!((answer.status.as_u16(), allow), (204, "GET, HEAD, OPTIONS"));
}
