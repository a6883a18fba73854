//! What answers say to browsers and caches.

use std::collections::BTreeMap;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, redirect};
use serde_json::{Value, json};
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::{Dj, OPERATOR, repository};
use spinlane_upstreams::anthropic::Script;

async fn ask(dj: &Dj, method: Method, path: &str, fields: &[(&str, &str)]) -> Response {
    let client = reqwest::Client::builder().redirect(redirect::Policy::none());
    let client = client.build().expect("a client");
    let mut request = client.request(method, dj.host.url(path));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    if path.ends_with("/message") {
        request = request.json(&json!({"message": "hello"}));
    }
    if path.ends_with("/enrich") {
        request = request.json(&json!({"tracks": [{"title": "a", "artist": "b"}]}));
    }
    request.send().await.expect("an answer")
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name);
    value.map_or("", |value| value.to_str().expect("text"))
}

/// Answers of every kind: good ones, refusals, redirects, the page, a stream.
const ANSWERS: [(&str, &str); 9] = [
    ("GET", "/"),
    ("GET", "/deep/link"),
    ("GET", "/health"),
    ("GET", "/api/status"),
    ("GET", "/api/nothing"),
    ("GET", "/api/auth/login"),
    ("DELETE", "/health"),
    ("OPTIONS", "/api/status"),
    ("POST", "/api/chat-stream/message"),
];

#[tokio::test]
async fn browsers_are_told_to_stay_with_https_where_it_is_served() {
    for (public_url, expected) in [
        ("https://dj.example", "max-age=31536000"),
        ("http://127.0.0.1:3000", ""),
    ] {
        let dj = Dj::start(&[("public_url", public_url)]).await;
        dj.upstreams.anthropic().script(Script::text(["x"]));
        for (method, path) in ANSWERS {
            let method = method.parse().expect("a method");
            let answer = ask(&dj, method, path, &[]).await;
            let found = field(answer.headers(), "strict-transport-security");
            assert_eq!(found, expected, "{public_url} {path}");
        }
    }
}

