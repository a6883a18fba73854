//! The loop of an agent: the model answers or asks for tools, and is told what
//! they found, a few times over.

use tracing::{info, warn};

use super::answer::{Answer, Trouble, relay};
use super::conversation::Conversation;
use super::tools::{Desk, Toolbox};
use super::turn::ToolCall;
use super::usage::Progress;
use crate::core::ports::Clock;
use crate::dj::clients::anthropic::{
    CacheControl, Client, Part, Request, StopReason, SystemText, Thinking,
};
use crate::dj::error::{Code, ErrorObject};
use crate::dj::run::{Closed, Ending, Output, Reason};

/// How often the model is asked in one run.
pub(super) const MAX_TURNS: u32 = 5;

/// The longest answer, in tokens; thinking comes on top.
const MAX_TOKENS: u32 = 4096;

/// Said with the results before the last answer.
const LAST_TURN: &str = "This is your last turn: no more tools will be run. Answer the user now \
    with what you have.";

/// An agent at work.
pub(super) struct Agent<'a> {
    pub(super) client: &'a Client,
    pub(super) clock: &'a dyn Clock,
    pub(super) model: &'a str,
    pub(super) thinking: Option<Thinking>,
    pub(super) system: &'a str,
    pub(super) output: &'a Output,
    pub(super) toolbox: Toolbox,
}

/// What follows an answer.
enum Next {
    /// The model is asked again.
    Again,
    End(Ending),
}

impl Agent<'_> {
    /// Goes on until the model has answered, or may not go on. Dropping the
    /// future cancels what is under way; `progress` tells how far it had come.
    pub(super) async fn work(
        mut self,
        mut conversation: Conversation<'_>,
        desk: &Desk<'_>,
        progress: &mut Progress,
    ) -> Ending {
        self.output.thinking("Asking the model");
        loop {
            let answer = match self.ask(&mut conversation, progress).await {
                Ok(answer) => answer,
                Err(trouble) => return failed(&trouble, progress),
            };
            let next = self.follow(answer, &mut conversation, desk, progress).await;
            match next {
                Ok(Next::Again) => self.output.thinking("Reading what the tools found"),
                Ok(Next::End(ending)) => return ending,
                Err(Closed) => return Ending::Gone,
            }
        }
    }

    async fn ask(
        &self,
        conversation: &mut Conversation<'_>,
        progress: &mut Progress,
    ) -> Result<Answer, Trouble> {
        let budget = match self.thinking {
            Some(Thinking::Enabled { budget_tokens }) => budget_tokens,
            None => 0,
        };
        let request = Request {
            model: self.model,
            max_tokens: MAX_TOKENS + budget,
            stream: true,
            thinking: self.thinking,
            tools: self.toolbox.specs(),
            system: [SystemText {
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
        answer: Answer,
        conversation: &mut Conversation<'_>,
        desk: &Desk<'_>,
        progress: &mut Progress,
    ) -> Result<Next, Closed> {
        let Answer { turn, stop_reason } = answer;
        info!(
            turn = progress.turns,
            ?stop_reason,
            "the model has answered"
        );
        let goes_on = matches!(
            stop_reason,
            Some(StopReason::ToolUse | StopReason::PauseTurn)
        );
        if !goes_on {
            return Ok(Next::End(ending(stop_reason)));
        }
        let Ok((mut said, calls)) = turn.finish() else {
            return Ok(Next::End(too_long(progress)));
        };
        if stop_reason == Some(StopReason::ToolUse) && calls.is_empty() {
            // It says that it asks for tools, and asks for none.
            return Ok(Next::End(Ending::Whole));
        }
        if progress.turns >= MAX_TURNS {
            return Ok(Next::End(Ending::Incomplete(Reason::TurnLimit)));
        }
        if calls.is_empty() {
            // After a pause it comes last, where the service refuses white space
            // at the end.
            Part::trim_last(&mut said);
        }
        conversation.assistant(said);
        if !calls.is_empty() {
            let results = self.results(calls, desk, progress).await?;
            conversation.user(results);
        }
        Ok(Next::Again)
    }

    /// The results of `calls`, and what else the model is told with them.
    async fn results(
        &mut self,
        calls: Vec<ToolCall>,
        desk: &Desk<'_>,
        progress: &mut Progress,
    ) -> Result<Vec<Part<'static>>, Closed> {
        progress.tool_calls += u32::try_from(calls.len()).unwrap_or(u32::MAX);
        let mut results = self.toolbox.run(calls, desk, self.clock).await?;
        if progress.turns + 1 == MAX_TURNS {
            results.push(Part::text(LAST_TURN));
        }
        Ok(results)
    }
}

/// How a run ends whose model asks for nothing more.
fn ending(stop_reason: Option<StopReason>) -> Ending {
    match stop_reason {
        Some(StopReason::MaxTokens | StopReason::ModelContextWindowExceeded) => {
            Ending::Incomplete(Reason::MaxTokens)
        }
        Some(StopReason::Refusal) => Ending::Incomplete(Reason::Refusal),
        _ => Ending::Whole,
    }
}

fn failed(trouble: &Trouble, progress: &Progress) -> Ending {
    match trouble {
        Trouble::Closed => Ending::Gone,
        Trouble::Upstream(error) => {
            let (turn, said) = (progress.turns, progress.said);
            warn!(%error, turn, said, "the model's answer failed");
            match said {
                true => Ending::Incomplete(Reason::UpstreamCut),
                false => Ending::Failed(error.object()),
            }
        }
    }
}

fn too_long(progress: &Progress) -> Ending {
    warn!("the model's answer is longer than is kept");
    let message = "the model's answer is far too long to go on with: ask again, for less at once";
    match progress.said {
        true => Ending::Incomplete(Reason::UpstreamCut),
        false => Ending::Failed(ErrorObject::new(Code::UpstreamProtocol, message)),
    }
}
