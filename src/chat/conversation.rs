//! The conversation as the model is given it.

use spinlane_client::anthropic::{Message, Part, Role};

/// Grows with every turn.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    messages: Vec<Message<'a>>,
}

/// Breakpoints in the messages: the service takes four in a request, and tools
/// and system have one each. Two, since what the last request ended with is
/// found at its own breakpoint, however much has come since.
const BREAKPOINTS: usize = 2;

impl<'a> Conversation<'a> {
    /// A conversation that ends with the user.
    pub(super) fn new(messages: Vec<Message<'a>>) -> Self {
        Self { messages }
    }

    /// What the next request says, with its breakpoints.
    pub(super) fn messages(&mut self) -> &[Message<'a>] {
        let mut left = BREAKPOINTS;
        for message in self.messages.iter_mut().rev() {
            let is_user = message.role == Role::User;
            let last = message.content.len().saturating_sub(1);
            for (at, part) in message.content.iter_mut().enumerate() {
                let set = is_user && at == last && left > 0;
                part.set_breakpoint(set);
                left -= usize::from(set);
            }
        }
        &self.messages
    }

    /// The model has spoken; nothing is added where it said nothing, which the
    /// service would refuse.
    pub(super) fn assistant(&mut self, content: Vec<Part<'static>>) {
        self.push(Role::Assistant, content);
    }

    /// The tools have.
    pub(super) fn user(&mut self, content: Vec<Part<'static>>) {
        self.push(Role::User, content);
    }

    fn push(&mut self, role: Role, content: Vec<Part<'static>>) {
        if !content.is_empty() {
            self.messages.push(Message { role, content });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, to_value};

    fn breakpoints(conversation: &mut Conversation<'_>) -> Vec<(usize, usize)> {
        let messages = to_value(conversation.messages()).unwrap();
        let messages = messages.as_array().unwrap().clone();
        let parts = |(at, message): (usize, &Value)| {
            let parts = message["content"].as_array().unwrap().clone();
            let marked = |(_, part): &(usize, Value)| part.get("cache_control").is_some();
            let marked = parts.into_iter().enumerate().filter(marked);
            marked.map(|(n, _)| (at, n)).collect::<Vec<_>>()
        };
        messages.iter().enumerate().flat_map(parts).collect()
    }

    #[test]
    fn the_two_newest_ends_of_the_user_are_breakpoints() {
        let user = |text: &'static str| Message {
            role: Role::User,
            content: vec![Part::text(text)],
        };
        let mut conversation = Conversation::new(vec![user("old"), user("new")]);
        assert_eq!(breakpoints(&mut conversation), [(0, 0), (1, 0)]);
        conversation.assistant(vec![Part::text("Let me see")]);
        conversation.user(vec![Part::text("one"), Part::text("two")]);
        assert_eq!(breakpoints(&mut conversation), [(1, 0), (3, 1)]);
        conversation.assistant(vec![]);
        assert_eq!(conversation.messages().len(), 4);
    }
}
