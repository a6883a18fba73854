//! What is sent to the Messages API.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

/// `POST /v1/messages`.
///
/// The service caches a request's beginning up to each breakpoint, in the order
/// of these fields: tools, system, messages.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    pub(crate) model: &'a str,
    /// Thinking included.
    pub(crate) max_tokens: u32,
    pub(crate) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output_config: Option<OutputConfig>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) tools: &'a [ToolSpec],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_choice: Option<ToolChoice>,
    pub(crate) system: [SystemText<'a>; 1],
    pub(crate) messages: &'a [Message<'a>],
}

/// Whether the model reasons before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Thinking {
    /// No, although it would by itself.
    Disabled,
    /// As much as it finds right.
    Adaptive,
    /// Yes, in at most so many tokens.
    Enabled { budget_tokens: u32 },
}

/// How the model is to go about its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OutputConfig {
    /// `low`, `medium` or `high`.
    pub(crate) effort: &'static str,
}

/// Which of the tools it may ask for; without it, any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToolChoice {
    /// None, this time. They are told all the same, since the conversation has
    /// some of their results, and for the service's cache.
    None,
}

/// A breakpoint: what comes up to here is worth keeping for the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum CacheControl {
    /// For some minutes.
    Ephemeral,
}

/// A tool that the model may ask for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ToolSpec {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// JSON Schema of its input, an object.
    pub(crate) input_schema: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<CacheControl>,
}

/// What the model is told before the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "text")]
pub(crate) struct SystemText<'a> {
    pub(crate) text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<CacheControl>,
}

/// One turn of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) role: Role,
    pub(crate) content: Vec<Part<'a>>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    User,
    Assistant,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Part<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// The model's reasoning, given back as it came: the service checks the
    /// signature.
    Thinking { thinking: String, signature: String },
    /// Reasoning that came encrypted, given back as it came.
    RedactedThinking { data: String },
    /// The model asked for a tool.
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    /// What the tool said. Each `ToolUse` needs one in the next turn.
    ToolResult {
        tool_use_id: String,
        content: String,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

impl<'a> Part<'a> {
    /// Text without a breakpoint.
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text {
            text: text.into(),
            cache_control: None,
        }
    }

    /// Takes the white space off the end of `parts`, should they end with text.
    pub(crate) fn trim_last(parts: &mut [Part<'_>]) {
        if let Some(Part::Text { text, .. }) = parts.last_mut() {
            *text = Cow::Owned(text.trim_end().to_owned());
        }
    }

    /// Sets or takes away the breakpoint after this part, where its kind can
    /// have one.
    pub(crate) fn set_breakpoint(&mut self, set: bool) {
        if let Self::Text { cache_control, .. } | Self::ToolResult { cache_control, .. } = self {
            *cache_control = set.then_some(CacheControl::Ephemeral);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, to_value};

    #[test]
    fn the_request_is_what_the_interface_describes() {
        let cache_control = Some(CacheControl::Ephemeral);
        let tools = [ToolSpec {
            name: "search",
            description: "Finds",
            input_schema: json!({"type": "object"}),
            cache_control,
        }];
        let mut result = Part::ToolResult {
            tool_use_id: "t1".into(),
            content: "gone".into(),
            is_error: true,
            cache_control: None,
        };
        result.set_breakpoint(true);
        let thought = Part::Thinking {
            thinking: "hm".into(),
            signature: "s==".into(),
        };
        let redacted = Part::RedactedThinking { data: "xyz".into() };
        let tool_use = Part::ToolUse {
            id: "t1".into(),
            name: "search".into(),
            input: json!({"q": "x"}),
        };
        let message = |role, content| Message { role, content };
        let messages = [
            message(Role::User, vec![Part::text("hello")]),
            message(Role::Assistant, vec![thought, redacted, tool_use]),
            message(Role::User, vec![result]),
        ];
        let request = Request {
            model: "m",
            max_tokens: 10,
            stream: true,
            thinking: Some(Thinking::Enabled {
                budget_tokens: 1024,
            }),
            output_config: Some(OutputConfig { effort: "low" }),
            tools: &tools,
            tool_choice: Some(ToolChoice::None),
            system: [SystemText {
                text: "You are",
                cache_control,
            }],
            messages: &messages,
        };
        let ephemeral = json!({"type": "ephemeral"});
        assert_eq!(
            to_value(&request).unwrap(),
            json!({
                "model": "m",
                "max_tokens": 10,
                "stream": true,
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "output_config": {"effort": "low"},
                "tool_choice": {"type": "none"},
                "tools": [{
                    "name": "search", "description": "Finds",
                    "input_schema": {"type": "object"}, "cache_control": ephemeral,
                }],
                "system": [{"type": "text", "text": "You are", "cache_control": ephemeral}],
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "hello"}]},
                    {"role": "assistant", "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s=="},
                        {"type": "redacted_thinking", "data": "xyz"},
                        {"type": "tool_use", "id": "t1", "name": "search", "input": {"q": "x"}},
                    ]},
                    {"role": "user", "content": [{
                        "type": "tool_result", "tool_use_id": "t1", "content": "gone",
                        "is_error": true, "cache_control": ephemeral,
                    }]},
                ],
            })
        );
    }

    #[test]
    fn thinking_in_all_its_forms() {
        let adaptive = to_value(Thinking::Adaptive).unwrap();
        assert_eq!(adaptive, json!({"type": "adaptive"}));
        let disabled = to_value(Thinking::Disabled).unwrap();
        assert_eq!(disabled, json!({"type": "disabled"}));
    }

    #[test]
    fn what_is_not_used_is_left_out() {
        let request = Request {
            model: "m",
            max_tokens: 10,
            stream: true,
            thinking: None,
            output_config: None,
            tools: &[],
            tool_choice: None,
            system: [SystemText {
                text: "You are",
                cache_control: None,
            }],
            messages: &[],
        };
        let system = json!([{"type": "text", "text": "You are"}]);
        assert_eq!(
            to_value(&request).unwrap(),
            json!({"model": "m", "max_tokens": 10, "stream": true, "system": system, "messages": []})
        );
    }
}
