//! An enrichment as a request of its own.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use crate::AppState;
use crate::enrich::{self, Report, enrich_until};
use crate::frames::{Dj, Frame, Output, Reason, RunEnd, UsageReport, Waits};
use crate::music::Track;
use spinlane_core::limit::Observer;
use spinlane_core::ports::{BoxFuture, Instant};
use spinlane_http::run::Work;

/// The longest time that is kept for saying what came of it, before a request
/// has to end; a short one keeps a tenth of it.
const CLOSING: Duration = Duration::from_secs(1);

/// Tracks that are being enriched.
pub(super) struct Enrichment {
    app: AppState,
    tracks: Vec<Track>,
    /// When the lookups end, so that the rest of the request's time is enough
    /// for their report.
    deadline: Option<Instant>,
}

impl Enrichment {
    /// The enrichment of `tracks`, for the request that begins now.
    pub(super) fn new(app: &AppState, tracks: Vec<Track>) -> Self {
        let now = app.ports.clock.now();
        let limit = app.config.streams().request_deadline;
        let limit = limit.map(|limit| limit - (limit / 10).min(CLOSING));
        Self {
            app: app.clone(),
            tracks,
            deadline: limit.map(|limit| now + limit),
        }
    }

    /// All that can be found out. `progress` is told how far it has come.
    pub(super) async fn report(
        &self,
        waits: &Arc<Waits>,
        progress: &enrich::Progress<'_>,
    ) -> Report {
        let observer = Arc::clone(waits) as Arc<dyn Observer>;
        enrich_until(&self.app, &observer, &self.tracks, progress, self.deadline).await
    }
}

impl Work<Dj> for Enrichment {
    fn work<'a>(&'a mut self, output: &'a Output, waits: &'a Arc<Waits>) -> BoxFuture<'a, RunEnd> {
        async move {
            let progress = |done, total, label: &str| output.progress(done, total, label);
            let report = self.report(waits, &progress).await;
            match output.feed(&Frame::Result(&report)).await {
                Err(_) => RunEnd::Gone,
                Ok(()) if report.ended_early() => RunEnd::Incomplete(Reason::Deadline),
                Ok(()) => RunEnd::Whole,
            }
        }
        .boxed()
    }

    fn report(&self, _: &mut UsageReport) {}
}
