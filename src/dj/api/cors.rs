//! Who may call the API from a page of another origin.
//!
//! Everybody, without credentials; or, with `frontend_url` set, that origin
//! alone, with credentials. Pages of other origins then learn nothing.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::caller::{RATE_LIMIT, RATE_LIMIT_POLICY, X_ADMIN_TOKEN};
use super::stream::X_RUN_ID;
use super::{SERVER_TIMING, X_REQUEST_ID};
use crate::core::trace::TRACEPARENT;
use crate::dj::config::Origin;

/// How long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(7_200);

/// What a page may send. Named one by one: `*` would leave `Authorization` out.
const SENT: [HeaderName; 7] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_NONE_MATCH,
    TRACEPARENT,
    X_ADMIN_TOKEN,
    X_REQUEST_ID,
];

/// What a page may read beyond what every page may.
const READ: [HeaderName; 7] = [
    RATE_LIMIT,
    RATE_LIMIT_POLICY,
    RETRY_AFTER,
    SERVER_TIMING,
    TRACEPARENT,
    X_REQUEST_ID,
    X_RUN_ID,
];

/// Whether pages of other origins may ask for `path` at all: the page and its
/// assets are for their own.
pub(super) fn concerns(path: &str) -> bool {
    ["/api/", "/health", "/problems/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// Lets `router` answer `request`, which may come from another origin's page.
pub(super) async fn answer(
    router: Router,
    request: Request,
    frontend: Option<&Origin>,
) -> Response {
    // `OPTIONS` without this is somebody who wants to know what a route has.
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let answered = match preflight || request.method() != Method::OPTIONS {
        true => layer(frontend).layer(router).oneshot(request).await,
        false => router.oneshot(request).await,
    };
    answered.unwrap_or_else(|never| match never {})
}

fn layer(frontend: Option<&Origin>) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(SENT)
        .expose_headers(READ)
        .max_age(MAX_AGE);
    let Some(frontend) = frontend else {
        return layer.allow_origin(Any);
    };
    // An origin of the configuration is always a valid header.
    let origin = HeaderValue::from_str(frontend.as_str()).into_iter();
    layer
        .allow_origin(AllowOrigin::list(origin))
        .allow_credentials(true)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;

    use super::*;
    use crate::dj::api::tests::{Answer, ask_with};

    const FRONTEND: &str = "https://dj.example";
    const OTHERS: [&str; 6] = [
        "https://evil.example",
        "https://dj.example.evil.example",
        "http://dj.example",
        "https://dj.example:8443",
        "https://sub.dj.example",
        "null",
    ];

    fn open(name: &str) -> Option<String> {
        (name == "anthropic_api_key").then(|| "sk-test".into())
    }

    fn restricted(name: &str) -> Option<String> {
        match name {
            // Normalised before it is compared: browsers write it so.
            "frontend_url" => Some("https://DJ.example:443/".into()),
            other => open(other),
        }
    }

    fn send(
        variables: fn(&str) -> Option<String>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        ask_with(variables, request.body(Body::empty()).unwrap())
    }

    fn listed(answer: &Answer, name: &str) -> Vec<String> {
        let items = answer.header(name).split(',');
        items.map(|item| item.trim().to_ascii_lowercase()).collect()
    }

    /// Requests of every kind, also ones that are refused: a page may know why.
    const REQUESTS: [(&str, &str, u16); 6] = [
        ("GET", "/api/status", 200),
        ("HEAD", "/health", 200),
        ("GET", "/api/nothing", 404),
        ("DELETE", "/api/status", 405),
        ("POST", "/api/chat-stream/message", 415),
        ("GET", "/problems/busy", 303),
    ];

    #[test]
    fn origins_methods_and_credentials() {
        // (variables, origin, what is allowed, with credentials)
        let mut cases = vec![(restricted as fn(&str) -> _, FRONTEND, FRONTEND, "true")];
        cases.push((open, FRONTEND, "*", ""));
        for other in OTHERS {
            cases.push((open, other, "*", ""));
            cases.push((restricted, other, "", "true"));
        }
        for (variables, origin, allowed, credentials) in cases {
            for cookie in [None, Some(("cookie", "session=x"))] {
                let headers = [Some(("origin", origin)), cookie];
                let headers: Vec<_> = headers.into_iter().flatten().collect();
                for (method, path, status) in REQUESTS {
                    let what = format!("{origin} {method} {path} {cookie:?}");
                    let answer = send(variables, method, path, &headers);
                    assert_eq!(answer.status.as_u16(), status, "{what}");
                    let allow = answer.header("access-control-allow-origin");
                    assert_eq!(allow, allowed, "{what}");
                    let with = answer.header("access-control-allow-credentials");
                    assert_eq!(with, credentials, "{what}");
                    // Never any origin, and credentials as well.
                    assert!(allow != "*" || with.is_empty(), "{what}");
                    assert!(listed(&answer, "vary").contains(&"origin".into()), "{what}");
                    if !allowed.is_empty() {
                        let readable = listed(&answer, "access-control-expose-headers");
                        for name in READ {
                            assert!(readable.contains(&name.to_string()), "{what}: {name}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn preflights() {
        // (variables, origin, what is allowed)
        let mut cases = vec![(restricted as fn(&str) -> _, FRONTEND, FRONTEND)];
        for other in OTHERS {
            cases.push((open, other, "*"));
            cases.push((restricted, other, ""));
        }
        for (variables, origin, allowed) in cases {
            for (method, path, _) in REQUESTS {
                let answer = send(
                    variables,
                    "OPTIONS",
                    path,
                    &[
                        ("origin", origin),
                        ("access-control-request-method", method),
                        (
                            "access-control-request-headers",
                            "authorization,content-type",
                        ),
                    ],
                );
                let what = format!("{origin} {method} {path}");
                assert!(answer.status.is_success(), "{what}");
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
                let headers = listed(&answer, "access-control-allow-headers");
                for name in SENT {
                    assert!(headers.contains(&name.to_string()), "{what}: {name}");
                }
                assert_eq!(answer.header("access-control-max-age"), "7200");
            }
        }
    }

    #[test]
    fn what_is_not_for_other_origins_says_nothing() {
        let origin = ("origin", "https://other.example");
        for path in ["/", "/deep/link", "/assets/app.js"] {
            let answer = send(open, "GET", path, &[origin]);
            assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        }
        // Without the question it is not a preflight: what does the route have?
        let answer = send(open, "OPTIONS", "/api/status", &[origin]);
        let allow = answer.header("allow");
        assert_eq!((answer.status.as_u16(), allow), (204, "GET, HEAD, OPTIONS"));
    }
}
