//! Anthropic's Messages API, streaming.

mod stream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::{Either, select};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, StatusCode};

pub(crate) use stream::MessageStream;
pub(crate) use wire::{Block, Delta, Message, Request, Role, StopReason, StreamEvent, Usage};

use super::{Failure, Service, UpstreamError};
use crate::core::limit::{Answered, Budget, Call, CallError, Observer, retry_after};
use crate::core::ports::{BodyStream, Clock, HttpError};
use crate::core::scope;
use crate::dj::AppState;
use crate::dj::config::{Origin, Secret};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The version of the interface that [`wire`] describes.
const VERSION: &str = "2023-06-01";

/// How much of an error answer is read, and for how long.
const MAX_ERROR_BODY: usize = 64 * 1024;
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest part of an upstream's own message that is passed on.
const MAX_DETAIL: usize = 300;

/// Its lane.
const LANE: &str = "anthropic";

static SERVICE: Service = Service {
    name: "anthropic",
    title: "Anthropic",
    key_variable: "anthropic_api_key",
    url_variable: "anthropic_base_url",
    not_found: "check the variables `anthropic_model` and `anthropic_base_url`",
};

/// The Messages API with a key.
pub(crate) struct Client {
    app: AppState,
    base_url: Origin,
    api_key: Secret,
    observer: Arc<dyn Observer>,
}

impl Client {
    /// The service as configured, called with `api_key`.
    /// `observer` is told how its calls go.
    pub(crate) fn new(app: &AppState, api_key: Secret, observer: Arc<dyn Observer>) -> Self {
        Self {
            app: app.clone(),
            base_url: app.config.anthropic.base_url.clone(),
            api_key,
            observer,
        }
    }

    /// Asks for an answer and resolves when it begins. Dropping the future, or
    /// later the stream, cancels the call.
    ///
    /// # Errors
    /// When there is no answer, or one that is not a stream of events.
    pub(crate) async fn stream(
        &self,
        request: &Request<'_>,
    ) -> Result<MessageStream, UpstreamError> {
        let fail = |failure| UpstreamError {
            service: &SERVICE,
            failure,
        };
        let request = self.request(request).map_err(fail)?;
        let answered = self
            .send(request)
            .await
            .map_err(|error| fail(error.into()))?;
        let (head, body) = answered.response.into_parts();
        if head.status != StatusCode::OK {
            return Err(fail(
                self.error_answer(head.status, &head.headers, body).await,
            ));
        }
        check_media_type(&head.headers).map_err(fail)?;
        Ok(MessageStream::new(body, self.api_key.clone()))
    }

    /// Runs what need not be waited for, beside the request and after it.
    pub(crate) fn spawn<F>(&self, work: impl FnOnce(Arc<dyn Clock>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = work(Arc::clone(&self.app.ports.clock));
        self.app.ports.spawner.spawn(Box::pin(work));
    }

    /// Through all limits. The call may be repeated: nothing of its answer is
    /// handed on before its head is good.
    async fn send(&self, request: http::Request<Bytes>) -> Result<Answered, CallError> {
        let limits = &self.app.config.limits;
        let scope = scope::current();
        // A call outside a request has a budget of its own.
        let budget = scope.map_or_else(
            || Budget::new(limits.subrequest_budget),
            |scope| Budget::clone(&scope.budget),
        );
        let deadline = self.app.ports.clock.now() + limits.queue_deadline;
        let mut call = Call::new(LANE, request, budget)
            .repeatable()
            .until(deadline);
        call.observer = Some(Arc::clone(&self.observer));
        self.app.upstreams.run(call).await
    }

    fn request(&self, request: &Request<'_>) -> Result<http::Request<Bytes>, Failure> {
        let invalid = |error: String| Failure::Http(HttpError::Invalid(error));
        let body = serde_json::to_vec(request).map_err(|error| invalid(error.to_string()))?;
        http::Request::post(self.base_url.url("/v1/messages"))
            .header(X_API_KEY, self.api_key.expose())
            .header(ANTHROPIC_VERSION, VERSION)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .header(USER_AGENT, concat!("spinlane/", env!("CARGO_PKG_VERSION")))
            .body(body.into())
            .map_err(|error| invalid(error.to_string()))
    }

    /// What an answer says that is not 200. Its body is read only for the
    /// service's own message, within limits: without it the status is enough.
    async fn error_answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: BodyStream,
    ) -> Failure {
        let timeout = self.app.ports.clock.sleep(ERROR_BODY_TIMEOUT);
        let body = match select(Box::pin(start_of(body)), timeout).await {
            Either::Left((body, _)) => body,
            Either::Right(_) => Vec::new(),
        };
        let answer: Option<wire::ErrorAnswer> = serde_json::from_slice(&body).ok();
        Failure::Status {
            status,
            retry_after: retry_after(headers, self.app.ports.clock.unix()),
            detail: answer.map(|answer| detail(&self.api_key, &answer.error.message)),
        }
    }
}

/// A stream of events, and not an error page of something in between.
fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    match essence.eq_ignore_ascii_case("text/event-stream") {
        true => Ok(()),
        false => Err(Failure::Protocol("not a stream of events".into())),
    }
}

/// As much of `body` as is read of an error.
async fn start_of(mut body: BodyStream) -> Vec<u8> {
    let mut start = Vec::new();
    while let Some(Ok(chunk)) = body.next().await {
        let room = MAX_ERROR_BODY - start.len();
        start.extend_from_slice(&chunk[..room.min(chunk.len())]);
        if start.len() == MAX_ERROR_BODY {
            break;
        }
    }
    start
}

/// The service's own words, fit to be shown: without the key, on one line, not
/// too long.
fn detail(api_key: &Secret, message: &str) -> String {
    let message = api_key.redact(message);
    let line = message
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char });
    line.take(MAX_DETAIL).collect()
}
