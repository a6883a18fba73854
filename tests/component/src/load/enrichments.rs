//! Enrichments, as a stream or as a document.

use reqwest::{Method, Response};
use serde_json::{Value, json};
use spinlane_upstreams::catalogue::{Catalogue, Track};

use super::client::Client;
use super::judge::{Broken, Ended, Judged, ensure};
use super::services::Upstream;
use super::{GONE, Visit};

/// Tracks of the catalogue that are asked about: few enough that most are cached.
const POOL: usize = 150;

/// Tracks with what is known of each; `None`: nobody knows it.
type Tracks<'a> = Vec<(Value, Option<&'a Track>)>;

fn tracks<'a>(visit: &Visit<'_>, catalogue: &'a Catalogue) -> Tracks<'a> {
    let known = (0..visit.chance.below(6)).map(|_| {
        let track = &catalogue.tracks[visit.chance.below(POOL)];
        let artist = catalogue.artist_names(track).next().unwrap_or_default();
        let track_asked = json!({"id": track.id, "title": track.title, "artist": artist,
            "isrc": track.isrc, "durationMs": track.duration_ms});
        (track_asked, Some(track))
    });
    // What nobody has asked about takes calls.
    let unknown = (0..1 + visit.chance.below(2)).map(|at| {
        let title = format!("Nothing {}.{at}", visit.number);
        (json!({"title": title, "artist": "Nobody"}), None)
    });
    known.chain(unknown).collect()
}

/// A few tracks, some of which nobody has asked about before.
pub(super) async fn enrichment(visit: &Visit<'_>) -> Judged {
    let catalogue = visit.load.upstreams.catalogue();
    let tracks = tracks(visit, catalogue);
    if visit.goes_wrong {
        visit.service_goes_wrong(visit.chance.pick(&[Upstream::Deezer, Upstream::Lastfm]));
    }
    let streams = visit.chance.percent(60);
    let accept = if streams {
        "text/event-stream"
    } else {
        "application/json"
    };
    let body: Vec<_> = tracks.iter().map(|(track, _)| track).collect();
    let request = visit.request(Method::POST, "/api/enrich");
    let request = request
        .header("accept", accept)
        .json(&json!({"tracks": body}));
    let Some(response) = visit.answered(request, GONE).await? else {
        return Ok(());
    };
    let result = match streams {
        true => streamed(visit, response).await?,
        false => document(visit, response).await?,
    };
    match result {
        Some(result) => found(visit, &tracks, &result),
        None => Ok(()),
    }
}

/// The stream's `result`, where it came to one.
async fn streamed(visit: &Visit<'_>, response: Response) -> Judged<Option<Value>> {
    let (_, heard) = visit.heard(response).await?;
    if !heard.is_all {
        visit.gone(GONE);
    }
    let (frames, ended) = visit.ended(&heard)?;
    let says = frames.iter().any(|frame| frame.kind == "content");
    ensure!(!says, "an enrichment that talks: {}", heard.text);
    visit.is_whole(&ended, &heard)?;
    let mut results = frames.into_iter();
    let result = results.find(|frame| frame.kind == "result");
    let has = result.is_some() || ended != Ended::Whole;
    ensure!(has, "an enrichment without its result: {}", heard.text);
    Ok(result.map(|frame| frame.data))
}

/// The whole document.
async fn document(visit: &Visit<'_>, response: Response) -> Judged<Option<Value>> {
    if let Client::AfterFrames(_) | Client::InAFrame(_) = visit.client {
        visit.gone(GONE);
        return Ok(None);
    }
    let text = response.text().await;
    let text = text.map_err(|error| Broken(format!("half a document: {error}")))?;
    visit.load.secrets.are_not_in("a document", &text)?;
    let document = serde_json::from_str(&text);
    document
        .map(Some)
        .map_err(|error| Broken(format!("{error}: {text}")))
}

/// Nothing is found that is not so, nothing is missing without a reason, and where nothing
/// goes wrong nothing is missing of what only this request has asked for.
fn found(visit: &Visit<'_>, tracks: &Tracks<'_>, result: &Value) -> Judged {
    let of = |name: &str| result[name].as_array().cloned().unwrap_or_default();
    let (found, skipped) = (of("tracks"), of("skipped"));
    ensure!(
        found.len() == tracks.len(),
        "{} tracks of {}: {result}",
        found.len(),
        tracks.len()
    );
    for ((_, known), found) in tracks.iter().zip(&found) {
        let bpm = known
            .and_then(|track| track.deezer.as_ref())
            .map(|known| known.bpm);
        let is_right = match found["bpm"].as_f64() {
            Some(found) => bpm.is_some_and(|bpm| (bpm - found).abs() < 0.01),
            None => true,
        };
        let listeners = known.and_then(|track| track.lastfm.as_ref());
        let listeners = listeners.map(|known| known.listeners);
        let is_heard = found["listeners"].as_u64();
        let is_right = is_right && (is_heard.is_none() || is_heard == listeners);
        ensure!(is_right, "that is not so: {found}");
    }
    for skipped in &skipped {
        let reason = skipped["reason"].as_str().unwrap_or_default();
        visit.tally().count("skipped tracks", reason);
        let known = ["budget", "rate_limited", "upstream_failed", "deadline"];
        ensure!(
            known.contains(&reason),
            "skipped without a reason: {skipped}"
        );
        let at = skipped["index"].as_u64().unwrap_or(u64::MAX);
        let own = tracks
            .get(at as usize)
            .is_some_and(|(_, known)| known.is_none());
        let explained = visit.goes_wrong || visit.load.is_in_trouble() || !own;
        ensure!(
            explained || reason == "rate_limited",
            "nothing went wrong, and it is skipped: {skipped}"
        );
    }
    Ok(())
}
