//! What the service says has gone wrong, in whatever form.

use serde_json::{Map, Value};

use crate::words::spoken;
use crate::{Meaning, ServiceError};
use spinlane_core::error::{Code, code};
use spinlane_core::limit::Verdict;

/// How deep words are looked for.
const DEPTH: usize = 3;

/// The service's own error, in a stream or as a whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiError {
    /// `overloaded_error`; empty where it has no name.
    pub kind: String,
    pub message: String,
}

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Overloaded,
    RateLimited,
    /// The key, or what it may do.
    Auth,
    /// The request itself.
    Rejected,
    Timeout,
    /// The service has failed.
    Failed,
}

/// The names that the interface has for errors.
const NAMES: [(&str, Kind); 12] = [
    ("overloaded_error", Kind::Overloaded),
    ("rate_limit_error", Kind::RateLimited),
    ("authentication_error", Kind::Auth),
    ("permission_error", Kind::Auth),
    ("billing_error", Kind::Auth),
    ("invalid_request_error", Kind::Rejected),
    ("request_too_large", Kind::Rejected),
    ("not_found_error", Kind::Rejected),
    ("timeout_error", Kind::Timeout),
    ("api_error", Kind::Failed),
    // Proxies' own, from their status.
    ("529", Kind::Overloaded),
    ("429", Kind::RateLimited),
];

/// Words that tell an error without such a name, in lower case. The first that
/// is found counts.
const WORDS: [(&str, Kind); 10] = [
    ("overload", Kind::Overloaded),
    ("capacity", Kind::Overloaded),
    ("rate_limit", Kind::RateLimited),
    ("rate limit", Kind::RateLimited),
    ("too many requests", Kind::RateLimited),
    ("authentication", Kind::Auth),
    ("api key", Kind::Auth),
    ("invalid_request", Kind::Rejected),
    ("timeout", Kind::Timeout),
    ("timed out", Kind::Timeout),
];

impl ApiError {
    /// Reads `{"type":"error","error":{…}}`, or whatever stands there instead.
    pub(super) fn read(document: &Map<String, Value>) -> Self {
        let text = |value: Option<&Value>| value.and_then(|value| spoken(value, DEPTH));
        let named = |fields: &Map<String, Value>| {
            let named = text(fields.get("type")).filter(|kind| kind != "error");
            named.or_else(|| text(fields.get("code")))
        };
        let error = document.get("error");
        let kind = match error {
            Some(Value::Object(fields)) => named(fields),
            other => text(other),
        };
        let outer = Value::Object(document.clone());
        Self {
            kind: kind.or_else(|| named(document)).unwrap_or_default(),
            message: spoken(&outer, DEPTH + 1).unwrap_or_default(),
        }
    }

    /// An error that is no more than a text.
    pub(super) fn from_text(text: &str) -> Self {
        Self {
            kind: String::new(),
            message: text.trim().to_owned(),
        }
    }

    /// What it means: by its name, else by whatever words it has. One that says
    /// nothing of itself is the service's own failure.
    pub(super) fn meaning(&self) -> Kind {
        let known = self.known();
        known.or_else(|| self.told()).unwrap_or(Kind::Failed)
    }

    /// Its name, where that is one of the interface's.
    pub(super) fn name(&self) -> Option<&'static str> {
        self.entry().map(|(name, _)| *name)
    }

    fn known(&self) -> Option<Kind> {
        self.entry().map(|(_, kind)| *kind)
    }

    fn entry(&self) -> Option<&'static (&'static str, Kind)> {
        NAMES.iter().find(|(name, _)| *name == self.kind)
    }

    /// What its words tell, its name before its message.
    fn told(&self) -> Option<Kind> {
        let told = |text: &str| {
            let text = text.to_lowercase();
            let has = |(word, _): &&(&str, Kind)| text.contains(word);
            WORDS.iter().find(has).map(|(_, kind)| *kind)
        };
        told(&self.kind).or_else(|| told(&self.message))
    }

    /// Whether it speaks of something that goes wrong at all.
    pub(super) fn is_error(&self) -> bool {
        let is_error = |text: &str| text.to_lowercase().contains("error");
        self.known().is_some()
            || self.told().is_some()
            || is_error(&self.kind)
            || is_error(&self.message)
    }
}

