//! What is sent to the Messages API.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// `POST /v1/messages`.
///
/// The service caches a request's beginning up to each breakpoint, in the order
/// of these fields: tools, system, messages.
///
/// ```
/// use spinlane_client::anthropic::{Message, Request};
///
/// let messages = [Message::user("Greet me")];
/// let request = Request::new("claude-sonnet-4-6", 1024, &messages).system("Be brief.");
/// assert_eq!(serde_json::to_value(&request)?["system"][0]["text"], "Be brief.");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Serialize)]
pub struct Request<'a> {
    /// The model's name.
    pub model: &'a str,
    /// How long the answer may be, thinking included.
    pub max_tokens: u32,
    /// Always `true`: the answer is read as it comes.
    pub stream: bool,
    /// How the model reasons; by its own default where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// How it is to go about its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig>,
    /// What it may ask for.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub tools: &'a [ToolSpec],
    /// Which of the tools it may ask for this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// What it is told before the conversation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<SystemText<'a>>,
    /// The conversation, which begins with the user.
    pub messages: &'a [Message<'a>],
}

impl<'a> Request<'a> {
    /// Asks `model` to go on with `messages`, in at most `max_tokens` tokens; without
    /// instructions or tools, and reasoning by its own default.
    pub const fn new(model: &'a str, max_tokens: u32, messages: &'a [Message<'a>]) -> Self {
        Self {
            model,
            max_tokens,
            stream: true,
            thinking: None,
            output_config: None,
            tools: &[],
            tool_choice: None,
            system: Vec::new(),
            messages,
        }
    }

    /// The same, told `text` before the conversation.
    #[must_use]
    pub fn system(mut self, text: &'a str) -> Self {
        self.system.push(SystemText {
            text,
            cache_control: None,
        });
        self
    }
}

/// Whether the model reasons before it answers.
///
/// ```
/// use spinlane_client::anthropic::{Message, Request, Thinking};
///
/// let messages = [Message::user("How many prime numbers are there?")];
/// let mut request = Request::new("claude-sonnet-4-5", 4096, &messages);
/// // Some of which are left for the answer.
/// request.thinking = Some(Thinking::Enabled { budget_tokens: 2048 });
/// let expected = serde_json::json!({"type": "enabled", "budget_tokens": 2048});
/// assert_eq!(serde_json::to_value(&request)?["thinking"], expected);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Thinking {
    /// No, although it would by itself.
    Disabled,
    /// As much as it finds right.
    Adaptive,
    /// Yes, in at most so many tokens.
    Enabled {
        /// At least 1024, and less than the answer may have.
        budget_tokens: u32,
    },
}

/// How the model is to go about its answer.
///
/// ```
/// use spinlane_client::anthropic::{Message, OutputConfig, Request, Thinking};
///
/// let messages = [Message::user("Greet me")];
/// let mut request = Request::new("claude-sonnet-4-6", 1024, &messages);
/// request.thinking = Some(Thinking::Adaptive);
/// request.output_config = Some(OutputConfig { effort: "low" });
/// assert_eq!(serde_json::to_value(&request)?["output_config"]["effort"], "low");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OutputConfig {
    /// `low`, `medium` or `high`.
    pub effort: &'static str,
}

/// Which of the tools it may ask for; without it, any.
///
/// ```
/// use spinlane_client::anthropic::{Message, Request, ToolChoice, ToolSpec};
///
/// let tools = [ToolSpec {
///     name: "now",
///     description: "Tells the time.",
///     input_schema: serde_json::from_str(r#"{"type":"object"}"#)?,
///     cache_control: None,
/// }];
/// let messages = [Message::user("What time is it?")];
/// let mut request = Request::new("claude-sonnet-4-6", 1024, &messages);
/// request.tools = &tools;
/// // It has asked often enough.
/// request.tool_choice = Some(ToolChoice::None);
/// assert_eq!(serde_json::to_value(&request)?["tool_choice"]["type"], "none");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolChoice {
    /// None, this time. They are told all the same, since the conversation has
    /// some of their results, and for the service's cache.
    None,
}

/// A breakpoint: what comes up to here is worth keeping for the next request.
///
/// ```
/// use spinlane_client::anthropic::{CacheControl, Message, Request, SystemText};
///
/// let messages = [Message::user("Greet me")];
/// let mut request = Request::new("claude-sonnet-4-6", 1024, &messages);
/// request.system.push(SystemText {
///     text: "A long text, the same in each request.",
///     cache_control: Some(CacheControl::Ephemeral),
/// });
/// let json = serde_json::to_value(&request)?;
/// assert_eq!(json["system"][0]["cache_control"]["type"], "ephemeral");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CacheControl {
    /// For some minutes.
    Ephemeral,
}

/// A tool that the model may ask for.
///
/// ```
/// use spinlane_client::anthropic::{Message, Request, ToolSpec};
///
/// let search = ToolSpec {
///     name: "search",
///     description: "Searches songs. Use it when the user asks for music.",
///     input_schema: serde_json::from_str(
///         r#"{"type":"object","properties":{"query":{"type":"string"}}}"#,
///     )?,
///     cache_control: None,
/// };
/// let (tools, messages) = ([search], [Message::user("Songs of rain")]);
/// let mut request = Request::new("claude-sonnet-4-6", 1024, &messages);
/// request.tools = &tools;
/// assert_eq!(serde_json::to_value(&request)?["tools"][0]["name"], "search");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct ToolSpec {
    /// Its name, which the model gives back.
    pub name: &'static str,
    /// When to use it, for the model.
    pub description: &'static str,
    /// JSON Schema of its input, an object. It is sent as it is written here: one that is
    /// a part of the program need not be read.
    pub input_schema: Cow<'static, RawValue>,
    /// A breakpoint after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl>,
}

