//! What other services know of tracks: their tempo (Deezer), and what their
//! listeners say (Last.fm).
//!
//! The cache comes first, and what it knows costs nothing. The rest of the
//! request's calls is shared half and half; each half begins only what it can
//! finish. What was not looked up is reported, with the reason, so that asking
//! again goes on from there.

mod audio;
mod batch;
mod lastfm;
mod names;
mod report;
mod reservation;
mod skip;
#[cfg(test)]
mod tests;
mod throttled;

use std::sync::Arc;

use futures::future::join;

pub(crate) use report::{EnrichedTrack, Report};
pub(crate) use skip::SkipReason;

use crate::AppState;
use crate::clients::deezer::Deezer;
use crate::clients::lastfm::Lastfm;
use crate::music::Track;
use audio::AudioEnrichment;
use batch::Batch;
use lastfm::LastfmEnrichment;
use spinlane_core::limit::{Budget, Observer};
use spinlane_core::ports::Instant;
use spinlane_core::scope;
use throttled::{Steps, ThrottledObserver};

/// A function that is told how far it has come: steps done, of how many, and what they
/// are.
pub(crate) type Progress<'a> = dyn Fn(usize, usize, &str) + Send + Sync + 'a;

/// Finds out what is known of `tracks`. Never fails: what could not be found
/// out is in the report. Dropping the future cancels the calls under way; what
/// was found by then stays in the cache.
pub(crate) async fn enrich(
    app: &AppState,
    observer: &Arc<dyn Observer>,
    tracks: &[Track],
    progress: &Progress<'_>,
) -> Report {
    enrich_until(app, observer, tracks, progress, None).await
}

/// The same, ending at `deadline` with what there is.
pub(crate) async fn enrich_until(
    app: &AppState,
    observer: &Arc<dyn Observer>,
    tracks: &[Track],
    progress: &Progress<'_>,
    deadline: Option<Instant>,
) -> Report {
    let throttled: Arc<dyn Observer> = Arc::new(ThrottledObserver::new(app, Arc::clone(observer)));
    let deezer = Deezer::new(app, Arc::clone(&throttled));
    let lastfm = Lastfm::new(app, throttled);
    let (audio_budget, lastfm_budget) = shares(app, lastfm.is_some());
    let audio = AudioEnrichment::new(app, deezer);
    let tags = lastfm.map(|lastfm| LastfmEnrichment::new(app, lastfm));
    let sources = 1 + usize::from(tags.is_some());
    let steps = Steps::new(tracks.len() * sources, progress);
    let clock = &*app.ports.clock;
    let audio = Batch::new(&audio, tracks, audio_budget, &steps, clock).until(deadline);
    let tags = async {
        let batch = Batch::new(tags.as_ref()?, tracks, lastfm_budget, &steps, clock);
        Some(batch.until(deadline).await)
    };
    let (audio, tags) = join(audio, tags).await;
    Report::new(tracks, audio, tags)
}

/// What each source may spend: half of what the request has left, or all of it
/// where the other source is off.
fn shares(app: &AppState, both: bool) -> (Budget, Budget) {
    let request = scope::current().map(|scope| Budget::clone(&scope.budget));
    let budget =
        request.unwrap_or_else(|| Budget::new(app.config.limits().subrequest_budget.get()));
    let percents = if both { [50, 50] } else { [100, 0] };
    let mut shares = budget.split(&percents).into_iter();
    let mut next = || shares.next().unwrap_or_else(|| Budget::new(0));
    (next(), next())
}