impl Kind {
    pub(super) const fn code(self) -> Code {
        match self {
            Self::Overloaded => code::OVERLOADED,
            Self::RateLimited => code::RATE_LIMITED,
            Self::Auth => code::UPSTREAM_AUTH,
            Self::Rejected => code::UPSTREAM_REJECTED,
            Self::Timeout => code::UPSTREAM_TIMEOUT,
            Self::Failed => code::UPSTREAM_ERROR,
        }
    }

    /// What the limits make of an answer that begins so.
    pub(super) const fn verdict(self) -> Verdict {
        match self {
            Self::Overloaded | Self::RateLimited => Verdict::Overloaded { retry_after: None },
            Self::Timeout | Self::Failed => Verdict::Failed { retryable: true },
            Self::Auth | Self::Rejected => Verdict::Failed { retryable: false },
        }
    }
}

/// What the body of a whole answer says, where it is the service's own.
pub(super) fn own_error(body: &[u8]) -> Option<ServiceError> {
    let document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let message = document.get("error")?.get("message")?.as_str()?;
    let error = ApiError::read(&document);
    let kind = error.known()?;
    Some(ServiceError {
        // The status alone does not tell a key that may not do this from a
        // network that may not call.
        meaning: (kind == Kind::Auth).then_some(Meaning::Code(code::UPSTREAM_AUTH)),
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> ApiError {
        ApiError::read(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_error_of_any_shape_is_told_by_its_words() {
        for (json, kind, message) in [
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Kind::Overloaded,
                "Overloaded",
            ),
            (
                r#"{"type":"error","error":"overloaded_error"}"#,
                Kind::Overloaded,
                "overloaded_error",
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":null}}"#,
                Kind::Overloaded,
                "",
            ),
            (
                r#"{"error":{"message":"The engine is currently overloaded"}}"#,
                Kind::Overloaded,
                "The engine is currently overloaded",
            ),
            (
                r#"{"type":"overloaded_error","message":"x"}"#,
                Kind::Overloaded,
                "x",
            ),
            (r#"{"error":{"code":529}}"#, Kind::Overloaded, ""),
            (
                r#"{"error":{"code":"rate_limit_exceeded","message":"slow down"}}"#,
                Kind::RateLimited,
                "slow down",
            ),
            (
                r#"{"error":{"type":"invalid_request_error","message":"an overloaded word"}}"#,
                Kind::Rejected,
                "an overloaded word",
            ),
            (
                r#"{"type":"error","error":{"type":null,"message":"Request timed out."}}"#,
                Kind::Timeout,
                "Request timed out.",
            ),
            (
                r#"{"detail":"Too Many Requests"}"#,
                Kind::RateLimited,
                "Too Many Requests",
            ),
            (r#"{"type":"error","error":null}"#, Kind::Failed, ""),
            (r#"{"type":"error"}"#, Kind::Failed, ""),
            (r#"{"error":[]}"#, Kind::Failed, ""),
        ] {
            let error = read(json);
            assert_eq!(
                (error.meaning(), error.message.as_str()),
                (kind, message),
                "{json}"
            );
        }
    }

    #[test]
    fn only_the_services_own_words_tell_what_is_wrong_with_a_key() {
        let own =
            r#"{"type":"error","error":{"type":"permission_error","message":"not this one"}}"#;
        let own = own_error(own.as_bytes()).unwrap();
        assert_eq!(own.meaning, Some(Meaning::Code(code::UPSTREAM_AUTH)));
        assert_eq!(own.message, "not this one");
        for body in [
            r#""forbidden""#,
            r#"{"detail":"forbidden"}"#,
            r#"{"error":{"type":"forbidden","message":"Request not allowed"}}"#,
            r#"{"error":{"type":null,"message":"no"}}"#,
            r#"{"error":{"type":"permission_error","message":null}}"#,
            "<html>",
            "[]",
        ] {
            assert_eq!(own_error(body.as_bytes()), None, "{body}");
        }
    }
}
