//! `search_tracks`.

use futures::FutureExt;
use garde::Validate;
use serde::Deserialize;

use super::{Outcome, Report, Tool, ToolContext, tracks};

#[derive(Deserialize, Validate)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    /// What to look for.
    #[garde(length(chars, min = 1, max = 200))]
    query: String,
    /// How many tracks at most; 10 if left out.
    #[serde(default = "limit")]
    #[garde(range(min = 1, max = 30))]
    limit: u32,
}

fn limit() -> u32 {
    10
}

/// Finds tracks in the catalogue.
pub(super) fn tool() -> Tool {
    Tool::reading(
        "search_tracks",
        "Finds tracks in Spotify's catalogue. The query is free text and may have the filters \
         artist:\"…\", track:\"…\", album:\"…\", genre:\"…\" and year:1990-1999. Gives ids, titles, \
         artists and years, best match first.",
        |input, context| search(input, context).boxed(),
    )
}

async fn search(Input { query, limit }: Input, context: &ToolContext<'_>) -> Outcome {
    let found = context.spotify().search_tracks(&query, limit, 0).await;
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
