//! What is the operator's alone.

use reqwest::Response;
use serde_json::Value;
use spinlane_component_tests::{Dj, OPERATOR, PATIENCE, settled};

async fn ask(dj: &Dj, method: reqwest::Method, path: &str, token: Option<&str>) -> Response {
    let mut request = reqwest::Client::new().request(method, dj.host.url(path));
    if let Some(token) = token {
        request = request.header("x-admin-token", token);
    }
    request.send().await.expect("an answer")
}

async fn sweep(dj: &Dj, token: &str) -> u16 {
    let answer = ask(dj, reqwest::Method::POST, "/api/admin/sweep", Some(token)).await;
    answer.status().as_u16()
}

/// The level of the log's line that has `words`.
async fn level(dj: &Dj, words: &str) -> String {
    let line = dj.host.wait_for_log(PATIENCE, words).await.expect("a line");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    line["level"].as_str().expect("a level").to_owned()
}

#[tokio::test]
async fn a_token_that_could_be_guessed_opens_nothing_and_the_log_says_so() {
    let dj = Dj::start(&[("admin_token", "a")]).await;
    assert_eq!(sweep(&dj, "a").await, 404);
    assert_eq!(level(&dj, "`admin_token` has fewer than 16").await, "ERROR");
    let dj = Dj::start(&[("admin_token", OPERATOR)]).await;
    assert_eq!(sweep(&dj, OPERATOR).await, 200);
    assert_eq!(sweep(&dj, "a").await, 401);
    assert_eq!(level(&dj, "is not the operator's").await, "WARN");
}

/// Each guess counts, on whatever route, and who is over goes on guessing nowhere.
#[tokio::test]
async fn guesses_at_the_operators_token_are_counted() {
    let dj = Dj::start(&[("admin_token", OPERATOR), ("caller_limit", "5/10m")]).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(sweep(&dj, "a guess that is long").await);
    }
    assert_eq!(statuses, [vec![401; 5], vec![429; 15]].concat());
    // Nor does the right one open anything from there.
    assert_eq!(sweep(&dj, OPERATOR).await, 429);
    let status = ask(&dj, reqwest::Method::GET, "/api/status", Some(OPERATOR)).await;
    assert_eq!(status.status(), 429);
    let free = ask(&dj, reqwest::Method::GET, "/api/status", None).await;
    assert_eq!(free.status(), 200);

    let dj = Dj::start(&[("admin_token", OPERATOR), ("caller_limit", "5/10m")]).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let guess = ask(&dj, reqwest::Method::GET, "/api/status", Some("a guess")).await;
        statuses.push(guess.status().as_u16());
    }
    assert_eq!(statuses, [vec![200; 5], vec![429; 3]].concat());
}

/// Once, however many requests come by way of the proxy.
#[tokio::test]
async fn a_proxy_that_nobody_has_named_is_noticed() {
    let dj = Dj::start(&[("admin_token", OPERATOR)]).await;
    let warnings = async |dj: &Dj| -> Value {
        let status = ask(dj, reqwest::Method::GET, "/api/status", Some(OPERATOR)).await;
        let status: Value = status.json().await.expect("JSON");
        status["configuration"]["warnings"].clone()
    };
    assert_eq!(warnings(&dj).await, serde_json::json!([]));
    for _ in 0..3 {
        let request = reqwest::Client::new().post(dj.host.url("/api/auth/logout"));
        let request = request.header("x-forwarded-for", "192.0.2.1");
        assert_eq!(request.send().await.expect("an answer").status(), 204);
        settled(&dj.host).await;
    }
    assert_eq!(level(&dj, "client_ip_header").await, "WARN");
    let lines = dj.host.logs();
    let said = lines
        .iter()
        .filter(|line| line.contains("client_ip_header"));
    assert_eq!(said.count(), 1, "{lines:?}");
    assert_eq!(warnings(&dj).await.as_array().map(Vec::len), Some(1));
}

/// What the page needs is for everybody; what stands where is not. `production` is
/// what is not said otherwise.
#[tokio::test]
async fn the_set_up_is_shown_to_the_operator() {
    let dj = Dj::start(&[("admin_token", OPERATOR)]).await;
    for (token, whole) in [
        (None, false),
        (Some("a guess"), false),
        (Some(OPERATOR), true),
    ] {
        let status: Value = ask(&dj, reqwest::Method::GET, "/api/status", token)
            .await
            .json()
            .await
            .expect("JSON");
        let anthropic = &status["upstreams"]["anthropic"];
        let shown = [
            status.get("configuration").is_some(),
            anthropic.get("baseUrl").is_some(),
            status.to_string().contains("http://127.0.0.1"),
        ];
        assert_eq!(shown, [whole; 3], "{token:?}: {status}");
        assert_eq!(anthropic["kind"], "simulated");
        assert_eq!(status["limits"]["lanes"]["anthropic"]["limit"], 2);
        assert_eq!(status["environment"], "production");
    }
}
