//! `get_track_details`.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Desk, Report, Spec, Tool, tracks, typed, unfit};
use crate::core::ports::BoxFuture;
use crate::dj::error::ErrorObject;

/// Tells all that is known of some tracks.
pub(super) struct GetTrackDetails;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    track_ids: Vec<String>,
}

impl Tool for GetTrackDetails {
    fn spec(&self) -> Spec {
        Spec {
            name: "get_track_details",
            description: "Tells all that is known of some tracks: album, year, length, \
                popularity, tempo (BPM), tags and listeners.",
            schema: json!({
                "type": "object",
                "properties": {
                    "trackIds": {
                        "type": "array", "minItems": 1, "maxItems": 20,
                        "items": {"type": "string", "minLength": 1, "maxLength": 200},
                        "description": "Ids of tracks, as other tools give them.",
                    },
                },
                "required": ["trackIds"],
                "additionalProperties": false,
            }),
            writes: false,
        }
    }

    fn call<'a>(
        &'a self,
        input: Value,
        desk: &'a Desk<'a>,
    ) -> BoxFuture<'a, Result<Report, ErrorObject>> {
        details(input, desk).boxed()
    }
}

async fn details(input: Value, desk: &Desk<'_>) -> Result<Report, ErrorObject> {
    let Input { track_ids } = typed(input)?;
    let ids: Vec<_> = track_ids.iter().map(String::as_str).collect();
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
