//! How one API is spoken to, and what its errors say.

use std::fmt;

use crate::{MAX_ANSWER, Service};
use spinlane_core::error::Code;
use spinlane_core::limit::{Inspect, Verdict};

/// How one API is spoken to.
///
/// ```
/// use spinlane_client::{ApiSpec, Service};
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url");
/// // In the lane `songs`.
/// static SONGS_API: ApiSpec = ApiSpec::new(&SONGS);
/// assert_eq!(SONGS_API.lane, "songs");
/// ```
#[non_exhaustive]
pub struct ApiSpec {
    /// Whose API it is, for errors and the log.
    pub service: &'static Service,
    /// The lane that its calls wait in.
    pub lane: &'static str,
    /// How the limits read its answers.
    pub inspect: Inspect,
    /// What the body of an error says, where it is the service's own.
    pub read_error: fn(&[u8]) -> Option<ServiceError>,
}

impl fmt::Debug for ApiSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiSpec").field(&self.service.name).finish()
    }
}

impl ApiSpec {
    /// An API in a lane that is called as the service is. Answers are read whole within
    /// the limits, up to [`MAX_ANSWER`] bytes, so that one that is cut is asked for again;
    /// errors are told by their status.
    pub const fn new(service: &'static Service) -> Self {
        Self {
            service,
            lane: service.name,
            inspect: Inspect::Body {
                limit: MAX_ANSWER,
                read: |_, _| Verdict::Good,
            },
            read_error: |_| None,
        }
    }

    /// The same, in another lane.
    #[must_use]
    pub const fn lane(mut self, lane: &'static str) -> Self {
        self.lane = lane;
        self
    }

    /// The same, with answers that the limits read so.
    #[must_use]
    pub const fn inspect(mut self, inspect: Inspect) -> Self {
        self.inspect = inspect;
        self
    }

    /// The same, where `read` tells what the body of an error says that is the service's
    /// own.
    #[must_use]
    pub const fn read_error(mut self, read: fn(&[u8]) -> Option<ServiceError>) -> Self {
        self.read_error = read;
        self
    }
}

/// What a service says about an error of its own.
///
/// ```
/// use spinlane_client::{ApiSpec, Meaning, Service, ServiceError};
///
/// /// `{"fault":"…"}`.
/// fn fault(body: &[u8]) -> Option<ServiceError> {
///     let body: serde_json::Value = serde_json::from_slice(body).ok()?;
///     let fault = body.get("fault")?.as_str()?;
///     let meaning = (fault == "no such song").then_some(Meaning::Absent);
///     Some(ServiceError::new(meaning, fault.to_owned()))
/// }
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url");
/// static SONGS_API: ApiSpec = ApiSpec::new(&SONGS).read_error(fault);
/// let error = (SONGS_API.read_error)(br#"{"fault":"no such song"}"#);
/// assert_eq!(error.and_then(|error| error.meaning), Some(Meaning::Absent));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceError {
    /// Where the service's words tell more than the status does.
    pub meaning: Option<Meaning>,
    /// Its words, for the log.
    pub message: String,
}

impl ServiceError {
    /// `message` is for the log; `meaning` is what it says beyond the status.
    pub const fn new(meaning: Option<Meaning>, message: String) -> Self {
        Self { meaning, message }
    }
}

/// What an error means, whatever its status.
///
/// ```
/// use spinlane_client::{Api, ApiRequest, ApiSpec, Meaning, Service, ServiceError, Transport};
/// # use spinlane_core::limit::{LaneConfig, Limits};
/// # use spinlane_core::resources::Resources;
/// # use spinlane_core::testing::{ScriptedHttp, World};
///
/// static SONGS: Service = Service::new("songs", "The song service", "songs_base_url");
/// // Where others say 404, it says 400, and why.
/// static SONGS_API: ApiSpec = ApiSpec::new(&SONGS).read_error(|body| {
///     let is_absent = body == b"no such song";
///     is_absent.then(|| ServiceError::new(Some(Meaning::Absent), String::new()))
/// });
///
/// # let answer = http::Response::builder().status(400).body("no such song".into()).unwrap();
/// # let world = World::with_http(ScriptedHttp::in_turn([answer]));
/// # let ports = world.ports();
/// # let limits = Limits::default().with_lane("songs", LaneConfig::new(5));
/// # let transport = Transport::new(&ports, &Resources::open(&ports, limits).upstreams);
/// # let url = "https://songs.example";
/// # let api = Api::from_variables(&transport, &SONGS_API, url, |_| None).unwrap();
/// let song = world.run(api.ask(&ApiRequest::get("get a song", "/songs/1")))?;
/// assert!(song.is_none());
/// # Ok::<(), spinlane_client::UpstreamError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// There is no such thing.
    Absent,
    /// What a user once allowed is not accepted any more.
    Grant,
    /// Something else that has a name.
    Code(Code),
}
