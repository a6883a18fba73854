//! The answer as it arrives.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::select;

use super::wire::{ApiError, StreamEvent};
use crate::core::ports::{BodyStream, Clock, HttpError};
use crate::core::sse::Decoder;
use crate::dj::clients::api::Api;
use crate::dj::clients::{Failure, UpstreamError};
use crate::dj::error::Code;

/// The largest event that is taken, in bytes. The service's own are far below.
const MAX_EVENT: usize = 1024 * 1024;

/// How long an answer that is complete may take to end its connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// An answer of the Messages API. Dropping it cancels the call.
pub(crate) struct MessageStream {
    body: BodyStream,
    decoder: Decoder,
    /// Whose answer it is.
    api: Api,
    /// Whether `message_stop` has come. Without it the answer was cut.
    stopped: bool,
}

impl MessageStream {
    pub(super) fn new(body: BodyStream, api: Api) -> Self {
        Self {
            body,
            decoder: Decoder::new(MAX_EVENT),
            api,
            stopped: false,
        }
    }

    /// Waits for more of the answer and gives all events that one read has
    /// completed to `on_event`, up to the first that is wrong. Resolves with
    /// whether more is to come.
    ///
    /// # Errors
    /// The service's own error event, and everything that ends an answer
    /// before it is complete. Events that came before it were given.
    pub(crate) async fn read(
        &mut self,
        mut on_event: impl FnMut(StreamEvent<'_>),
    ) -> Result<bool, UpstreamError> {
        let (stopped, api) = (&mut self.stopped, &self.api);
        let chunk = match self.body.next().await {
            Some(Ok(chunk)) => chunk,
            Some(Err(HttpError::Broken(_))) | None => return Err(api.fail(Failure::Cut)),
            Some(Err(error)) => return Err(api.fail(Failure::Http(error))),
        };
        let mut failure = None;
        let decoded = self.decoder.push(&chunk, |event| {
            if failure.is_some() || *stopped {
                return;
            }
            match StreamEvent::parse(&event.event, &event.data) {
                Ok(StreamEvent::Error(error)) => failure = Some(reported(&error, api)),
                Ok(event) => {
                    *stopped = matches!(event, StreamEvent::MessageStop);
                    on_event(event);
                }
                // What serde says may quote the data: the name is enough.
                Err(_) => {
                    let name = api.detail(&event.event);
                    failure = Some(Failure::Protocol(format!("a broken `{name}` event")));
                }
            }
        });
        match (failure, decoded) {
            (Some(failure), _) => Err(api.fail(failure)),
            (None, Err(error)) if !self.stopped => {
                Err(api.fail(Failure::Protocol(error.to_string())))
            }
            _ => Ok(!self.stopped),
        }
    }

    /// Lets a complete answer end by itself, so that the host can use its
    /// connection again; not for long.
    pub(crate) async fn drain(mut self, clock: Arc<dyn Clock>) {
        if self.stopped {
            let end = async { while let Some(Ok(_)) = self.body.next().await {} };
            select(Box::pin(end), clock.sleep(DRAIN_TIMEOUT)).await;
        }
    }
}

/// The service's error event, as a failure.
fn reported(error: &ApiError, api: &Api) -> Failure {
    let code = match error.kind.as_str() {
        "overloaded_error" => Code::Overloaded,
        "rate_limit_error" => Code::RateLimited,
        "authentication_error" | "permission_error" | "billing_error" => Code::UpstreamAuth,
        "invalid_request_error" | "request_too_large" | "not_found_error" => Code::UpstreamRejected,
        "timeout_error" => Code::UpstreamTimeout,
        _ => Code::UpstreamError,
    };
    Failure::Reported {
        code,
        detail: api.detail(&error.message),
    }
}
