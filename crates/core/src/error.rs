//! The one error object, on streams and in problem documents alike.

pub mod code;

use serde::Serialize;
use serde_json::{Map, Value};

pub use code::Code;

/// One error, told in a way that a program and a person can act on.
///
/// ```
/// use spinlane_core::error::{ErrorObject, code};
///
/// let error = ErrorObject::new(code::BUSY, "try again in 2 s").with("upstream", "songs");
/// let json = serde_json::json!({
///     "code": "busy", "message": "try again in 2 s", "context": {"upstream": "songs"},
/// });
/// assert_eq!(serde_json::to_value(error)?, json);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorObject {
    /// For programs.
    pub code: Code,
    /// For a person; says what to do where something can be done. Never holds
    /// a key.
    pub message: String,
    /// The HTTP status: in a problem document the response's own, in a stream
    /// the upstream's, if it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the error is about: the upstream, the variable, the route.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Object))]
    pub context: Map<String, Value>,
    /// When trying again makes sense, in milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorObject {
    /// An error without the optional members.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: None,
            context: Map::new(),
            retry_after_ms: None,
        }
    }

    /// The error of a defect: it names the request, under which the log has the
    /// details, and nothing else.
    pub fn internal(request_id: &str) -> Self {
        let message =
            "something went wrong on our side; the log has the details under this requestId";
        Self::new(code::INTERNAL, message).with("requestId", request_id)
    }

    /// Adds one member to the context.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.context.insert(key.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_members_are_left_out() {
        let error = ErrorObject::new(code::BUSY, "try later");
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"code": "busy", "message": "try later"})
        );
    }
}
