//! A run: work that is done while its answer is being streamed.
//!
//! [`start`] gives the response body and spawns the work that feeds it. A run
//! ends in exactly one terminal frame, whatever happens upstream, unless the
//! client goes: then everything is dropped, and with it the upstream calls. One that
//! can be read again ([`resume`]) goes on without its client.

mod frames;
mod new;
mod output;
pub mod plain;
mod read;
pub mod resume;
mod serve;
pub mod stop;
#[cfg(test)]
mod tests;
mod waits;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures::FutureExt;
use futures::future::{Either, select};
use http::{HeaderName, HeaderValue};
use tracing::Instrument;

use crate::context::RequestContext;
use spinlane_core::abort::{AbortHandle, AbortReason};
use spinlane_core::cache::Signals;
use spinlane_core::error::ErrorObject;
use spinlane_core::limit::Running;
use spinlane_core::ports::{
    BoxFuture, ClientTimeouts, Clock, Entropy, Instant, PanicTail, Spawner,
};
use spinlane_core::runlog::{Keys, Readers, RunLogs};
use spinlane_core::sse::{self, Event, Recording, WriterConfig};
use spinlane_core::store::Store;
use spinlane_core::{hex, log, scope};

pub use frames::{Cut, Frames, Said};
pub use new::NewRun;
pub use output::{Closed, Held, MAX_FRAMES, Output};
pub use read::{After, MAX_NUMBER, read};
pub use resume::Attempt;
use resume::Log;
pub use serve::serve;
pub use waits::{Waits, Whose};

/// The run's id, before the first frame says it.
pub const X_RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// What the runs of an application have in common.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
/// use spinlane_http::run::Runs;
///
/// let ports = World::new().ports();
/// let mut runs = Runs::new(&ports.clock, &ports.spawner).stopped_in(&Store::open(&ports));
/// runs.deadline = Some(Duration::from_secs(28));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Runs {
    /// Tells time.
    pub clock: Arc<dyn Clock>,
    /// Does the work.
    pub spawner: Arc<dyn Spawner>,
    /// Silence on a stream after which a heartbeat is written, 15 s at first.
    pub heartbeat: Duration,
    /// A client that takes no byte for this long is treated as gone, 30 s at first.
    pub stall: Duration,
    /// How long a run may take, where that is limited.
    pub deadline: Option<Duration>,
    /// Where runs are told to stop, where instances share a store.
    pub stops: Option<Signals>,
    /// Where what they say is kept, where they can be read again.
    pub logs: Option<RunLogs>,
    /// The keys by which the same run is asked for again.
    pub keys: Option<Keys>,
    /// A run that can be read again, and that nobody reads for so long, ends: 60 s at
    /// first.
    pub abandon: Duration,
    /// Names who is behind a lane, for a person.
    pub whose: Whose,
}

impl Runs {
    /// Runs without a deadline, which only their client can end.
    pub fn new(clock: &Arc<dyn Clock>, spawner: &Arc<dyn Spawner>) -> Self {
        Self {
            clock: Arc::clone(clock),
            spawner: Arc::clone(spawner),
            heartbeat: WriterConfig::default().heartbeat,
            stall: ClientTimeouts::default().stall,
            deadline: None,
            stops: None,
            logs: None,
            keys: None,
            abandon: Duration::from_secs(60),
            whose: |lane| lane,
        }
    }
}

impl Runs {
    /// The same, for runs that can be stopped by other requests, which tell it in
    /// `store`: see [`stop::ask`]. A run looks there every 800 ms.
    #[must_use]
    pub fn stopped_in(self, store: &Store) -> Self {
        Self {
            stops: Some(Signals::new(store, stop::NAMESPACE, stop::LASTS)),
            ..self
        }
    }

    /// The same, for runs that outlive their connections: what they say is kept in
    /// `store`, where that has counters, so that instances share it. See [`resume`].
    #[must_use]
    pub fn resumed_in(self, store: &Store) -> Self {
        let logs = RunLogs::new(store, resume::LOGS);
        Self {
            keys: logs.as_ref().map(|_| Keys::new(store, resume::KEYS)),
            logs,
            ..self
        }
    }

