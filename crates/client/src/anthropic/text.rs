//! An answer as its text alone.

use std::collections::VecDeque;
use std::fmt;

use super::{Block, Client, Delta, MessageStream, StopReason, StreamEvent};
use crate::UpstreamError;

/// The text of an answer, piece by piece as it comes. Reasoning, tools and what is not
/// known are left out. Dropping it cancels the call.
///
/// ```
/// use spinlane_client::Transport;
/// use spinlane_client::anthropic::{Client, Message, Request};
/// use spinlane_core::limit::{LaneConfig, Limits};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// // In a component the ports come from the host.
/// let answer = concat!(
///     r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hel"}}"#,
///     "\n\n",
///     r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"lo"}}"#,
///     "\n\n",
///     r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
///     "\n\n",
///     r#"data: {"type":"message_stop"}"#,
///     "\n\n",
/// );
/// let answer = http::Response::builder()
///     .header("content-type", "text/event-stream")
///     .body(answer.into())
///     .unwrap();
/// let world = World::with_http(ScriptedHttp::in_turn([answer]));
/// let ports = world.ports();
/// let limits = Limits::default().with_lane("anthropic", LaneConfig::new(2));
/// let transport = Transport::new(&ports, &Resources::open(&ports, limits).upstreams);
/// let variable = |name: &str| (name == "anthropic_api_key").then(|| "sk-…".to_owned());
/// let client = Client::from_variables(&transport, variable).unwrap();
///
/// let messages = [Message::user("Greet me")];
/// let request = Request::new("claude-sonnet-4-6", 1024, &messages);
/// world.run(async {
///     let mut answer = client.text(&request).await?;
///     assert_eq!(answer.next().await?.as_deref(), Some("Hel"));
///     assert_eq!(answer.next().await?.as_deref(), Some("lo"));
///     assert_eq!(answer.next().await?, None);
///     assert_eq!(answer.cut_short(), None);
///     Ok::<_, spinlane_client::UpstreamError>(())
/// })?;
/// # Ok::<(), spinlane_client::UpstreamError>(())
/// ```
pub struct TextStream {
    /// Until it has ended.
    stream: Option<MessageStream>,
    client: Client,
    /// Pieces that have come and were not asked for yet.
    pieces: VecDeque<String>,
    /// What is told when those have been given.
    failure: Option<UpstreamError>,
    stop_reason: Option<StopReason>,
}

impl fmt::Debug for TextStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextStream")
            .field("stop_reason", &self.stop_reason)
            .finish_non_exhaustive()
    }
}

impl TextStream {
    pub(super) fn new(stream: MessageStream, client: Client) -> Self {
        Self {
            stream: Some(stream),
            client,
            pieces: VecDeque::new(),
            failure: None,
            stop_reason: None,
        }
    }

    /// The next piece, which is not empty; `None` when the answer has ended. Does not
    /// wait for what one read has brought together with the piece before, so that a
    /// burst can leave as one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Once, whatever ends an answer before it is complete, after the pieces that
    /// came before it.
    pub async fn next(&mut self) -> Result<Option<String>, UpstreamError> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(Some(piece));
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            let Some(stream) = &mut self.stream else {
                return Ok(None);
            };
            let (pieces, stop_reason) = (&mut self.pieces, &mut self.stop_reason);
            let read = stream.read(|event| match event {
                StreamEvent::BlockStart {
                    block: Block::Text(text),
                    ..
                } => pieces.extend(Some(text).filter(|text| !text.is_empty())),
                StreamEvent::BlockDelta {
                    delta: Delta::Text(text),
                    ..
                } if !text.is_empty() => pieces.push_back(text.into_owned()),
                StreamEvent::MessageDelta {
                    stop_reason: reason @ Some(_),
                    ..
                } => *stop_reason = reason,
                _ => {}
            });
            match read.await {
                Ok(true) => {}
                Ok(false) => self.ended(),
                Err(error) => {
                    self.failure = Some(error);
                    self.stream = None;
                }
            }
        }
    }

    /// Lets the connection end by itself, beside the request, so that the host can
    /// use it again.
    fn ended(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.client.spawn(|clock| stream.drain(clock));
        }
    }

    /// Why the text is not all that the model had to say, such as `max_tokens`, once
    /// it has ended; `None` where it is.
    pub fn cut_short(&self) -> Option<&'static str> {
        self.stop_reason.and_then(StopReason::cut_short)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{StreamExt, stream};
    use spinlane_core::error::code;
    use spinlane_core::ports::HttpError;
    use spinlane_core::testing::{ScriptedHttp, World};

    use super::*;
    use crate::anthropic::{Message, Request};
    use crate::{Origin, Secret, testing};

    fn delta(kind: &str, text: &str) -> String {
        let key = kind.trim_end_matches("_delta");
        format!(
            "data: {{\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"{kind}\",\"{key}\":\"{text}\"}}}}\n\n"
        )
    }

    fn end(reason: &str) -> String {
        format!(
            "data: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}}}}\n\n\
             data: {{\"type\":\"message_stop\"}}\n\n"
        )
    }

    /// What comes of an answer of these reads: its pieces, and how it ended.
    fn read(reads: Vec<String>) -> (Vec<String>, Result<Option<&'static str>, &'static str>) {
        let world = World::with_http(ScriptedHttp::new(move |_| {
            let reads = reads.clone().into_iter();
            let body = stream::iter(reads.map(|read| Ok::<_, HttpError>(Bytes::from(read))));
            let answer = http::Response::builder().header("content-type", "text/event-stream");
            let answer = answer.body(body.boxed()).unwrap();
            async { Ok(answer) }
        }));
        let transport = testing::transport(&world);
        let url = Origin::known("https://x.example");
        let client = Client::new(&transport, &url, Secret::new("k"), testing::nobody());
        let read = world.run(async {
            let messages = [Message::user("hello")];
            let mut answer = client
                .text(&Request::new("m", 10, &messages))
                .await
                .unwrap();
            let mut pieces = Vec::new();
            loop {
                match answer.next().await {
                    Ok(Some(piece)) => pieces.push(piece),
                    Ok(None) => break (pieces, Ok(answer.cut_short())),
                    Err(error) => {
                        // It is told once.
                        assert_eq!(answer.next().await, Ok(None));
                        break (pieces, Err(error.object().code.as_str()));
                    }
                }
            }
        });
        world.drain();
        read
    }

    #[test]
    fn only_text_is_given_and_every_piece_by_itself() {
        let text = |text| delta("text_delta", text);
        let reads = vec![
            text("a") + &delta("thinking_delta", "hm") + &text("") + &text("b"),
            text("c") + &end("end_turn"),
        ];
        let pieces = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(read(reads), (pieces, Ok(None)));
    }

    #[test]
    fn what_came_before_the_trouble_is_given_before_it_is_told() {
        let text = |text| delta("text_delta", text);
        let error = "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
        let (a, ab) = (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]);
        for (reads, pieces, ended) in [
            (
                vec![text("a"), text("b") + error],
                &ab,
                Err(code::OVERLOADED.as_str()),
            ),
            (vec![text("a")], &a, Err(code::UPSTREAM_CUT.as_str())),
            (
                vec![text("a") + &end("max_tokens")],
                &a,
                Ok(Some("max_tokens")),
            ),
            (vec![text("a") + &end("refusal")], &a, Ok(Some("refusal"))),
        ] {
            assert_eq!(read(reads), (pieces.clone(), ended));
        }
    }
}
