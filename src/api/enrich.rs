//! `POST /api/enrich`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures::stream;
use garde::Validate;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use utoipa::ToSchema;

use super::caller::{self, Admitted};
use super::docs::StreamEvent;
use super::docs::answers::{BadBody, NoSession, NoStore, NotResumed, OtherSite, TooMuchAtOnce};
use super::enrichment::Enrichment;
use super::operator;
use super::stream as event_stream;
use crate::AppState;
use crate::auth::MaybeSession;
use crate::enrich::Report;
use crate::frames::{UsageReport, Waits};
use crate::music::{self, ArtistRef, Track};
use spinlane_core::limit::Running;
use spinlane_core::scope;
use spinlane_http::context::RequestContext;
use spinlane_http::json::Valid;
use spinlane_http::problem::Problem;
use spinlane_http::quota::Allowance;
use spinlane_http::run::NewRun;
use spinlane_http::run::Run;

/// A day. No track is longer.
const MAX_DURATION_MS: u64 = 86_400_000;

/// Tracks that count as one request of the caller's quota.
const TRACKS_PER_UNIT: usize = 50;

/// Tracks to find out more about. Unknown fields are ignored, and
/// `null` is as left out.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrichRequest {
    /// 1 to 500 tracks.
    #[garde(length(min = 1, max = 500), dive)]
    #[schema(min_items = 1, max_items = 500)]
    pub(crate) tracks: Vec<TrackQuery>,
    /// Send the request's log as frames. In production it takes the operator's
    /// token.
    #[serde(default)]
    #[garde(skip)]
    #[schema(nullable)]
    pub(crate) debug: bool,
}

/// A track, as its sender knows it.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrackQuery {
    /// Comes back with what is found.
    #[serde(default)]
    #[garde(length(chars, max = 200))]
    #[schema(max_length = 200)]
    pub(crate) id: Option<String>,
    /// Lengths are in Unicode code points.
    #[garde(length(chars, min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) title: String,
    /// The one to search by.
    #[garde(length(chars, min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) artist: String,
    /// Names the recording; with or without hyphens.
    #[serde(default)]
    #[garde(custom(is_isrc))]
    #[schema(
        pattern = "^[ -]*([A-Za-z][ -]*){2}([A-Za-z0-9][ -]*){3}([0-9][ -]*){7}$",
        examples("USRC17607839")
    )]
    pub(crate) isrc: Option<String>,
    /// Its length in milliseconds, which helps to tell versions of a title apart.
    #[serde(default)]
    #[garde(range(max = MAX_DURATION_MS))]
    #[schema(maximum = 86_400_000)]
    pub(crate) duration_ms: Option<u64>,
}

fn is_isrc(value: &Option<String>, (): &()) -> garde::Result {
    match value {
        Some(value) if music::isrc(value).is_none() => {
            Err(garde::Error::new("is no ISRC such as USRC17607839"))
        }
        _ => Ok(()),
    }
}

impl TrackQuery {
    fn track(self) -> Track {
        Track {
            id: self.id.unwrap_or_default(),
            title: self.title,
            artists: vec![ArtistRef {
                id: String::new(),
                name: self.artist,
            }],
            duration_ms: self.duration_ms,
            isrc: self.isrc.as_deref().and_then(music::isrc),
            ..Track::default()
        }
    }
}

/// The whole answer, for who asks for JSON.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EnrichAnswer {
    #[serde(flatten)]
    report: Report,
    usage: UsageReport,
}

