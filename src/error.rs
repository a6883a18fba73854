//! Names for what went wrong in the DJ, beside the library's.

pub use spinlane_core::error::{Code, ErrorObject};

use crate::config::ConfigErrors;

/// Says which variables are malformed, to the log as well.
pub(crate) fn misconfigured(errors: &ConfigErrors) -> ErrorObject {
    tracing::error!(%errors, "the configuration is not valid");
    let names: Vec<&str> = errors.variables.iter().map(|error| error.name).collect();
    let message = format!("the configuration is not valid: {errors}");
    ErrorObject::new(code::MISCONFIGURED, message).with("variables", names)
}

/// The codes of the API.
pub mod code {
    pub use spinlane_core::error::code::*;

    spinlane_core::codes! {
        /// The route needs a user who has connected Spotify.
        SESSION_REQUIRED = "session_required",
        /// There is no such session, or it was ended.
        SESSION_INVALID = "session_invalid",
        /// A browser has sent the session's cookie for a page of another site.
        CROSS_SITE = "cross_site",
        /// The login was not begun in this browser, or too long ago.
        LOGIN_STATE = "login_state",
        /// The user did not allow the login.
        LOGIN_DENIED = "login_denied",
        /// The code of a login is not good, or not any more.
        LOGIN_CODE = "login_code",
        /// Spotify serves registered users only, and the account is none of them.
        ACCOUNT_NOT_REGISTERED = "account_not_registered",
        /// Spotify serves the application only while its owner has Premium.
        OWNER_NOT_PREMIUM = "owner_not_premium",
        /// The login does not allow what was asked for.
        MISSING_SCOPE = "missing_scope",
        /// The model ended without an answer.
        NO_ANSWER = "no_answer",
    }

    /// Every code, the library's first.
    pub fn all() -> impl Iterator<Item = &'static super::Code> {
        spinlane_core::error::code::ALL.iter().chain(ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_have_a_meaning() {
        let mut names: Vec<_> = code::all().map(|code| code.as_str()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for code in code::all() {
            assert!(code.meaning().ends_with('.'), "{code:?}");
        }
    }
}
