//! Why an upstream did not give what was asked for, in words that a person can
//! act on.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::core::limit::CallError;
use crate::core::ports::HttpError;
use crate::dj::error::{Code, ErrorObject};
use crate::dj::millis;

/// An upstream, as its errors speak of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// For programs: `anthropic`.
    pub(crate) name: &'static str,
    /// For a person: `Anthropic`.
    pub(crate) title: &'static str,
    /// The variable that holds its key.
    pub(crate) key_variable: &'static str,
    /// The variable that holds its address.
    pub(crate) url_variable: &'static str,
    /// What to check when the service does not know what was asked for.
    pub(crate) not_found: &'static str,
    /// What to do when the service knows the caller and refuses all the same.
    pub(crate) forbidden: Option<&'static str>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// No answer, or no more of it.
    Http(HttpError),
    /// The limits did not let the call through.
    Limit(CallError),
    /// An answer that is an error.
    Status {
        status: StatusCode,
        retry_after: Option<Duration>,
        /// What the service says about it.
        detail: Option<String>,
    },
    /// The service reports an error inside a good answer.
    Reported {
        code: Code,
        /// What the service says about it.
        detail: String,
    },
    /// The service says that there is no such thing.
    Absent,
    /// What a user once allowed is not accepted any more.
    Grant,
    /// A variable that the call needs is not set. Nothing was sent.
    NotConfigured(&'static str),
    /// The answer is not what the interface promises.
    Protocol(String),
    /// The answer ended before it was complete.
    Cut,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Http { error, .. } => Self::Http(error),
            error => Self::Limit(error),
        }
    }
}

/// A call to `service` that failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UpstreamError {
    pub(crate) service: &'static Service,
    pub(crate) failure: Failure,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.service.name;
        match &self.failure {
            Failure::Http(error) => write!(f, "{name}: {error}"),
            Failure::Limit(error) => write!(f, "{name}: {error}"),
            Failure::Status { status, .. } => write!(f, "{name}: answered {status}"),
            Failure::Reported { code, .. } => write!(f, "{name}: reported {}", code.as_str()),
            Failure::Absent => write!(f, "{name}: there is no such thing"),
            Failure::Grant => write!(f, "{name}: the login is not accepted any more"),
            Failure::NotConfigured(variable) => write!(f, "{name}: `{variable}` is not set"),
            Failure::Protocol(reason) => write!(f, "{name}: {reason}"),
            Failure::Cut => write!(f, "{name}: the answer ended early"),
        }
    }
}

impl std::error::Error for UpstreamError {}

impl UpstreamError {
    /// For the user: the code, and a message that says what to do. What the
    /// service said is only part of it where it tells something that the user
    /// can change.
    pub(crate) fn object(&self) -> ErrorObject {
        let (code, message) = match &self.failure {
            Failure::Http(error) => self.no_answer(error),
            Failure::Limit(error) => self.not_let_through(error),
            Failure::Status {
                status,
                retry_after,
                detail,
            } => self.error_status(*status, *retry_after, detail.as_deref()),
            Failure::Reported { code, detail } => (*code, self.explain(*code, None, Some(detail))),
            Failure::Absent => (Code::UpstreamRejected, self.absent()),
            Failure::Grant => {
                let title = self.service.title;
                let message = format!("{title} does not accept this login any more: log in again");
                (Code::SessionExpired, message)
            }
            Failure::NotConfigured(variable) => {
                let title = self.service.title;
                let message = format!("{title} cannot be asked: set the variable `{variable}`");
                (Code::NotConfigured, message)
            }
            Failure::Protocol(reason) => {
                let Service {
                    title,
                    url_variable,
                    ..
                } = self.service;
                let message = format!(
                    "{title} gave an answer that cannot be read ({reason}): check the variable \
                     `{url_variable}`, or try again in a moment"
                );
                (Code::UpstreamProtocol, message)
            }
            Failure::Cut => (
                Code::UpstreamCut,
                self.explain(Code::UpstreamCut, None, None),
            ),
        };
        let mut object = ErrorObject::new(code, message).with("upstream", self.service.name);
        let retry_after = match &self.failure {
            Failure::Status { retry_after, .. } => *retry_after,
            Failure::Limit(error) => error.retry_after(),
            _ => None,
        };
        object.retry_after_ms = retry_after.map(millis);
        if let Failure::Status { status, .. } = &self.failure {
            object.status = Some(status.as_u16());
        }
        object
    }

