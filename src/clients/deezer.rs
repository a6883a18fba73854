//! Deezer's catalogue: what tempo a recording has.
//!
//! Errors come inside a 200, as `{"error": {"type", "message", "code"}}`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::AppState;
use crate::error::code;
use spinlane_client::{
    Api, ApiRequest, ApiSpec, MAX_ANSWER, Meaning, Service, ServiceError, UpstreamError, lenient,
};
use spinlane_core::cache::FetchError;
use spinlane_core::limit::{Budget, Inspect, Observer, Verdict};

static SERVICE: Service = Service::new("deezer", "Deezer", "deezer_base_url")
    .not_found("check the variable `deezer_base_url`");

static SPEC: ApiSpec = ApiSpec::new(&SERVICE)
    .inspect(Inspect::Body {
        limit: MAX_ANSWER,
        read: |_, body| read_error(body).map_or(Verdict::Good, |error| error.verdict()),
    })
    .read_error(|body| Some(read_error(body)?.service_error()));

/// Candidates that a search by name is given.
const CANDIDATES: &str = "25";

/// A recording as Deezer has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recording {
    pub(crate) id: u64,
    /// Its title with its version, such as `(Live)`.
    pub(crate) title: String,
    /// The main one first.
    pub(crate) artists: Vec<String>,
    pub(crate) seconds: Option<u64>,
    /// Beats per minute, where they are known. A search does not tell.
    pub(crate) bpm: Option<f32>,
}

/// The API. It needs no key.
#[derive(Clone)]
pub(crate) struct Deezer {
    api: Api,
}

impl Deezer {
    /// The service as configured. `observer` is told how its calls go.
    pub(crate) fn new(app: &AppState, observer: Arc<dyn Observer>) -> Self {
        let api = Api::new(
            app.transport(),
            &SPEC,
            &app.config.deezer().base_url,
            observer,
        );
        Self { api: api.bulk() }
    }

    /// The same, paid from `budget`.
    pub(crate) fn paid_by(&self, budget: Budget) -> Self {
        let api = self.api.paid_by(budget);
        Self { api }
    }

    /// Why the cache has no answer of it.
    pub(crate) fn not_fetched(&self, error: FetchError<UpstreamError>) -> UpstreamError {
        self.api.not_fetched(error)
    }

    /// The recording that `isrc` names, which must be in its normal form.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn by_isrc(&self, isrc: &str) -> Result<Option<Recording>, UpstreamError> {
        let ask = ApiRequest::get("get a track by ISRC", format!("/track/isrc:{isrc}"));
        self.recording(&ask).await
    }

    /// A recording by its id.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn by_id(&self, id: u64) -> Result<Option<Recording>, UpstreamError> {
        let ask = ApiRequest::get("get a track", format!("/track/{id}"));
        self.recording(&ask).await
    }

    /// Recordings that are called so, best first.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn search(
        &self,
        artist: &str,
        title: &str,
    ) -> Result<Vec<Recording>, UpstreamError> {
        let bare = |text: &str| text.replace('"', " ");
        let query = format!("artist:\"{}\" track:\"{}\"", bare(artist), bare(title));
        let ask = ApiRequest::get("search tracks", "/search")
            .query(&[("q", &query), ("limit", CANDIDATES)]);
        let Some(answer) = self.api.ask(&ask).await? else {
            return Ok(Vec::new());
        };
        let found: Found = answer.json()?;
        let entries = found.data.into_iter();
        // An entry that cannot be read is no candidate.
        let entries = entries.filter_map(|entry| Track::deserialize(entry).ok());
        Ok(entries.filter_map(Track::recording).collect())
    }

    async fn recording(&self, ask: &ApiRequest) -> Result<Option<Recording>, UpstreamError> {
        let Some(answer) = self.api.ask(ask).await? else {
            return Ok(None);
        };
        Ok(answer.json::<Track>()?.recording())
    }
}

#[derive(Deserialize)]
struct Found {
    data: Vec<Value>,
}

#[derive(Deserialize)]
struct Track {
    id: u64,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    title_version: Value,
    #[serde(default)]
    artist: Option<Artist>,
    #[serde(default)]
    contributors: Value,
    #[serde(default)]
    duration: Option<Value>,
    #[serde(default)]
    bpm: Option<Value>,
}

#[derive(Deserialize)]
struct Artist {
    #[serde(default)]
    name: Option<String>,
}

impl Track {
    fn recording(self) -> Option<Recording> {
        let bpm = self.bpm.as_ref().and_then(Value::as_f64);
        let mut title = self.title?;
        // Some titles have their version beside them, and some in them as well.
        let version = self.title_version.as_str().unwrap_or_default().trim();
        if !title.ends_with(version) {
            title = format!("{title} {version}");
        }
        let mut artists = vec![self.artist.and_then(|artist| artist.name)?];
        let others = self.contributors.as_array().into_iter().flatten();
        let others = others.filter_map(|artist| artist["name"].as_str());
        artists.extend(others.map(str::to_owned));
        artists.dedup();
        Some(Recording {
            id: self.id,
            title,
            artists,
            seconds: self.duration.as_ref().and_then(Value::as_u64),
            bpm: bpm.and_then(known_tempo),
        })
    }
}