    /// The same, where a run ends that nobody reads for `time`.
    #[must_use]
    pub fn abandoned_after(self, time: Duration) -> Self {
        Self {
            abandon: time,
            ..self
        }
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs")
            .field("heartbeat", &self.heartbeat)
            .field("stall", &self.stall)
            .field("deadline", &self.deadline)
            .field("stops", &self.stops)
            .field("logs", &self.logs)
            .field("abandon", &self.abandon)
            .finish_non_exhaustive()
    }
}

/// Names a run.
///
/// ```
/// use spinlane_core::testing::World;
/// use spinlane_http::run::{Run, stop};
///
/// let mut run = Run::new(&*World::new().ports().entropy);
/// assert!(stop::is_run_id(&run.id));
/// // For who asks for the request's log.
/// run.debug = true;
/// ```
#[derive(Debug)]
pub struct Run {
    /// 128 random bits: who knows it may stop the run, and read it where that is
    /// possible.
    pub id: String,
    /// Whether the log is sent as well.
    pub debug: bool,
    /// What it says is kept there.
    log: Option<Log>,
}

impl Run {
    /// A run with a name of its own, without its log in the stream.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut id = [0; 16];
        entropy.fill(&mut id);
        Self {
            id: hex::encode(&id),
            debug: false,
            log: None,
        }
    }
}

/// What a run does.
///
/// ```
/// use std::sync::Arc;
///
/// use futures::FutureExt;
/// use spinlane_core::ports::BoxFuture;
/// use spinlane_http::run::plain::{Plain, Usage};
/// use spinlane_http::run::{Output, RunEnd, Waits, Work};
/// # use axum::body::to_bytes;
/// # use spinlane_core::abort::AbortHandle;
/// # use spinlane_core::limit::Budget;
/// # use spinlane_core::scope::Scope;
/// # use spinlane_core::testing::World;
/// # use spinlane_http::context::RequestContext;
/// # use spinlane_http::run::{self, Run, Runs};
///
/// struct Greet {
///     name: String,
/// }
///
/// impl Work<Plain> for Greet {
///     fn opening(&self) -> Option<&'static str> {
///         Some("Looking for the words")
///     }
///
///     fn work<'a>(
///         &'a mut self,
///         output: &'a Output<Plain>,
///         _: &'a Arc<Waits<Plain>>,
///     ) -> BoxFuture<'a, RunEnd<Plain>> {
///         async move {
///             let said = output.say(&format!("Hello, {}!", self.name)).await;
///             said.map_or_else(RunEnd::from, |()| RunEnd::Whole)
///         }
///         .boxed()
///     }
///
///     fn report(&self, _: &mut Usage) {}
/// }
/// # let world = World::new();
/// # let ports = world.ports();
/// # let abort = AbortHandle::new();
/// # let scope = Arc::new(Scope::new("request-1", Budget::new(50), abort.signal()));
/// # let context = RequestContext { scope, abort, answer: Default::default() };
/// # let runs = Runs::new(&ports.clock, &ports.spawner);
///
/// let work = Greet { name: "Ada".into() };
/// let answer = run::start(&runs, &context, Run::new(&*ports.entropy), work, None);
/// # let bytes = world.run(to_bytes(answer.into_body(), usize::MAX)).unwrap();
/// # let stream = String::from_utf8_lossy(&bytes);
/// assert!(stream.contains(r#"{"type":"content","data":"Hello, Ada!"}"#));
/// assert!(stream.ends_with("data: {\"type\":\"done\",\"data\":null}\n\n"));
/// ```
pub trait Work<F: Frames>: Send + 'static {
    /// The line of progress that leaves with the head.
    fn opening(&self) -> Option<&'static str> {
        None
    }

    /// Does it, and tells how it ended. Dropped at any point when the client
    /// goes, when somebody stops the run, and at its deadline: what has been
    /// done by then is in `self`.
    fn work<'a>(
        &'a mut self,
        output: &'a Output<F>,
        waits: &'a Arc<Waits<F>>,
    ) -> BoxFuture<'a, RunEnd<F>>;

    /// Adds what only the work itself knows to `report`.
    fn report(&self, report: &mut F::Usage);

    /// What there is to say of an end for `reason` where nothing was said before:
    /// that is an error. `None`: something was, or this work does not speak.
    fn silence(&self, reason: F::Reason) -> Option<ErrorObject> {
        let _ = reason;
        None
    }
}

