//! A run: work that is done while its answer is being streamed.
//!
//! [`start`] gives the response body and spawns the work that feeds it. A run
//! ends in exactly one terminal frame, whatever happens upstream, unless the
//! client goes: then everything is dropped, and with it the upstream calls.

mod frame;
mod output;
pub(crate) mod stop;
mod waits;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, select};
use tracing::{Instrument, info};

use super::AppState;
use super::error::ErrorObject;
use spinlane_core::abort::{AbortHandle, AbortReason};
use spinlane_core::limit::Running;
use spinlane_core::log::millis;
use spinlane_core::ports::{BoxFuture, Instant, LastWords};
use spinlane_core::sse::{self, Event, WriterConfig};
use spinlane_core::{log, scope};
use spinlane_http::context::RequestContext;

pub(crate) use frame::{Frame, Reason, UsageReport};
pub(crate) use output::{Closed, Held, Output};
pub(crate) use waits::Waits;

/// Names a run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// 128 random bits: who knows it may stop the run.
    pub(crate) id: String,
    /// Whether the log is sent as well.
    pub(crate) debug: bool,
}

/// What a run does.
pub(crate) trait Work: Send + 'static {
    /// The line of progress that leaves with the head.
    fn opening(&self) -> Option<&'static str> {
        None
    }

    /// Does it, and tells how it ended. Dropped at any point when the client
    /// goes, when somebody stops the run, and at its deadline: what has been
    /// done by then is in `self`.
    fn work<'a>(&'a mut self, output: &'a Output, waits: &'a Arc<Waits>) -> BoxFuture<'a, Ending>;

    /// Adds what only the work itself knows to `report`.
    fn report(&self, report: &mut UsageReport);

    /// What there is to say of an end for `reason` where nothing was said before:
    /// that is an error. `None`: something was, or this work does not speak.
    fn silence(&self, reason: Reason) -> Option<ErrorObject> {
        let _ = reason;
        None
    }
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// The answer is whole.
    Whole,
    /// A part of it was said.
    Incomplete(Reason),
    /// Nothing was said, and why.
    Failed(ErrorObject),
    /// There is nobody to tell.
    Gone,
}

/// Starts `run`: its stream, and what the stream still says should the
/// component panic. When the body is dropped before its end the run is aborted.
pub(crate) fn start(
    app: &AppState,
    context: &RequestContext,
    run: Run,
    work: impl Work,
    running: Option<Running>,
) -> (sse::Body, LastWords) {
    let (writer, body) = sse::channel(
        Arc::clone(&app.ports.clock),
        WriterConfig {
            heartbeat: app.config.heartbeat,
            numbered: true,
            ..WriterConfig::default()
        },
        Some(context.abort.clone()),
    );
    let last_words = body.last_words(|request_id| {
        Event::json(&Frame::Error(&ErrorObject::internal(request_id))).ok()
    });
    let output = Output::new(writer);
    let sink = run.debug.then(|| output.log_sink());
    let started = app.ports.clock.now();
    let work = drive(
        app.clone(),
        context.abort.clone(),
        run,
        work,
        output,
        started,
        running,
    );
    let work = work.instrument(tracing::Span::current());
    let work = scope::run(Arc::clone(&context.scope), log::with_sink(sink, work));
    app.ports.spawner.spawn(Box::pin(work));
    (body, last_words)
}

/// The whole life of a run.
async fn drive(
    app: AppState,
    abort: AbortHandle,
    run: Run,
    mut work: impl Work,
    output: Output,
    started: Instant,
    running: Option<Running>,
) {
    if output.run(&run.id, work.opening()).await.is_err() {
        return;
    }
    let waits = Arc::new(Waits::new(output.clone()));
    let ending = {
        let deadline = match app.config.request_deadline {
            Some(deadline) => app.ports.clock.sleep_until(started + deadline),
            None => futures::future::pending().boxed(),
        };
        let work = select(work.work(&output, &waits), deadline);
        let stop = stop::asked(&app, &run.id);
        match until(&abort, work, stop).await {
            // It went on until there was no room for more.
            Ok(Either::Left((Ending::Gone, _))) if output.is_full() => {
                Ending::Incomplete(Reason::UpstreamCut)
            }
            Ok(Either::Left((ending, _))) => ending,
            Ok(Either::Right(_)) => Ending::Incomplete(Reason::Deadline),
            Err(AbortReason::Deadline) => Ending::Incomplete(Reason::Deadline),
            Err(AbortReason::Stopped) => Ending::Incomplete(Reason::Stopped),
            Err(AbortReason::ClientGone) => Ending::Gone,
        }
    };
    let ending = match ending {
        Ending::Incomplete(reason) if !reason.was_asked_for() => work
            .silence(reason)
            .map_or(Ending::Incomplete(reason), Ending::Failed),
        ending => ending,
    };
    let took = app.ports.clock.now() - started;
    let mut usage = UsageReport::of_request();
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
async fn finish(output: &Output, usage: &UsageReport, ending: &Ending, took: Duration) {
    let (outcome, terminal) = match ending {
        Ending::Whole => ("done", Frame::Done(None)),
        Ending::Incomplete(reason) => (reason.as_str(), Frame::Done(Some((*reason).into()))),
        Ending::Failed(error) => (error.code.as_str(), Frame::Error(error)),
        Ending::Gone => ("client_gone", Frame::Done(None)),
    };
    info!(
        outcome,
        duration_ms = millis(took),
        input_tokens = usage.input_tokens,
        output_tokens = usage.output_tokens,
        upstream_calls = usage.upstream_calls,
        budget_left = usage.budget_left,
        lane_wait_ms = usage.lane_wait_ms,
        "the run has ended"
    );
    if *ending != Ending::Gone {
        // A client that goes at the very end misses only the end.
        let _ = output.end(usage, &terminal).await;
    }
}
