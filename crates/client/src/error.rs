//! Why an upstream did not give what was asked for, in words that a person can
//! act on.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use spinlane_core::error::{Code, ErrorObject, code};
use spinlane_core::limit::{BusyCause, CallError};
use spinlane_core::log::millis;
use spinlane_core::ports::HttpError;

/// An upstream, as its errors speak of it.
///
/// ```
/// use spinlane_client::Service;
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url")
///     .key("songs_api_key")
///     .not_found("check the spelling");
/// assert_eq!(SONGS.key_variable, Some("songs_api_key"));
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// For programs: `anthropic`.
    pub name: &'static str,
    /// For a person: `Anthropic`.
    pub title: &'static str,
    /// The variable that holds its key; `None` where it takes none.
    pub key_variable: Option<&'static str>,
    /// The variable that holds its address.
    pub url_variable: &'static str,
    /// What to check when the service does not know what was asked for.
    pub not_found: &'static str,
    /// What to do when the service knows the caller and refuses all the same.
    pub forbidden: Option<&'static str>,
}

impl Service {
    /// A service that takes no key. `name` is for programs, `title` for a person, and
    /// `url_variable` is the variable that holds its address.
    pub const fn new(name: &'static str, title: &'static str, url_variable: &'static str) -> Self {
        Self {
            name,
            title,
            key_variable: None,
            url_variable,
            not_found: "check what was asked for, and the variable that holds its address",
            forbidden: None,
        }
    }

    /// The same, with a key, which the variable `name` holds.
    #[must_use]
    pub const fn key(mut self, name: &'static str) -> Self {
        self.key_variable = Some(name);
        self
    }

    /// The same, with what to check when it does not know what was asked for.
    #[must_use]
    pub const fn not_found(mut self, check: &'static str) -> Self {
        self.not_found = check;
        self
    }

    /// The same, with what to do when it knows the caller and refuses all the same.
    #[must_use]
    pub const fn forbidden(mut self, what_to_do: &'static str) -> Self {
        self.forbidden = Some(what_to_do);
        self
    }
}

/// A refusal (403) that a service gives a reason for.
///
/// ```
/// use spinlane_client::{Failure, Refusal, Service, UpstreamError};
/// use spinlane_core::error::code;
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url");
/// static NOT_INVITED: Refusal = Refusal {
///     code: code::UPSTREAM_REJECTED,
///     message: "The song service does not know you yet: ask for an invitation",
/// };
///
/// let told = UpstreamError::new(&SONGS, Failure::Refused(&NOT_INVITED)).object();
/// assert_eq!((&*told.message, told.status), (NOT_INVITED.message, Some(403)));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it means, for programs.
    pub code: Code,
    /// For the user: what it means, and what to do.
    pub message: &'static str,
}

/// What happened.
///
/// ```
/// use spinlane_client::{Failure, Service, UpstreamError};
/// use spinlane_core::ports::{HttpError, TimeoutPhase};
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url");
///
/// let told = |failure| UpstreamError::new(&SONGS, failure).object().message;
/// let silent = Failure::Http(HttpError::Timeout(TimeoutPhase::FirstByte));
/// assert!(told(silent).ends_with("try again in a moment"));
/// let keyless = Failure::NotConfigured("songs_api_key");
/// assert!(told(keyless).ends_with("set the variable `songs_api_key`"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Failure {
    /// No answer, or no more of it.
    Http(HttpError),
    /// The limits did not let the call through.
    Limit(CallError),
    /// An answer that is an error.
    Status {
        /// The answer's status.
        status: StatusCode,
        /// When the service wants to be asked again.
        retry_after: Option<Duration>,
        /// What the service says about it, for the log.
        detail: Option<String>,
    },
    /// The service reports an error by a name, inside a good answer or beside a
    /// bad status.
    Reported {
        /// What it means.
        code: Code,
        /// Where it is a bad one.
        status: Option<StatusCode>,
        /// What the service says about it, for the log.
        detail: String,
    },
    /// The service says that there is no such thing. What to check then.
    Absent(&'static str),
    /// It refuses, and says why in words that are known.
    Refused(&'static Refusal),
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
///
/// ```
/// use spinlane_client::{Failure, Service, UpstreamError};
/// use spinlane_core::error::ErrorObject;
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url");
/// let error = UpstreamError::new(&SONGS, Failure::Cut);
/// assert_eq!(error.to_string(), "songs: the answer ended early");
/// // For a person, and for programs.
/// assert_eq!(ErrorObject::from(error).code.as_str(), "upstream_cut");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UpstreamError {
    /// Whose it is.
    pub service: &'static Service,
    /// What happened.
    pub failure: Failure,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.service.name;
        match &self.failure {
            Failure::Http(error) => write!(f, "{name}: {error}"),
            Failure::Limit(error) => write!(f, "{name}: {error}"),
            Failure::Status { status, .. } => write!(f, "{name}: answered {status}"),
            Failure::Reported { code, detail, .. } => {
                write!(f, "{name}: reported {} ({detail})", code.as_str())
            }
            Failure::Absent(_) => write!(f, "{name}: there is no such thing"),
            Failure::Refused(refusal) => write!(f, "{name}: refused, {}", refusal.code.as_str()),
            Failure::Grant => write!(f, "{name}: the login is not accepted any more"),
            Failure::NotConfigured(variable) => write!(f, "{name}: `{variable}` is not set"),
            Failure::Protocol(reason) => write!(f, "{name}: {reason}"),
            Failure::Cut => write!(f, "{name}: the answer ended early"),
        }
    }
}

