//! Why Spotify refuses (403), as far as its words tell.
//!
//! They come as its own JSON, or as plain text from something in front of it.

use http::StatusCode;

use crate::clients::{Failure, Refusal, UpstreamError};
use crate::error::Code;

/// Applications in development mode serve only users who were added by hand.
static NOT_REGISTERED: Refusal = Refusal {
    code: Code::AccountNotRegistered,
    message: "Spotify lets only registered users use this application: ask its operator to add \
        your account to its users in Spotify's developer dashboard",
};

static NOT_PREMIUM: Refusal = Refusal {
    code: Code::OwnerNotPremium,
    message: "Spotify serves this application only while its owner has Premium: its operator has \
        to see to that; you can do nothing about it",
};

static NO_SCOPE: Refusal = Refusal {
    code: Code::MissingScope,
    message: "this login does not allow that: log out, connect Spotify again, and allow all that \
        is asked for",
};

/// A login with which nothing is allowed.
pub(crate) fn no_scope() -> UpstreamError {
    UpstreamError {
        service: &super::SERVICE,
        failure: Failure::Refused(&NO_SCOPE),
    }
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
        Some(refusal) => UpstreamError {
            failure: Failure::Refused(refusal),
            ..error
        },
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
                Some(Code::AccountNotRegistered),
            ),
            (
                "Check settings on developer.spotify.com/dashboard, the user may not be registered.",
                Some(Code::AccountNotRegistered),
            ),
            (
                "Active premium subscription required for the owner of the app.",
                Some(Code::OwnerNotPremium),
            ),
            ("PREMIUM_REQUIRED", Some(Code::OwnerNotPremium)),
            ("Insufficient client scope", Some(Code::MissingScope)),
            ("insufficient_scope", Some(Code::MissingScope)),
            ("Forbidden", None),
            ("You cannot add tracks to a playlist you don't own", None),
            ("", None),
        ] {
            assert_eq!(code(words), expected, "{words}");
        }
    }
}
