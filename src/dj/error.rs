//! The one error object, on streams and in problem documents alike.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// What went wrong, for programs. Stable: clients decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// The body is not JSON.
    InvalidJson,
    /// The body is JSON of the wrong shape or range.
    InvalidRequest,
    /// The body did not arrive whole, or not in time.
    IncompleteRequest,
    /// The body is larger than the route takes.
    BodyTooLarge,
    /// The body's media type is not one that the route takes.
    UnsupportedMediaType,
    /// The route does not have this method.
    MethodNotAllowed,
    /// There is no such route.
    NotFound,
    /// A variable that the route needs is not set.
    NotConfigured,
    /// A variable is malformed.
    Misconfigured,
    /// A defect of this program.
    Internal,
    /// The upstream refused the credentials.
    UpstreamAuth,
    /// The upstream refused the request itself.
    UpstreamRejected,
    /// The upstream asks for fewer requests.
    RateLimited,
    /// The upstream has no capacity at the moment.
    Overloaded,
    /// The upstream failed.
    UpstreamError,
    /// No connection to the upstream.
    UpstreamUnreachable,
    /// The host forbids the upstream's address.
    UpstreamDenied,
    /// The upstream was silent for too long.
    UpstreamTimeout,
    /// The upstream's answer is not what its interface promises.
    UpstreamProtocol,
    /// The upstream's answer ended early.
    UpstreamCut,
    /// The caller has used its quota.
    TooManyRequests,
    /// No slot became free in time.
    Busy,
    /// The request has used up its upstream calls.
    BudgetExhausted,
}

impl Code {
    /// As it is written in documents: `upstream_auth`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidRequest => "invalid_request",
            Self::IncompleteRequest => "incomplete_request",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::NotConfigured => "not_configured",
            Self::Misconfigured => "misconfigured",
            Self::Internal => "internal",
            Self::UpstreamAuth => "upstream_auth",
            Self::UpstreamRejected => "upstream_rejected",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamDenied => "upstream_denied",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamCut => "upstream_cut",
            Self::TooManyRequests => "too_many_requests",
            Self::Busy => "busy",
            Self::BudgetExhausted => "budget_exhausted",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One error, told in a way that a program and a person can act on.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
        Self::new(Code::Internal, message).with("requestId", request_id)
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
        let error = ErrorObject::new(Code::Busy, "try later");
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"code": "busy", "message": "try later"})
        );
    }
}
