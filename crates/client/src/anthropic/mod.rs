//! Anthropic's Messages API, streaming.

mod halves;
mod loose;
mod parse;
mod reported;
mod request;
mod start;
mod stream;
mod surrogates;
mod text;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};

pub use request::{
    CacheControl, Message, OutputConfig, Part, Request, Role, SystemText, Thinking, ToolChoice,
    ToolSpec,
};
pub use stream::MessageStream;
pub use surrogates::mend;
pub use text::TextStream;
pub use wire::{Block, Delta, StopReason, StreamEvent, Usage};

use crate::{Api, ApiRequest, ApiSpec, Failure, Origin, Secret, Service, Transport, UpstreamError};
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::limit::{Answered, Inspect, Observer};
use spinlane_core::media_type::essence;
use spinlane_core::ports::{Clock, HttpError, TimeoutPhase};
use spinlane_core::sse;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The version of the interface that [`request`] and [`wire`] describe.
const VERSION: &str = "2023-06-01";

/// The variable that holds the key.
const API_KEY: &str = "anthropic_api_key";

/// Where it is, unless it is said otherwise.
const DEFAULT_URL: &str = "https://api.anthropic.com";

static SERVICE: Service = Service::new("anthropic", "Anthropic", "anthropic_base_url")
    .key(API_KEY)
    .not_found("check the variables `anthropic_model` and `anthropic_base_url`")
    .forbidden(
        "it may not serve this region or network, or a proxy in between refuses; its reason is in \
         the log",
    );

static SPEC: ApiSpec = ApiSpec::new(&SERVICE)
    .inspect(Inspect::Start {
        limit: start::LIMIT,
        read: start::beginning,
    })
    .read_error(reported::own_error);

/// How long an answer may go without progress, unless it is said otherwise.
const PROGRESS: Duration = Duration::from_secs(120);

/// The Messages API with a key.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_client::Transport;
/// use spinlane_client::anthropic::Client;
/// use spinlane_core::error::code;
/// use spinlane_core::limit::{LaneConfig, Limits};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::World;
///
/// let ports = World::new().ports();
/// let limits = Limits::default().with_lane("anthropic", LaneConfig::new(2));
/// let transport = Transport::new(&ports, &Resources::open(&ports, limits).upstreams);
/// let error = Client::from_variables(&transport, |_| None).unwrap_err();
/// assert_eq!(error.code, code::NOT_CONFIGURED);
///
/// let variable = |name: &str| (name == "anthropic_api_key").then(|| "sk-1".to_owned());
/// let client = Client::from_variables(&transport, variable)?.progress(Duration::from_secs(30));
/// assert!(!format!("{client:?}").contains("sk-1"));
/// # Ok::<(), spinlane_core::error::ErrorObject>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    api: Api,
    api_key: Secret,
    /// How long an answer may go without a part of it.
    progress: Duration,
}

impl Client {
    /// The service at `base_url`, called with `api_key`, in the lane `anthropic`.
    /// `observer` is told how its calls go.
    pub fn new(
        transport: &Transport,
        base_url: &Origin,
        api_key: Secret,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self::of_api(Api::new(transport, &SPEC, base_url, observer), api_key)
    }

    /// The same as [`new`](Self::new), as the variables `anthropic_api_key` and
    /// `anthropic_base_url` say, which `variable` knows; where that has no address,
    /// the service's own. Nobody is told how its calls go: see
    /// [`observed`](Self::observed).
    ///
    /// # Errors
    /// `not_configured` without a key, and `misconfigured` for an address that is
    /// none; either names the variable.
    pub fn from_variables(
        transport: &Transport,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ErrorObject> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let Some(key) = set(API_KEY) else {
            let message = format!("set the variable `{API_KEY}`");
            return Err(ErrorObject::new(code::NOT_CONFIGURED, message).with("variable", API_KEY));
        };
        let api = Api::from_variables(transport, &SPEC, DEFAULT_URL, set)?;
        Ok(Self::of_api(api, Secret::new(key)))
    }

    fn of_api(api: Api, api_key: Secret) -> Self {
        Self {
            api: api.hiding(&api_key),
            api_key,
            progress: PROGRESS,
        }
    }

