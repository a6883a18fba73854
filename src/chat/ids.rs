//! The names of tool calls.

use std::collections::HashSet;

/// The longest name that is kept.
const MAX_LENGTH: usize = 64;

/// Names of tool calls in one conversation, each of which names one call.
///
/// Not every service behind a proxy gives such names: some repeat in each
/// answer, some are empty. The model's service refuses both, and with them all
/// that the tools have found.
#[derive(Debug, Default)]
pub(super) struct Ids(HashSet<String>);

impl Ids {
    /// `id`, if that is a name which no other call has; else a new one.
    pub(super) fn unique(&mut self, id: String) -> String {
        let is_good = fits(&id) && !self.0.contains(&id);
        let id = match is_good {
            true => id,
            false => self.fresh(),
        };
        self.0.insert(id.clone());
        id
    }

    fn fresh(&self) -> String {
        let names = (self.0.len()..).map(|number| format!("call_{number}"));
        let mut free = names.filter(|id| !self.0.contains(id));
        free.next().unwrap_or_default()
    }
}

/// Whether the service takes it, as the name of a tool or of a call.
pub(super) fn fits(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_LENGTH).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let mut ids = Ids::default();
        let mut unique = |id: &str| ids.unique(id.to_owned());
        assert_eq!(unique("toolu_01-a"), "toolu_01-a");
        let given = [
            "toolu_01-a",
            "call_0",
            "call_0",
            "",
            "",
            "call_3",
            "functions.search:0",
        ];
        let mut all: Vec<_> = given.map(unique).into();
        all.push("toolu_01-a".into());
        assert!(all.iter().all(|id| fits(id)), "{all:?}");
        let distinct: HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
        assert!(!fits(&"x".repeat(65)));
    }
}
