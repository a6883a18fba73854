//! What all upstream APIs have in common: here requests are sent through all limits
//! and logged, and answers are read and their errors understood.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::{Either, select};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use crate::lenient;
use crate::words::words;
use crate::{ApiRequest, ApiSpec, Failure, Meaning, Origin, Secret, Transport, UpstreamError};
use spinlane_core::cache::{FetchError, Key, Typed};
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::limit::{
    Answered, Budget, Call, CallError, CallStats, Observer, Priority, Verdict, retry_after,
};
use spinlane_core::log::millis;
use spinlane_core::ports::{BodyStream, HttpError, Instant, TimeoutPhase, Timeouts};
use spinlane_core::redact::user_info;
use spinlane_core::scope;

/// The largest JSON answer that is read, in bytes.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// How much of an error answer is read, and for how long.
const MAX_ERROR_BODY: usize = 64 * 1024;
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that one of many calls waits for an upstream: the others wait
/// for it, and another attempt is worth more than waiting.
const BULK_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest part of an upstream's own message that is logged, in characters.
const MAX_DETAIL: usize = 300;

/// One API, as one request uses it.
///
/// ```
/// use spinlane_client::{Api, ApiRequest, ApiSpec, Service, Transport};
/// use spinlane_core::limit::{LaneConfig, Limits};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url");
/// static SONGS_API: ApiSpec = ApiSpec::new(&SONGS);
///
/// // In a component the ports come from the host.
/// let answer = http::Response::new(r#"{"title":"Rain"}"#.into());
/// let world = World::with_http(ScriptedHttp::in_turn([answer]));
/// let ports = world.ports();
/// let limits = Limits::default().with_lane("songs", LaneConfig::new(5));
/// let transport = Transport::new(&ports, &Resources::open(&ports, limits).upstreams);
///
/// let api = Api::from_variables(&transport, &SONGS_API, "https://songs.example", |_| None)?;
/// let ask = ApiRequest::get("get a song", "/songs/1");
/// let song: Option<serde_json::Value> = world.run(api.json(&ask)).map_err(|error| error.object())?;
/// assert_eq!(song.map(|song| song["title"].clone()), Some("Rain".into()));
/// # Ok::<(), spinlane_core::error::ErrorObject>(())
/// ```
#[derive(Clone)]
pub struct Api {
    pub(crate) transport: Transport,
    spec: &'static ApiSpec,
    base_url: Origin,
    observer: Arc<dyn Observer>,
    /// Who pays; the request's own budget where nobody else does.
    budget: Option<Budget>,
    priority: Priority,
    /// Kept out of what the service says.
    secrets: Vec<Secret>,
}

/// A good answer, read whole.
///
/// ```
/// use spinlane_client::{Api, ApiRequest, ApiSpec, Failure, Service, Transport};
/// # use spinlane_core::limit::{LaneConfig, Limits};
/// # use spinlane_core::resources::Resources;
/// # use spinlane_core::testing::{ScriptedHttp, World};
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url");
/// static SONGS_API: ApiSpec = ApiSpec::new(&SONGS);
///
/// # let world = World::with_http(ScriptedHttp::in_turn([http::Response::new("[1,2]".into())]));
/// # let ports = world.ports();
/// # let limits = Limits::default().with_lane("songs", LaneConfig::new(5));
/// # let transport = Transport::new(&ports, &Resources::open(&ports, limits).upstreams);
/// # let url = "https://songs.example";
/// # let api = Api::from_variables(&transport, &SONGS_API, url, |_| None).unwrap();
/// let answer = world.run(api.must(&ApiRequest::get("get a song", "/songs/1")))?;
/// assert_eq!(answer.body, "[1,2]");
/// // It is no object, which the service has promised.
/// let error = answer.json::<serde_json::Value>().unwrap_err();
/// assert!(matches!(error.failure, Failure::Protocol(_)));
/// # Ok::<(), spinlane_client::UpstreamError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    spec: &'static ApiSpec,
    /// The body, as it came.
    pub body: Bytes,
}

/// Neither keys nor who pays.
impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("spec", self.spec)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

