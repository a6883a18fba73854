//! What a session opens, to whom, and for how long.

use std::time::Duration;

use super::*;
use spinlane_core::ports::StoreError;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn bad_tokens_are_refused_and_say_why() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    let token = browser.session().to_owned();
    let mut forged = token.clone();
    forged.replace_range(..1, if token.starts_with('A') { "B" } else { "A" });
    for bad in [
        &forged,
        &token[..42],
        "",
        "é",
        &format!("{token}A"),
        &"x".repeat(10_000),
    ] {
        for path in ["/api/auth/session", "/api/chat-stream/message"] {
            let method = if path.ends_with("message") {
                "POST"
            } else {
                "GET"
            };
            let answer = bearer(&stage, method, path, bad);
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "session_invalid"),
                "{bad}"
            );
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
            assert!(!answer.body.contains(&token[..10]));
        }
    }
    // Not used for an hour.
    stage.world.clock.advance(HOUR);
    let answer = bearer(&stage, "GET", "/api/auth/session", &token);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "session_expired")
    );
    // Another scheme is for somebody else.
    let request = Request::get("/api/auth/session").header("authorization", "Basic eDp5");
    assert_eq!(Browser::new(&stage).send(request, "").status, 200);
}

#[test]
fn a_session_that_is_used_ends_after_four_hours() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    for _ in 0..7 {
        stage.world.clock.advance(HOUR / 2);
        assert!(browser.is_connected());
        stage.world.drain();
    }
    let token = browser.session().to_owned();
    stage.world.clock.advance(HOUR / 2);
    assert!(!browser.is_connected());
    assert_eq!(browser.cookie(SESSION), None);
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", &token).code(),
        "session_expired"
    );
}

#[test]
fn a_bad_cookie_is_as_good_as_none() {
    let stage = stage(&[]);
    let hello = r#"{"message":"hello"}"#;
    let mut browser = Browser::with_session(&stage, &"A".repeat(43));
    assert_eq!(browser.post("/api/chat-stream/message", hello).status, 200);
    assert_eq!(browser.cookie(SESSION), None, "cleared");
    let mut browser = Browser::with_session(&stage, "rubbish");
    assert!(!browser.is_connected());
    assert_eq!(browser.cookie(SESSION), None, "cleared");
    // A token that was sent on purpose counts more than a cookie.
    let mut browser = Browser::new(&stage);
    browser.log_in();
    let request = Request::get("/api/auth/session").header("authorization", "Bearer x");
    assert_eq!(browser.send(request, "").status, 401);
}

#[test]
fn changing_playlists_takes_a_session() {
    let stage = stage(&[]);
    let ask = |mode: &str| json!({"message": "hello", "mode": mode}).to_string();
    let mut browser = Browser::new(&stage);
    for mode in ["create", "edit"] {
        let answer = browser.post("/api/chat-stream/message", &ask(mode));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "session_required")
        );
        assert_eq!(
            answer.headers["www-authenticate"],
            "Bearer realm=\"spinlane\""
        );
        assert_eq!(answer.json()["context"]["login"], "/api/auth/login");
    }
    let mut gone = Browser::with_session(&stage, &"A".repeat(43));
    let answer = gone.post("/api/chat-stream/message", &ask("edit"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "session_invalid")
    );
    assert_eq!(stage.world.http.calls(), 0);
    browser.log_in();
    for mode in ["analyze", "create", "edit"] {
        assert_eq!(
            browser.post("/api/chat-stream/message", &ask(mode)).status,
            200
        );
    }
}

#[test]
fn a_session_is_two_reads_before_the_head() {
    let stage = stage(&[]);
    let hello = r#"{"message":"hello"}"#;
    let calls = |browser: &mut Browser<'_>| {
        let before = stage.world.store.calls();
        assert_eq!(browser.post("/api/chat-stream/message", hello).status, 200);
        stage.world.store.calls() - before
    };
    let mut browser = Browser::new(&stage);
    assert_eq!(calls(&mut browser), 0);
    browser.log_in();
    // Its record, and whether it was ended.
    assert_eq!(calls(&mut browser), 2);
}

