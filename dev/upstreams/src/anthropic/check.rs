//! What the service refuses in a conversation with tools, in its own words.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::models::Model;
use super::request::Refusal;
use super::turn::signature;

/// Breakpoints that a request may have.
const BREAKPOINTS: usize = 4;

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(400, message)
}

/// Checks all but the messages.
pub(super) fn request(request: &Map<String, Value>, max_tokens: u64) -> Result<(), Refusal> {
    let tools = request.get("tools").map(|tools| {
        let tools = tools.as_array();
        tools.ok_or_else(|| bad("tools: Input should be a valid list"))
    });
    let tools = tools.transpose()?.map(Vec::as_slice).unwrap_or_default();
    check_tools(tools)?;
    if request.contains_key("thread") {
        // A beta: its clients send the whole conversation when told so.
        return Err(Refusal {
            details: Some(json!({
                "error_code": "thread_unsupported_request",
                "unsupported": ["thread"],
            })),
            ..bad("thread: this server keeps no conversations")
        });
    }
    if let Some(choice) = request.get("tool_choice") {
        tool_choice(choice, tools)?;
    }
    match request.get("system") {
        None | Some(Value::String(_)) => {}
        Some(Value::Array(blocks)) if blocks.iter().all(|block| block["text"].is_string()) => {}
        Some(_) => {
            return Err(bad(
                "system: Input should be a valid string or list of blocks",
            ));
        }
    }
    let name = request.get("model").and_then(Value::as_str);
    let model = Model::named(name.unwrap_or_default());
    thinking(request, max_tokens, model)?;
    output_config(request, model)?;
    let marks =
        marks(request.get("tools")) + marks(request.get("system")) + marks(request.get("messages"));
    if marks > BREAKPOINTS {
        return Err(bad(format!(
            "A maximum of {BREAKPOINTS} blocks with cache_control may be provided. Found {marks}."
        )));
    }
    Ok(())
}

fn check_tools(tools: &[Value]) -> Result<(), Refusal> {
    let mut names = HashSet::new();
    for (at, tool) in tools.iter().enumerate() {
        let bad = |what: &str| bad(format!("tools.{at}.{what}"));
        let name = tool["name"]
            .as_str()
            .ok_or_else(|| bad("custom.name: Field required"))?;
        if !is_name(name) {
            return Err(bad(
                "custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
            ));
        }
        if !names.insert(name) {
            return Err(Refusal::new(400, "tools: Tool names must be unique."));
        }
        // Those of the service itself have a type and no schema.
        let is_custom = tool.get("type").is_none_or(|kind| kind == "custom");
        if is_custom && !tool["input_schema"].is_object() {
            return Err(bad("custom.input_schema: Field required"));
        }
        if is_custom && tool["input_schema"]["type"] != "object" {
            return Err(bad("custom.input_schema.type: Input should be 'object'"));
        }
    }
    Ok(())
}

fn tool_choice(choice: &Value, tools: &[Value]) -> Result<(), Refusal> {
    let kind = choice["type"].as_str().unwrap_or_default();
    match kind {
        "auto" | "none" => Ok(()),
        "any" if !tools.is_empty() => Ok(()),
        "tool" if tools.iter().any(|tool| tool["name"] == choice["name"]) => Ok(()),
        "tool" => Err(bad(format!(
            "Tool '{}' not found in provided tools",
            choice["name"]
        ))),
        "any" => Err(bad("tool_choice: tools must be provided")),
        _ => Err(bad(
            "tool_choice: Input tag found using 'type' does not match any of the expected tags: \
             'auto', 'any', 'tool', 'none'",
        )),
    }
}

/// Whether the model is to reason.
pub(super) fn thinks(request: &Map<String, Value>, model: &str) -> bool {
    match request.get("thinking") {
        Some(thinking) => thinking["type"] == "enabled" || thinking["type"] == "adaptive",
        None => Model::named(model).thinks_by_itself(),
    }
}

/// How much effort the model is to make.
fn output_config(request: &Map<String, Value>, model: Model) -> Result<(), Refusal> {
    let config = request.get("output_config").unwrap_or(&Value::Null);
    match config["effort"].as_str() {
        None => Ok(()),
        Some(_) if !model.is_adaptive() => {
            Err(bad("This model does not support the effort parameter."))
        }
        Some("low" | "medium" | "high" | "max") => Ok(()),
        Some(_) => Err(bad(
            "output_config.effort: Input should be 'low', 'medium', 'high' or 'max'",
        )),
    }
}