impl ApiAnswer {
    /// Reads it as a JSON object.
    ///
    /// # Errors
    /// [`Failure::Protocol`] when it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, UpstreamError> {
        // What serde says may quote the answer: the place is enough.
        let fail = |reason: &str, line: usize, column: usize| UpstreamError {
            service: self.spec.service,
            failure: Failure::Protocol(format!("{reason}, line {line}, column {column}")),
        };
        if self.body.trim_ascii_start().starts_with(b"[") {
            // serde would take it for an object's values in a row.
            return Err(fail("an answer of another shape", 1, 1));
        }
        lenient::read(&self.body).map_err(|error| {
            let reason = match error.classify() {
                serde_json::error::Category::Data => "an answer of another shape",
                _ => "no JSON",
            };
            fail(reason, error.line(), error.column())
        })
    }
}

impl Api {
    /// The API at `base_url`. `observer` is told how its calls go.
    pub fn new(
        transport: &Transport,
        spec: &'static ApiSpec,
        base_url: &Origin,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            transport: transport.clone(),
            spec,
            base_url: base_url.clone(),
            observer,
            budget: None,
            priority: Priority::Interactive,
            secrets: Vec::new(),
        }
    }

    /// The API at the address in the variable that its service names, which `variable`
    /// knows, or at `default`. Nobody is told how its calls go: see
    /// [`observed`](Self::observed).
    ///
    /// # Errors
    /// `misconfigured`, which names the variable, for an address that is none.
    pub fn from_variables(
        transport: &Transport,
        spec: &'static ApiSpec,
        default: &'static str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ErrorObject> {
        let name = spec.service.url_variable;
        let url = variable(name).filter(|url| !url.is_empty());
        let base_url = url.map_or_else(|| Ok(Origin::known(default)), |url| Origin::parse(&url));
        let base_url = base_url.map_err(|expected| {
            let message = format!("the variable `{name}` is not valid: {expected}");
            ErrorObject::new(code::MISCONFIGURED, message).with("variable", name)
        })?;
        Ok(Self::new(transport, spec, &base_url, Arc::new(())))
    }

    /// The same, of which `observer` is told how its calls go.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// The same, for many calls at once that others may overtake.
    pub fn bulk(self) -> Self {
        Self {
            priority: Priority::Background,
            ..self
        }
    }

    /// The same, paid from `budget`.
    pub fn paid_by(&self, budget: Budget) -> Self {
        Self {
            budget: Some(budget),
            ..self.clone()
        }
    }

    /// The same, with `secret` kept out of what the service says.
    pub fn hiding(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// A failed call to this API.
    pub fn fail(&self, failure: Failure) -> UpstreamError {
        UpstreamError {
            service: self.spec.service,
            failure,
        }
    }

    /// Why a value of this API is not in the cache and was not found out.
    pub fn not_fetched(&self, error: FetchError<UpstreamError>) -> UpstreamError {
        match error {
            FetchError::Failed(error) => error,
            FetchError::TooLate => {
                self.fail(Failure::Http(HttpError::Timeout(TimeoutPhase::FirstByte)))
            }
            error => self.fail(Failure::Reported {
                code: code::UPSTREAM_ERROR,
                status: None,
                detail: error.to_string(),
            }),
        }
    }

    /// Asks, and reads the answer whole. `None` when the service says that
    /// there is no such thing. Dropping the future cancels the call.
    ///
    /// # Errors
    /// When there is no good answer.
    pub async fn ask(&self, ask: &ApiRequest) -> Result<Option<ApiAnswer>, UpstreamError> {
        let answered = self.send(ask).await?;
        let verdict = answered.verdict;
        let (head, body) = answered.response.into_parts();
        match verdict {
            Verdict::Good if head.status.is_success() => {
                let body = self.read_all(body).await?;
                Ok(Some(ApiAnswer {
                    spec: self.spec,
                    body,
                }))
            }
            Verdict::Absent => Ok(None),
            verdict => match self.refused(verdict, &head, body).await {
                UpstreamError {
                    failure: Failure::Absent(_),
                    ..
                } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Asks, and reads the answer as a JSON object; otherwise as [`ask`](Self::ask).
    ///
    /// # Errors
    /// When there is no good answer, or one of another shape.
    pub async fn json<T: DeserializeOwned>(
        &self,
        ask: &ApiRequest,
    ) -> Result<Option<T>, UpstreamError> {
        let answer = self.ask(ask).await?;
        answer.map(|answer| answer.json()).transpose()
    }

    /// What `known` has under `key`, else what `read` makes of the JSON that answers
    /// `ask`; `None` when there is no such thing, which is known then as well. As
    /// [`Typed::get_or_fetch`], which it is.
    ///
    /// # Errors
    /// When there is no good answer, or none in [time](Typed::until).
    pub async fn get_or_fetch<A, T>(
        &self,
        known: &Typed<T>,
        key: Key,
        ask: ApiRequest,
        read: fn(A) -> Option<T>,
    ) -> Result<Option<T>, UpstreamError>
    where
        A: DeserializeOwned + Send + 'static,
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    {
        let api = self.clone();
        let found = known.get_or_fetch(&key, move || async move {
            let answer: Option<A> = api.json(&ask).await?;
            Ok::<_, UpstreamError>(answer.and_then(read))
        });
        found.await.map_err(|error| self.not_fetched(error))
    }

    /// As [`ask`](Self::ask), for what must be there.
    ///
    /// # Errors
    /// When there is no good answer, or no such thing.
    pub async fn must(&self, ask: &ApiRequest) -> Result<ApiAnswer, UpstreamError> {
        let answer = self.ask(ask).await?;
        answer.ok_or_else(|| self.absent(ask))
    }

    /// There is no such thing as `ask` asks for.
    pub fn absent(&self, ask: &ApiRequest) -> UpstreamError {
        let check = ask.not_found.unwrap_or(self.spec.service.not_found);
        self.fail(Failure::Absent(check))
    }

    /// Asks through all limits, and resolves with the head of the answer,
    /// whatever it says.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, ask: &ApiRequest) -> Result<Answered, UpstreamError> {
        let request = ask.request(&self.base_url);
        let request =
            request.map_err(|reason| self.fail(Failure::Http(HttpError::Invalid(reason))))?;
        let clock = &self.transport.clock;
        let began = clock.now();
        let mut call = Call::new(self.spec.lane, request, self.budget());
        call.repeatable = ask.repeatable;
        call.overhead = ask.overhead;
        call.deadline = Some(began + self.transport.queue_deadline);
        call.priority = self.priority;
        if self.priority == Priority::Background {
            call.timeouts = Some(bulk(self.transport.timeouts));
        }
        call.inspect = self.spec.inspect;
        call.progress = ask.progress;
        call.observer = Some(Arc::clone(&self.observer));
        let answered = self.transport.orchestrator.run(call).await;
        self.log(ask, began, &answered);
        answered.map_err(|error| self.fail(error.into()))
    }

    /// Tells who waits that what was asked is asked once more.
    pub fn repeating(&self) {
        let ApiSpec { service, lane, .. } = self.spec;
        warn!(
            upstream = service.name,
            "an answer does not go on, and is asked for again"
        );
        self.observer.retrying(lane, 1, Duration::ZERO);
    }

    /// A call outside a request has a budget of its own.
    fn budget(&self) -> Budget {
        let request = || scope::current().map(|scope| Budget::clone(&scope.budget));
        let budget = self.budget.clone().or_else(request);
        budget.unwrap_or_else(|| Budget::new(self.transport.budget))
    }

    fn log(&self, ask: &ApiRequest, began: Instant, answered: &Result<Answered, CallError>) {
        let duration_ms = millis(self.transport.clock.now() - began);
        let (upstream, call) = (self.spec.service.name, ask.what);
        let answered = match answered {
            Ok(answered) => answered,
            Err(error) => {
                warn!(upstream, call, duration_ms, %error, "an upstream call got no answer");
                return;
            }
        };
        let status = answered.response.status().as_u16();
        let CallStats {
            attempts, waited, ..
        } = answered.stats;
        let waited_ms = millis(waited);
        macro_rules! say {
            ($level:ident, $message:literal) => {
                $level!(
                    upstream,
                    call,
                    status,
                    attempts,
                    waited_ms,
                    duration_ms,
                    $message
                )
            };
        }
        match (answered.verdict, self.priority) {
            (Verdict::Good | Verdict::Absent, Priority::Interactive) => {
                say!(info, "an upstream has answered");
            }
            // By the hundred: for who asks for a request's own log.
            (Verdict::Good | Verdict::Absent, Priority::Background) => {
                say!(debug, "an upstream has answered");
            }
            _ => say!(warn, "an upstream call has failed"),
        }
    }

    /// What an answer says that is not good. Its body is read only for the
    /// service's own message, within limits: without it the rest is enough. The
    /// message is for the log, whatever shape it has: gateways and proxies have
    /// their own.
    pub async fn refused(
        &self,
        verdict: Verdict,
        head: &http::response::Parts,
        body: BodyStream,
    ) -> UpstreamError {
        let timeout = self.transport.clock.sleep(ERROR_BODY_TIMEOUT);
        let body = match select(Box::pin(start_of(body)), timeout).await {
            Either::Left((body, _)) => body,
            Either::Right(_) => Vec::new(),
        };
        let error = (self.spec.read_error)(&body);
        let meaning = error.as_ref().and_then(|error| error.meaning);
        let text = match error {
            Some(error) if !error.message.is_empty() => error.message,
            _ => words(&body).unwrap_or_default(),
        };
        let detail = Some(self.detail(&text)).filter(|detail| !detail.is_empty());
        if meaning != Some(Meaning::Absent) {
            let (upstream, status) = (self.spec.service.name, head.status.as_u16());
            let reason = detail.as_deref();
            warn!(upstream, status, reason, "an upstream has refused");
        }
        let status = Some(head.status).filter(|status| !status.is_success());
        let reported = |code, detail: Option<String>| Failure::Reported {
            code,
            status,
            detail: detail.unwrap_or_default(),
        };
        self.fail(match meaning {
            Some(Meaning::Absent) => Failure::Absent(self.spec.service.not_found),
            Some(Meaning::Grant) => Failure::Grant,
            Some(Meaning::Code(code)) => reported(code, detail),
            None if head.status.is_success() => match verdict {
                Verdict::Overloaded { .. } => reported(code::RATE_LIMITED, detail),
                _ => reported(code::UPSTREAM_ERROR, detail),
            },
            None => Failure::Status {
                status: head.status,
                retry_after: retry_after(&head.headers, self.transport.clock.unix()),
                detail,
            },
        })
    }

    /// The whole of a good answer. The limits have read it by now, unless it is
    /// longer than any.
    async fn read_all(&self, body: BodyStream) -> Result<Bytes, UpstreamError> {
        all_of(body).await.map_err(|failure| {
            let error = self.fail(failure);
            warn!(%error, "an upstream's answer did not arrive whole");
            error
        })
    }

    /// The service's own words, fit to be logged: without secrets, on one line,
    /// not too long.
    pub fn detail(&self, message: &str) -> String {
        let redact = |message: String, secret: &Secret| secret.redact(&message);
        let message = self.secrets.iter().fold(user_info(message), redact);
        let apart = |char: char| char.is_whitespace() || char.is_control();
        let words = message.split(apart).filter(|word| !word.is_empty());
        let line = words.collect::<Vec<_>>().join(" ");
        line.chars().take(MAX_DETAIL).collect()
    }
}

/// The configured timeouts, or shorter ones.
fn bulk(timeouts: Timeouts) -> Timeouts {
    timeouts
        .first_byte(timeouts.first_byte.min(BULK_TIMEOUT))
        .idle(timeouts.idle.min(BULK_TIMEOUT))
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

async fn all_of(mut body: BodyStream) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| match error {
            HttpError::Broken(_) => Failure::Cut,
            error => Failure::Http(error),
        })?;
        if whole.len() + chunk.len() > MAX_ANSWER {
            let reason = format!("more than {MAX_ANSWER} bytes");
            return Err(Failure::Protocol(reason));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;
    use spinlane_core::testing::{ScriptedHttp, World};

    use super::*;
    use crate::Service;
    use crate::testing::{nobody, transport};

    #[test]
    fn what_cannot_be_sent_is_not_sent_nor_shown() {
        let http = ScriptedHttp::new(|_| async { panic!("nothing is sent") });
        let world = World::with_http(http);
        let base_url = Origin::known("https://api.example.com");
        static SERVICE: Service = Service::new("x", "X", "x_url").key("x_key");
        static SPEC: ApiSpec = ApiSpec::new(&SERVICE);
        let api = Api::new(&transport(&world), &SPEC, &base_url, nobody());
        let header = ApiRequest::get("try", "/").header(ACCEPT, "secret\n");
        let path = ApiRequest::get("try", "/ secret");
        for request in [header, path] {
            let error = world.run(api.ask(&request)).unwrap_err();
            assert_eq!(error.object().code, code::UPSTREAM_REJECTED);
            let text = format!("{error} {:?} {request:?}", error.object());
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
