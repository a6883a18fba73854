//! Requests that lead to no call: what shows how it is, and what is no good.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::Visit;
use super::client::{Client, head};
use super::judge::{self, Broken, Judged, ensure};

/// Status, liveness, readiness, document, page.
pub(super) async fn look(visit: &Visit<'_>) -> Judged {
    let paths = ["/api/status", "/health", "/ready", "/api/openapi.json", "/"];
    let path = visit.chance.pick(&paths);
    visit.tally().count("clients", Client::Stays.to_string());
    let response = answer(visit, visit.request(Method::GET, path)).await?;
    let status = response.status().as_u16();
    if status != 200 {
        return visit.is_explained(&judge::refused(response).await?);
    }
    let text = response.text().await;
    let text = text.map_err(|error| Broken(format!("half of {path}: {error}")))?;
    visit.load.secrets.are_not_in(path, &text)?;
    if path != "/" {
        let document = serde_json::from_str::<Value>(&text);
        ensure!(document.is_ok(), "{path} is no JSON: {text}");
    }
    Ok(())
}

/// The answer to a client that stays.
async fn answer(visit: &Visit<'_>, request: RequestBuilder) -> Judged<Response> {
    let response = head(request, Client::Stays).await?;
    let response = response.ok_or_else(|| Broken("no answer".into()))?;
    visit.status(response.status().as_u16());
    Ok(response)
}

/// Each has its own refusal, whatever the upstreams do.
pub(super) async fn bad(visit: &Visit<'_>) -> Judged {
    let chat = |body: Value| visit.prompt(&body);
    let text = |text: &'static str| {
        let request = visit.request(Method::POST, "/api/chat-stream/message");
        request
            .header("content-type", "application/json")
            .body(text)
    };
    let run = format!("/api/chat-stream/{}", visit.trace);
    let history = vec![json!({"role": "user", "content": "x"}); 21];
    let history = json!({"message": "x", "conversationHistory": history});
    let create = json!({"message": "x", "mode": "create"});
    let forged = "A".repeat(43);
    let cases: [(RequestBuilder, u16, &str); 12] = [
        (chat(json!({})), 422, "invalid_request"),
        (
            chat(json!({"message": "x".repeat(2_001)})),
            422,
            "invalid_request",
        ),
        (
            chat(json!({"message": "x", "mode": "x"})),
            422,
            "invalid_request",
        ),
        (chat(history), 422, "invalid_request"),
        (
            chat(json!({"message": "x".repeat(600_000)})),
            413,
            "body_too_large",
        ),
        (text("{\"message\""), 400, "invalid_json"),
        (chat(create), 401, "session_required"),
        (
            chat(json!({"message": "x"})).bearer_auth(forged),
            401,
            "session_invalid",
        ),
        (visit.request(Method::GET, &run), 404, "not_found"),
        (visit.request(Method::GET, "/api/nothing"), 404, "not_found"),
        (
            visit.request(Method::PUT, "/api/enrich"),
            405,
            "method_not_allowed",
        ),
        (
            visit.request(Method::POST, "/api/admin/sweep"),
            401,
            "admin_required",
        ),
    ];
    let which = visit.chance.below(cases.len());
    let Some((request, status, code)) = cases.into_iter().nth(which) else {
        return Ok(());
    };
    visit.tally().count("clients", Client::Stays.to_string());
    let refused = judge::refused(answer(visit, request).await?).await?;
    if (refused.status, refused.code.as_str()) != (status, code) {
        return visit.is_explained(&refused);
    }
    visit.load.secrets.are_not_in("a refusal", &refused.text)
}
