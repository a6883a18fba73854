//! What models take and do, by their names.

/// A model's generation; `None` where its name does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    version: Option<(u32, u32)>,
    /// Cannot be kept from thinking.
    always_thinks: bool,
}

impl Model {
    /// Of `claude-opus-4-7`, `claude-3-7-sonnet-20250219` and the like: the
    /// first two numbers that are no date.
    pub(super) fn named(name: &str) -> Self {
        let always_thinks = ["fable", "mythos"]
            .iter()
            .any(|family| name.contains(family));
        let version = name.strip_prefix("claude-").and_then(|name| {
            let short = name.split(['-', '.', '@']).filter(|part| part.len() <= 2);
            let mut numbers = short.filter_map(|part| part.parse().ok());
            Some((numbers.next()?, numbers.next().unwrap_or(0)))
        });
        Self {
            version,
            always_thinks,
        }
    }

    fn is(self, test: impl FnOnce((u32, u32)) -> bool) -> bool {
        self.version.is_none_or(test)
    }

    /// Whether it thinks within a number of tokens.
    pub(super) fn takes_tokens(self) -> bool {
        self.is(|version| version < (4, 7))
    }

    pub(super) fn is_adaptive(self) -> bool {
        self.is(|version| version >= (4, 6))
    }

    /// Whether it can be told not to think.
    pub(super) fn can_be_kept_from_it(self) -> bool {
        !self.always_thinks
    }

    /// Whether it thinks unless it is told not to.
    pub(super) fn thinks_by_itself(self) -> bool {
        self.version.is_some_and(|(generation, _)| generation >= 5)
    }
}
