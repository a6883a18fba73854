//! What came of an enrichment.

use serde::Serialize;
use utoipa::ToSchema;

use super::batch::{LookedUp, Outcome};
use super::skip::SkipReason;
use crate::clients::lastfm::TrackInfo;
use crate::error::{ErrorObject, code};
use crate::music::Track;

/// A track with what was found out about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrichedTrack {
    #[serde(flatten)]
    pub(crate) track: Track,
    /// Beats per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bpm: Option<f32>,
    /// Tags, the most used first.
    pub(crate) tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listeners: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) playcount: Option<u64>,
}

/// What was to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Bpm,
    Tags,
}

/// What was not found out about a track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// All tracks, in their order.
    pub(crate) tracks: Vec<EnrichedTrack>,
    /// What was skipped, in the tracks' order.
    pub(crate) skipped: Vec<Skipped>,
    /// What went wrong, once for each upstream. One that is off is named here,
    /// and nothing is skipped for it.
    pub(crate) notes: Vec<ErrorObject>,
}

impl Report {
    pub(super) fn new(
        tracks: &[Track],
        audio: LookedUp<f32>,
        tags: Option<LookedUp<TrackInfo>>,
    ) -> Self {
        let mut report = Self::default();
        report.notes.extend(audio.failure);
        let tags = match tags {
            Some(tags) => {
                report.notes.extend(tags.failure);
                Some(tags.outcomes)
            }
            None => {
                report.notes.push(lastfm_is_off());
                None
            }
        };
        let mut tags = tags.into_iter().flatten();
        for (index, (track, bpm)) in tracks.iter().zip(audio.outcomes).enumerate() {
            let bpm = report.take(index, track, What::Bpm, bpm);
            let info = tags.next();
            let info = info.and_then(|info| report.take(index, track, What::Tags, info));
            let info = info.unwrap_or_default();
            report.tracks.push(EnrichedTrack {
                track: track.clone(),
                bpm,
                tags: info.tags,
                listeners: info.listeners,
                playcount: info.playcount,
            });
        }
        report
    }

    /// What was found; where it was skipped, that is noted.
    fn take<T>(
        &mut self,
        index: usize,
        track: &Track,
        what: What,
        outcome: Outcome<T>,
    ) -> Option<T> {
        match outcome {
            Outcome::Found(value) => Some(value),
            Outcome::Nothing => None,
            Outcome::Skipped(reason) => {
                self.skipped.push(Skipped {
                    index,
                    id: track.id.clone(),
                    title: track.title.clone(),
                    what,
                    reason,
                });
                None
            }
        }
    }

    /// Whether the request's end cut it short.
    pub(crate) fn ended_early(&self) -> bool {
        let mut skipped = self.skipped.iter();
        skipped.any(|skipped| skipped.reason == SkipReason::Deadline)
    }
}

fn lastfm_is_off() -> ErrorObject {
    let message = "Last.fm is off, so there are no tags: set the variable `lastfm_api_key`";
    ErrorObject::new(code::NOT_CONFIGURED, message)
        .with("upstream", "lastfm")
        .with("variable", "lastfm_api_key")
}
