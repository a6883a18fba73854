//! The model's answer, relayed as it comes.

use tracing::{info, warn};

use super::prompt;
use crate::dj::api::chat::ChatRequest;
use crate::dj::clients::UpstreamError;
use crate::dj::clients::anthropic::{
    Block, Client, Delta, Request, StopReason, StreamEvent, Usage,
};
use crate::dj::run::{Closed, Ending, Held, Output, Reason};

/// The longest answer, in tokens.
const MAX_TOKENS: u32 = 4096;

/// What has happened until now. Outlives the work, which may be dropped at any
/// point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Whether any of the answer was said.
    pub(super) said: bool,
    /// Whether the upstream has said its last word.
    pub(super) complete: bool,
    pub(super) usage: Usage,
    stop_reason: Option<StopReason>,
}

/// Why relaying ended before the model did.
enum Trouble {
    Upstream(UpstreamError),
    Closed,
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

impl From<Closed> for Trouble {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Asks the model and relays what it says. Dropping the future cancels the
/// upstream call; `progress` tells how far it had come.
pub(super) async fn relay(
    client: &Client,
    model: &str,
    request: &ChatRequest,
    output: &Output,
    progress: &mut Progress,
) -> Ending {
    let system = prompt::system(request.mode);
    let request = Request {
        model,
        max_tokens: MAX_TOKENS,
        stream: true,
        system: &system,
        messages: prompt::messages(request),
    };
    match answer(client, &request, output, progress).await {
        Ok(()) => {
            let stop_reason = progress.stop_reason;
            info!(?stop_reason, "the model has answered");
            match stop_reason {
                Some(StopReason::MaxTokens | StopReason::ModelContextWindowExceeded) => {
                    Ending::Incomplete(Reason::MaxTokens)
                }
                Some(StopReason::Refusal) => Ending::Incomplete(Reason::Refusal),
                _ => Ending::Whole,
            }
        }
        Err(Trouble::Closed) => Ending::Gone,
        Err(Trouble::Upstream(error)) => {
            warn!(%error, said = progress.said, "the model's answer failed");
            match progress.said {
                true => Ending::Incomplete(Reason::UpstreamCut),
                false => Ending::Failed(error.object()),
            }
        }
    }
}

async fn answer(
    client: &Client,
    request: &Request<'_>,
    output: &Output,
    progress: &mut Progress,
) -> Result<(), Trouble> {
    output.thinking("Asking the model");
    let mut stream = client.stream(request).await?;
    info!("the model begins to answer");
    loop {
        let mut held = Held::default();
        let mut written = Ok(());
        let read = stream
            .read(|event| {
                if written.is_ok() {
                    written = relay_event(event, output, progress, &mut held);
                }
            })
            .await;
        // What came before the trouble is said before it is told.
        written?;
        output.release(held).await?;
        if !read? {
            break;
        }
    }
    progress.complete = true;
    // The run need not wait for the connection's own end: it is only so that
    // the host can use the connection again.
    client.spawn(|clock| stream.drain(clock));
    Ok(())
}

fn relay_event(
    event: StreamEvent<'_>,
    output: &Output,
    progress: &mut Progress,
    held: &mut Held,
) -> Result<(), Closed> {
    match event {
        StreamEvent::BlockDelta {
            delta: Delta::Text(text),
            ..
        } => {
            progress.said |= !text.is_empty();
            output.content(&text, held)?;
        }
        StreamEvent::BlockStart {
            block: Block::Text(text),
            ..
        } if !text.is_empty() => {
            progress.said = true;
            output.content(&text, held)?;
        }
        StreamEvent::BlockStart {
            block: Block::Thinking | Block::RedactedThinking { .. },
            ..
        } => output.thinking("Thinking"),
        StreamEvent::MessageStart { usage } => progress.count(usage),
        StreamEvent::MessageDelta { stop_reason, usage } => {
            progress.count(usage);
            progress.stop_reason = stop_reason.or(progress.stop_reason);
        }
        _ => {}
    }
    Ok(())
}

impl Progress {
    /// Numbers are cumulative: the last one that was given counts.
    fn count(&mut self, usage: Usage) {
        let own = &mut self.usage;
        own.input_tokens = usage.input_tokens.or(own.input_tokens);
        own.output_tokens = usage.output_tokens.or(own.output_tokens);
        own.cache_creation_input_tokens = usage
            .cache_creation_input_tokens
            .or(own.cache_creation_input_tokens);
        own.cache_read_input_tokens = usage
            .cache_read_input_tokens
            .or(own.cache_read_input_tokens);
    }
}
