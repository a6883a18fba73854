//! What is asked of the orchestrator, and what comes back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::budget::{Budget, BudgetExhausted};
use super::lane::{LaneError, LaneName, Priority, secs};
use super::retry::Verdict;
use crate::ports::{BodyStream, HttpError, Instant, Timeouts};

/// One upstream call.
///
/// ```
/// use std::time::Duration;
///
/// use http::HeaderValue;
/// use http::header::ACCEPT;
/// use spinlane_core::limit::{Budget, Call, Priority};
/// use spinlane_core::ports::Timeouts;
///
/// let quick = Timeouts::DEFAULT.first_byte(Duration::from_secs(3));
/// let call = Call::get("search", "https://search.example/?q=x", Budget::new(50))?
///     .header(ACCEPT, HeaderValue::from_static("application/json"))
///     .priority(Priority::Background)
///     .timeouts(quick);
/// assert!(call.repeatable, "it only reads");
/// # Ok::<(), spinlane_core::ports::HttpError>(())
/// ```
#[derive(Clone)]
#[must_use = "a call is made by `Orchestrator::run`"]
#[non_exhaustive]
pub struct Call {
    /// The lane that it goes in, which the [`Limits`](super::Limits) have.
    pub lane: LaneName,
    /// What is sent, again on each attempt.
    pub request: http::Request<Bytes>,
    /// Pays one call for each attempt.
    pub budget: Budget,
    /// Whether it may be sent more than once: carrying it out twice does no
    /// harm. Not assumed.
    pub repeatable: bool,
    /// Whether it is the request's own overhead (renewing a token, saving a
    /// session): it may use the budget's reserve.
    pub overhead: bool,
    /// When to give up waiting: no attempt starts later. What an attempt takes
    /// once it has started is bounded by its timeouts.
    pub deadline: Option<Instant>,
    /// Instead of the lane's.
    pub timeouts: Option<Timeouts>,
    /// Who goes first in the lane's queue.
    pub priority: Priority,
    /// How its answer is read.
    pub inspect: Inspect,
    /// How long an answer that is read with [`Inspect::Start`] may go without
    /// progress before it is judged. One that has stalled is an
    /// [`HttpError::Timeout`] and ends the call: whether to ask again is the
    /// caller's to say, who knows for how long it may.
    pub progress: Option<Duration>,
    /// Is told how it goes.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Call {
    /// A call that is sent once, waits for as long as it takes, and is
    /// interactive.
    pub fn new(lane: impl Into<LaneName>, request: http::Request<Bytes>, budget: Budget) -> Self {
        Self {
            lane: lane.into(),
            request,
            budget,
            repeatable: false,
            overhead: false,
            deadline: None,
            timeouts: None,
            priority: Priority::Interactive,
            inspect: Inspect::Status,
            progress: None,
            observer: None,
        }
    }

    /// A call that reads `url`, and may be sent more than once.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] where `url` is none.
    pub fn get(lane: impl Into<LaneName>, url: &str, budget: Budget) -> Result<Self, HttpError> {
        let request = http::Request::get(url).body(Bytes::new());
        let request = request.map_err(|error| HttpError::Invalid(error.to_string()))?;
        Ok(Self::new(lane, request, budget).repeatable())
    }

    /// A call that sends `body` as JSON to `url`, once.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] where `url` is none, or `body` has no JSON form.
    pub fn post_json<T: Serialize + ?Sized>(
        lane: impl Into<LaneName>,
        url: &str,
        body: &T,
        budget: Budget,
    ) -> Result<Self, HttpError> {
        let invalid = |error: &dyn fmt::Display| HttpError::Invalid(error.to_string());
        let body = serde_json::to_vec(body).map_err(|error| invalid(&error))?;
        let request = http::Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(body));
        let request = request.map_err(|error| invalid(&error))?;
        Ok(Self::new(lane, request, budget))
    }

    /// The same, allowed to be sent more than once.
    pub fn repeatable(self) -> Self {
        Self {
            repeatable: true,
            ..self
        }
    }

    /// The same, as the request's own overhead.
    pub fn overhead(self) -> Self {
        Self {
            overhead: true,
            ..self
        }
    }

    /// The same, giving up waiting at `deadline`.
    pub fn until(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// The same, with a header field.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }

    /// The same, with timeouts of its own in place of the lane's.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self {
            timeouts: Some(timeouts),
            ..self
        }
    }

    /// The same, in another place of the lane's queue.
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// The same, with an answer that is read so.
    pub fn inspect(self, inspect: Inspect) -> Self {
        Self { inspect, ..self }
    }

    /// The same, with so long for each step of an answer: see
    /// [`Call::progress`](field@Self::progress).
    pub fn progress(self, limit: Duration) -> Self {
        Self {
            progress: Some(limit),
            ..self
        }
    }

    /// The same, of which `observer` is told how it goes.
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }
}