    fn no_answer(&self, error: &HttpError) -> (Code, String) {
        let Service {
            title,
            url_variable,
            ..
        } = self.service;
        match error {
            HttpError::Connect(_) => {
                let message = format!(
                    "{title} cannot be reached: check the network and the variable \
                     `{url_variable}`, or try again in a moment"
                );
                (Code::UpstreamUnreachable, message)
            }
            HttpError::Timeout(phase) => {
                let message = format!("{title} took too long ({phase}): try again in a moment");
                (Code::UpstreamTimeout, message)
            }
            HttpError::Denied => {
                let message = format!(
                    "the host does not allow calls to {title}: its `allowed_outbound_hosts` must \
                     hold the value of the variable `{url_variable}`"
                );
                (Code::UpstreamDenied, message)
            }
            HttpError::Broken(_) => (
                Code::UpstreamCut,
                self.explain(Code::UpstreamCut, None, None),
            ),
            HttpError::Invalid(reason) => {
                let message = format!(
                    "the request to {title} cannot be sent ({reason}): check the variables \
                     `{url_variable}` and `{}`",
                    self.service.key_variable
                );
                (Code::UpstreamRejected, message)
            }
        }
    }

    fn not_let_through(&self, error: &CallError) -> (Code, String) {
        let Service { title, .. } = self.service;
        match error {
            CallError::Budget(_) => (
                Code::BudgetExhausted,
                format!(
                    "this request has made all the upstream calls that it may: ask for less at \
                     once, or have the operator raise `subrequest_budget` ({error})"
                ),
            ),
            CallError::Deadline { retry_after, .. } => {
                let code = Code::RateLimited;
                (code, self.explain(code, Some(*retry_after), None))
            }
            error => (
                Code::Busy,
                format!("all slots for {title} are taken: {error}"),
            ),
        }
    }

    fn error_status(
        &self,
        status: StatusCode,
        retry_after: Option<Duration>,
        detail: Option<&str>,
    ) -> (Code, String) {
        let code = match status.as_u16() {
            403 if self.service.forbidden.is_some() => {
                let Service {
                    title, forbidden, ..
                } = self.service;
                let message = format!("{title} does not allow this: {}", forbidden.unwrap_or(""));
                return (Code::UpstreamRejected, message);
            }
            401 | 403 => Code::UpstreamAuth,
            404 => return (Code::UpstreamRejected, self.absent()),
            429 => Code::RateLimited,
            529 => Code::Overloaded,
            400..=499 => Code::UpstreamRejected,
            500..=599 => Code::UpstreamError,
            other => {
                let message = format!(
                    "{} gave an unexpected answer (HTTP {other})",
                    self.service.title
                );
                return (Code::UpstreamProtocol, message);
            }
        };
        (code, self.explain(code, retry_after, detail))
    }

    fn absent(&self) -> String {
        let Service {
            title, not_found, ..
        } = self.service;
        format!("{title} does not know what was asked for: {not_found}")
    }

    fn explain(&self, code: Code, retry_after: Option<Duration>, detail: Option<&str>) -> String {
        let Service {
            title,
            key_variable,
            ..
        } = self.service;
        let again = match retry_after {
            Some(wait) => format!("try again in {} s", wait.as_millis().div_ceil(1000)),
            None => "try again in a moment".to_owned(),
        };
        match (code, detail) {
            (Code::UpstreamAuth, _) => {
                format!("{title} refused the key: check the variable `{key_variable}`")
            }
            (Code::RateLimited, _) => format!("{title} asks for fewer requests: {again}"),
            (Code::Overloaded, _) => format!("{title} is overloaded: {again}"),
            (Code::UpstreamTimeout, _) => format!("{title} took too long: {again}"),
            (Code::UpstreamRejected, Some(detail)) => {
                format!("{title} did not accept the request: {detail}")
            }
            (Code::UpstreamRejected, None) => format!("{title} did not accept the request"),
            (Code::UpstreamCut, _) => format!("the answer of {title} was cut off: {again}"),
            _ => format!("{title} failed: {again}"),
        }
    }
}
