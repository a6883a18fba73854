//! `get_track_details`.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::{Desk, Outcome, Report, Spec, Tool, schema, tracks, unfit};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    track_ids: Vec<String>,
}

/// Tells all that is known of some tracks.
pub(super) fn tool() -> Tool {
    let spec = Spec {
        name: "get_track_details",
        description: "Tells all that is known of some tracks: album, year, length, popularity, \
            tempo (BPM), tags and listeners.",
        schema: schema::input(&["trackIds"], json!({"trackIds": schema::track_ids(20)})),
        writes: false,
    };
    Tool::new(spec, |input, desk| details(input, desk).boxed())
}

async fn details(input: Input, desk: &Desk<'_>) -> Outcome {
    let ids: Vec<_> = input.track_ids.iter().map(String::as_str).collect();
    let found = desk.spotify.tracks(&ids).await;
    let found = found.map_err(|error| error.object())?;
    let missing = found.iter().zip(&ids).filter(|(track, _)| track.is_none());
    let missing: Vec<_> = missing.map(|(_, id)| tracks::name(id)).collect();
    let known: Vec<_> = found.into_iter().flatten().collect();
    if known.is_empty() {
        let message = format!("the catalogue has no track {}", missing.join(", "));
        return Err(unfit(message));
    }
    let enriched = desk.enrich(&known).await;
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
