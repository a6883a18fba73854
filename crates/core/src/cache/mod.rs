//! A cache with an end for every value, and sessions, over a key-value store
//! that has no expiry.
//!
//! ```
//! use bytes::Bytes;
//! use spinlane_core::cache::{Cache, Cached, Key, Kind};
//! use spinlane_core::limit::{Budget, Call, LaneConfig, Limits, Orchestrator};
//! use spinlane_core::ports::HttpError;
//! use spinlane_core::store::Store;
//! use spinlane_core::testing::{ScriptedHttp, World};
//! # use futures::{StreamExt, stream};
//!
//! // Begins the keys in the store. Raise the number when the value's form changes.
//! static TEMPO: Kind = Kind::new("tempo", 1);
//!
//! // In a component the ports come from the host.
//! let world = World::with_http(ScriptedHttp::new(|_| async {
//!     let body = stream::iter([Ok::<_, HttpError>(Bytes::from("100.4"))]);
//!     Ok::<_, HttpError>(http::Response::new(body.boxed()))
//! }));
//! let ports = world.ports();
//!
//! // One store for all who use it.
//! let store = Store::open(&ports);
//! let limits = Limits::default().with_lane("tempo", LaneConfig::new(3));
//! let upstreams = Orchestrator::new(limits, &ports, &store);
//! let cache = Cache::new(&store);
//!
//! // The error is `Clone`, since all who wait for one fetch get it; what is not
//! // goes into an `Arc`.
//! async fn ask(upstreams: Orchestrator, budget: Budget) -> Result<Option<f32>, String> {
//!     let call = Call::get("tempo", "https://tempo.example/", budget);
//!     let call = call.map_err(|error| error.to_string())?;
//!     let answered = upstreams.run(call).await.map_err(|error| error.to_string())?;
//!     // `None`: there is no such value, which is remembered, too.
//!     answered.json(4096).await.map_err(|error| error.to_string())
//! }
//!
//! let tempo = cache.typed::<f32>(&TEMPO);
//! let key = Key::new(["ABBA", "Dancing Queen"]);
//! let budget = Budget::new(50);
//! for _ in 0..2 {
//!     let (upstreams, budget) = (upstreams.clone(), budget.clone());
//!     let known = tempo.get_or_fetch(&key, move || ask(upstreams, budget));
//!     assert_eq!(world.run(known), Ok(Some(100.4)));
//! }
//! assert_eq!(budget.used(), 1, "the second one asked nobody");
//!
//! world.run(tempo.remove(&key))?;
//! assert_eq!(world.run(tempo.get(&key)), Cached::Miss);
//! # Ok::<(), spinlane_core::ports::StoreError>(())
//! ```

mod envelope;
mod flights;
mod key;
mod lease;
mod policy;
pub mod session;
mod signal;
mod stats;
mod typed;

pub use key::Key;
pub use policy::{Kind, Policy};
pub use signal::Signals;
pub(crate) use stats::Count;
pub use stats::{Report, Stats};
pub use typed::{Cache, Cached, FetchError, Typed};

#[cfg(test)]
mod tests;
