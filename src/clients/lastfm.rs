//! Last.fm: what its listeners say of a track.
//!
//! Errors come inside a 200 as well as with a status: `{"error": 6, "message":
//! …}`. Its JSON is made from XML: numbers are strings, a list of one is no
//! list, and an empty one may be `""`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::AppState;
use crate::config::Secret;
use crate::error::code;
use spinlane_client::{
    Api, ApiRequest, ApiSpec, MAX_ANSWER, Meaning, Service, ServiceError, UpstreamError, lenient,
};
use spinlane_core::cache::FetchError;
use spinlane_core::limit::{Budget, Inspect, Observer, Verdict};

static SERVICE: Service = Service::new("lastfm", "Last.fm", "lastfm_base_url")
    .key("lastfm_api_key")
    .not_found("check the variable `lastfm_base_url`");

static SPEC: ApiSpec = ApiSpec::new(&SERVICE)
    .inspect(Inspect::Body {
        limit: MAX_ANSWER,
        read: |_, body| read_error(body).map_or(Verdict::Good, |error| error.verdict()),
    })
    .read_error(|body| Some(read_error(body)?.service_error()));

/// Tags that are kept of a track, most used first.
const TAGS: usize = 10;

/// What the listeners of a track say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrackInfo {
    pub(crate) tags: Vec<String>,
    pub(crate) listeners: Option<u64>,
    pub(crate) playcount: Option<u64>,
}

/// A track as Last.fm calls it, which may be another one than was asked for: it
/// corrects names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) artist: String,
    pub(crate) title: String,
    pub(crate) info: TrackInfo,
}

/// The API with a key.
#[derive(Clone)]
pub(crate) struct Lastfm {
    api: Api,
    api_key: Secret,
}

impl Lastfm {
    /// The service as configured; `None` without a key. `observer` is told how
    /// its calls go.
    pub(crate) fn new(app: &AppState, observer: Arc<dyn Observer>) -> Option<Self> {
        let config = app.config.lastfm();
        let api_key = config.api_key.clone()?;
        let api = Api::new(app.transport(), &SPEC, &config.base_url, observer);
        Some(Self {
            api: api.bulk().hiding(&api_key),
            api_key,
        })
    }

    /// The same, paid from `budget`.
    pub(crate) fn paid_by(&self, budget: Budget) -> Self {
        Self {
            api: self.api.paid_by(budget),
            api_key: self.api_key.clone(),
        }
    }

    /// Why the cache has no answer of it.
    pub(crate) fn not_fetched(&self, error: FetchError<UpstreamError>) -> UpstreamError {
        self.api.not_fetched(error)
    }

    /// What is said of a track.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(crate) async fn track(
        &self,
        artist: &str,
        title: &str,
    ) -> Result<Option<Described>, UpstreamError> {
        let ask = ApiRequest::get("get a track's tags", "/2.0/").query(&[
            ("method", "track.getInfo"),
            ("artist", artist),
            ("track", title),
            ("autocorrect", "1"),
            ("api_key", self.api_key.expose()),
            ("format", "json"),
        ]);
        let Some(answer) = self.api.ask(&ask).await? else {
            return Ok(None);
        };
        Ok(Some(answer.json::<TrackAnswer>()?.track.described()))
    }
}

#[derive(Deserialize)]
struct TrackAnswer {
    track: Track,
}

#[derive(Deserialize)]
struct Track {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    artist: Value,
    #[serde(default)]
    listeners: Value,
    #[serde(default)]
    playcount: Value,
    #[serde(default)]
    toptags: Value,
}

impl Track {
    fn described(&self) -> Described {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let artist = match &self.artist {
            Value::Object(artist) => artist.get("name").map(text),
            name => Some(text(name)),
        };
        Described {
            artist: artist.unwrap_or_default(),
            title: text(&self.name),
            info: self.info(),
        }
    }

    fn info(&self) -> TrackInfo {
        let tags = match &self.toptags["tag"] {
            Value::Array(tags) => tags.as_slice(),
            tag @ Value::Object(_) => std::slice::from_ref(tag),
            _ => &[],
        };
        let names = tags.iter().filter_map(|tag| tag["name"].as_str());
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        TrackInfo {
            tags: names.take(TAGS).map(str::to_lowercase).collect(),
            listeners: number(&self.listeners),
            playcount: number(&self.playcount),
        }
    }
}

/// A number, or a string that is one.
fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

#[derive(Deserialize)]
struct Error {
    error: i64,
    #[serde(default)]
    message: String,
}

/// The error that `body` is, if it is one.
fn read_error(body: &[u8]) -> Option<Error> {
    lenient::read(body).ok()
}

impl Error {
    /// A fault of the parameters; in practice, a track that is not known.
    const NOT_FOUND: i64 = 6;
    const FAILED: i64 = 8;
    const BAD_KEY: i64 = 10;
    const OFFLINE: i64 = 11;
    const UNAVAILABLE: i64 = 16;
    const SUSPENDED_KEY: i64 = 26;
    const RATE: i64 = 29;

    fn verdict(&self) -> Verdict {
        match self.error {
            Self::NOT_FOUND => Verdict::Absent,
            Self::RATE => Verdict::Overloaded { retry_after: None },
            Self::FAILED | Self::OFFLINE | Self::UNAVAILABLE => Verdict::Failed { retryable: true },
            _ => Verdict::Failed { retryable: false },
        }
    }

