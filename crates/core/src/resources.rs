//! What the requests of an application have in common.

use crate::cache::Cache;
use crate::limit::{Limits, Orchestrator};
use crate::ports::Ports;
use crate::store::Store;

/// One store, and what stands on it: the limits of upstream calls, and the cache. All of
/// it learns of the store's trouble together. Clones are the same; making it is cheap,
/// and reads nothing.
///
/// Instances that have the store in common share all of this, and so do applications:
/// two on one store have the lanes of one name in common.
///
/// ```
/// use spinlane_core::cache::{Key, Kind};
/// use spinlane_core::limit::{Budget, Call, LaneConfig, Limits};
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::{ScriptedHttp, World};
///
/// static TEMPO: Kind = Kind::new("tempo", 1);
///
/// let answer = http::Response::new(bytes::Bytes::from("100.4"));
/// let world = World::with_http(ScriptedHttp::in_turn([answer]));
/// let limits = Limits::default().with_lane("tempo", LaneConfig::new(3));
/// let resources = Resources::open(&world.ports(), limits);
///
/// let upstreams = resources.upstreams.clone();
/// let tempo = resources.cache.typed::<f32>(&TEMPO);
/// let key = Key::new(["ABBA", "Dancing Queen"]);
/// let found = world.run(tempo.get_or_fetch(&key, move || async move {
///     let call = Call::get("tempo", "https://tempo.example/", Budget::new(50));
///     let answered = upstreams.run(call.map_err(|error| error.to_string())?).await;
///     let answered = answered.map_err(|error| error.to_string())?;
///     answered.json(4096).await.map_err(|error| error.to_string())
/// }));
/// assert_eq!(found, Ok(Some(100.4)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resources {
    /// For whatever else stands on it: signals, sessions, quotas of callers.
    pub store: Store,
    /// The one door to every upstream.
    pub upstreams: Orchestrator,
    /// What is known already.
    pub cache: Cache,
}

impl Resources {
    /// Those of `ports`, with `limits` for upstream calls.
    pub fn open(ports: &Ports, limits: Limits) -> Self {
        let store = Store::open(ports);
        Self {
            upstreams: Orchestrator::new(limits, ports, &store),
            cache: Cache::new(&store),
            store,
        }
    }
}
