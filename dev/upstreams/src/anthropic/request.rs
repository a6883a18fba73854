//! What the service takes, and how it says no.

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::check;

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// What a program is to know besides.
    pub(super) details: Option<Value>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        let kind = match status {
            400 => "invalid_request_error",
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            kind,
            message: message.into(),
            details: None,
        }
    }
}

/// A request that was taken.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) model: String,
    pub(super) stream: bool,
    /// What the user said last.
    pub(super) prompt: String,
    /// Whether it is to reason before it answers.
    pub(super) thinks: bool,
    /// Whether it may ask for tools.
    pub(super) may_call: bool,
    pub(super) tools: Vec<Value>,
    pub(super) messages: Vec<Value>,
    /// How long the conversation is.
    pub(super) depth: usize,
}

/// The key, in either of its headers.
pub(super) fn key(headers: &HeaderMap) -> Option<&str> {
    let header = |name| {
        headers
            .get(name)?
            .to_str()
            .ok()
            .filter(|key| !key.is_empty())
    };
    header("x-api-key").or_else(|| header("authorization")?.strip_prefix("Bearer "))
}

/// Checks a request in the service's own order.
pub(super) fn check(
    headers: &HeaderMap,
    document: Option<&Map<String, Value>>,
) -> Result<Taken, Refusal> {
    match key(headers) {
        None => return Err(Refusal::new(401, "x-api-key header is required")),
        Some("invalid") => return Err(Refusal::new(401, "invalid x-api-key")),
        Some(_) => {}
    }
    let bad = |message: &str| Refusal::new(400, message);
    if !headers.contains_key("anthropic-version") {
        return Err(bad("anthropic-version: header is required"));
    }
    let Some(request) = document else {
        return Err(bad("The request body is not valid JSON"));
    };
    let field = |name: &str| {
        let missing = || bad(&format!("{name}: Field required"));
        request.get(name).ok_or_else(missing)
    };
    let model = field("model")?;
    let model = model.as_str().filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| bad("model: Input should be a valid string"))?;
    let max_tokens = field("max_tokens")?.as_u64().filter(|tokens| *tokens >= 1);
    let max_tokens =
        max_tokens.ok_or_else(|| bad("max_tokens: Input should be greater than or equal to 1"))?;
    check::request(request, max_tokens)?;
    let messages = field("messages")?.as_array();
    let messages = messages.ok_or_else(|| bad("messages: Input should be a valid list"))?;
    if messages.is_empty() {
        return Err(bad("messages: at least one message is required"));
    }
    for (at, message) in messages.iter().enumerate() {
        check_message(at, message)?;
    }
    if messages[0]["role"] != "user" {
        return Err(bad("messages: first message must use the \"user\" role"));
    }
    check::messages(messages)?;
    Ok(Taken {
        model: model.to_owned(),
        stream: request.get("stream") == Some(&Value::Bool(true)),
        prompt: prompt(messages),
        thinks: check::thinks(request, model),
        may_call: request
            .get("tool_choice")
            .is_none_or(|choice| choice["type"] != "none"),
        tools: request
            .get("tools")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default(),
        messages: messages.clone(),
        depth: messages.len(),
    })
}

fn prompt(messages: &[Value]) -> String {
    let by_user = |message: &&Value| message["role"] == "user";
    let last = messages.iter().rev().find(by_user);
    last.map(|message| text(&message["content"]))
        .unwrap_or_default()
}

fn check_message(at: usize, message: &Value) -> Result<(), Refusal> {
    let bad = |what: &str| Refusal::new(400, format!("messages.{at}.{what}"));
    if !matches!(message["role"].as_str(), Some("user" | "assistant")) {
        return Err(bad("role: Input should be 'user' or 'assistant'"));
    }
    match &message["content"] {
        Value::String(text) if text.is_empty() => Err(bad("content: must not be empty")),
        Value::String(_) => Ok(()),
        Value::Array(blocks) if blocks.is_empty() => Err(bad("content: must not be empty")),
        Value::Array(blocks) if blocks.iter().all(|block| block["type"].is_string()) => Ok(()),
        _ => Err(bad(
            "content: Input should be a valid string or list of blocks",
        )),
    }
}

/// The text of a content, in either form.
pub(super) fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
