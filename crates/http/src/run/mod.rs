//! A run: work that is done while its answer is being streamed.
//!
//! [`start`] gives the response body and spawns the work that feeds it. A run
//! ends in exactly one terminal frame, whatever happens upstream, unless the
//! client goes: then everything is dropped, and with it the upstream calls.

mod frames;
mod new;
mod output;
pub mod plain;
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
use spinlane_core::sse::{self, Event, WriterConfig};
use spinlane_core::store::Store;
use spinlane_core::{hex, log, scope};

pub use frames::{Cut, Frames, Said};
pub use new::NewRun;
pub use output::{Closed, Held, MAX_FRAMES, Output};
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
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs")
            .field("heartbeat", &self.heartbeat)
            .field("stall", &self.stall)
            .field("deadline", &self.deadline)
            .field("stops", &self.stops)
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
#[derive(Clone, Debug)]
pub struct Run {
    /// 128 random bits: who knows it may stop the run.
    pub id: String,
    /// Whether the log is sent as well.
    pub debug: bool,
}

impl Run {
    /// A run with a name of its own, without its log in the stream.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut id = [0; 16];
        entropy.fill(&mut id);
        Self {
            id: hex::encode(&id),
            debug: false,
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
/// use spinlane_http::run::{Ending, Output, Waits, Work};
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
///     ) -> BoxFuture<'a, Ending<Plain>> {
///         async move {
///             let said = output.say(&format!("Hello, {}!", self.name)).await;
///             said.map_or_else(Ending::from, |()| Ending::Whole)
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
    ) -> BoxFuture<'a, Ending<F>>;

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
/// use spinlane_http::run::Ending;
/// use spinlane_http::run::plain::{Plain, Reason};
///
/// // What `?` makes of errors.
/// assert_eq!(Ending::<Plain>::from(Closed), Ending::Gone);
/// let busy = ErrorObject::new(code::BUSY, "try again in 2 s");
/// assert_eq!(Ending::<Plain>::from(busy.clone()), Ending::Failed(busy));
/// // And what the application knows by itself.
/// let cut = Ending::<Plain>::Incomplete(Reason::new("max_tokens"));
/// assert_ne!(cut, Ending::Whole);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Ending<F: Frames> {
    /// The answer is whole.
    Whole,
    /// A part of it was said.
    Incomplete(F::Reason),
    /// Nothing was said, and why.
    Failed(ErrorObject),
    /// There is nobody to tell.
    Gone,
}

impl<F: Frames> From<Closed> for Ending<F> {
    fn from(_: Closed) -> Self {
        Self::Gone
    }
}

impl<F: Frames> From<ErrorObject> for Ending<F> {
    fn from(error: ErrorObject) -> Self {
        Self::Failed(error)
    }
}

/// Answers with a stream at once, and starts the run that feeds it. When the body is
/// dropped before its end the run is aborted.
pub fn start<F: Frames>(
    runs: &Runs,
    context: &RequestContext,
    run: Run,
    work: impl Work<F>,
    running: Option<Running>,
) -> Response {
    let run_id = HeaderValue::from_str(&run.id).ok();
    let (body, panic_tail) = spawn(runs, context, run, work, running);
    let mut response = sse::response(body).map(Body::new);
    let extensions = response.extensions_mut();
    extensions.insert(panic_tail);
    extensions.insert(ClientTimeouts::default().stall(runs.stall));
    response
        .headers_mut()
        .extend(run_id.map(|id| (X_RUN_ID, id)));
    response
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
    let panic_tail = body.panic_tail(|request_id| {
        let error = ErrorObject::internal(request_id);
        Event::json(&F::Frame::from(Said::Error(&error))).ok()
    });
    let output = Output::new(writer);
    let sink = run.debug.then(|| output.log_sink());
    let abort = context.abort.clone();
    let started = runs.clock.now();
    let work = drive(runs.clone(), abort, run, work, output, started, running);
    let work = work.instrument(tracing::Span::current());
    let work = scope::run(Arc::clone(&context.scope), log::with_sink(sink, work));
    runs.spawner.spawn(Box::pin(work));
    (body, panic_tail)
}

/// The whole life of a run.
async fn drive<F: Frames>(
    runs: Runs,
    abort: AbortHandle,
    run: Run,
    mut work: impl Work<F>,
    output: Output<F>,
    started: Instant,
    running: Option<Running>,
) {
    if output.begin(&run.id, work.opening()).await.is_err() {
        return;
    }
    let waits = Arc::new(Waits::new(output.clone(), runs.whose));
    let cut = |cut: Cut| Ending::Incomplete(cut.into());
    let ending = {
        let deadline = match runs.deadline {
            Some(deadline) => runs.clock.sleep_until(started + deadline),
            None => futures::future::pending().boxed(),
        };
        let work = select(work.work(&output, &waits), deadline);
        let stop = stop::stopped(&runs, &run.id);
        match until(&abort, work, stop).await {
            // It went on until there was no room for more.
            Ok(Either::Left((Ending::Gone, _))) if output.is_full() => cut(Cut::Upstream),
            Ok(Either::Left((ending, _))) => ending,
            Ok(Either::Right(_)) => cut(Cut::Deadline),
            Err(AbortReason::Deadline) => cut(Cut::Deadline),
            Err(AbortReason::Stopped) => cut(Cut::Stopped),
            Err(AbortReason::ClientGone) => Ending::Gone,
        }
    };
    // Who wanted the end needs no answer.
    let ending = match ending {
        Ending::Incomplete(reason) if reason != Cut::Stopped.into() => work
            .silence(reason)
            .map_or(Ending::Incomplete(reason), Ending::Failed),
        ending => ending,
    };
    let took = runs.clock.now() - started;
    let mut usage = F::usage();
    work.report(&mut usage);
    // Who reads the end may begin the next run at once.
    if let Some(running) = running {
        running.end().await;
    }
    finish(&output, &usage, &ending, took).await;
}

/// Does `work` until it ends, or `abort` fires; `stop` is one of those who fire
/// it.
async fn until<W: Future>(
    abort: &AbortHandle,
    work: W,
    stop: impl Future<Output = ()>,
) -> Result<W::Output, AbortReason> {
    let stop = async {
        stop.await;
        abort.abort(AbortReason::Stopped);
        futures::future::pending::<Infallible>().await
    };
    let work = std::pin::pin!(work);
    let signal = abort.signal();
    match select(Box::pin(signal.guard(work)), Box::pin(stop)).await {
        Either::Left((ended, _)) => ended,
        Either::Right((never, _)) => match never {},
    }
}

/// Says how the run ended: to the client, if it is still there, and to the log.
async fn finish<F: Frames>(
    output: &Output<F>,
    usage: &F::Usage,
    ending: &Ending<F>,
    took: Duration,
) {
    let (outcome, terminal) = match ending {
        Ending::Whole => ("done", Said::Done(None)),
        Ending::Incomplete(reason) => ((*reason).into(), Said::Done(Some(*reason))),
        Ending::Failed(error) => (error.code.as_str(), Said::Error(error)),
        Ending::Gone => ("client_gone", Said::Done(None)),
    };
    F::ended(outcome, took, usage);
    if !matches!(ending, Ending::Gone) {
        // A client that goes at the very end misses only the end.
        let _ = output.end(usage, terminal).await;
    }
}