    fn service_error(self) -> ServiceError {
        let meaning = match self.error {
            Self::NOT_FOUND => Some(Meaning::Absent),
            Self::RATE => Some(Meaning::Code(code::RATE_LIMITED)),
            Self::OFFLINE | Self::UNAVAILABLE => Some(Meaning::Code(code::OVERLOADED)),
            Self::BAD_KEY | Self::SUSPENDED_KEY => Some(Meaning::Code(code::UPSTREAM_AUTH)),
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

    fn ask(reply: Reply) -> (Result<Option<Described>, UpstreamError>, Stage) {
        let stage = Stage::new(&[], move |_| reply.clone());
        let lastfm = Lastfm::new(&stage.app, nobody()).unwrap();
        let answer = stage
            .world
            .run(lastfm.track("Sigur Rós", "Ára bátur & more"));
        (answer, stage)
    }

    #[test]
    fn json_made_from_xml_is_read() {
        let info = |tags: &[&str], listeners| TrackInfo {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            listeners,
            playcount: Some(9),
        };
        let cases = [
            (
                json!({"listeners": "1234", "playcount": "9", "toptags": {"tag": [
                    {"name": "Post-Rock", "url": "x"}, {"name": " "}, {"url": "x"}, null]}}),
                info(&["post-rock"], Some(1234)),
            ),
            (
                json!({"listeners": 7, "playcount": 9, "toptags": {"tag": {"name": "soul"}}}),
                info(&["soul"], Some(7)),
            ),
            (
                json!({"listeners": "many", "playcount": "9", "toptags": ""}),
                info(&[], None),
            ),
            (json!({"playcount": "9"}), info(&[], None)),
        ];
        for (track, expected) in cases {
            let (answer, _) = ask(Reply::Json(200, json!({"track": track})));
            assert_eq!(answer.unwrap().unwrap().info, expected, "{track}");
        }
        for artist in [json!({"name": "Cher"}), json!("Cher")] {
            let track = json!({"name": "Believe", "artist": artist});
            let (answer, _) = ask(Reply::Json(200, json!({"track": track})));
            let answer = answer.unwrap().unwrap();
            assert_eq!((&*answer.artist, &*answer.title), ("Cher", "Believe"));
        }
        for track in [json!({}), json!({"name": null, "artist": {"name": 7}})] {
            let (answer, _) = ask(Reply::Json(200, json!({"track": track})));
            assert_eq!(answer.unwrap().unwrap().artist, "");
        }
        let many: Vec<_> = (0..30).map(|n| json!({"name": format!("t{n}")})).collect();
        let track = json!({"track": {"toptags": {"tag": many}}});
        let (answer, _) = ask(Reply::Json(200, track));
        assert_eq!(answer.unwrap().unwrap().info.tags.len(), TAGS);
    }

    #[test]
    fn control_characters_in_its_json_are_read() {
        let text = "{\"track\": {\"name\": \"A\tB\u{b}C\", \"artist\": {\"name\": \"D\nE\"},\r\n\
            \"listeners\": \"7\", \"toptags\": {\"tag\": {\"name\": \"so\u{1}ul\"}}}}";
        let (answer, _) = ask(Reply::Text(200, text));
        let answer = answer.unwrap().unwrap();
        assert_eq!((&*answer.title, &*answer.artist), ("A\tB\u{b}C", "D\nE"));
        assert_eq!(answer.info.listeners, Some(7));
        let (answer, _) = ask(Reply::Text(200, "{\"error\": 6, \"message\": \"no\u{7}\"}"));
        assert_eq!(answer, Ok(None));
    }

    #[test]
    fn names_are_encoded() {
        let (_, stage) = ask(Reply::Json(200, json!({"track": {}})));
        let seen = &stage.seen()[0];
        assert_eq!(seen.path, "/2.0/");
        assert_eq!(seen.field("artist"), "Sigur Rós");
        assert_eq!(seen.field("track"), "Ára bátur & more");
        assert_eq!(seen.field("method"), "track.getInfo");
    }

    #[test]
    fn errors_are_understood_with_any_status() {
        let error = |code: i64| json!({"error": code, "message": "no lastfm-key today"});
        for status in [200, 400, 404] {
            let (answer, _) = ask(Reply::Json(status, error(6)));
            assert_eq!(answer, Ok(None), "{status}");
        }
        for (status, code, expected, calls) in [
            (200, 29, code::RATE_LIMITED, 3),
            (429, 29, code::RATE_LIMITED, 3),
            (200, 10, code::UPSTREAM_AUTH, 1),
            (403, 10, code::UPSTREAM_AUTH, 1),
            (403, 26, code::UPSTREAM_AUTH, 1),
            (200, 11, code::OVERLOADED, 3),
            (503, 16, code::OVERLOADED, 3),
            (500, 8, code::UPSTREAM_ERROR, 3),
            (200, 3, code::UPSTREAM_ERROR, 1),
        ] {
            let (answer, stage) = ask(Reply::Json(status, error(code)));
            let error = answer.unwrap_err();
            let called = stage.seen().len();
            assert_eq!(
                (error.object().code, called),
                (expected, calls),
                "{status} {code}"
            );
            let text = format!("{error:?} {:?}", error.object());
            assert!(!text.contains("lastfm-key"), "{text}");
        }
    }
}