/// Each directive, by its name: one that is missing falls back to another, or to
/// nothing at all.
#[tokio::test]
async fn the_page_may_load_and_run_its_own_only() {
    let dj = Dj::start(&[]).await;
    for path in ["/", "/deep/link", "/api/docs"] {
        let answer = ask(&dj, Method::GET, path, &[]).await;
        let policy = field(answer.headers(), "content-security-policy").to_owned();
        let directives = policy.split(';').map(|directive| {
            let directive = directive.trim();
            let (name, value) = directive.split_once(' ').unwrap_or((directive, ""));
            (name.to_owned(), value.to_owned())
        });
        let mut directives: BTreeMap<_, _> = directives.collect();
        for name in ["script-src", "style-src"] {
            let value = directives.remove(name).expect(name);
            for source in value.split(' ') {
                let known = source == "'self'" || source.starts_with("'sha256-");
                assert!(known, "{path}: {name} {source}");
            }
        }
        let expected = [
            ("default-src", "'none'"),
            ("img-src", "'self' data:"),
            ("font-src", "'self'"),
            ("connect-src", "'self'"),
            ("manifest-src", "'self'"),
            ("form-action", "'self'"),
            ("base-uri", "'none'"),
            ("frame-ancestors", "'none'"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(directives, BTreeMap::from(expected), "{path}");
        assert_eq!(field(answer.headers(), "x-content-type-options"), "nosniff");
        assert_eq!(field(answer.headers(), "referrer-policy"), "same-origin");
    }
}

/// What is one user's is kept by nobody on the way. The streams of a POST have the
/// head that brings them through proxies, and no cache keeps the answer to a POST.
#[tokio::test]
async fn what_is_one_users_is_not_kept_on_the_way() {
    let dj = Dj::start_public(&[("admin_token", OPERATOR)]).await;
    dj.upstreams.anthropic().script(Script::text(["x"]));
    let session = Browser::new(&dj).log_in().await;
    let bearer = format!("Bearer {session}");
    let json = ("content-type", "application/json");
    for (method, path, fields, status) in [
        (
            "GET",
            "/api/auth/session",
            &[("authorization", &*bearer)][..],
            200,
        ),
        ("GET", "/api/auth/session", &[], 200),
        (
            "GET",
            "/api/auth/session",
            &[("authorization", "Bearer x")],
            401,
        ),
        ("GET", "/api/auth/login", &[], 303),
        ("GET", "/api/auth/callback", &[], 400),
        ("POST", "/api/auth/token", &[json], 400),
        ("GET", "/api/status", &[("x-admin-token", OPERATOR)], 200),
        (
            "POST",
            "/api/admin/sweep",
            &[("x-admin-token", OPERATOR)],
            200,
        ),
        (
            "POST",
            "/api/enrich",
            &[("accept", "application/json")],
            200,
        ),
        (
            "POST",
            "/api/auth/logout",
            &[("authorization", &*bearer)],
            204,
        ),
    ] {
        let method: Method = method.parse().expect("a method");
        let answer = ask(&dj, method, path, fields).await;
        assert_eq!(answer.status(), status, "{path}");
        let found = field(answer.headers(), "cache-control");
        assert_eq!(found, "no-store", "{path} {fields:?}");
    }
    for path in ["/api/chat-stream/message", "/api/enrich"] {
        let answer = ask(&dj, Method::POST, path, &[]).await;
        let found = field(answer.headers(), "cache-control");
        assert_eq!(found, "no-cache, no-transform", "{path}");
    }
}

/// As it is set: everybody's, nobody's, one origin's.
#[tokio::test]
async fn pages_of_other_origins_may_ask_as_is_set() {
    const PAGE: &str = "https://dj.example";
    const OTHER: &str = "https://other.example";
    for (frontend, origin, allowed, credentials) in [
        // As `spin.toml` has it.
        (None, OTHER, "*", ""),
        (Some("*"), OTHER, "*", ""),
        (Some(""), OTHER, "*", ""),
        (Some("same-origin"), OTHER, "", ""),
        (Some(PAGE), PAGE, PAGE, "true"),
        (Some(PAGE), OTHER, "", "true"),
    ] {
        let set = frontend.map(|value| ("frontend_url", value));
        let dj = Dj::start(set.as_slice()).await;
        dj.upstreams.anthropic().script(Script::text(["x"]));
        let answer = ask(&dj, Method::POST, ANSWERS[8].1, &[("origin", origin)]).await;
        assert_eq!(answer.status(), 200);
        for (name, expected) in [("origin", allowed), ("credentials", credentials)] {
            let name = format!("access-control-allow-{name}");
            assert_eq!(
                field(answer.headers(), &name),
                expected,
                "{frontend:?} {origin}"
            );
        }
    }
}

/// The component reaches five hosts, each by its variable, and no more.
#[test]
fn the_manifest_names_five_hosts_and_no_more() {
    let manifest = std::fs::read_to_string(repository("spin.toml")).expect("spin.toml");
    let (_, list) = manifest
        .split_once("allowed_outbound_hosts = [")
        .expect("the list");
    let (list, rest) = list.split_once(']').expect("its end");
    let hosts: Vec<_> = list
        .split(',')
        .map(|host| host.trim().trim_matches('"'))
        .filter(|host| !host.is_empty())
        .collect();
    let expected = [
        "anthropic_base_url",
        "spotify_api_url",
        "spotify_accounts_url",
        "deezer_base_url",
        "lastfm_base_url",
    ];
    assert_eq!(hosts, expected.map(|name| format!("{{{{ {name} }}}}")));
    assert!(
        !rest.contains("allowed_outbound_hosts"),
        "there is one list"
    );
    assert!(!manifest.contains("allowed_http_hosts"));
}

/// What goes wrong inside is told in words of ours, under the request's id.
#[tokio::test]
async fn errors_tell_nothing_of_the_inside() {
    let dj = Dj::start_public(&[]).await;
    let session = Browser::new(&dj).log_in().await;
    let inside = "redis://me:secret@10.1.2.3:6379 at /srv/app/src/store.rs:12";
    dj.host.store().fail(Some(inside.into()));
    let bearer = format!("Bearer {session}");
    for (method, path, fields) in [
        (
            "GET",
            "/api/auth/session",
            &[("authorization", &*bearer)][..],
        ),
        ("GET", "/api/status", &[]),
        ("POST", "/api/auth/logout", &[("authorization", &bearer)]),
        ("POST", "/api/enrich", &[("accept", "application/json")]),
    ] {
        let method: Method = method.parse().expect("a method");
        let answer = ask(&dj, method, path, fields).await;
        let (status, text) = (answer.status(), answer.text().await.expect("text"));
        for secret in ["secret", "10.1.2.3", "store.rs", "redis"] {
            assert!(!text.contains(secret), "{path}: {text}");
        }
        if !status.is_success() {
            let problem: Value = serde_json::from_str(&text).expect("a problem");
            assert_eq!(problem["code"], "store_unavailable", "{path}: {text}");
        }
    }
}
