//! `get_track_details`.

use futures::FutureExt;
use garde::Validate;
use serde::Deserialize;

use super::input::Name;
use super::{Outcome, Report, Tool, ToolContext, tracks, unfit};

#[derive(Deserialize, Validate)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    /// Ids of tracks, as other tools give them.
    #[garde(length(min = 1, max = 20), dive)]
    track_ids: Vec<Name>,
}

/// Tells all that is known of some tracks.
pub(super) fn tool() -> Tool {
    Tool::reading(
        "get_track_details",
        "Tells all that is known of some tracks: album, year, length, popularity, tempo (BPM), \
         tags and listeners.",
        |input, context| details(input, context).boxed(),
    )
}

async fn details(input: Input, context: &ToolContext<'_>) -> Outcome {
    let ids: Vec<&str> = input.track_ids.iter().map(|id| &**id).collect();
    let found = context.spotify().tracks(&ids).await;
    let found = found.map_err(|error| error.object())?;
    let missing = found.iter().zip(&ids).filter(|(track, _)| track.is_none());
    let missing: Vec<_> = missing.map(|(_, id)| tracks::name(id)).collect();
    let known: Vec<_> = found.into_iter().flatten().collect();
    if known.is_empty() {
        let message = format!("the catalogue has no track {}", missing.join(", "));
        return Err(unfit(message));
    }
    let enriched = context.enrich(&known).await;
    let summary = format!("{} of {} tracks in detail", known.len(), ids.len());
    let mut report = Report {
        tracks: enriched.tracks.iter().map(tracks::enriched).collect(),
        ..Report::new(summary)
    };
    if !missing.is_empty() {
        report = report.with("unknown", missing);
    }
    Ok(super::with_gaps(report, &enriched))
}