/// 0 means that the tempo is not known, and so does what no music has.
fn known_tempo(bpm: f64) -> Option<f32> {
    (20.0..=400.0).contains(&bpm).then_some(bpm as f32)
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

/// The error that `body` is, if it is one.
fn read_error(body: &[u8]) -> Option<Error> {
    let answer: ErrorAnswer = lenient::read(body).ok()?;
    Some(answer.error)
}

impl Error {
    const QUOTA: i64 = 4;
    const BUSY: i64 = 700;
    const NO_DATA: i64 = 800;

    fn verdict(&self) -> Verdict {
        match self.code {
            Self::QUOTA => Verdict::Overloaded { retry_after: None },
            Self::BUSY => Verdict::Failed { retryable: true },
            Self::NO_DATA => Verdict::Absent,
            _ => Verdict::Failed { retryable: false },
        }
    }

    fn service_error(self) -> ServiceError {
        let meaning = match self.code {
            Self::QUOTA => Some(Meaning::Code(code::RATE_LIMITED)),
            Self::BUSY => Some(Meaning::Code(code::OVERLOADED)),
            Self::NO_DATA => Some(Meaning::Absent),
            // Permission, token: not one of ours, it takes none.
            200 | 300 => Some(Meaning::Code(code::UPSTREAM_AUTH)),
            // Parameters, queries.
            500..=600 => Some(Meaning::Code(code::UPSTREAM_REJECTED)),
            _ => None,
        };
        ServiceError::new(meaning, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Reply, Stage, nobody};
    use serde_json::json;
    use spinlane_client::Failure;

    fn answering(reply: Reply) -> (Stage, Deezer) {
        let stage = Stage::new(&[], move |_| reply.clone());
        let deezer = Deezer::new(&stage.app, nobody());
        (stage, deezer)
    }

    #[test]
    fn a_recording_is_read() {
        let (stage, deezer) = answering(Reply::Json(
            200,
            json!({"id": 3135556, "title": "Harder", "title_version": "(Live)", "duration": 224,
                "bpm": 123.4, "artist": {"id": 27, "name": "Daft"}, "gain": -12.4,
                "contributors": [{"name": "Daft"}, null, {"name": "Punk"}, {"id": 1}]}),
        ));
        let found = stage.world.run(deezer.by_isrc("GBDUW0000059"));
        let expected = Recording {
            id: 3_135_556,
            title: "Harder (Live)".into(),
            artists: vec!["Daft".into(), "Punk".into()],
            seconds: Some(224),
            bpm: Some(123.4),
        };
        assert_eq!(found, Ok(Some(expected)));
        assert_eq!(stage.seen()[0].path, "/track/isrc:GBDUW0000059");
    }

    #[test]
    fn a_tempo_of_nonsense_is_none() {
        for bpm in [
            json!(0),
            json!(0.0),
            json!(-1),
            json!(9_999),
            json!(null),
            json!("x"),
        ] {
            let track = json!({"id": 1, "title": "a", "artist": {"name": "b"}, "bpm": bpm});
            let (stage, deezer) = answering(Reply::Json(200, track));
            let found = stage.world.run(deezer.by_id(1)).unwrap().unwrap();
            assert_eq!(found.bpm, None, "{bpm}");
        }
    }

    #[test]
    fn a_search_quotes_names_and_survives_strange_entries() {
        let good = json!({"id": 1, "title": "a", "artist": {"name": "b"}, "duration": "long"});
        let data = json!([null, good, {"id": "x"}, {"id": 2, "title": "c"}, 7]);
        let (stage, deezer) = answering(Reply::Json(200, json!({"data": data, "total": 5})));
        let found = stage
            .world
            .run(deezer.search("A \"B\" & C", "d\" OR x"))
            .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            stage.seen()[0].field("q"),
            "artist:\"A  B  & C\" track:\"d  OR x\""
        );
    }

    #[test]
    fn errors_inside_a_200_are_understood() {
        let error = |code: i64| json!({"error": {"type": "X", "message": "why", "code": code}});
        let ask = |code: i64| {
            let (stage, deezer) = answering(Reply::Json(200, error(code)));
            let answer = stage.world.run(deezer.by_id(1));
            (answer, stage.seen().len())
        };
        assert_eq!(ask(800), (Ok(None), 1));
        for (code, expected, calls) in [
            (4, code::RATE_LIMITED, 3),
            (700, code::OVERLOADED, 3),
            (300, code::UPSTREAM_REJECTED, 1),
            (500, code::UPSTREAM_REJECTED, 1),
            (1, code::UPSTREAM_ERROR, 1),
        ] {
            let (answer, called) = ask(code);
            let error = answer.unwrap_err();
            assert!(matches!(error.failure, Failure::Reported { .. }), "{error}");
            assert_eq!((error.object().code, called), (expected, calls), "{code}");
        }
    }
}
