//! Anthropic's Messages API, as far as a relay needs it.

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use spinlane::core::limit::{Budget, Call, CallError, Orchestrator};
use spinlane::core::ports::{HttpError, Instant};
use spinlane::core::sse::{DecodeError, Decoder, FeedError, Writer};

use crate::Frame;

/// The largest event that is taken, in bytes.
const MAX_EVENT: usize = 256 * 1024;

/// A model, and how to reach it. No `Debug`: it would print the key.
pub(crate) struct Model {
    api_key: String,
    base_url: String,
    pub(crate) name: String,
}

/// What a model has said, and why it has ended.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) stop_reason: String,
}

/// Why there is no answer, or only a part of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("check the variables of this application: {0}")]
    Request(#[from] http::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the model's service answered {0}")]
    Status(StatusCode),
    #[error("the model's service says: {0}")]
    Reported(String),
    #[error("the answer broke off: {0}")]
    Broken(#[from] HttpError),
    #[error("the answer ended before it was complete")]
    Cut,
    #[error("the answer cannot be read: {0}")]
    Stream(#[from] DecodeError),
    // What serde says may quote the answer.
    #[error("the answer has an event that cannot be read")]
    Event(#[from] serde_json::Error),
    #[error(transparent)]
    Client(#[from] FeedError),
}

impl Failure {
    /// For programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Request(_) => "misconfigured",
            Self::Call(error) if error.retry_after().is_some() => "busy",
            Self::Broken(_) | Self::Cut => "upstream_cut",
            _ => "upstream_error",
        }
    }
}

/// An event of the service's stream.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    ContentBlockDelta {
        delta: TextDelta,
    },
    MessageDelta {
        delta: End,
    },
    MessageStop,
    Error {
        error: Reported,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct TextDelta {
    /// Absent where the model says something else, such as a tool's input.
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct End {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Reported {
    message: String,
}

impl Model {
    /// `None` without a key.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(Self {
            api_key: variable("anthropic_api_key").filter(|key| !key.is_empty())?,
            base_url: variable("anthropic_base_url")?,
            name: variable("anthropic_model")?,
        })
    }

    /// Asks, and feeds the answer to `writer` as it arrives. Waits for its turn
    /// until `deadline`. Dropping the future cancels the call.
    pub(crate) async fn ask(
        &self,
        upstreams: &Orchestrator,
        prompt: &str,
        deadline: Instant,
        writer: &Writer,
    ) -> Result<Answer, Failure> {
        let body = serde_json::json!({
            "model": self.name,
            "max_tokens": 2_048,
            "stream": true,
            "messages": [{"role": "user", "content": prompt}],
        });
        let request = Request::post(format!("{}/v1/messages", self.base_url))
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", &self.api_key)
            .body(Bytes::from(body.to_string()))?;
        // Asking twice does no harm: nothing of an answer is handed on before
        // its head. The budget bounds what one request may cost.
        let call = Call::new("anthropic", request, Budget::new(3));
        let answered = upstreams.run(call.repeatable().until(deadline)).await?;
        if answered.response.status() != StatusCode::OK {
            return Err(Failure::Status(answered.response.status()));
        }
        // Holds the slot until it has ended or is dropped.
        let mut body = answered.response.into_body();
        let (mut decoder, mut answer) = (Decoder::new(MAX_EVENT), Answer::default());
        while let Some(chunk) = body.next().await {
            let mut events = Vec::new();
            decoder.push(&chunk?, |event| {
                events.push(serde_json::from_str(&event.data));
            })?;
            // All events of one read are fed before the host writes again.
            for event in events {
                match event? {
                    Said::ContentBlockDelta { delta } if !delta.text.is_empty() => {
                        let text = &delta.text;
                        writer.feed_json(&Frame::Text { text }).await?;
                        answer.text += text;
                    }
                    Said::MessageDelta { delta } => {
                        answer.stop_reason = delta.stop_reason.unwrap_or_default();
                    }
                    Said::MessageStop => return Ok(answer),
                    Said::Error { error } => return Err(Failure::Reported(error.message)),
                    Said::ContentBlockDelta { .. } | Said::Other => {}
                }
            }
        }
        Err(Failure::Cut)
    }
}