/// What the model is told before the conversation.
///
/// ```
/// use spinlane_client::anthropic::{CacheControl, SystemText};
///
/// // What is the same for everybody comes first, and is cached.
/// let everybody = SystemText { text: "Be brief.", cache_control: Some(CacheControl::Ephemeral) };
/// let today = SystemText { text: "It is Monday.", cache_control: None };
/// let json = serde_json::to_value([everybody, today])?;
/// assert_eq!(json[1], serde_json::json!({"type": "text", "text": "It is Monday."}));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "text")]
pub struct SystemText<'a> {
    /// The text.
    pub text: &'a str,
    /// A breakpoint after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl>,
}

/// One turn of the conversation.
///
/// ```
/// use spinlane_client::anthropic::{Message, Part, Role};
///
/// let hello = Message { role: Role::Assistant, content: vec![Part::text("Hello!")] };
/// let conversation = [Message::user("Greet me"), hello, Message::user("In Italian")];
/// let json = serde_json::to_value(&conversation)?;
/// assert_eq!(json[1]["content"][0]["text"], "Hello!");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Vec<Part<'a>>,
}

impl<'a> Message<'a> {
    /// What the user says, which may not be empty.
    pub fn user(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            role: Role::User,
            content: vec![Part::text(text)],
        }
    }
}

/// Who speaks.
///
/// ```
/// use spinlane_client::anthropic::{Message, Part, Role};
///
/// // What a tool has said is the user's turn.
/// let content = vec![Part::ToolResult {
///     tool_use_id: "toolu_1".into(),
///     content: "no songs".into(),
///     is_error: false,
///     cache_control: None,
/// }];
/// let turn = Message { role: Role::User, content };
/// assert_eq!(serde_json::to_value(&turn)?["role"], "user");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user, and the tools.
    User,
    /// The model.
    Assistant,
}

/// A piece of a turn.
///
/// ```
/// use spinlane_client::anthropic::Part;
///
/// let mut parts = [Part::text("Here is what I have "), Part::text("found: \n")];
/// // The service refuses an answer that is to be continued after white space.
/// Part::trim_last(&mut parts);
/// assert_eq!(parts[1], Part::text("found:"));
/// parts[1].set_breakpoint(true);
/// assert_eq!(serde_json::to_value(&parts)?[1]["cache_control"]["type"], "ephemeral");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part<'a> {
    /// Something that is said.
    Text {
        /// The text, which may not be empty.
        text: Cow<'a, str>,
        /// A breakpoint after it.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// The model's reasoning, given back as it came: the service checks the
    /// signature.
    Thinking {
        /// What it came to.
        thinking: String,
        /// Proves to the service that it is its own.
        signature: String,
    },
    /// Reasoning that came encrypted, given back as it came.
    RedactedThinking {
        /// As it came.
        data: String,
    },
    /// The model asked for a tool.
    ToolUse {
        /// Names the call for its result.
        id: String,
        /// The tool's name.
        name: String,
        /// An object of the tool's schema.
        input: Value,
    },
    /// What the tool said. Each `ToolUse` needs one in the next turn.
    ToolResult {
        /// The call that it belongs to.
        tool_use_id: String,
        /// The result, for the model.
        content: String,
        /// Whether the tool has failed.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        /// A breakpoint after it.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

impl<'a> Part<'a> {
    /// Text without a breakpoint.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text {
            text: text.into(),
            cache_control: None,
        }
    }

    /// Takes the white space off the end of `parts`, should they end with text.
    pub fn trim_last(parts: &mut [Part<'_>]) {
        if let Some(Part::Text { text, .. }) = parts.last_mut() {
            *text = Cow::Owned(text.trim_end().to_owned());
        }
    }

    /// Sets or takes away the breakpoint after this part, where its kind can
    /// have one.
    pub fn set_breakpoint(&mut self, set: bool) {
        if let Self::Text { cache_control, .. } | Self::ToolResult { cache_control, .. } = self {
            *cache_control = set.then_some(CacheControl::Ephemeral);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::to_raw_value;
    use serde_json::{json, to_value};

    #[test]
    fn the_request_is_what_the_interface_describes() {
        let cache_control = Some(CacheControl::Ephemeral);
        let tools = [ToolSpec {
            name: "search",
            description: "Finds",
            input_schema: Cow::Owned(to_raw_value(&json!({"type": "object"})).unwrap()),
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
            system: vec![SystemText {
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
            system: vec![SystemText {
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

    #[test]
    fn a_question_alone_is_a_request() {
        let messages = [Message::user("hello")];
        let content = json!([{"type": "text", "text": "hello"}]);
        assert_eq!(
            to_value(Request::new("m", 10, &messages)).unwrap(),
            json!({
                "model": "m", "max_tokens": 10, "stream": true,
                "messages": [{"role": "user", "content": content}],
            })
        );
    }
}