/// Neither headers nor body nor the query: they may hold keys.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("lane", &self.lane)
            .field("method", self.request.method())
            .field("path", &self.request.uri().path())
            .field("repeatable", &self.repeatable)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

/// How an answer is read, before anything of it is handed on.
///
/// ```
/// use http::response::Parts;
/// use spinlane_core::limit::{Budget, Call, Inspect, LaneConfig, Limits, Verdict};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// /// Errors come as 200, and say so.
/// fn read(_: &Parts, body: &[u8]) -> Verdict {
///     match body.starts_with(b"error") {
///         true => Verdict::Failed { retryable: false },
///         false => Verdict::Good,
///     }
/// }
///
/// let answer = http::Response::new("error: no such list".into());
/// let world = World::with_http(ScriptedHttp::in_turn([answer]));
/// let limits = Limits::default().with_lane("search", LaneConfig::new(2));
/// let upstreams = Resources::open(&world.ports(), limits).upstreams;
/// let call = Call::get("search", "https://search.example/", Budget::new(50))?;
/// let answered = world.run(upstreams.run(call.inspect(Inspect::Body { limit: 4096, read })))?;
/// assert_eq!(answered.verdict, Verdict::Failed { retryable: false });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Inspect {
    /// By its status: [`classify`](super::classify).
    #[default]
    Status,
    /// By its body, for upstreams that put errors into a 200. The body is read
    /// whole first, for at most 30 s; one that is longer than `limit` bytes is not an error's,
    /// and goes by its status. Answers that are bad by their status are not
    /// read: `read` is asked about the others.
    Body {
        /// Bytes.
        limit: usize,
        /// Is given the whole body.
        read: fn(&response::Parts, &[u8]) -> Verdict,
    },
    /// By the beginning of its body, for upstreams that begin to stream and put
    /// an error there. It is read until `read` knows, or `limit` bytes have
    /// come, and handed on with the rest. Answers that are bad by their status
    /// are not read.
    Start {
        /// Bytes.
        limit: usize,
        /// Is given what has come so far, each time that more has come, and
        /// whether it is all.
        read: fn(&response::Parts, &[u8], bool) -> Beginning,
    },
}

/// What the beginning of an answer tells.
///
/// ```
/// use http::response::Parts;
/// use spinlane_core::limit::{Beginning, Inspect, Verdict};
///
/// /// What begins with a `!` is an error, however it goes on.
/// fn read(_: &Parts, start: &[u8], is_all: bool) -> Beginning {
///     match start.first() {
///         Some(b'!') => Beginning::Known(Verdict::Failed { retryable: true }),
///         None if !is_all => Beginning::Open { steps: 0 },
///         _ => Beginning::Known(Verdict::Good),
///     }
/// }
///
/// let inspect = Inspect::Start { limit: 4096, read };
/// # let _ = inspect;
/// let (head, ()) = http::Response::new(()).into_parts();
/// assert_eq!(read(&head, b"", false), Beginning::Open { steps: 0 });
/// assert_eq!(read(&head, b"songs", false), Beginning::Known(Verdict::Good));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// What the answer means.
    Known(Verdict),
    /// Not that yet.
    Open {
        /// Grows with each step that brings the answer on: see
        /// [`Call::progress`].
        steps: usize,
    },
}

