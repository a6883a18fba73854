//! Why Spotify refuses (403), as far as its words tell.
//!
//! They come as its own JSON, or as plain text from something in front of it.

use http::StatusCode;

use crate::error::code;
use spinlane_client::{Failure, Refusal, UpstreamError};

/// Applications in development mode serve only users who were added by hand.
static NOT_REGISTERED: Refusal = Refusal {
    code: code::ACCOUNT_NOT_REGISTERED,
    message: "Spotify lets only registered users use this application: ask its operator to add \
        your account to its users in Spotify's developer dashboard",
};

static NOT_PREMIUM: Refusal = Refusal {
    code: code::OWNER_NOT_PREMIUM,
    message: "Spotify serves this application only while its owner has Premium: its operator has \
        to see to that; you can do nothing about it",
};

static NO_SCOPE: Refusal = Refusal {
    code: code::MISSING_SCOPE,
    message: "this login does not allow that: log out, connect Spotify again, and allow all that \
        is asked for",
};

/// A login with which nothing is allowed.
pub(crate) fn no_scope() -> UpstreamError {
    UpstreamError::new(&super::SERVICE, Failure::Refused(&NO_SCOPE))
}

/// `error`, with the reason of a refusal where its words are known ones.
pub(super) fn named(error: UpstreamError) -> UpstreamError {
    let reason = match &error.failure {
        Failure::Status {
            status: StatusCode::FORBIDDEN,
            detail: Some(words),
            ..
        } => reason(words),
        _ => None,
    };
    match reason {
        Some(refusal) => UpstreamError::new(error.service, Failure::Refused(refusal)),
        None => error,
    }
}

fn reason(words: &str) -> Option<&'static Refusal> {
    let words = words.to_lowercase();
    let says = |word: &str| words.contains(word);
    if says("registered") || says("developer dashboard") {
        Some(&NOT_REGISTERED)
    } else if says("premium") {
        Some(&NOT_PREMIUM)
    } else if says("scope") {
        Some(&NO_SCOPE)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_are_told_apart() {
        let code = |words| reason(words).map(|refusal| refusal.code);
        for (words, expected) in [
            (
                "User not registered in the Developer Dashboard",
                Some(code::ACCOUNT_NOT_REGISTERED),
            ),
            (
                "Check settings on developer.spotify.com/dashboard, the user may not be registered.",
                Some(code::ACCOUNT_NOT_REGISTERED),
            ),
            (
                "Active premium subscription required for the owner of the app.",
                Some(code::OWNER_NOT_PREMIUM),
            ),
            ("PREMIUM_REQUIRED", Some(code::OWNER_NOT_PREMIUM)),
            ("Insufficient client scope", Some(code::MISSING_SCOPE)),
            ("insufficient_scope", Some(code::MISSING_SCOPE)),
            ("Forbidden", None),
            ("You cannot add tracks to a playlist you don't own", None),
            ("", None),
        ] {
            assert_eq!(code(words), expected, "{words}");
        }
    }
}
