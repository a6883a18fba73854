//! Runs that outlive their connections.
//!
//! A request that wants it ([`Attempt`], or the application's own way) begins a run
//! whose every frame is also kept in the store ([`runlog`](spinlane_core::runlog)). It
//! goes on when its client goes, can be read again from any instance
//! ([`read`](super::read())), and ends when nobody has read it for
//! [`Runs::abandon`](super::Runs::abandon). With an `Idempotency-Key` the same prompt
//! begins one run, however often it is sent.

use axum::extract::FromRequestParts;
use axum::response::Response;
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderName, StatusCode};

use super::new::LAST_EVENT_ID;
use super::read::{self, number_in};
use super::{Frames, Run, Runs};
use crate::context::RequestContext;
use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::log::millis;
use spinlane_core::ports::StoreError;
use spinlane_core::runlog::{KeyClaim, Keyed, Known, LogWriter, Readers};
use spinlane_core::sse::Recording;

/// The namespace in the store of what runs say.
pub const LOGS: &str = "run";
/// The namespace of the keys.
pub const KEYS: &str = "run-key";

/// Names the request by which a run is asked for, so that it can be sent again.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How long a key is, in characters.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 16..=255;

/// When it is worth asking again for a run that has not begun.
const PENDING_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// What a run says goes there as well.
#[derive(Debug)]
pub(super) struct Log {
    writer: LogWriter,
    /// By which others ask for the same run.
    claim: Option<KeyClaim>,
}

impl Log {
    /// Keeps what is recorded, beside the work; and says what the key stands for, when
    /// the head has left.
    pub(super) fn keep(self, runs: &Runs, recording: Recording, id: &str) -> (Recording, Readers) {
        let kept = (recording.watch(), self.writer.readers());
        let (writer, claim, id) = (self.writer, self.claim, id.to_owned());
        let keep = async move {
            if let Some(claim) = claim
                && let Err(error) = claim.fulfil(&id).await
            {
                tracing::warn!(%error, "the run of an idempotency key could not be noted");
            }
            writer.keep(recording).await;
        };
        runs.spawner.spawn(keep.boxed());
        kept
    }
}

/// A request that begins a run, or asks for one again.
///
/// As an extractor it reads `Idempotency-Key` and `Last-Event-ID`, and answers 422 where
/// one of them is malformed.
///
/// ```
/// use axum::extract::FromRequestParts;
/// use http::Request;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
/// use spinlane_http::run::Runs;
/// use spinlane_http::run::resume::{Attempt, Attempted};
///
/// let world = World::new();
/// let ports = world.ports();
/// let runs = Runs::new(&ports.clock, &ports.spawner).resumed_in(&Store::open(&ports));
/// let attempt = |request: http::request::Builder| {
///     let (mut parts, ()) = request.body(()).unwrap().into_parts();
///     world.run(Attempt::from_request_parts(&mut parts, &()))
/// };
/// let short = attempt(Request::post("/").header("idempotency-key", "short"));
/// assert_eq!(short.unwrap_err().status(), 422);
/// // A client that connects again by itself is told where to read on.
/// let again = attempt(Request::post("/").header("last-event-id", "7")).unwrap();
/// let refused = world.run(again.claim(&runs, "me", b"hello", "/{run}"));
/// assert_eq!(refused.unwrap_err().status(), 409);
/// let first = attempt(Request::post("/")).unwrap();
/// let claimed = world.run(first.claim(&runs, "me", b"hello", "/{run}"));
/// assert!(matches!(claimed, Ok(Attempted::New(_))));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    key: Option<String>,
    /// The newest frame that the client has, where it has any.
    seen: Option<Result<u64, ()>>,
}

impl<S: Sync> FromRequestParts<S> for Attempt {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut keys = parts.headers.get_all(IDEMPOTENCY_KEY).into_iter();
        let key = match (keys.next(), keys.next()) {
            (None, _) => None,
            (Some(key), None) => Some(key_in(key.as_bytes()).ok_or_else(bad_key)?),
            (Some(_), Some(_)) => return Err(bad_key()),
        };
        let mut seen = parts.headers.get_all(LAST_EVENT_ID).into_iter();
        // An empty one says that nothing was seen.
        let seen = seen.find(|id| !id.as_bytes().trim_ascii().is_empty());
        let seen = seen.map(|id| number_in(id.as_bytes()).ok_or(()));
        Ok(Self { key, seen })
    }
}