/// Finds out tempo and tags of tracks.
///
/// Answers at once, and looks up what is asked while the answer is on its way:
/// as events, or as one JSON document for who prefers it by `Accept`. Counts as one
/// request for each 50 tracks.
#[utoipa::path(
    post,
    path = "/api/enrich",
    operation_id = "enrichTracks",
    tag = "enrichment",
    params((
        "x-admin-token" = Option<String>,
        Header,
        description = "The operator's token: with it `debug` holds in production as well."
    )),
    request_body(
        content = EnrichRequest,
        example = json!({"tracks": [
            {"title": "Blue in Green", "artist": "Miles Davis", "isrc": "USSM15900114"}
        ]})
    ),
    responses(
        (
            status = 200,
            description = "All tracks, in their order; what could not be found out is in \
                `skipped`, with the reason.",
            headers(
                ("x-run-id" = String, description = "Of a stream: the run, as in its first frame."),
                ("ratelimit" = String, description = "What is left of the caller's quota, \
                    where there is one."),
                ("ratelimit-policy" = String, description = "The caller's quota.")
            ),
            content(
                (EnrichAnswer = "application/json"),
                (StreamEvent = "text/event-stream")
            )
        ),
        BadBody,
        NoSession,
        NotResumed,
        OtherSite,
        TooMuchAtOnce,
        NoStore,
    ),
    security((), ("bearer" = []), ("cookie" = []))
)]
pub(super) async fn enrich(
    _: NewRun,
    State(app): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Extension(admitted): Extension<Admitted>,
    session: MaybeSession,
    headers: HeaderMap,
    Valid(request): Valid<EnrichRequest>,
) -> Result<Response, Problem> {
    let units = u32::try_from(request.tracks.len().div_ceil(TRACKS_PER_UNIT)).unwrap_or(u32::MAX);
    let allowance = caller::count(&app, &headers, admitted, &session, units).await?;
    let debug = request.debug && operator::may_look(&app, &headers, admitted).await?;
    let running = caller::begin_run(&app, &headers, &session).await?;
    let tracks = request.tracks.into_iter().map(TrackQuery::track);
    let work = Enrichment::new(&app, tracks.collect());
    if wants_json(&headers) {
        return Ok(document(&context, work, allowance, running));
    }
    let mut run = Run::new(&*app.ports.entropy);
    run.debug = debug;
    Ok(event_stream::start(
        &app, &context, run, work, allowance, running,
    ))
}

/// The answer as one document. Its body is the work: when the client goes, both
/// are dropped.
fn document(
    context: &RequestContext,
    work: Enrichment,
    allowance: Option<Allowance>,
    running: Option<Running>,
) -> Response {
    let body = async move {
        let waits = Arc::new(Waits::unseen());
        let report = work.report(&waits, &|_, _, _| {}).await;
        let usage = UsageReport::of_request();
        let bytes = serde_json::to_vec(&EnrichAnswer { report, usage });
        // Who has the answer may ask again at once.
        if let Some(running) = running {
            running.end().await;
        }
        Ok::<_, Infallible>(Bytes::from(bytes.unwrap_or_default()))
    };
    let body = body.instrument(tracing::Span::current());
    let body = scope::run(Arc::clone(&context.scope), body);
    let mut response = Response::new(Body::from_stream(stream::once(body)));
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(allowance) = allowance {
        head.extend(allowance.headers());
    }
    response
}

/// Whether JSON is what the client would rather have. Who takes anything gets
/// events.
fn wants_json(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(ACCEPT).iter();
    let ranges = ranges.filter_map(|value| value.to_str().ok());
    let ranges: Vec<_> = ranges
        .flat_map(|value| value.split(','))
        .map(range)
        .collect();
    let best = |wanted: [&str; 3]| {
        let matching = ranges.iter().filter_map(|(name, quality)| {
            let place = wanted.iter().position(|wanted| wanted == name)?;
            Some((*quality, wanted.len() - place))
        });
        // The most specific range counts, whatever its quality.
        matching.max_by_key(|(_, specific)| *specific)
    };
    let json = best(["application/json", "application/*", "*/*"]);
    let events = best(["text/event-stream", "text/*", "*/*"]);
    match (json, events) {
        (Some(json), Some(events)) => json > events,
        (json, None) => json.is_some_and(|(quality, _)| quality > 0),
        (None, Some(_)) => false,
    }
}

/// A media range and its quality, in thousandths.
fn range(text: &str) -> (String, u16) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
    let quality = quality.unwrap_or(1.0).clamp(0.0, 1.0);
    (name, (quality * 1_000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_sent_to_who_prefers_it() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            wants_json(&headers)
        };
        for accept in [
            "application/json",
            "application/json, text/plain, */*",
            "Application/JSON;charset=utf-8",
            "application/json;q=0.9, text/event-stream;q=0.5",
            "application/*",
            "text/html, application/json;q=0.1",
        ] {
            assert!(wants(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/event-stream",
            "application/json, text/event-stream",
            "application/json;q=0.5, text/event-stream",
            "text/html",
            "application/json;q=0",
            "application/json;q=0, */*",
            ";;,,q=",
        ] {
            assert!(!wants(accept), "{accept}");
        }
        assert!(!wants_json(&HeaderMap::new()));
    }
}