fn thinking(request: &Map<String, Value>, max_tokens: u64, model: Model) -> Result<(), Refusal> {
    let Some(thinking) = request.get("thinking") else {
        return Ok(());
    };
    match thinking["type"].as_str() {
        Some("adaptive") if !model.is_adaptive() => {
            return Err(bad("adaptive thinking is not supported on this model"));
        }
        Some("adaptive") if thinking.get("budget_tokens").is_some() => {
            return Err(bad(
                "thinking.adaptive.budget_tokens: Extra inputs are not permitted",
            ));
        }
        Some("disabled") if !model.can_be_kept_from_it() => {
            return Err(bad(
                "\"thinking.type.disabled\" is not supported for this model.",
            ));
        }
        Some("adaptive" | "disabled") => return Ok(()),
        Some("enabled") if !model.takes_tokens() => {
            return Err(bad(
                "\"thinking.type.enabled\" is not supported for this model. Use \
                 \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking \
                 behavior.",
            ));
        }
        Some("enabled") => {}
        _ => {
            return Err(bad(
                "thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'",
            ));
        }
    }
    let budget = thinking["budget_tokens"].as_u64();
    let budget = budget.ok_or_else(|| bad("thinking.enabled.budget_tokens: Field required"))?;
    if budget < 1024 {
        return Err(bad(
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ));
    }
    if budget >= max_tokens {
        return Err(bad(
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ));
    }
    let temperature = request.get("temperature").and_then(Value::as_f64);
    if temperature.is_some_and(|temperature| temperature != 1.0) {
        return Err(bad(
            "`temperature` may only be set to 1 when thinking is enabled.",
        ));
    }
    let forced = request.get("tool_choice").map(|choice| &choice["type"]);
    if forced.is_some_and(|kind| kind == "any" || kind == "tool") {
        return Err(bad(
            "Thinking may not be enabled when tool_choice forces tool use.",
        ));
    }
    Ok(())
}

/// Breakpoints anywhere in `value`.
fn marks(value: Option<&Value>) -> usize {
    let in_content = |item: &Value| marks(item.get("content"));
    match value {
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| usize::from(item["cache_control"].is_object()) + in_content(item))
            .sum(),
        _ => 0,
    }
}

/// The blocks of a message whose content is a list.
pub(super) fn blocks(message: &Value) -> &[Value] {
    let blocks = message["content"].as_array();
    blocks.map(Vec::as_slice).unwrap_or_default()
}

/// The identifiers in the blocks of that type.
fn ids<'a>(message: Option<&'a Value>, kind: &str, id: &str) -> Vec<&'a str> {
    let blocks = message.map(blocks).unwrap_or_default().iter();
    let of_kind = blocks.filter(|block| block["type"] == kind);
    of_kind.filter_map(|block| block[id].as_str()).collect()
}

/// Checks the messages: their blocks, and that tools and results go together.
pub(super) fn messages(messages: &[Value]) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        for (n, block) in blocks(message).iter().enumerate() {
            check_block(message, block)
                .map_err(|what| bad(format!("messages.{at}.content.{n}{what}")))?;
        }
        for id in ids(Some(message), "tool_use", "id") {
            if !seen.insert(id) {
                return Err(bad(format!(
                    "messages.{at}.content: `tool_use` ids must be unique"
                )));
            }
        }
        if let Some(kind) = ends_in_reasoning(message) {
            return Err(bad(format!(
                "messages.{at}: The final block in an assistant message cannot be `{kind}`."
            )));
        }
        answered(messages, at)?;
        results(messages, at)?;
    }
    let last = &messages[messages.len() - 1];
    let text = match (&last["content"], blocks(last).last()) {
        (Value::String(text), _) => Some(text.as_str()),
        (_, Some(block)) => block["text"].as_str(),
        _ => None,
    };
    if last["role"] == "assistant" && text.is_some_and(|text| text.ends_with(char::is_whitespace)) {
        return Err(bad(
            "messages: final assistant content cannot end with trailing whitespace",
        ));
    }
    Ok(())
}

/// The reasoning that a message ends in.
fn ends_in_reasoning(message: &Value) -> Option<&str> {
    let last = blocks(message).last()?["type"].as_str()?;
    matches!(last, "thinking" | "redacted_thinking").then_some(last)
}

/// Whether it is the name of a tool or of a call.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=128).contains(&name.len()) && name.bytes().all(fits)
}