fn key_in(bytes: &[u8]) -> Option<String> {
    let visible = bytes.iter().all(u8::is_ascii_graphic);
    let key = std::str::from_utf8(bytes).ok().filter(|_| visible)?;
    KEY_LENGTH.contains(&key.len()).then(|| key.to_owned())
}

fn bad_key() -> Problem {
    let message = "`Idempotency-Key` is sent once, and has 16 to 255 visible characters: \
         a random UUID is one";
    let error = ErrorObject::new(code::INVALID_REQUEST, message);
    let error = error.with("header", IDEMPOTENCY_KEY.as_str());
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error)
}

/// What becomes of an [`Attempt`].
///
/// ```
/// use axum::response::Response;
/// use spinlane_http::context::RequestContext;
/// use spinlane_http::problem::Problem;
/// use spinlane_http::run::plain::Plain;
/// use spinlane_http::run::resume::{Attempt, Attempted};
/// use spinlane_http::run::{self, Output, Run, Runs};
///
/// async fn greet(
///     attempt: Attempt,
///     runs: &Runs,
///     context: &RequestContext,
///     run: Run,
///     name: String,
/// ) -> Result<Response, Problem> {
///     match attempt.claim(runs, "me", name.as_bytes(), "/{run}").await? {
///         Attempted::Again(known) => known.read::<Plain>(runs, context, None).await,
///         Attempted::New(begin) => {
///             let run = begin.resumable(runs, run, None).await?;
///             Ok(run::serve(runs, context, run, |output: Output<Plain>, _| async move {
///                 Ok(output.say(&name).await?)
///             }))
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub enum Attempted {
    /// A run may begin.
    New(Begin),
    /// There is one already: its id, and the newest frame that the client has.
    Again(Again),
}

/// A run that is there already.
///
/// ```
/// use axum::response::Response;
/// use spinlane_http::context::RequestContext;
/// use spinlane_http::problem::Problem;
/// use spinlane_http::run::Runs;
/// use spinlane_http::run::plain::Plain;
/// use spinlane_http::run::resume::Again;
///
/// /// To nobody but its owner.
/// async fn answer(known: Again, runs: &Runs, context: &RequestContext) -> Result<Response, Problem> {
///     known.read::<Plain>(runs, context, Some("me")).await
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    id: String,
    after: u64,
}

/// A run that may begin.
///
/// ```
/// use spinlane_http::problem::Problem;
/// use spinlane_http::run::resume::Begin;
/// use spinlane_http::run::{Run, Runs};
///
/// /// Where the quota refuses, the key is free again.
/// async fn begin(
///     begin: Begin,
///     quota: impl Future<Output = Result<(), Problem>>,
///     runs: &Runs,
///     run: Run,
/// ) -> Result<Run, Problem> {
///     let (begin, ()) = begin.unless(quota).await?;
///     begin.resumable(runs, run, None).await
/// }
/// ```
#[derive(Debug)]
pub struct Begin(Option<KeyClaim>);

impl Attempt {
    /// Whether a run that begins by it is to be one that can be read again.
    pub const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether a run may begin by it, which `caller` asks for with `body`; `read_at` is
    /// where runs are read again. To be asked before the caller's quota: who asks again
    /// is asked for nothing. Without a key it costs nothing; else two increments, or one
    /// and a read where there is a run.
    ///
    /// # Errors
    /// 409 for a client that has seen something, which connects again by itself: to
    /// begin another run would do everything twice. 409 as well where the run of its key
    /// does not begin within 5 s, 422 where the key was sent with another body, 503 where
    /// the store does not say.
    pub async fn claim(
        self,
        runs: &Runs,
        caller: &str,
        body: &[u8],
        read_at: &str,
    ) -> Result<Attempted, Problem> {
        let (Some(keys), Some(key)) = (&runs.keys, &self.key) else {
            return match self.seen {
                None => Ok(Attempted::New(Begin(None))),
                Some(_) => Err(not_again(read_at)),
            };
        };
        let after = match self.seen {
            None => 0,
            Some(Ok(after)) => after,
            Some(Err(())) => return Err(read::bad_number(LAST_EVENT_ID.as_str())),
        };
        let keyed = keys.claim(caller, key, body).await;
        match keyed.map_err(|error| unclaimed(&error))? {
            // What it has seen was another's, or too long ago.
            Keyed::Ours(claim) if self.seen.is_some() => {
                claim.release().await;
                Err(read::gone())
            }
            Keyed::Ours(claim) => Ok(Attempted::New(Begin(Some(claim)))),
            Keyed::Known(Known::Run(id)) => Ok(Attempted::Again(Again { id, after })),
            Keyed::Known(Known::Other) => Err(reused()),
            Keyed::Pending => Err(pending()),
        }
    }
}

