//! A run that ends and has said nothing: in words for who has asked.

use crate::error::{ErrorObject, code};
use crate::frames::Reason;

/// The model has ended by itself, twice, without a word.
pub(super) fn empty() -> ErrorObject {
    let message = "the model gave an empty answer, and another when it was asked again: ask in \
        other words";
    ErrorObject::new(code::NO_ANSWER, message)
}

/// Why there is not even a part of an answer.
pub(super) fn because(reason: Reason) -> ErrorObject {
    let message = match reason {
        Reason::UpstreamCut => "the model's answer broke off before it said anything: try again",
        Reason::Stopped => "the run was stopped before the model said anything",
        Reason::Abandoned => "nobody was left to read the answer",
        Reason::TurnLimit => {
            "the model asked for tools to the end, and said nothing: ask for less at once"
        }
        Reason::MaxTokens => {
            "the model came to the end of its room before it said anything: ask for less at once, \
             or begin a new conversation"
        }
        Reason::Refusal => "the model would not answer this: ask for something else",
        Reason::Deadline => {
            "the time of a request was over before the model said anything: ask for less at once, \
             or have the operator raise `request_deadline_ms`"
        }
    };
    ErrorObject::new(code::NO_ANSWER, message).with("reason", reason.as_str())
}
