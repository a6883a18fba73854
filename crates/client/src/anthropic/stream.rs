//! The answer as it arrives.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, Either, select};
use tracing::{debug, warn};

use super::halves::Halves;
use super::reported::ApiError;
use super::wire::StreamEvent;
use crate::Api;
use crate::{Failure, UpstreamError};
use spinlane_core::ports::{BodyStream, Clock, HttpError, Instant, TimeoutPhase};
use spinlane_core::sse::{Decoded, Decoder};

/// The largest event that is taken, in bytes. The service's own are far below.
const MAX_EVENT: usize = 1024 * 1024;

/// How long an answer that is complete may take to end its connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long `message_stop` may take after a stop reason: all that matters has
/// come by then.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer of the Messages API. Dropping it cancels the call.
///
/// ```
/// use spinlane_client::anthropic::{Client, Delta, Message, Request, StreamEvent};
/// # use spinlane_client::{Transport, UpstreamError};
/// # use spinlane_core::limit::{LaneConfig, Limits};
/// # use spinlane_core::resources::Resources;
/// # use spinlane_core::testing::{ScriptedHttp, World};
/// # let answer = concat!(
/// #     r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hello"}}"#,
/// #     "\n\n",
/// #     r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
/// #     "\n\n",
/// #     r#"data: {"type":"message_stop"}"#,
/// #     "\n\n",
/// # );
/// # let head = http::Response::builder().header("content-type", "text/event-stream");
/// # let world = World::with_http(ScriptedHttp::in_turn([head.body(answer.into()).unwrap()]));
/// # let ports = world.ports();
/// # let limits = Limits::default().with_lane("anthropic", LaneConfig::new(2));
/// # let transport = Transport::new(&ports, &Resources::open(&ports, limits).upstreams);
/// # let variable = |name: &str| (name == "anthropic_api_key").then(|| "sk-…".to_owned());
/// # let client = Client::from_variables(&transport, variable).unwrap();
///
/// async fn text_of(client: &Client, request: &Request<'_>) -> Result<String, UpstreamError> {
///     let (mut stream, mut text) = (client.stream(request).await?, String::new());
///     let mut note = |event: StreamEvent<'_>| match event {
///         StreamEvent::BlockDelta { delta: Delta::Text(piece), .. } => text += &piece,
///         _ => {}
///     };
///     while stream.read(&mut note).await? {}
///     Ok(text)
/// }
///
/// let messages = [Message::user("Greet me")];
/// let request = Request::new("claude-sonnet-4-6", 1024, &messages);
/// assert_eq!(world.run(text_of(&client, &request))?, "Hello");
/// # Ok::<(), UpstreamError>(())
/// ```
pub struct MessageStream {
    body: BodyStream,
    decoder: Decoder,
    reader: Reader,
    /// How long it may go without progress.
    progress_timeout: Duration,
    /// When it has stalled, unless there is progress.
    due: Instant,
    /// Rings at `due`, or before.
    timer: BoxFuture<'static, ()>,
}

/// What the events of an answer come to.
struct Reader {
    /// Whose answer it is.
    api: Api,
    halves: Halves,
    /// Whether a stop reason has come: all is said.
    ended: bool,
    /// Whether `message_stop` has come.
    stopped: bool,
    /// Whether there was progress since it was last asked for.
    moved: bool,
    failure: Option<Failure>,
}

impl std::fmt::Debug for MessageStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageStream")
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

impl MessageStream {
    pub(super) fn new(body: BodyStream, api: Api, progress_timeout: Duration) -> Self {
        let clock = &api.transport.clock;
        let due = clock.now() + progress_timeout;
        Self {
            body,
            decoder: Decoder::new(MAX_EVENT),
            progress_timeout,
            due,
            timer: clock.sleep_until(due),
            reader: Reader {
                api,
                halves: Halves::default(),
                ended: false,
                stopped: false,
                moved: false,
                failure: None,
            },
        }
    }