impl Begin {
    /// What has to be asked before the run begins. Where that is refused the key is
    /// free again.
    ///
    /// # Errors
    /// Those of `asked`.
    pub async fn unless<T>(
        self,
        asked: impl Future<Output = Result<T, Problem>>,
    ) -> Result<(Self, T), Problem> {
        match asked.await {
            Ok(answer) => Ok((self, answer)),
            Err(problem) => {
                self.release().await;
                Err(problem)
            }
        }
    }

    /// Makes `run` one that can be read again, where runs can; where it has an `owner`,
    /// by the same alone. One call of the store. A run without a key begins without it
    /// where that fails.
    ///
    /// # Errors
    /// 503 where the run has a key, and the store does not take its log.
    pub async fn resumable(
        self,
        runs: &Runs,
        mut run: Run,
        owner: Option<&str>,
    ) -> Result<Run, Problem> {
        let Some(logs) = &runs.logs else {
            return Ok(run);
        };
        match logs.begin(&run.id, owner).await {
            Ok(writer) => {
                let claim = self.0;
                run.log = Some(Log { writer, claim });
            }
            Err(error) if self.0.is_some() => {
                self.release().await;
                return Err(unclaimed(&error));
            }
            Err(error) => tracing::warn!(%error, "a run begins that cannot be read again"),
        }
        Ok(run)
    }

    async fn release(self) {
        if let Some(claim) = self.0 {
            claim.release().await;
        }
    }
}

impl Again {
    /// Answers with the run's stream, from its beginning, or after what the client has;
    /// for `reader`, as [`read`](super::read()) does.
    ///
    /// # Errors
    /// 410 where what it said is not kept any more, 503 where the store does not say.
    pub async fn read<F: Frames>(
        self,
        runs: &Runs,
        context: &RequestContext,
        reader: Option<&str>,
    ) -> Result<Response, Problem> {
        let Self { id, after } = self;
        let answer = read::open::<F>(runs, context, &id, reader, after, None).await;
        answer.map_err(|problem| match problem.status() {
            // There was one.
            StatusCode::NOT_FOUND => read::gone(),
            _ => problem,
        })
    }
}

/// 409: a client that has lost a stream connects again, and would begin another run.
fn not_again(read_at: &str) -> Problem {
    let message = format!(
        "this request has the header `Last-Event-ID`, as clients send it that have lost a stream \
         and connect again; to answer it would do everything twice: go on reading with `GET \
         {read_at}`, where the run's `run` frame says `resumable`, or send this without the \
         header"
    );
    let error = ErrorObject::new(code::NOT_RESUMABLE, message)
        .with("header", LAST_EVENT_ID.as_str())
        .with("read", read_at);
    Problem::new(StatusCode::CONFLICT, error)
}

/// 422: the key stands for something else.
fn reused() -> Problem {
    let message = "this `Idempotency-Key` was sent before, with another body: send what is \
         another request with another key";
    let error = ErrorObject::new(code::KEY_REUSED, message);
    let error = error.with("header", IDEMPOTENCY_KEY.as_str());
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error)
}

/// 409: whoever has the key has not begun.
fn pending() -> Problem {
    let message = "this `Idempotency-Key` was sent before, and its run has not begun: try again \
         in a moment; should it stay so, whoever was to begin it has died: then send another key";
    let mut error = ErrorObject::new(code::KEY_PENDING, message);
    error.retry_after_ms = Some(millis(PENDING_RETRY));
    let error = error.with("header", IDEMPOTENCY_KEY.as_str());
    Problem::new(StatusCode::CONFLICT, error)
}

fn unclaimed(error: &StoreError) -> Problem {
    tracing::warn!(%error, "an idempotency key could not be looked at");
    Problem::store_unavailable(
        "the key-value store does not answer, and it knows what was begun by this \
         `Idempotency-Key`: try again in a moment",
    )
}
