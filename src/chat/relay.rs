//! One answer of the model, relayed as it comes.

use tracing::info;

use super::builder::AnswerBuilder;
use super::usage::Progress;
use crate::frames::Output;
use spinlane_client::UpstreamError;
use spinlane_client::anthropic::{Block, Client, Delta, Request, StopReason, StreamEvent};
use spinlane_http::run::{Closed, Held};

/// Why relaying ended before the model did.
#[derive(Debug)]
pub(super) enum RelayError {
    Upstream(UpstreamError),
    Closed,
}

impl From<UpstreamError> for RelayError {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

impl From<Closed> for RelayError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// An answer that is over.
#[derive(Debug)]
pub(super) struct StreamedAnswer {
    pub(super) builder: AnswerBuilder,
    pub(super) stop_reason: Option<StopReason>,
}

/// Asks the model and relays what it says. Dropping the future cancels the
/// upstream call; `progress` tells how far it had come.
///
/// # Errors
/// When there is no answer, or a part of one: what was said of it is said.
pub(super) async fn relay(
    client: &Client,
    request: &Request<'_>,
    output: &Output,
    progress: &mut Progress,
) -> Result<StreamedAnswer, RelayError> {
    progress.begin();
    let mut stream = client.stream(request).await?;
    info!("the model begins to answer");
    let mut answer = StreamedAnswer {
        builder: AnswerBuilder::default(),
        stop_reason: None,
    };
    loop {
        let mut held = Held::default();
        let mut written = Ok(());
        let read = stream
            .read(|event| {
                if written.is_ok() {
                    written = say(&event, output, progress, &mut held);
                    answer.take(&event);
                }
            })
            .await;
        // What came before the failure is said before it is told.
        written?;
        output.release(held).await?;
        if !read? {
            break;
        }
    }
    progress.end();
    // The run need not wait for the connection's own end: it is only so that
    // the host can use the connection again.
    client.spawn(|clock| stream.drain(clock));
    Ok(answer)
}

/// What the user sees of `event`.
fn say(
    event: &StreamEvent<'_>,
    output: &Output,
    progress: &mut Progress,
    held: &mut Held,
) -> Result<(), Closed> {
    match event {
        StreamEvent::BlockDelta {
            delta: Delta::Text(text),
            ..
        } if !text.is_empty() => {
            progress.say(text);
            output.content(text, held)?;
        }
        StreamEvent::BlockStart { block, .. } => match block {
            Block::Text(text) if !text.is_empty() => {
                progress.say(text);
                output.content(text, held)?;
            }
            Block::Thinking { .. } | Block::RedactedThinking { .. } => output.thinking("Thinking"),
            _ => {}
        },
        StreamEvent::MessageStart { usage } | StreamEvent::MessageDelta { usage, .. } => {
            progress.count(*usage);
        }
        _ => {}
    }
    Ok(())
}

impl StreamedAnswer {
    fn take(&mut self, event: &StreamEvent<'_>) {
        if let StreamEvent::MessageDelta { stop_reason, .. } = event {
            self.stop_reason = stop_reason.or(self.stop_reason);
        }
        self.builder.take(event);
    }
}
