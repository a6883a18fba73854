//! `search_tracks`.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Desk, Report, Spec, Tool, tracks, typed};
use crate::core::ports::BoxFuture;
use crate::dj::error::ErrorObject;

/// Finds tracks in the catalogue.
pub(super) struct SearchTracks;

#[derive(Deserialize)]
struct Input {
    query: String,
    #[serde(default = "limit")]
    limit: u32,
}

fn limit() -> u32 {
    10
}

impl Tool for SearchTracks {
    fn spec(&self) -> Spec {
        Spec {
            name: "search_tracks",
            description: "Finds tracks in Spotify's catalogue. The query is free text and may \
                have the filters artist:\"…\", track:\"…\", album:\"…\", genre:\"…\" and \
                year:1990-1999. Gives ids, titles, artists and years, best match first.",
            schema: json!({
                "type": "object",
                "properties": {
                    "query": {
                        "type": "string", "minLength": 1, "maxLength": 200,
                        "description": "What to look for.",
                    },
                    "limit": {
                        "type": "integer", "minimum": 1, "maximum": 30,
                        "description": "How many tracks at most; 10 if left out.",
                    },
                },
                "required": ["query"],
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
        search(input, desk).boxed()
    }
}

async fn search(input: Value, desk: &Desk<'_>) -> Result<Report, ErrorObject> {
    let Input { query, limit } = typed(input)?;
    let found = desk.spotify.search_tracks(&query, limit, 0).await;
    let found = found.map_err(|error| error.object())?;
    let (shown, total) = (found.items.len(), found.total);
    let summary = match shown {
        0 => format!("Nothing in the catalogue matches \"{query}\""),
        _ => format!("{shown} of {total} tracks that match \"{query}\""),
    };
    Ok(Report {
        tracks: found.items.iter().map(tracks::entry).collect(),
        ..Report::new(summary)
    })
}
