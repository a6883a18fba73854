//! What a run has used of the model.

use super::prompt::is_blank;
use crate::frames::UsageReport;
use spinlane_client::anthropic::Usage;

/// What has happened until now. Outlives the work, which may be dropped at any
/// point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Whether any of the answer was said.
    pub(super) said: bool,
    /// Answers that the model was asked for.
    pub(super) turns: u32,
    /// Calls of tools that the model asked for.
    pub(super) tool_calls: u32,
    /// Whether the model is answering: what it uses is not known yet in full.
    open: bool,
    /// What the answers have used that are over.
    past: Tokens,
    /// What the present answer has. Numbers are cumulative: the last one that was
    /// given counts.
    present: Usage,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tokens {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

impl Progress {
    /// A piece of the answer is said. White space alone says nothing.
    pub(super) fn say(&mut self, text: &str) {
        self.said = self.said || !is_blank(text);
    }

    /// The model is asked.
    pub(super) fn begin(&mut self) {
        self.turns += 1;
        self.open = true;
    }

    /// The answer says what it has used so far.
    pub(super) fn count(&mut self, usage: Usage) {
        let own = &mut self.present;
        own.input_tokens = usage.input_tokens.or(own.input_tokens);
        own.output_tokens = usage.output_tokens.or(own.output_tokens);
        own.cache_creation_input_tokens = usage
            .cache_creation_input_tokens
            .or(own.cache_creation_input_tokens);
        own.cache_read_input_tokens = usage
            .cache_read_input_tokens
            .or(own.cache_read_input_tokens);
    }

    /// The answer is over, and has said what it used.
    pub(super) fn end(&mut self) {
        self.past = self.tokens();
        self.present = Usage::default();
        self.open = false;
    }

    fn tokens(&self) -> Tokens {
        let (past, present) = (&self.past, &self.present);
        let sum = |past: u64, present: Option<u64>| past.saturating_add(present.unwrap_or(0));
        Tokens {
            input: sum(past.input, present.input_tokens),
            output: sum(past.output, present.output_tokens),
            cache_read: sum(past.cache_read, present.cache_read_input_tokens),
            cache_write: sum(past.cache_write, present.cache_creation_input_tokens),
        }
    }

    /// Adds it all to `report`.
    pub(super) fn report(&self, report: &mut UsageReport) {
        let tokens = self.tokens();
        report.input_tokens = tokens.input;
        report.output_tokens = tokens.output;
        report.cache_read_tokens = tokens.cache_read;
        report.cache_write_tokens = tokens.cache_write;
        report.partial = self.open;
        report.turns = self.turns;
        report.tool_calls = self.tool_calls;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: Option<u64>, output: u64) -> Usage {
        Usage {
            input_tokens: input,
            output_tokens: Some(output),
            cache_read_input_tokens: input.map(|input| 10 * input),
            ..Usage::default()
        }
    }

    fn report(progress: &Progress) -> (u64, u64, u64, bool) {
        let mut report = UsageReport::default();
        progress.report(&mut report);
        let UsageReport {
            input_tokens,
            output_tokens,
            cache_read_tokens,
            partial,
            ..
        } = report;
        (input_tokens, output_tokens, cache_read_tokens, partial)
    }

    #[test]
    fn answers_are_summed_and_the_last_word_of_each_counts() {
        let mut progress = Progress::default();
        assert_eq!(report(&progress), (0, 0, 0, false));
        progress.begin();
        assert_eq!(report(&progress), (0, 0, 0, true));
        progress.count(usage(Some(9), 1));
        progress.count(usage(None, 7));
        assert_eq!(report(&progress), (9, 7, 90, true));
        progress.end();
        assert_eq!(report(&progress), (9, 7, 90, false));
        progress.begin();
        progress.count(usage(Some(100), 1));
        assert_eq!(report(&progress), (109, 8, 1090, true));
    }
}