impl std::error::Error for UpstreamError {}

/// What the user is told: see [`UpstreamError::object`].
impl From<UpstreamError> for ErrorObject {
    fn from(error: UpstreamError) -> Self {
        error.object()
    }
}

impl UpstreamError {
    /// A call to `service` that failed so.
    pub const fn new(service: &'static Service, failure: Failure) -> Self {
        Self { service, failure }
    }

    /// For the user: the code, and a message that says what to do. The words are
    /// our own: what the service said may name what is behind it, and is in the
    /// log.
    pub fn object(&self) -> ErrorObject {
        let (code, message) = match &self.failure {
            Failure::Http(error) => self.no_answer(error),
            Failure::Limit(error) => self.not_let_through(error),
            Failure::Status {
                status,
                retry_after,
                ..
            } => self.error_status(*status, *retry_after),
            Failure::Reported {
                code: code::UPSTREAM_AUTH,
                ..
            } => self.refused(),
            Failure::Reported { code, .. } => (*code, self.explain(*code, None)),
            Failure::Absent(check) => (code::UPSTREAM_REJECTED, self.absent(check)),
            Failure::Refused(Refusal { code, message }) => (*code, (*message).to_owned()),
            Failure::Grant => {
                let title = self.service.title;
                let message = format!("{title} does not accept this login any more: log in again");
                (code::SESSION_EXPIRED, message)
            }
            Failure::NotConfigured(variable) => {
                let title = self.service.title;
                let message = format!("{title} cannot be asked: set the variable `{variable}`");
                (code::NOT_CONFIGURED, message)
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
                (code::UPSTREAM_PROTOCOL, message)
            }
            Failure::Cut => (code::UPSTREAM_CUT, self.explain(code::UPSTREAM_CUT, None)),
        };
        let mut object = ErrorObject::new(code, message).with("upstream", self.service.name);
        let retry_after = match &self.failure {
            Failure::Status { retry_after, .. } => *retry_after,
            Failure::Limit(error) => error.retry_after(),
            _ => None,
        };
        object.retry_after_ms = retry_after.map(millis);
        object.status = match &self.failure {
            Failure::Status { status, .. } => Some(status.as_u16()),
            Failure::Reported { status, .. } => status.map(|status| status.as_u16()),
            Failure::Refused(_) => Some(StatusCode::FORBIDDEN.as_u16()),
            _ => None,
        };
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
                (code::UPSTREAM_UNREACHABLE, message)
            }
            HttpError::Timeout(phase) => {
                let message = format!("{title} took too long ({phase}): try again in a moment");
                (code::UPSTREAM_TIMEOUT, message)
            }
            HttpError::Denied => {
                let message = format!(
                    "the host does not allow calls to {title}: its `allowed_outbound_hosts` must \
                     hold the value of the variable `{url_variable}`"
                );
                (code::UPSTREAM_DENIED, message)
            }
            HttpError::Invalid(reason) => {
                let key = self.service.key_variable;
                let key = key.map_or_else(String::new, |variable| format!(" and `{variable}`"));
                let message = format!(
                    "the request to {title} cannot be sent ({reason}): check `{url_variable}`{key}"
                );
                (code::UPSTREAM_REJECTED, message)
            }
            // A connection that broke, and whatever else may come to be.
            _ => (code::UPSTREAM_CUT, self.explain(code::UPSTREAM_CUT, None)),
        }
    }

    fn not_let_through(&self, error: &CallError) -> (Code, String) {
        let Service { title, .. } = self.service;
        match error {
            CallError::Budget(_) => (
                code::BUDGET_EXHAUSTED,
                format!(
                    "this request has made all the upstream calls that it may: ask for less at \
                     once, or have the operator raise `subrequest_budget` ({error})"
                ),
            ),
            CallError::Busy {
                cause: BusyCause::Paused,
                retry_after,
                ..
            } => {
                let code = code::RATE_LIMITED;
                (code, self.explain(code, Some(*retry_after)))
            }
            CallError::UnknownLane { .. } => (
                code::INTERNAL,
                format!("this application has no limits for {title}; its operator's log says more"),
            ),
            error => {
                let again = again(error.retry_after());
                (
                    code::BUSY,
                    format!("all slots for {title} are taken: {again}"),
                )
            }
        }
    }

    fn error_status(&self, status: StatusCode, retry_after: Option<Duration>) -> (Code, String) {
        let code = match status.as_u16() {
            403 if self.service.forbidden.is_some() => {
                let Service {
                    title, forbidden, ..
                } = self.service;
                let message = format!("{title} does not allow this: {}", forbidden.unwrap_or(""));
                return (code::UPSTREAM_REJECTED, message);
            }
            401 | 403 => return self.refused(),
            404 => return (code::UPSTREAM_REJECTED, self.absent(self.service.not_found)),
            429 => code::RATE_LIMITED,
            529 => code::OVERLOADED,
            400..=499 => code::UPSTREAM_REJECTED,
            500..=599 => code::UPSTREAM_ERROR,
            other => {
                let message = format!(
                    "{} gave an unexpected answer (HTTP {other})",
                    self.service.title
                );
                return (code::UPSTREAM_PROTOCOL, message);
            }
        };
        (code, self.explain(code, retry_after))
    }

    fn absent(&self, check: &str) -> String {
        let title = self.service.title;
        format!("{title} does not know what was asked for: {check}")
    }

    /// It does not serve who asks: by the key, or, where it takes none, by the
    /// address.
    fn refused(&self) -> (Code, String) {
        let title = self.service.title;
        match self.service.key_variable {
            Some(variable) => {
                let message = format!("{title} refused the key: check the variable `{variable}`");
                (code::UPSTREAM_AUTH, message)
            }
            None => {
                let message = format!(
                    "{title} refuses calls from this server's address: what it knows is left out \
                     until it takes them again, or the operator has them sent from another address"
                );
                (code::UPSTREAM_REJECTED, message)
            }
        }
    }

    fn explain(&self, code: Code, retry_after: Option<Duration>) -> String {
        let title = self.service.title;
        let again = again(retry_after);
        match code {
            code::RATE_LIMITED => format!("{title} asks for fewer requests: {again}"),
            code::OVERLOADED => format!("{title} is overloaded: {again}"),
            code::UPSTREAM_TIMEOUT => format!("{title} took too long: {again}"),
            code::UPSTREAM_REJECTED => {
                format!("{title} did not accept the request; the operator's log says why")
            }
            code::UPSTREAM_CUT => format!("the answer of {title} was cut off: {again}"),
            _ => format!("{title} failed: {again}"),
        }
    }
}

/// When to try again, in words: nobody counts a day in seconds.
fn again(wait: Option<Duration>) -> String {
    let Some(wait) = wait else {
        return "try again in a moment".to_owned();
    };
    let seconds = wait.as_millis().div_ceil(1_000);
    let minutes = seconds.div_ceil(60);
    match seconds {
        0..=120 => format!("try again in {seconds} s"),
        121..=7_200 => format!("try again in {minutes} min"),
        _ => format!("try again in {} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_words_of_their_size() {
        for (seconds, expected) in [
            (0, "0 s"),
            (1, "1 s"),
            (120, "120 s"),
            (121, "3 min"),
            (3_600, "60 min"),
            (7_200, "120 min"),
            (7_201, "2 h 1 min"),
            (79_892, "22 h 12 min"),
            (86_400, "24 h 0 min"),
        ] {
            let wait = Some(Duration::from_secs(seconds));
            assert_eq!(again(wait), format!("try again in {expected}"));
        }
        assert_eq!(
            again(Some(Duration::from_millis(1_001))),
            "try again in 2 s"
        );
        assert_eq!(again(None), "try again in a moment");
    }
}
