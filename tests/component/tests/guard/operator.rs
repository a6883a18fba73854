//! What is the operator's alone.

use reqwest::Response;
use serde_json::Value;
use spinlane_component_tests::{Dj, OPERATOR, PATIENCE};

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