/// Every tool that message `at` asks for has its result in the next one,
/// before anything else.
fn answered(messages: &[Value], at: usize) -> Result<(), Refusal> {
    let asked = ids(Some(&messages[at]), "tool_use", "id");
    let next = messages.get(at + 1);
    let leading = next.map(blocks).unwrap_or_default().iter();
    let leading = leading.take_while(|block| block["type"] == "tool_result");
    let given: Vec<&str> = leading
        .filter_map(|block| block["tool_use_id"].as_str())
        .collect();
    let missing: Vec<&str> = asked.into_iter().filter(|id| !given.contains(id)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(bad(format!(
        "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: \
         {}. Each `tool_use` block must have a corresponding `tool_result` block in the next \
         message.",
        at,
        missing.join(", ")
    )))
}

/// Every result in message `at` is one that the last message asked for, once.
fn results(messages: &[Value], at: usize) -> Result<(), Refusal> {
    let before = at.checked_sub(1).map(|before| &messages[before]);
    let asked = ids(before, "tool_use", "id");
    let mut seen = HashSet::new();
    for (n, id) in ids(Some(&messages[at]), "tool_result", "tool_use_id")
        .into_iter()
        .enumerate()
    {
        if !asked.contains(&id) {
            return Err(bad(format!(
                "messages.{at}.content.{n}: unexpected `tool_use_id` found in `tool_result` \
                 blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` \
                 block in the previous message."
            )));
        }
        if !seen.insert(id) {
            return Err(bad(format!(
                "messages.{at}.content.{n}: each tool_use must have a single result. Found \
                 multiple `tool_result` blocks with id: {id}"
            )));
        }
    }
    Ok(())
}

/// What is wrong with a block, as it follows its place.
fn check_block(message: &Value, block: &Value) -> Result<(), String> {
    let text = |name: &str| block[name].as_str().unwrap_or_default();
    let by_user = message["role"] == "user";
    let kind = text("type");
    let required = |names: &[&str]| match names.iter().find(|name| block.get(**name).is_none()) {
        Some(name) => Err(format!(".{kind}.{name}: Field required")),
        None => Ok(()),
    };
    match kind {
        "text" if text("text").is_empty() => Err(": text content blocks must be non-empty".into()),
        "text" if text("text").trim().is_empty() => {
            Err(": text content blocks must contain non-whitespace text".into())
        }
        "text" => Ok(()),
        "tool_use" | "thinking" | "redacted_thinking" if by_user => Err(format!(
            ": `{kind}` blocks can only be in `assistant` messages"
        )),
        "tool_result" if !by_user => {
            Err(": `tool_result` blocks can only be in `user` messages".into())
        }
        "tool_use" => {
            required(&["id", "name", "input"])?;
            for name in ["id", "name"] {
                if !is_name(text(name)) {
                    return Err(format!(
                        ".tool_use.{name}: String should match pattern '^[a-zA-Z0-9_-]+$'"
                    ));
                }
            }
            match block["input"].is_object() {
                true => Ok(()),
                false => Err(".tool_use.input: Input should be a valid dictionary".into()),
            }
        }
        "tool_result" => required(&["tool_use_id"]),
        "thinking" | "redacted_thinking" if block["cache_control"].is_object() => Err(format!(
            ".{kind}.cache_control: Extra inputs are not permitted"
        )),
        "thinking" => {
            required(&["thinking", "signature"])?;
            match text("signature") == signature(text("thinking")) {
                true => Ok(()),
                false => Err(": Invalid `signature` in `thinking` block".into()),
            }
        }
        "redacted_thinking" => required(&["data"]),
        "image" | "document" | "search_result" | "server_tool_use" | "web_search_tool_result" => {
            Ok(())
        }
        other => Err(format!(
            ": Input tag '{other}' found using 'type' does not match any of the expected tags"
        )),
    }
}

/// Whether the reasoning before a tool that is being answered is there as it
/// came. `issued` knows, by a tool's identifier, what it was.
pub(super) fn reasoning(
    messages: &[Value],
    issued: impl Fn(&str) -> Option<Vec<Value>>,
) -> Result<(), Refusal> {
    let [.., asked, answered] = messages else {
        return Ok(());
    };
    let first = ids(Some(answered), "tool_result", "tool_use_id")
        .first()
        .copied();
    let Some(expected) = first.and_then(issued) else {
        return Ok(());
    };
    let kinds = ["thinking", "redacted_thinking"];
    let given = blocks(asked).iter();
    let given: Vec<&Value> = given
        .filter(|block| kinds.iter().any(|kind| block["type"] == *kind))
        .collect();
    let at = messages.len() - 2;
    if given.is_empty() && !expected.is_empty() {
        let kind = blocks(asked).first().map(|block| &block["type"]);
        return Err(bad(format!(
            "messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found \
             `{}`. When `thinking` is enabled, a final `assistant` message must start with a \
             thinking block (preceding the lastmost set of `tool_use` and `tool_result` blocks).",
            kind.and_then(Value::as_str).unwrap_or_default()
        )));
    }
    if !given.into_iter().eq(expected.iter()) {
        return Err(bad(format!(
            "messages.{at}.content: `thinking` or `redacted_thinking` blocks in the latest \
             assistant message cannot be modified. These blocks must remain as they were in the \
             original response."
        )));
    }
    Ok(())
}
