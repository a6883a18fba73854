//! The loop of an agent: the model answers or asks for tools, and is told what
//! they found, a few times over.

use tracing::{info, warn};

use super::builder::{FinishedAnswer, TooLong};
use super::conversation::Conversation;
use super::ids::Ids;
use super::reasoning::Reasoning;
use super::relay::{RelayError, StreamedAnswer, relay};
use super::silence;
use super::tools::{ToolContext, Toolbox};
use super::usage::Progress;
use crate::error::{ErrorObject, code};
use crate::frames::{Output, Reason, RunEnd};
use spinlane_client::anthropic::{
    CacheControl, Client, Part, Request, StopReason, SystemText, ToolChoice,
};
use spinlane_core::ports::Clock;
use spinlane_http::run::Closed;

/// How often the model is asked in one run.
pub(super) const MAX_TURNS: u32 = 5;

/// FinishedAnswer to a model that has said nothing. Models do so after the results of
/// tools, the more where text comes with those.
const GO_ON: &str = "Go on: answer my last message, with the results that you have.";

/// An agent at work.
pub(super) struct Agent<'a> {
    pub(super) client: &'a Client,
    pub(super) clock: &'a dyn Clock,
    pub(super) model: &'a str,
    pub(super) reasoning: Reasoning,
    pub(super) system: &'a str,
    pub(super) output: &'a Output,
    pub(super) toolbox: Toolbox,
    pub(super) ids: Ids,
    /// Whether the last answer was empty.
    pub(super) was_silent: bool,
}

/// What follows an answer.
enum Next {
    /// The model is asked again.
    Again,
    End(RunEnd),
}

impl Agent<'_> {
    /// Goes on until the model has answered, or may not go on. Dropping the
    /// future cancels what is under way; `progress` tells how far it had come.
    pub(super) async fn work(
        mut self,
        mut conversation: Conversation<'_>,
        context: &ToolContext<'_>,
        progress: &mut Progress,
    ) -> RunEnd {
        loop {
            let answer = match self.ask(&mut conversation, progress).await {
                Ok(answer) => answer,
                Err(error) => return failed(&error, progress),
            };
            let next = self
                .follow(answer, &mut conversation, context, progress)
                .await;
            match next {
                Ok(Next::Again) => self.output.thinking(match self.was_silent {
                    true => "No answer: asking again",
                    false => "Reading what the tools found",
                }),
                Ok(Next::End(ending)) => return ending,
                Err(Closed) => return RunEnd::Gone,
            }
        }
    }

    async fn ask(
        &self,
        conversation: &mut Conversation<'_>,
        progress: &mut Progress,
    ) -> Result<StreamedAnswer, RelayError> {
        let is_last = progress.turns + 1 >= MAX_TURNS;
        let request = Request {
            model: self.model,
            max_tokens: self.reasoning.max_tokens(),
            stream: true,
            thinking: self.reasoning.thinking(),
            output_config: self.reasoning.output_config(),
            tools: self.toolbox.specs(),
            // The model is told so, and not in words: those would be taken for the results'.
            tool_choice: is_last.then_some(ToolChoice::None),
            system: vec![SystemText {
                text: self.system,
                cache_control: Some(CacheControl::Ephemeral),
            }],
            messages: conversation.messages(),
        };
        relay(self.client, &request, self.output, progress).await
    }

    /// Decides what comes after `answer`, and does it.
    async fn follow(
        &mut self,
        answer: StreamedAnswer,
        conversation: &mut Conversation<'_>,
        context: &ToolContext<'_>,
        progress: &mut Progress,
    ) -> Result<Next, Closed> {
        let StreamedAnswer {
            builder,
            stop_reason,
        } = answer;
        info!(
            turn = progress.turns,
            ?stop_reason,
            "the model has answered"
        );
        if let Some(reason) = stopped_short(stop_reason) {
            return Ok(Next::End(RunEnd::Incomplete(reason)));
        }
        let is_paused = stop_reason == Some(StopReason::PauseTurn);
        let said = match builder.finish(&mut self.ids) {
            Ok(said) => said,
            // Nothing of it is needed any more.
            Err(TooLong { tools: false }) if !is_paused => return Ok(Next::End(RunEnd::Whole)),
            Err(_) => return Ok(Next::End(too_long(progress))),
        };
        if said.is_empty() {
            return Ok(self.silent(conversation, progress));
        }
        self.was_silent = false;
        if said.calls.is_empty() && !is_paused {
            return Ok(Next::End(RunEnd::Whole));
        }
        if progress.turns >= MAX_TURNS {
            return Ok(Next::End(RunEnd::Incomplete(Reason::TurnLimit)));
        }
        self.go_on(said, conversation, context, progress).await?;
        Ok(Next::Again)
    }

    /// Makes of an answer, and of what its tools find, what the model is asked next.
    async fn go_on(
        &mut self,
        answer: FinishedAnswer,
        conversation: &mut Conversation<'_>,
        context: &ToolContext<'_>,
        progress: &mut Progress,
    ) -> Result<(), Closed> {
        let FinishedAnswer {
            mut parts,
            calls,
            unsigned,
        } = answer;
        if unsigned {
            self.reasoning.give_up();
        }
        if calls.is_empty() {
            // After a pause it comes last, where the service refuses white space
            // at the end.
            Part::trim_last(&mut parts);
        }
        conversation.assistant(parts);
        if !calls.is_empty() {
            progress.tool_calls += u32::try_from(calls.len()).unwrap_or(u32::MAX);
            let results = self.toolbox.run(calls, context, self.clock).await?;
            conversation.user(results);
        }
        Ok(())
    }

    /// What follows an answer without a word for the user or a tool: the model is
    /// asked to go on, once.
    fn silent(&mut self, conversation: &mut Conversation<'_>, progress: &Progress) -> Next {
        warn!(turn = progress.turns, "the model's answer is empty");
        if self.was_silent || progress.turns >= MAX_TURNS {
            return Next::End(RunEnd::Failed(silence::empty()));
        }
        self.was_silent = true;
        conversation.user(vec![Part::text(GO_ON)]);
        Next::Again
    }
}

/// Why an answer is not whole that the model has ended: none of its tools runs.
fn stopped_short(stop_reason: Option<StopReason>) -> Option<Reason> {
    match stop_reason? {
        StopReason::MaxTokens | StopReason::ModelContextWindowExceeded => Some(Reason::MaxTokens),
        StopReason::Refusal => Some(Reason::Refusal),
        _ => None,
    }
}

fn failed(error: &RelayError, progress: &Progress) -> RunEnd {
    match error {
        RelayError::Closed => RunEnd::Gone,
        RelayError::Upstream(error) => {
            let (turn, said) = (progress.turns, progress.said);
            warn!(%error, turn, said, "the model's answer failed");
            match said {
                true => RunEnd::Incomplete(Reason::UpstreamCut),
                false => RunEnd::Failed(error.object()),
            }
        }
    }
}

fn too_long(progress: &Progress) -> RunEnd {
    warn!("the model's answer is longer than is kept");
    let message = "the model's answer is far too long to go on with: ask again, for less at once";
    match progress.said {
        true => RunEnd::Incomplete(Reason::UpstreamCut),
        false => RunEnd::Failed(ErrorObject::new(code::UPSTREAM_PROTOCOL, message)),
    }
}
