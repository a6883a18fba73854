//! `search_tracks`.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::{Desk, Outcome, Report, Spec, Tool, schema, tracks};

#[derive(Deserialize)]
struct Input {
    query: String,
    #[serde(default = "limit")]
    limit: u32,
}

fn limit() -> u32 {
    10
}

/// Finds tracks in the catalogue.
pub(super) fn tool() -> Tool {
    let spec = Spec {
        name: "search_tracks",
        description: "Finds tracks in Spotify's catalogue. The query is free text and may have \
            the filters artist:\"…\", track:\"…\", album:\"…\", genre:\"…\" and \
            year:1990-1999. Gives ids, titles, artists and years, best match first.",
        schema: schema::input(
            &["query"],
            json!({
                "query": schema::text(1..=200, "What to look for."),
                "limit": schema::whole(1..=30, "How many tracks at most; 10 if left out."),
            }),
        ),
        writes: false,
    };
    Tool::new(spec, |input, desk| search(input, desk).boxed())
}

async fn search(Input { query, limit }: Input, desk: &Desk<'_>) -> Outcome {
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