/// Is told how a call goes. Runs inside the call: must not wait.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::Observer;
///
/// struct Told;
///
/// impl Observer for Told {
///     fn waiting(&self, lane: &str, waited: Duration) {
///         println!("{lane}: waiting for {} s", waited.as_secs());
///     }
/// }
/// ```
pub trait Observer: Send + Sync {
    /// Still no free slot after `waited`: first within a second, then every
    /// five.
    fn waiting(&self, lane: &str, waited: Duration) {
        let _ = (lane, waited);
    }

    /// An attempt leaves for the upstream after waiting for `waited`.
    fn attempt(&self, lane: &str, attempt: u32, waited: Duration) {
        let _ = (lane, attempt, waited);
    }

    /// An attempt failed; another follows after `wait` at the earliest.
    fn retrying(&self, lane: &str, attempt: u32, wait: Duration) {
        let _ = (lane, attempt, wait);
    }
}

/// Nobody is told.
impl Observer for () {}

/// What a call cost.
///
/// ```
/// use bytes::Bytes;
/// use spinlane_core::limit::{Budget, Call, LaneConfig, Limits};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// let answer = |status| http::Response::builder().status(status).body(Bytes::new()).unwrap();
/// let world = World::with_http(ScriptedHttp::in_turn([answer(500), answer(200)]));
/// let limits = Limits::default().with_lane("search", LaneConfig::new(2));
/// let upstreams = Resources::open(&world.ports(), limits).upstreams;
/// let budget = Budget::new(50);
/// let call = Call::get("search", "https://search.example/", budget.clone())?;
/// let stats = world.run(upstreams.run(call))?.stats;
/// assert_eq!((stats.attempts, budget.used()), (2, 2), "each attempt is paid");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Attempts made.
    pub attempts: u32,
    /// Time spent waiting for slots and tokens, in all attempts.
    pub waited: Duration,
    /// This call took the request's budget to 80 %. True once per request.
    pub budget_warning: bool,
}

/// The answer to a call: also one with a bad status, after the last attempt
/// that was allowed. An error that is in the body is in the body still.
///
/// ```
/// use spinlane_core::limit::{Budget, Call, LaneConfig, Limits, Verdict};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// let answer = http::Response::builder().status(404).body("no such song".into())?;
/// let world = World::with_http(ScriptedHttp::in_turn([answer]));
/// let limits = Limits::default().with_lane("search", LaneConfig::new(2));
/// let upstreams = Resources::open(&world.ports(), limits).upstreams;
/// let call = Call::get("search", "https://search.example/", Budget::new(50))?;
/// let answered = world.run(upstreams.run(call))?;
/// assert_eq!((answered.verdict, answered.response.status().as_u16()), (Verdict::Absent, 404));
/// assert_eq!(world.run(answered.bytes(4096))?, "no such song");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Answered {
    /// The body holds the lane's slot until it has ended or is dropped.
    pub response: http::Response<BodyStream>,
    /// What it means.
    pub verdict: Verdict,
    /// What it cost.
    pub stats: CallStats,
}

/// Why an answer that came was not read whole.
///
/// ```
/// use spinlane_core::limit::{AnswerError, Budget, Call, LaneConfig, Limits};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// let world = World::with_http(ScriptedHttp::in_turn([http::Response::new("tomorrow".into())]));
/// let limits = Limits::default().with_lane("search", LaneConfig::new(2));
/// let upstreams = Resources::open(&world.ports(), limits).upstreams;
/// let call = Call::get("search", "https://search.example/", Budget::new(50))?;
/// let answered = || world.run(upstreams.run(call.clone()));
/// let error = world.run(answered()?.bytes(4)).unwrap_err();
/// assert_eq!(error, AnswerError::TooLong { limit: 4 });
/// // What is read says where, and keeps what it is to itself.
/// let error = world.run(answered()?.json::<f32>(4096)).unwrap_err();
/// assert!(error.to_string().starts_with("the answer cannot be read at line 1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// It broke off, or did not go on in time.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It has more bytes than the caller takes. The rest is not read.
    #[error("the answer has more than {limit} bytes")]
    TooLong {
        /// What the caller takes, in bytes.
        limit: usize,
    },
    /// It is no JSON, or JSON of another shape. What it says instead is left out: it
    /// may be a user's.
    #[error("the answer cannot be read at line {line}, column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