    /// Waits for more of the answer and gives all events that one read has
    /// completed to `on_event`, up to the first that is wrong. Resolves with
    /// whether more is to come.
    ///
    /// An answer that has given its stop reason is complete, however its stream
    /// ends.
    ///
    /// # Errors
    /// The service's own error event, and everything that ends an answer
    /// before it is complete, a stall included. Events that came before it were
    /// given.
    pub async fn read(
        &mut self,
        mut on_event: impl FnMut(StreamEvent<'_>),
    ) -> Result<bool, UpstreamError> {
        let chunk = match self.next().await {
            Ok(chunk) => chunk,
            Err(failure) => return self.end(failure, &mut on_event),
        };
        let reader = &mut self.reader;
        let had_ended = reader.ended;
        let decoded = self
            .decoder
            .push(&chunk, |event| reader.take(&event, &mut on_event));
        if let Err(error) = decoded {
            reader.fail(Failure::Protocol(error.to_string()));
        }
        if std::mem::take(&mut reader.moved) || reader.ended != had_ended {
            self.wait_anew();
        }
        self.reader.more()
    }

    /// The next read, or why there is none.
    async fn next(&mut self) -> Result<bytes::Bytes, Failure> {
        loop {
            let chunk = match select(self.body.next(), &mut self.timer).await {
                Either::Left((chunk, _)) => chunk,
                Either::Right(_) => {
                    let clock = &self.reader.api.transport.clock;
                    if clock.now() >= self.due {
                        return Err(Failure::Http(HttpError::Timeout(TimeoutPhase::Idle)));
                    }
                    // There has been progress since it was set: setting it anew
                    // with each read would cost more than this.
                    self.timer = clock.sleep_until(self.due);
                    continue;
                }
            };
            return match chunk {
                Some(Ok(chunk)) => Ok(chunk),
                Some(Err(HttpError::Broken(_))) | None => Err(Failure::Cut),
                Some(Err(error)) => Err(Failure::Http(error)),
            };
        }
    }

    fn wait_anew(&mut self) {
        let clock = &self.reader.api.transport.clock;
        let progress_timeout = match self.reader.ended {
            true => self.progress_timeout.min(STOP_TIMEOUT),
            false => self.progress_timeout,
        };
        self.due = clock.now() + progress_timeout;
        if self.reader.ended {
            // Earlier than the one that is set.
            self.timer = clock.sleep_until(self.due);
        }
    }

    /// Nothing more comes, because of `failure`. The last event may lack its
    /// blank line.
    fn end(
        &mut self,
        failure: Failure,
        on_event: &mut impl FnMut(StreamEvent<'_>),
    ) -> Result<bool, UpstreamError> {
        let decoder = std::mem::replace(&mut self.decoder, Decoder::new(MAX_EVENT));
        let reader = &mut self.reader;
        // What is too large was told when it came.
        let _ = decoder.finish(|event| reader.take_last(&event, on_event));
        reader.halves.release(on_event);
        reader.fail(failure);
        reader.more()
    }

    /// Lets a complete answer end by itself, so that the host can use its
    /// connection again; not for long.
    pub async fn drain(mut self, clock: Arc<dyn Clock>) {
        if self.reader.stopped {
            let end = async { while let Some(Ok(_)) = self.body.next().await {} };
            select(Box::pin(end), clock.sleep(DRAIN_TIMEOUT)).await;
        }
    }
}

impl Reader {
    /// Takes an event that has come whole.
    fn take(&mut self, event: &Decoded<'_>, on_event: &mut impl FnMut(StreamEvent<'_>)) {
        if self.failure.is_some() || self.stopped {
            return;
        }
        let (event, edges) = match StreamEvent::parse(&event.event, &event.data) {
            Ok((StreamEvent::Error(error), _)) => return self.fail(self.reported(&error)),
            Ok(read) => read,
            // The name is enough: data may be anything.
            Err(_) => {
                let name = self.api.detail(&event.event);
                return self.fail(Failure::Protocol(format!("a broken `{name}` event")));
            }
        };
        self.moved |= event.is_progress();
        match &event {
            StreamEvent::MessageDelta { stop_reason, .. } => self.ended |= stop_reason.is_some(),
            StreamEvent::MessageStop => self.stopped = true,
            // Where the answer has not ended it is some keep-alive.
            StreamEvent::Done => self.stopped = self.ended,
            _ => {}
        }
        if event == StreamEvent::Unknown {
            debug!("an event of the model's stream means nothing, and is skipped");
        }
        self.halves.pass(event, edges, on_event);
    }

    /// Takes an event that may have come in part: where it cannot be read it has
    /// not come.
    fn take_last(&mut self, event: &Decoded<'_>, on_event: &mut impl FnMut(StreamEvent<'_>)) {
        if StreamEvent::parse(&event.event, &event.data).is_ok() {
            self.take(event, on_event);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// The service's error event, as a failure. Its words are not for the log:
    /// they may repeat the conversation.
    fn reported(&self, error: &ApiError) -> Failure {
        let kind = error.name().unwrap_or("unnamed");
        warn!(kind, "the model's service reports an error in its stream");
        Failure::Reported {
            code: error.meaning().code(),
            status: None,
            detail: kind.to_owned(),
        }
    }

    /// Whether more is to come.
    fn more(&mut self) -> Result<bool, UpstreamError> {
        if self.stopped {
            return Ok(false);
        }
        let Some(failure) = self.failure.take() else {
            return Ok(true);
        };
        let error = self.api.fail(failure);
        match self.ended {
            true => {
                debug!(%error, "the model's answer has no `message_stop`, and is whole");
                Ok(false)
            }
            false => Err(error),
        }
    }
}
