//! A run: one prompt, answered on one stream.
//!
//! [`start`] gives the response body and spawns the run that feeds it. A run
//! ends in exactly one terminal frame, whatever happens upstream, unless the
//! client goes: then everything is dropped, and with it the upstream call.

mod answer;
mod frame;
mod output;
mod prompt;
#[cfg(test)]
mod tests;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, select};
use tracing::{Instrument, info};

use super::AppState;
use super::api::RequestContext;
use super::api::chat::ChatRequest;
use super::clients::anthropic::Client;
use super::config::Secret;
use super::error::ErrorObject;
use crate::core::abort::{AbortReason, AbortSignal};
use crate::core::ports::{Instant, LastWords};
use crate::core::sse::{self, Event, WriterConfig};
use crate::core::{log, scope};
use answer::{Ending, Progress};
use frame::{Frame, Reason, UsageReport};
use output::Output;
use waits::Waits;

/// What a run is given.
#[derive(Debug)]
pub(crate) struct Run {
    /// 128 random bits: who knows it may stop the run.
    pub(crate) id: String,
    pub(crate) request: ChatRequest,
    /// Whether the log is sent as well.
    pub(crate) debug: bool,
    pub(crate) api_key: Secret,
}

/// Starts `run`: its stream, and what the stream still says should the
/// component panic. When the body is dropped before its end the run is aborted.
pub(crate) fn start(app: &AppState, context: &RequestContext, run: Run) -> (sse::Body, LastWords) {
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
        context.scope.abort.clone(),
        run,
        output,
        started,
    );
    let work = work.instrument(tracing::Span::current());
    let work = scope::run(Arc::clone(&context.scope), log::with_sink(sink, work));
    app.ports.spawner.spawn(Box::pin(work));
    (body, last_words)
}

/// The whole life of a run.
async fn drive(app: AppState, abort: AbortSignal, run: Run, output: Output, started: Instant) {
    if output.run(&run.id).await.is_err() {
        return;
    }
    let waits = Arc::new(Waits::new(output.clone()));
    let client = Client::new(&app, run.api_key, Arc::clone(&waits) as _);
    let model = &app.config.anthropic.model;
    let mut progress = Progress::default();
    let ending = {
        let work = answer::relay(&client, model, &run.request, &output, &mut progress);
        let deadline = match app.config.request_deadline {
            Some(deadline) => app.ports.clock.sleep_until(started + deadline),
            None => futures::future::pending().boxed(),
        };
        let work = select(Box::pin(work), deadline);
        match abort.guard(work).await {
            Ok(Either::Left((ending, _))) => ending,
            Ok(Either::Right(_)) => Ending::Incomplete(Reason::Deadline),
            Err(AbortReason::Deadline) => Ending::Incomplete(Reason::Deadline),
            Err(AbortReason::Stopped) => Ending::Incomplete(Reason::Stopped),
            Err(AbortReason::ClientGone) => Ending::Gone,
        }
    };
    let took = app.ports.clock.now() - started;
    let usage = report(&progress, waits.millis());
    finish(&output, &usage, &ending, took).await;
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
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
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

fn report(progress: &Progress, lane_wait_ms: u64) -> UsageReport {
    let usage = progress.usage;
    let scope = scope::current();
    let budget = scope.as_ref().map(|scope| &scope.budget);
    UsageReport {
        input_tokens: usage.input_tokens.unwrap_or(0),
        output_tokens: usage.output_tokens.unwrap_or(0),
        cache_read_tokens: usage.cache_read_input_tokens.unwrap_or(0),
        cache_write_tokens: usage.cache_creation_input_tokens.unwrap_or(0),
        partial: !progress.complete,
        upstream_calls: budget.map_or(0, |budget| budget.used()),
        budget_left: budget.map_or(0, |budget| budget.remaining()),
        lane_wait_ms,
    }
}
