//! What all upstream APIs have in common: here requests are built, sent through
//! all limits, and logged, and answers are read and their errors understood.

mod ask;
pub(super) mod lenient;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::{Either, select};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

pub(crate) use ask::Ask;
pub(crate) use words::spoken;
use words::words;

use super::{Failure, Service, UpstreamError};
use crate::config::{Origin, Secret};
use crate::error::Code;
use crate::{AppState, millis};
use spinlane_core::cache::FetchError;
use spinlane_core::limit::{
    Answered, Budget, Call, CallError, CallStats, Inspect, Observer, Priority, Verdict, retry_after,
};
use spinlane_core::ports::{BodyStream, HttpError, Instant, TimeoutPhase, Timeouts};
use spinlane_core::redact::user_info;
use spinlane_core::scope;

/// The largest JSON answer that is read, in bytes.
pub(super) const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// How much of an error answer is read, and for how long.
const MAX_ERROR_BODY: usize = 64 * 1024;
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that one of many calls waits for an upstream: the others wait
/// for it, and another attempt is worth more than patience.
const BULK_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest part of an upstream's own message that is logged, in characters.
const MAX_DETAIL: usize = 300;

/// How one API is spoken to.
pub(crate) struct Dialect {
    pub(crate) service: &'static Service,
    pub(crate) lane: &'static str,
    /// How the limits read its answers.
    pub(crate) inspect: Inspect,
    /// What the body of an error says, where it is the service's own.
    pub(crate) complaint: fn(&[u8]) -> Option<Complaint>,
}

/// What a service says about an error of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Where the service's words tell more than the status does.
    pub(crate) meaning: Option<Meaning>,
    pub(crate) message: String,
}

/// What an error means, whatever its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// There is no such thing.
    Absent,
    /// What a user once allowed is not accepted any more.
    Grant,
    /// Something else that has a name.
    Code(Code),
}

/// One API, as one request uses it.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) app: AppState,
    dialect: &'static Dialect,
    base_url: Origin,
    observer: Arc<dyn Observer>,
    /// Who pays; the request's own budget where nobody else does.
    budget: Option<Budget>,
    priority: Priority,
    /// Kept out of what the service says.
    secrets: Vec<Secret>,
}

/// A good answer, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    dialect: &'static Dialect,
    pub(crate) body: Bytes,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialect").field(&self.service.name).finish()
    }
}

impl Answer {
    /// Reads it as a JSON object.
    ///
    /// # Errors
    /// [`Failure::Protocol`] when it is something else.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, UpstreamError> {
        // What serde says may quote the answer: the place is enough.
        let fail = |reason: &str, line: usize, column: usize| UpstreamError {
            service: self.dialect.service,
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
    pub(crate) fn new(
        app: &AppState,
        dialect: &'static Dialect,
        base_url: &Origin,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            app: app.clone(),
            dialect,
            base_url: base_url.clone(),
            observer,
            budget: None,
            priority: Priority::Interactive,
            secrets: Vec::new(),
        }
    }

    /// The same, for many calls at once that others may overtake.
    pub(crate) fn bulk(self) -> Self {
        Self {
            priority: Priority::Background,
            ..self
        }
    }

    /// The same, paid from `budget`.
    pub(crate) fn paid_by(&self, budget: Budget) -> Self {
        Self {
            budget: Some(budget),
            ..self.clone()
        }
    }

