//! The one error object, on streams and in problem documents alike.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Makes [`Code`] of one line for each: its doc comment is also what the
/// documentation says of it.
macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal,)+) => {
        /// What went wrong, for programs. Stable: clients decide by it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Code {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it is written in documents: `upstream_auth`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($meaning),+).trim_start(),)+
                }
            }
        }
    };
}

codes! {
    /// The request's head cannot be read.
    BadRequest = "bad_request",
    /// The body is not JSON.
    InvalidJson = "invalid_json",
    /// The body is JSON of the wrong shape or range.
    InvalidRequest = "invalid_request",
    /// The body did not arrive whole, or not in time.
    IncompleteRequest = "incomplete_request",
    /// The body is larger than the route takes.
    BodyTooLarge = "body_too_large",
    /// The body's media type is not one that the route takes.
    UnsupportedMediaType = "unsupported_media_type",
    /// The request's path and query are longer than the application reads.
    UriTooLong = "uri_too_long",
    /// The route does not have this method.
    MethodNotAllowed = "method_not_allowed",
    /// The request wants to go on with a run, which cannot be done yet.
    NotResumable = "not_resumable",
    /// There is no such route.
    NotFound = "not_found",
    /// The route is the operator's, and the request does not have its token.
    AdminRequired = "admin_required",
    /// A variable that the route needs is not set.
    NotConfigured = "not_configured",
    /// A variable is malformed.
    Misconfigured = "misconfigured",
    /// A defect of this program.
    Internal = "internal",
    /// The route needs a user who has connected Spotify.
    SessionRequired = "session_required",
    /// The session has ended by its time.
    SessionExpired = "session_expired",
    /// There is no such session, or it was ended.
    SessionInvalid = "session_invalid",
    /// A browser has sent the session's cookie for a page of another site.
    CrossSite = "cross_site",
    /// The login was not begun in this browser, or too long ago.
    LoginState = "login_state",
    /// The user did not allow the login.
    LoginDenied = "login_denied",
    /// The code of a login is not good, or not any more.
    LoginCode = "login_code",
    /// The key-value store does not answer.
    StoreUnavailable = "store_unavailable",
    /// The upstream refused the credentials.
    UpstreamAuth = "upstream_auth",
    /// The upstream refused the request itself.
    UpstreamRejected = "upstream_rejected",
    /// Spotify serves registered users only, and the account is none of them.
    AccountNotRegistered = "account_not_registered",
    /// Spotify serves the application only while its owner has Premium.
    OwnerNotPremium = "owner_not_premium",
    /// The login does not allow what was asked for.
    MissingScope = "missing_scope",
    /// The upstream asks for fewer requests.
    RateLimited = "rate_limited",
    /// The upstream has no capacity at the moment.
    Overloaded = "overloaded",
    /// The upstream failed.
    UpstreamError = "upstream_error",
    /// No connection to the upstream.
    UpstreamUnreachable = "upstream_unreachable",
    /// The host forbids the upstream's address.
    UpstreamDenied = "upstream_denied",
    /// The upstream was silent for too long.
    UpstreamTimeout = "upstream_timeout",
    /// The upstream's answer is not what its interface promises.
    UpstreamProtocol = "upstream_protocol",
    /// The upstream's answer ended early.
    UpstreamCut = "upstream_cut",
    /// The model ended without an answer.
    NoAnswer = "no_answer",
    /// The caller has used its quota.
    TooManyRequests = "too_many_requests",
    /// The caller has as many runs at a time as it may.
    TooManyRuns = "too_many_runs",
    /// No slot became free in time.
    Busy = "busy",
    /// The request has used up its upstream calls.
    BudgetExhausted = "budget_exhausted",
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Each code with its meaning, which an `enum` has no place for.
impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let one = |code: &Self| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some([code.as_str()]))
                .description(Some(code.meaning()))
        };
        let all = Self::ALL.iter().map(one);
        all.fold(OneOfBuilder::new(), OneOfBuilder::item)
            .description(Some("What went wrong, for programs. Clients decide by it."))
            .into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        "ErrorCode".into()
    }
}

/// One error, told in a way that a program and a person can act on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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
    #[schema(value_type = Object)]
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
    fn codes_are_told_apart_and_have_a_meaning() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.meaning().ends_with('.'), "{code:?}");
        }
    }

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
