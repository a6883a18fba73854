//! Names for what went wrong.
//!
//! Here are those that the library itself gives; an application adds its own by
//! [`codes!`](crate::codes):
//!
//! ```
//! mod code {
//!     spinlane_core::codes! {
//!         /// The login is not good any more.
//!         LOGIN_OVER = "login_over",
//!     }
//! }
//!
//! assert_eq!(code::LOGIN_OVER.as_str(), "login_over");
//! assert_eq!(code::ALL[0].meaning(), "The login is not good any more.");
//! ```

use serde::{Serialize, Serializer};

/// What went wrong, for programs. Stable: clients decide by it.
///
/// ```
/// use spinlane_core::error::code;
///
/// assert_eq!(code::BUSY.meaning(), "No slot became free in time.");
/// assert_eq!(serde_json::to_value(code::BUSY)?, "busy");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(&'static Definition);

/// A code, and what it means.
///
/// ```
/// use spinlane_core::error::Code;
/// use spinlane_core::error::code::Definition;
///
/// // One by hand; `codes!` makes many, with their list.
/// const LOGIN_OVER: Code = Code::new(&Definition {
///     name: "login_over",
///     meaning: "The login is not good any more.",
/// });
/// assert_eq!(LOGIN_OVER.as_str(), "login_over");
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// The code as it is written in documents: `upstream_auth`.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

impl Code {
    /// A code of an application. See [`codes!`](crate::codes), which makes lists.
    pub const fn new(definition: &'static Definition) -> Self {
        Self(definition)
    }

    /// The code as it is written in documents: `upstream_auth`.
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        self.0.meaning.trim_start()
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Makes a constant of each line, and `ALL`, which lists them. A doc comment is also
/// what the documentation says of its code.
#[macro_export]
macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal,)+) => {
        $(
            $(#[doc = $meaning])+
            pub const $name: $crate::error::Code =
                $crate::error::Code::new(&$crate::error::code::Definition {
                    name: $code,
                    meaning: concat!($($meaning),+),
                });
        )+

        /// Every one of this list.
        pub const ALL: &[$crate::error::Code] = &[$($name),+];
    };
}

codes! {
    /// The request's head cannot be read.
    BAD_REQUEST = "bad_request",
    /// The body is not JSON.
    INVALID_JSON = "invalid_json",
    /// The body is JSON of the wrong shape or range.
    INVALID_REQUEST = "invalid_request",
    /// The body did not arrive whole, or not in time.
    INCOMPLETE_REQUEST = "incomplete_request",
    /// The body is larger than the route takes.
    BODY_TOO_LARGE = "body_too_large",
    /// The body's media type is not one that the route takes.
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type",
    /// The request's path and query are longer than the application reads.
    URI_TOO_LONG = "uri_too_long",
    /// The route does not have this method.
    METHOD_NOT_ALLOWED = "method_not_allowed",
    /// The request wants to go on with a run, and would begin another one.
    NOT_RESUMABLE = "not_resumable",
    /// The `Idempotency-Key` was sent before, with another body.
    KEY_REUSED = "key_reused",
    /// The `Idempotency-Key` was sent before, and its run has not begun.
    KEY_PENDING = "key_pending",
    /// What the run has said is not kept any more.
    RUN_GONE = "run_gone",
    /// The run has ended without saying so: what was said until then is all there is.
    RUN_LOST = "run_lost",
    /// There is no such route.
    NOT_FOUND = "not_found",
    /// The route is the operator's, and the request does not have its token.
    ADMIN_REQUIRED = "admin_required",
    /// A variable that the route needs is not set.
    NOT_CONFIGURED = "not_configured",
    /// A variable is malformed.
    MISCONFIGURED = "misconfigured",
    /// A defect of this program.
    INTERNAL = "internal",
    /// The session has ended by its time.
    SESSION_EXPIRED = "session_expired",
    /// The key-value store does not answer.
    STORE_UNAVAILABLE = "store_unavailable",
    /// The upstream refused the credentials.
    UPSTREAM_AUTH = "upstream_auth",
    /// The upstream refused the request itself.
    UPSTREAM_REJECTED = "upstream_rejected",
    /// The upstream asks for fewer requests.
    RATE_LIMITED = "rate_limited",
    /// The upstream has no capacity at the moment.
    OVERLOADED = "overloaded",
    /// The upstream failed.
    UPSTREAM_ERROR = "upstream_error",
    /// No connection to the upstream.
    UPSTREAM_UNREACHABLE = "upstream_unreachable",
    /// The host forbids the upstream's address.
    UPSTREAM_DENIED = "upstream_denied",
    /// The upstream was silent for too long.
    UPSTREAM_TIMEOUT = "upstream_timeout",
    /// The upstream's answer is not what its interface promises.
    UPSTREAM_PROTOCOL = "upstream_protocol",
    /// The upstream's answer ended early.
    UPSTREAM_CUT = "upstream_cut",
    /// The caller has used its quota.
    TOO_MANY_REQUESTS = "too_many_requests",
    /// The caller has as many runs at a time as it may.
    TOO_MANY_RUNS = "too_many_runs",
    /// The caller reads as many runs at a time as it may.
    TOO_MANY_READERS = "too_many_readers",
    /// No slot became free in time.
    BUSY = "busy",
    /// The request has used up its upstream calls.
    BUDGET_EXHAUSTED = "budget_exhausted",
}

/// Each code with its meaning, which an `enum` has no place for: the schema of a field
/// that has one of `codes`.
#[cfg(feature = "utoipa")]
pub fn schema_of<'a>(codes: impl IntoIterator<Item = &'a Code>) -> utoipa::openapi::Schema {
    use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};

    let one = |code: &Code| {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some([code.as_str()]))
            .description(Some(code.meaning()))
    };
    let all = codes.into_iter().map(one);
    all.fold(OneOfBuilder::new(), OneOfBuilder::item)
        .description(Some("What went wrong, for programs. Clients decide by it."))
        .into()
}

/// Those that are known here. An application that has more puts its own schema in
/// this one's place.
#[cfg(feature = "utoipa")]
impl utoipa::PartialSchema for Code {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        schema_of(ALL).into()
    }
}

#[cfg(feature = "utoipa")]
impl utoipa::ToSchema for Code {
    fn name() -> std::borrow::Cow<'static, str> {
        "ErrorCode".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_have_a_meaning() {
        let mut names: Vec<_> = ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for code in ALL {
            assert!(code.meaning().ends_with('.'), "{code:?}");
        }
    }
}