impl Answered {
    /// The whole body, of at most `limit` bytes, whatever the status. Dropping the
    /// future cancels the call; the lane's slot is free when this resolves.
    ///
    /// # Errors
    /// [`AnswerError::Http`], [`AnswerError::TooLong`].
    pub async fn bytes(self, limit: usize) -> Result<Bytes, AnswerError> {
        let mut body = self.response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(read) = body.next().await {
            let read = read?;
            if read.len() > limit - bytes.len() {
                return Err(AnswerError::TooLong { limit });
            }
            bytes.extend_from_slice(&read);
        }
        Ok(bytes.freeze())
    }

    /// The whole body, of at most `limit` bytes, read as JSON; otherwise as
    /// [`bytes`](Self::bytes).
    ///
    /// # Errors
    /// [`AnswerError`].
    pub async fn json<T: DeserializeOwned>(self, limit: usize) -> Result<T, AnswerError> {
        let bytes = self.bytes(limit).await?;
        serde_json::from_slice(&bytes).map_err(|error| AnswerError::Json {
            line: error.line(),
            column: error.column(),
        })
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered")
            .field("status", &self.response.status())
            .field("verdict", &self.verdict)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Why a call has no answer.
///
/// ```
/// use spinlane_core::limit::{Budget, BusyCause, Call, LaneConfig, Limits, Orchestrator};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// let world = World::with_http(ScriptedHttp::in_turn([http::Response::new("…".into())]));
/// let ports = world.ports();
/// let limits = Limits::default().with_lane("search", LaneConfig::new(1));
/// let upstreams = Orchestrator::new(limits, &ports, &Store::open(&ports));
/// let call = || Call::get("search", "https://search.example/", Budget::new(50)).unwrap();
///
/// // Its body holds the only slot.
/// let first = world.run(upstreams.run(call()))?;
/// let refused = world.run(upstreams.run(call().until(ports.clock.now()))).unwrap_err();
/// assert_eq!(refused.busy(), Some(BusyCause::Deadline));
/// assert!(refused.retry_after().is_some());
/// # drop(first);
/// # Ok::<(), spinlane_core::limit::CallError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request has made all the upstream calls that it may. Nothing was
    /// sent.
    #[error(transparent)]
    Budget(#[from] BudgetExhausted),
    /// The limits did not let the call through in time.
    #[error("{}", busy(lane, *cause, *retry_after))]
    Busy {
        /// The lane, or [`GLOBAL`](super::GLOBAL).
        lane: LaneName,
        /// What it would have had to wait for.
        cause: BusyCause,
        /// When trying again is likely to work.
        retry_after: Duration,
    },
    /// Nobody has said what the lane admits. Nothing was sent.
    #[error(
        "the lane `{lane}` is not configured: give it limits (`Limits::with_lane`), or all \
         lanes that have none of their own (`Limits::with_other_lanes`)"
    )]
    UnknownLane {
        /// The lane.
        lane: LaneName,
    },
    /// The last attempt that was allowed got no answer.
    #[error("no answer from {lane}: {error}")]
    Http {
        /// The lane.
        lane: LaneName,
        /// What happened.
        #[source]
        error: HttpError,
    },
}

/// What a call that was not let through would have had to wait for.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::limit::{Budget, BusyCause, Call, LaneConfig, Limits};
/// use spinlane_core::ports::Clock;
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// // It has too much to do, and says for how long.
/// let answer = http::Response::builder().status(429).header("retry-after", "60");
/// let world = World::with_http(ScriptedHttp::in_turn([answer.body("".into())?]));
/// let limits = Limits::default().with_lane("search", LaneConfig::new(2));
/// let upstreams = Resources::open(&world.ports(), limits).upstreams;
/// let call = Call::get("search", "https://search.example/", Budget::new(50))?;
/// let call = call.until(world.clock.now() + Duration::from_secs(10));
/// let error = world.run(upstreams.run(call)).unwrap_err();
/// assert_eq!(error.busy(), Some(BusyCause::Paused));
/// assert!(error.retry_after() >= Some(Duration::from_secs(60)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusyCause {
    /// Others: no slot became free before the deadline.
    Deadline,
    /// Too many others: so many wait already that it was turned away without
    /// waiting.
    QueueFull,
    /// The upstream, which asks to be left alone for longer than the call may
    /// wait. What is left of that is when to try again.
    Paused,
}