#[test]
fn users_are_counted_by_account_whatever_their_address() {
    let keys = [("anthropic_api_key", "sk-test"), ("caller_limit", "2/10m")];
    let stage = Stage::new(&keys, spotify);
    let hello = r#"{"message":"hello"}"#;
    let chat = |browser: &mut Browser<'_>, address: &str| {
        let request = Request::post("/api/chat-stream/message")
            .header("content-type", "application/json")
            .header("spin-client-addr", address);
        browser.send(request, hello).status
    };
    let mut browser = Browser::new(&stage);
    browser.log_in();
    assert_eq!(chat(&mut browser, "192.0.2.1:1"), 200);
    assert_eq!(chat(&mut browser, "192.0.2.2:1"), 200);
    assert_eq!(chat(&mut browser, "192.0.2.3:1"), 429);
    // Logging in anew is no way round it; others have their own.
    browser.log_in();
    assert_eq!(chat(&mut browser, "192.0.2.4:1"), 429);
    assert_eq!(chat(&mut Browser::new(&stage), "192.0.2.3:1"), 200);
    // A login that is ended calls Spotify, and is counted by its address.
    let calls = stage.world.http.calls();
    let answer = Browser::new(&stage).come_back("/api/auth/login", "code=c");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, "too_many_requests")
    );
    assert_eq!(stage.world.http.calls(), calls);
}

#[test]
fn other_sites_cannot_act_with_the_cookie() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    for path in [
        "/api/auth/logout",
        "/api/chat-stream/message",
        "/api/enrich",
    ] {
        let request = Request::post(path)
            .header("host", "127.0.0.1:3000")
            .header("content-type", "application/json")
            .header("origin", "https://evil.example");
        let answer = browser.send(request, r#"{"message":"hello"}"#);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "cross_site"),
            "{path}"
        );
    }
    assert!(browser.is_connected());
    let token = browser.session().to_owned();
    let request = Request::post("/api/auth/logout").header("origin", "https://dj.example");
    let request = request.header("authorization", format!("Bearer {token}"));
    assert_eq!(stage.world.run(send(&stage, request, "")).status, 204);
    assert!(!browser.is_connected());
}

/// Whatever a request brings to show whose it is is ended, or it is told that
/// nothing was.
#[test]
fn a_log_out_ends_every_credential() {
    let stage = stage(&[]);
    let open = || {
        let mut browser = Browser::new(&stage);
        browser.log_in();
        browser.session().to_owned()
    };
    let is_open = |token: &str| bearer(&stage, "GET", "/api/auth/session", token).status == 200;
    let log_out = |bearers: &[&str], cookies: &[&str], origin: &str| {
        let mut request = Request::post("/api/auth/logout").header("origin", origin);
        request = request.header("host", "127.0.0.1:3000");
        for token in bearers {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for token in cookies {
            request = request.header("cookie", format!("a=b; {SESSION}={token}"));
        }
        stage.world.run(send(&stage, request, "")).status
    };
    const OURS: &str = "http://127.0.0.1:3000";
    let (one, two, three) = (open(), open(), open());
    // A bad one beside a good one, of whatever kind, in whatever order.
    assert_eq!(log_out(&["x"], &[&one], OURS), 204);
    assert!(!is_open(&one));
    assert_eq!(log_out(&["x", &two], &["y", &three], OURS), 204);
    assert!(!is_open(&two) && !is_open(&three));
    // Another site's page ends nothing with a cookie, nor says that it has.
    let (one, two) = (open(), open());
    assert_eq!(log_out(&[&one], &[&two], "https://evil.example"), 403);
    assert!(is_open(&one) && is_open(&two));
    // What costs too much is not begun.
    let many = [one.as_str(); 9];
    assert_eq!(log_out(&many, &[], OURS), 400);
    assert!(is_open(&one));
    assert_eq!(log_out(&many[..8], &[], OURS), 204);
    assert!(!is_open(&one));
}

#[test]
fn a_store_in_trouble_opens_and_ends_nothing() {
    let stage = stage(&[]);
    let mut browser = Browser::new(&stage);
    browser.log_in();
    let token = browser.session().to_owned();
    let fault = StoreError::Unavailable("down".into());
    stage.world.store.fail_with(Some(fault));
    let ask = |mode: &str| json!({"message": "hello", "mode": mode}).to_string();
    for answer in [
        browser.get("/api/auth/session"),
        browser.post("/api/auth/logout", ""),
        browser.post("/api/chat-stream/message", &ask("create")),
        bearer(&stage, "GET", "/api/auth/session", &token),
        Browser::new(&stage).come_back("/api/auth/login", "code=c"),
    ] {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "store_unavailable")
        );
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(answer.set_cookie(SESSION), None);
    }
    assert_eq!(
        browser
            .post("/api/chat-stream/message", &ask("analyze"))
            .status,
        200
    );
    stage.world.store.fail_with(None);
    stage.world.clock.advance(Duration::from_secs(5));
    assert!(browser.is_connected(), "the cookie was kept");
}