    /// The same, with `secret` kept out of what the service says.
    pub(crate) fn hiding(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// A failed call to this API.
    pub(crate) fn fail(&self, failure: Failure) -> UpstreamError {
        UpstreamError {
            service: self.dialect.service,
            failure,
        }
    }

    /// Why a value of this API is not in the cache and was not found out.
    pub(crate) fn not_fetched(&self, error: FetchError<UpstreamError>) -> UpstreamError {
        match error {
            FetchError::Failed(error) => error,
            FetchError::Elsewhere => self.fail(Failure::Reported {
                code: Code::UpstreamError,
                status: None,
                detail: error.to_string(),
            }),
            FetchError::TooLate => {
                self.fail(Failure::Http(HttpError::Timeout(TimeoutPhase::FirstByte)))
            }
        }
    }

    /// Asks, and reads the answer whole. `None` when the service says that
    /// there is no such thing. Dropping the future cancels the call.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Option<Answer>, UpstreamError> {
        let answered = self.send(ask).await?;
        let verdict = answered.verdict;
        let (head, body) = answered.response.into_parts();
        match verdict {
            Verdict::Good if head.status.is_success() => {
                let body = self.whole(body).await?;
                Ok(Some(Answer {
                    dialect: self.dialect,
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

    /// The same, for what must be there.
    ///
    /// # Errors
    /// When there is no good answer, or no such thing.
    pub(crate) async fn must(&self, ask: &Ask) -> Result<Answer, UpstreamError> {
        let answer = self.ask(ask).await?;
        answer.ok_or_else(|| self.absent(ask))
    }

    /// There is no such thing as `ask` asks for.
    pub(crate) fn absent(&self, ask: &Ask) -> UpstreamError {
        let check = ask.not_found.unwrap_or(self.dialect.service.not_found);
        self.fail(Failure::Absent(check))
    }

    /// Asks through all limits, and resolves with the head of the answer,
    /// whatever it says.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answered, UpstreamError> {
        let request = ask.request(&self.base_url);
        let request =
            request.map_err(|reason| self.fail(Failure::Http(HttpError::Invalid(reason))))?;
        let clock = &self.app.ports.clock;
        let began = clock.now();
        let mut call = Call::new(self.dialect.lane, request, self.budget());
        call.repeatable = ask.repeatable;
        call.overhead = ask.overhead;
        call.deadline = Some(began + self.app.config.limits().queue_deadline);
        call.priority = self.priority;
        if self.priority == Priority::Background {
            call.timeouts = Some(bulk(self.app.config.limits().upstream_timeouts));
        }
        call.inspect = self.dialect.inspect;
        call.progress = ask.progress;
        call.observer = Some(Arc::clone(&self.observer));
        let answered = self.app.upstreams().run(call).await;
        self.log(ask, began, &answered);
        answered.map_err(|error| self.fail(error.into()))
    }

    /// Tells who waits that what was asked is asked once more.
    pub(crate) fn repeating(&self) {
        let Dialect { service, lane, .. } = self.dialect;
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
        budget.unwrap_or_else(|| Budget::new(self.app.config.limits().subrequest_budget))
    }

    fn log(&self, ask: &Ask, began: Instant, answered: &Result<Answered, CallError>) {
        let duration_ms = millis(self.app.ports.clock.now() - began);
        let (upstream, call) = (self.dialect.service.name, ask.what);
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
    pub(crate) async fn refused(
        &self,
        verdict: Verdict,
        head: &http::response::Parts,
        body: BodyStream,
    ) -> UpstreamError {
        let timeout = self.app.ports.clock.sleep(ERROR_BODY_TIMEOUT);
        let body = match select(Box::pin(start_of(body)), timeout).await {
            Either::Left((body, _)) => body,
            Either::Right(_) => Vec::new(),
        };
        let complaint = (self.dialect.complaint)(&body);
        let meaning = complaint.as_ref().and_then(|complaint| complaint.meaning);
        let text = match complaint {
            Some(complaint) if !complaint.message.is_empty() => complaint.message,
            _ => words(&body).unwrap_or_default(),
        };
        let detail = Some(self.detail(&text)).filter(|detail| !detail.is_empty());
        if meaning != Some(Meaning::Absent) {
            let (upstream, status) = (self.dialect.service.name, head.status.as_u16());
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
            Some(Meaning::Absent) => Failure::Absent(self.dialect.service.not_found),
            Some(Meaning::Grant) => Failure::Grant,
            Some(Meaning::Code(code)) => reported(code, detail),
            None if head.status.is_success() => match verdict {
                Verdict::Overloaded { .. } => reported(Code::RateLimited, detail),
                _ => reported(Code::UpstreamError, detail),
            },
            None => Failure::Status {
                status: head.status,
                retry_after: retry_after(&head.headers, self.app.ports.clock.unix()),
                detail,
            },
        })
    }

    /// The whole of a good answer. The limits have read it by now, unless it is
    /// longer than any.
    async fn whole(&self, body: BodyStream) -> Result<Bytes, UpstreamError> {
        all_of(body).await.map_err(|failure| {
            let error = self.fail(failure);
            warn!(%error, "an upstream's answer did not arrive whole");
            error
        })
    }

    /// The service's own words, fit to be logged: without secrets, on one line,
    /// not too long.
    pub(crate) fn detail(&self, message: &str) -> String {
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
    Timeouts {
        first_byte: timeouts.first_byte.min(BULK_TIMEOUT),
        idle: timeouts.idle.min(BULK_TIMEOUT),
        ..timeouts
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
    use std::sync::Mutex;

    use http::header::ACCEPT;

    use super::*;
    use crate::clients::lastfm::Lastfm;
    use crate::clients::spotify::{Access, Spotify};
    use crate::testing::{Reply, Stage, nobody};
    use serde_json::json;
    use spinlane_core::log::{self, Record};

    /// What is logged while `work` runs.
    fn logged<F: Future>(stage: &Stage, work: F) -> (F::Output, Vec<Record>) {
        log::install_for_tests();
        let records: Arc<Mutex<Vec<Record>>> = Arc::default();
        let sink: log::Sink = {
            let records = Arc::clone(&records);
            Arc::new(move |record: &Record| records.lock().unwrap().push(record.clone()))
        };
        let output = stage.world.run(log::with_sink(Some(sink), work));
        let records = records.lock().unwrap().clone();
        (output, records)
    }

    #[test]
    fn calls_are_logged_with_what_they_were_for_and_how_long_they_took() {
        let stage = Stage::new(&[], |seen| match seen.host.as_str() {
            "accounts.spotify.com" => Reply::Json(200, json!({"access_token": "app-token"})),
            "api.spotify.com" => Reply::After(
                Duration::from_millis(250),
                Box::new(Reply::Json(
                    503,
                    json!({"error": {"message": "no app-token\n\u{7}http://me:pw@10.1.2.3/"}}),
                )),
            ),
            _ => Reply::Fail(HttpError::Denied),
        });
        let spotify = Spotify::new(&stage.app, Access::App, nobody());
        let (answer, records) = logged(&stage, spotify.search_tracks("private words", 5, 0));
        // The user gets none of the service's words.
        let shown = format!("{:?}", answer.unwrap_err().object());
        assert!(
            !shown.contains("10.1.2.3") && !shown.contains("***"),
            "{shown}"
        );
        let [token, search, refused] = &records[..] else {
            panic!("{records:?}")
        };
        assert_eq!((token.level, search.level), ("info", "warn"));
        assert_eq!(refused.fields["reason"], "no *** http://***@10.1.2.3/");
        let field = |name: &str| search.fields[name].clone();
        assert_eq!(field("upstream"), "spotify");
        assert_eq!(field("call"), "search tracks");
        assert_eq!((field("status"), field("attempts")), (json!(503), json!(3)));
        assert!(field("duration_ms").as_u64().unwrap() >= 750);

        let lastfm = Lastfm::new(&stage.app, nobody()).unwrap();
        let (answer, more) = logged(&stage, lastfm.track("a", "private words"));
        assert!(answer.is_err());
        assert_eq!(more.len(), 1, "{more:?}");
        let text = format!("{records:?} {more:?}");
        for secret in ["private", "app-token", "client-secret", "lastfm-key"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_not_sent_nor_shown() {
        let stage = Stage::new(&[], |_| panic!("nothing is sent"));
        let base_url = &stage.app.config.deezer().base_url;
        static SERVICE: Service = Service {
            name: "x",
            title: "X",
            key_variable: Some("x_key"),
            url_variable: "x_url",
            not_found: "",
            forbidden: None,
        };
        static DIALECT: Dialect = Dialect {
            service: &SERVICE,
            lane: "x",
            inspect: Inspect::Status,
            complaint: |_| None,
        };
        let api = Api::new(&stage.app, &DIALECT, base_url, nobody());
        let header = Ask::get("try", "/").header(ACCEPT, "secret\n");
        let path = Ask::get("try", "/ secret");
        for ask in [header, path] {
            let error = stage.world.run(api.ask(&ask)).unwrap_err();
            assert_eq!(error.object().code, Code::UpstreamRejected);
            let text = format!("{error} {:?} {ask:?}", error.object());
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
