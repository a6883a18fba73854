//! Whether the model reasons before it answers, as it is asked to.

use crate::config;
use spinlane_client::anthropic::{OutputConfig, Thinking};

/// The longest answer, in tokens; a number of tokens for thinking comes on top.
const MAX_TOKENS: u32 = 4096;

/// The same where the model itself decides how much of it is thinking.
const MAX_TOKENS_ADAPTIVE: u32 = 16_000;

/// What is configured, for one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reasoning(config::Thinking);

impl Reasoning {
    pub(super) const fn new(configured: config::Thinking) -> Self {
        Self(configured)
    }

    pub(super) fn max_tokens(self) -> u32 {
        match self.0 {
            config::Thinking::Unasked | config::Thinking::Disabled => MAX_TOKENS,
            config::Thinking::Adaptive(_) => MAX_TOKENS_ADAPTIVE,
            config::Thinking::Tokens(tokens) => MAX_TOKENS + tokens.get(),
        }
    }

    pub(super) fn thinking(self) -> Option<Thinking> {
        match self.0 {
            config::Thinking::Unasked => None,
            config::Thinking::Disabled => Some(Thinking::Disabled),
            config::Thinking::Adaptive(_) => Some(Thinking::Adaptive),
            config::Thinking::Tokens(tokens) => Some(Thinking::Enabled {
                budget_tokens: tokens.get(),
            }),
        }
    }

    pub(super) fn output_config(self) -> Option<OutputConfig> {
        match self.0 {
            config::Thinking::Adaptive(Some(effort)) => Some(OutputConfig {
                effort: effort.as_str(),
            }),
            _ => None,
        }
    }

    /// Some reasoning came unsigned and cannot be given back. A model that has a
    /// number of tokens for it must have reasoned before it asks for tools: it
    /// goes on without.
    pub(super) fn give_up(&mut self) {
        if matches!(self.0, config::Thinking::Tokens(_)) {
            self.0 = config::Thinking::Unasked;
        }
    }
}