/// How a run ends.
///
/// ```
/// use spinlane_core::error::{ErrorObject, code};
/// use spinlane_core::sse::Closed;
/// use spinlane_http::run::RunEnd;
/// use spinlane_http::run::plain::{Plain, Reason};
///
/// // What `?` makes of errors.
/// assert_eq!(RunEnd::<Plain>::from(Closed), RunEnd::Gone);
/// let busy = ErrorObject::new(code::BUSY, "try again in 2 s");
/// assert_eq!(RunEnd::<Plain>::from(busy.clone()), RunEnd::Failed(busy));
/// // And what the application knows by itself.
/// let cut = RunEnd::<Plain>::Incomplete(Reason::new("max_tokens"));
/// assert_ne!(cut, RunEnd::Whole);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd<F: Frames> {
    /// The answer is whole.
    Whole,
    /// A part of it was said.
    Incomplete(F::Reason),
    /// Nothing was said, and why.
    Failed(ErrorObject),
    /// There is nobody to tell.
    Gone,
}

impl<F: Frames> From<Closed> for RunEnd<F> {
    fn from(_: Closed) -> Self {
        Self::Gone
    }
}

impl<F: Frames> From<ErrorObject> for RunEnd<F> {
    fn from(error: ErrorObject) -> Self {
        Self::Failed(error)
    }
}

/// Answers with a stream at once, and starts the run that feeds it. When the body is
/// dropped before its end the run is aborted, unless it can be read again.
pub fn start<F: Frames>(
    runs: &Runs,
    context: &RequestContext,
    run: Run,
    work: impl Work<F>,
    running: Option<Running>,
) -> Response {
    let run_id = HeaderValue::from_str(&run.id).ok();
    let (body, panic_tail) = spawn(runs, context, run, work, running);
    let mut response = streamed(runs, body, panic_tail);
    response
        .headers_mut()
        .extend(run_id.map(|id| (X_RUN_ID, id)));
    response
}

/// The answer that carries a stream.
fn streamed(runs: &Runs, body: sse::Body, panic_tail: PanicTail) -> Response {
    let mut response = sse::response(body).map(Body::new);
    let extensions = response.extensions_mut();
    extensions.insert(panic_tail);
    extensions.insert(ClientTimeouts::default().stall(runs.stall));
    response
}

/// What a stream still says should the component panic.
fn panic_tail<F: Frames>(body: &sse::Body) -> PanicTail {
    body.panic_tail(|request_id| {
        let error = ErrorObject::internal(request_id);
        Event::json(&F::Frame::from(Said::Error(&error))).ok()
    })
}

/// Spawns `run`: its stream, and what the stream still says should the component
/// panic.
fn spawn<F: Frames>(
    runs: &Runs,
    context: &RequestContext,
    run: Run,
    work: impl Work<F>,
    running: Option<Running>,
) -> (sse::Body, PanicTail) {
    let (writer, body) = sse::channel(
        Arc::clone(&runs.clock),
        WriterConfig::default()
            .heartbeat(runs.heartbeat)
            .numbered(true),
        Some(context.abort.clone()),
    );
    let panic_tail = panic_tail::<F>(&body);
    let life = Life {
        log: run.log.map(|log| log.keep(runs, writer.record(), &run.id)),
        output: Output::new(writer),
        runs: runs.clone(),
        abort: context.abort.clone(),
        id: run.id,
        started: runs.clock.now(),
    };
    let sink = run.debug.then(|| life.output.log_sink());
    let work = life.drive(work, running);
    let work = work.instrument(tracing::Span::current());
    let work = scope::run(Arc::clone(&context.scope), log::with_sink(sink, work));
    runs.spawner.spawn(Box::pin(work));
    (body, panic_tail)
}

/// What there is to a run while it goes on.
struct Life<F> {
    runs: Runs,
    id: String,
    output: Output<F>,
    /// Who may end it early fires it.
    abort: AbortHandle,
    started: Instant,
    /// Where it can be read again: whether somebody does.
    log: Option<(Recording, Readers)>,
}