fn busy(lane: &str, cause: BusyCause, retry_after: Duration) -> String {
    let again = format!("try again in {} s", secs(retry_after));
    match cause {
        BusyCause::Deadline => format!("{lane} is busy: {again}"),
        BusyCause::QueueFull => format!("too many calls wait for {lane}: {again}"),
        BusyCause::Paused => format!("{lane} asks for a pause beyond the deadline: {again}"),
    }
}

impl CallError {
    /// When trying again is likely to work, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => Some(*retry_after),
            Self::Budget(_) | Self::UnknownLane { .. } | Self::Http { .. } => None,
        }
    }

    /// Why the limits did not let the call through, where that is what happened.
    pub const fn busy(&self) -> Option<BusyCause> {
        match self {
            Self::Busy { cause, .. } => Some(*cause),
            Self::Budget(_) | Self::UnknownLane { .. } | Self::Http { .. } => None,
        }
    }
}

impl From<LaneError> for CallError {
    fn from(error: LaneError) -> Self {
        let (lane, cause, retry_after) = match error {
            LaneError::QueueFull {
                lane, retry_after, ..
            } => (lane, BusyCause::QueueFull, retry_after),
            LaneError::Deadline { lane, retry_after } => (lane, BusyCause::Deadline, retry_after),
        };
        Self::Busy {
            lane,
            cause,
            retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use serde_json::{Value, json};

    use super::*;
    use crate::limit::{LaneConfig, Limits, Orchestrator};
    use crate::store::Store;
    use crate::testing::{ScriptedHttp, World};

    /// An answer of these pieces, and what the upstream is sent for it.
    fn answered(pieces: &'static [&'static str]) -> (World, Answered) {
        let world = World::with_http(ScriptedHttp::new(move |request| async move {
            assert_eq!(request.headers()["content-type"], "application/json");
            assert_eq!(request.body(), "{\"q\":1}");
            let pieces = pieces
                .iter()
                .map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
            Ok(http::Response::new(stream::iter(pieces).boxed()))
        }));
        let ports = world.ports();
        let limits = Limits::default().with_lane("x", LaneConfig::new(1));
        let door = Orchestrator::new(limits, &ports, &Store::open(&ports));
        let budget = Budget::default();
        let call = Call::post_json("x", "https://x.example/", &json!({"q": 1}), budget).unwrap();
        assert!(!call.repeatable);
        let answered = world.run(door.run(call)).unwrap();
        (world, answered)
    }

    #[test]
    fn a_body_is_read_up_to_a_limit() {
        for (limit, expected) in [
            (6, Ok(Bytes::from("abcdef"))),
            (5, Err(AnswerError::TooLong { limit: 5 })),
            (0, Err(AnswerError::TooLong { limit: 0 })),
        ] {
            let (world, answered) = answered(&["abc", "def"]);
            assert_eq!(world.run(answered.bytes(limit)), expected);
        }
    }

    #[test]
    fn json_that_cannot_be_read_is_not_repeated_in_the_error() {
        let (world, good) = answered(&["{\"a\":", "1}"]);
        assert_eq!(world.run(good.json::<Value>(100)), Ok(json!({"a": 1})));
        for body in [&["secret"], &["{\"secret\":1}"]] {
            let (world, bad) = answered(body);
            let error = world.run(bad.json::<u32>(100)).unwrap_err();
            assert!(
                matches!(error, AnswerError::Json { line: 1, .. }),
                "{error}"
            );
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_url_is_told_before_it_is_sent() {
        for url in ["", "not a url"] {
            let call = Call::get("x", url, Budget::default());
            assert!(matches!(call, Err(HttpError::Invalid(_))), "{url:?}");
        }
        let call = Call::get("x", "https://x.example/", Budget::default());
        assert!(call.unwrap().repeatable);
    }
}