    /// The same, of which `observer` is told how its calls go.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            api: self.api.observed(observer),
            ..self
        }
    }

    /// The same, for answers that may go without a part of it for so long (120 s at
    /// first). Pings do not count.
    #[must_use]
    pub fn progress(self, limit: Duration) -> Self {
        Self {
            progress: limit,
            ..self
        }
    }

    /// Asks for an answer and resolves when it begins. Dropping the future, or
    /// later the stream, cancels the call.
    ///
    /// # Errors
    /// When there is no answer, or one that is not a stream of events.
    pub async fn stream(&self, request: &Request<'_>) -> Result<MessageStream, UpstreamError> {
        // May be repeated: nothing of its answer is handed on before it has
        // something to say. And may use the reserve: whatever the tools of a run have
        // used, the model still answers.
        let ask = ApiRequest::post("answer", "/v1/messages")
            .header(X_API_KEY, self.api_key.expose())
            .header(ANTHROPIC_VERSION, VERSION)
            .header(ACCEPT, "text/event-stream")
            .json(request)
            .progress(self.progress)
            .repeatable()
            .overhead();
        let answered = match self.api.send(&ask).await {
            Err(error) if error.failure == STALLED => self.once_more(&ask, error).await?,
            answered => answered?,
        };
        let verdict = answered.verdict;
        let (head, body) = answered.response.into_parts();
        if head.status != StatusCode::OK {
            return Err(self.api.refused(verdict, &head, body).await);
        }
        check_media_type(&head.headers).map_err(|failure| self.api.fail(failure))?;
        Ok(MessageStream::new(body, self.api.clone(), self.progress))
    }

    /// Asks for an answer of which only the text matters. As [`stream`](Self::stream),
    /// which it is.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    pub async fn text(&self, request: &Request<'_>) -> Result<TextStream, UpstreamError> {
        let stream = self.stream(request).await?;
        Ok(TextStream::new(stream, self.clone()))
    }

    /// Asks again after an answer that has stalled before it said anything, for
    /// half as long: whoever waits has waited for all of that time.
    async fn once_more(
        &self,
        ask: &ApiRequest,
        stalled: UpstreamError,
    ) -> Result<Answered, UpstreamError> {
        self.api.repeating();
        let end = self.api.transport.clock.sleep(self.progress / 2);
        match select(Box::pin(self.api.send(ask)), end).await {
            Either::Left((answered, _)) => answered,
            Either::Right(_) => Err(stalled),
        }
    }

    /// Runs what need not be waited for, beside the request and after it.
    pub fn spawn<F>(&self, work: impl FnOnce(Arc<dyn Clock>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Transport { clock, spawner, .. } = &self.api.transport;
        spawner.spawn(Box::pin(work(Arc::clone(clock))));
    }
}

/// An answer that has begun and does not go on.
const STALLED: Failure = Failure::Http(HttpError::Timeout(TimeoutPhase::Idle));

/// A stream of events, and not an error page of something in between.
fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    match essence(headers.get(CONTENT_TYPE)).eq_ignore_ascii_case(sse::CONTENT_TYPE) {
        true => Ok(()),
        false => Err(Failure::Protocol("not a stream of events".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use spinlane_core::testing::World;

    #[test]
    fn a_variable_that_is_missing_or_malformed_is_named() {
        let transport = crate::testing::transport(&World::new());
        let client = |key: &'static str, url: &'static str| {
            let variable = move |name: &str| match name {
                "anthropic_api_key" => Some(key.to_owned()),
                "anthropic_base_url" => Some(url.to_owned()),
                _ => None,
            };
            Client::from_variables(&transport, variable)
        };
        for (key, url, expected) in [
            ("", "", ("not_configured", "anthropic_api_key")),
            ("key", "nowhere", ("misconfigured", "anthropic_base_url")),
            (
                "key",
                "http://u:secret@x/",
                ("misconfigured", "anthropic_base_url"),
            ),
        ] {
            let error = client(key, url).unwrap_err();
            assert_eq!(
                (error.code.as_str(), &error.context["variable"]),
                (expected.0, &expected.1.into())
            );
            assert!(error.message.contains(expected.1), "{}", error.message);
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
        for url in ["", "http://127.0.0.1:4000"] {
            assert!(client("key", url).is_ok(), "{url}");
        }
        assert!(Client::from_variables(&transport, |_| None).is_err());
    }

    /// The types of `mime-*` and `utf-8` in web-platform-tests' `eventsource/`,
    /// and what else something in between may answer with.
    #[test]
    fn only_streams_of_events_are_read() {
        for (value, good) in [
            ("text/event-stream", true),
            ("text/event-stream;", true),
            ("text/event-stream;charset=windows-1252", true),
            ("text/event-stream; charset=utf-8", true),
            ("text/event-stream ; charset=utf-8", true),
            ("Text/Event-Stream", true),
            ("x bogus", false),
            ("text/x-bogus", false),
            ("text/event-streams", false),
            ("text/event", false),
            ("application/json", false),
            ("text/html; text/event-stream", false),
            (";text/event-stream", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(check_media_type(&headers).is_ok(), good, "{value:?}");
        }
        assert!(check_media_type(&HeaderMap::new()).is_err());
    }
}