impl<F: Frames> Life<F> {
    /// The whole of it.
    async fn drive(self, mut work: impl Work<F>, running: Option<Running>) {
        let (output, resumable) = (&self.output, self.log.is_some());
        let begun = output.begin(&self.id, resumable, work.opening()).await;
        if begun.is_err() {
            return;
        }
        let waits = Arc::new(Waits::new(output.clone(), self.runs.whose));
        let ending = self.ending(&mut work, &waits).await;
        // Who wanted the end needs no answer, and who has gone has none.
        let unwanted = [Cut::Stopped, Cut::Abandoned].map(F::Reason::from);
        let ending = match ending {
            RunEnd::Incomplete(reason) if !unwanted.contains(&reason) => work
                .silence(reason)
                .map_or(RunEnd::Incomplete(reason), RunEnd::Failed),
            ending => ending,
        };
        let took = self.runs.clock.now() - self.started;
        let mut usage = F::usage();
        work.report(&mut usage);
        // Who reads the end may begin the next run at once.
        if let Some(running) = running {
            running.end().await;
        }
        finish(output, &usage, &ending, took).await;
    }

    /// Does the work until it ends, or something else ends it.
    async fn ending(&self, work: &mut impl Work<F>, waits: &Arc<Waits<F>>) -> RunEnd<F> {
        let cut = |cut: Cut| RunEnd::Incomplete(cut.into());
        let deadline = match self.runs.deadline {
            Some(deadline) => self.runs.clock.sleep_until(self.started + deadline),
            None => futures::future::pending().boxed(),
        };
        let work = select(work.work(&self.output, waits), deadline);
        match self.until(work).await {
            // It went on until there was no room for more.
            Ok(Either::Left((RunEnd::Gone, _))) if self.output.is_full() => cut(Cut::Upstream),
            Ok(Either::Left((ending, _))) => ending,
            Ok(Either::Right(_)) => cut(Cut::Deadline),
            Err(AbortReason::Deadline) => cut(Cut::Deadline),
            Err(AbortReason::Stopped) => cut(Cut::Stopped),
            Err(AbortReason::Abandoned) => cut(Cut::Abandoned),
            Err(AbortReason::ClientGone) => RunEnd::Gone,
        }
    }

    /// Does `work` until it ends, or is aborted: by who asks for its end, too, or when
    /// nobody is left to read it.
    async fn until<W: Future>(&self, work: W) -> Result<W::Output, AbortReason> {
        let ended = async {
            let stopped = std::pin::pin!(stop::stopped(&self.runs, &self.id));
            let unwanted = std::pin::pin!(self.unwanted());
            let reason = match select(stopped, unwanted).await {
                Either::Left(_) => AbortReason::Stopped,
                Either::Right((reason, _)) => reason,
            };
            self.abort.abort(reason);
            futures::future::pending::<Infallible>().await
        };
        let work = std::pin::pin!(work);
        let signal = self.abort.signal();
        match select(Box::pin(signal.guard(work)), Box::pin(ended)).await {
            Either::Left((ended, _)) => ended,
            Either::Right((never, _)) => match never {},
        }
    }

    /// Resolves when the client has gone and nobody else reads the run; never, where it
    /// cannot be read again: its end is the client's then.
    async fn unwanted(&self) -> AbortReason {
        let Some((recording, readers)) = &self.log else {
            return futures::future::pending().await;
        };
        recording.unread().await;
        let nobody = std::pin::pin!(readers.none_for(self.runs.abandon));
        match select(nobody, std::pin::pin!(recording.stopped())).await {
            Either::Left(_) => AbortReason::Abandoned,
            // Nobody will ever read what it says.
            Either::Right(_) => AbortReason::ClientGone,
        }
    }
}

/// Says how the run ended: to the client, if it is still there, and to the log.
async fn finish<F: Frames>(
    output: &Output<F>,
    usage: &F::Usage,
    ending: &RunEnd<F>,
    took: Duration,
) {
    let (outcome, terminal) = match ending {
        RunEnd::Whole => ("done", Said::Done(None)),
        RunEnd::Incomplete(reason) => ((*reason).into(), Said::Done(Some(*reason))),
        RunEnd::Failed(error) => (error.code.as_str(), Said::Error(error)),
        RunEnd::Gone => ("client_gone", Said::Done(None)),
    };
    F::ended(outcome, took, usage);
    if !matches!(ending, RunEnd::Gone) {
        // A client that goes at the very end misses only the end.
        let _ = output.end(usage, terminal).await;
    }
}
