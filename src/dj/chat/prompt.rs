//! What the model is told before the conversation.

use std::borrow::Cow;

use crate::dj::api::chat::{ChatRequest, HistoryRole, Mode};
use crate::dj::clients::anthropic::{Message, Role};

const DJ: &str = "You are Spinlane, an AI DJ who knows music well: genres, tempo, mood, eras, \
    and how tracks fit together in a set. Answer in the user's language, briefly and \
    concretely. Never invent facts about a track; say so when you do not know.";

/// The system prompt for `mode`.
pub(super) fn system(mode: Mode) -> String {
    let task = match mode {
        Mode::Analyze => {
            "The user wants to understand music: analyse what they bring, and recommend."
        }
        Mode::Create => {
            "The user wants a new playlist: settle what it is for, then propose its tracks in \
             an order that flows."
        }
        Mode::Edit => {
            "The user wants an existing playlist changed: propose what to add, remove or move, \
             and why."
        }
    };
    format!("{DJ}\n\n{task}")
}

/// The conversation in the form that the service takes: it begins with the
/// user, and no message is empty.
pub(super) fn messages(request: &ChatRequest) -> Vec<Message<'_>> {
    let history = request.conversation_history.iter();
    let history = history.filter(|entry| !entry.content.trim().is_empty());
    let history = history.skip_while(|entry| entry.role == HistoryRole::Assistant);
    let history = history.map(|entry| Message {
        role: match entry.role {
            HistoryRole::User => Role::User,
            HistoryRole::Assistant => Role::Assistant,
        },
        content: Cow::Borrowed(entry.content.as_str()),
    });
    let message = Message {
        role: Role::User,
        content: match &request.playlist_id {
            Some(id) => Cow::Owned(format!("{}\n\n(Playlist: {id})", request.message)),
            None => Cow::Borrowed(request.message.as_str()),
        },
    };
    history.chain([message]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dj::api::chat::HistoryEntry;

    fn entry(role: HistoryRole, content: &str) -> HistoryEntry {
        let content = content.into();
        HistoryEntry { role, content }
    }

    #[test]
    fn the_conversation_begins_with_the_user_and_has_no_empty_message() {
        let request = ChatRequest {
            message: "now".into(),
            conversation_history: vec![
                entry(HistoryRole::Assistant, "welcome"),
                entry(HistoryRole::User, "first"),
                entry(HistoryRole::Assistant, " "),
                entry(HistoryRole::Assistant, "second"),
            ],
            mode: Mode::Analyze,
            playlist_id: Some("p1".into()),
            debug: false,
        };
        let messages = messages(&request);
        let contents: Vec<_> = messages.iter().map(|message| &*message.content).collect();
        assert_eq!(contents, ["first", "second", "now\n\n(Playlist: p1)"]);
    }

    #[test]
    fn every_mode_has_its_task() {
        let prompts = [Mode::Analyze, Mode::Create, Mode::Edit].map(system);
        assert!(prompts[0] != prompts[1] && prompts[1] != prompts[2]);
        assert!(prompts.iter().all(|prompt| prompt.starts_with(DJ)));
    }
}
