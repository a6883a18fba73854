//! The cache itself, and its view of one kind of value.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{Either, select};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::{self, Opened};
use super::flights::Flights;
use super::key::Key;
use super::lease::{self, Lease, Place, Seen, Standing};
use super::policy::Kind;
use super::stats::{Count, count};
use crate::ports::{Instant, StoreError};
use crate::scope;
use crate::store::{Guard, Store, Times, Timestamp};

/// Values with an end, in a store that has none. Clones are the same cache.
///
/// Cheap to make: nothing is read before it is asked for.
///
/// ```
/// use spinlane_core::cache::{Cache, Cached, Key, Kind};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// static TEMPO: Kind = Kind::new("tempo", 1);
///
/// let world = World::new();
/// let (cache, key) = (Cache::new(&Store::open(&world.ports())), Key::new(["Dancing Queen"]));
/// world.run(cache.typed(&TEMPO).put(&key, Some(&100.4_f32)));
/// world.run(cache.flush());
/// // From now on another instance knows it.
/// let theirs = Cache::new(&Store::open(&world.instance().ports()));
/// assert_eq!(world.run(theirs.typed::<f32>(&TEMPO).get(&key)), Cached::Hit(100.4));
/// ```
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    store: Store,
    flights: Flights,
    /// What is to be refreshed after the response, by the key of the store.
    refreshing: Mutex<HashSet<String>>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache in `store`. Where there is none, or while it is slow or left
    /// alone, every value is asked for.
    pub fn new(store: &Store) -> Self {
        Self(Arc::new(Inner {
            store: store.clone(),
            flights: Flights::default(),
            refreshing: Mutex::default(),
        }))
    }

    /// The cache's view of one kind of value.
    pub fn typed<T>(&self, kind: &'static Kind) -> Typed<T> {
        Typed {
            cache: self.clone(),
            kind,
            deadline: None,
            value: PhantomData,
        }
    }

    /// Writes what waits to be written, now. It would be written by itself,
    /// before the instance ends.
    pub async fn flush(&self) {
        self.0.store.flush().await;
    }
}

/// What a cache knows of one kind of value.
///
/// ```
/// use spinlane_core::cache::{Cache, Key, Kind};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// static TEMPO: Kind = Kind::new("tempo", 1);
///
/// let world = World::new();
/// let tempo = Cache::new(&Store::open(&world.ports())).typed::<f32>(&TEMPO);
/// let key = Key::new(["ABBA", "Dancing Queen"]);
/// let found = tempo.get_or_fetch(&key, || async { Ok::<_, String>(Some(100.4)) });
/// assert_eq!(world.run(found), Ok(Some(100.4)));
/// // It is known now, so nobody is asked.
/// let known = tempo.get_or_fetch(&key, || async { Err("the upstream is down".to_owned()) });
/// assert_eq!(world.run(known), Ok(Some(100.4)));
/// ```
pub struct Typed<T> {
    cache: Cache,
    kind: &'static Kind,
    /// Nobody waits for others beyond it.
    deadline: Option<Instant>,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            ..*self
        }
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("kind", self.kind)
            .finish_non_exhaustive()
    }
}

/// What is known of a key, without asking anybody.
///
/// ```
/// use spinlane_core::cache::{Cache, Cached, Key, Kind};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// static TEMPO: Kind = Kind::new("tempo", 1);
///
/// let world = World::new();
/// let tempo = Cache::new(&Store::open(&world.ports())).typed::<f32>(&TEMPO);
/// let key = Key::new(["a speech"]);
/// assert_eq!(world.run(tempo.get(&key)), Cached::Miss);
/// // It has no tempo, and need not be asked about again.
/// world.run(tempo.put(&key, None));
/// assert_eq!(world.run(tempo.get(&key)), Cached::Negative);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached<T> {
    /// The value.
    Hit(T),
    /// It is known that there is none.
    Negative,
    /// Nothing.
    Miss,
}

/// Why a value was not found out.
///
/// ```
/// use spinlane_core::cache::{Cache, Cached, FetchError, Key, Kind};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// static TEMPO: Kind = Kind::new("tempo", 1);
///
/// let world = World::new();
/// let tempo = Cache::new(&Store::open(&world.ports())).typed::<f32>(&TEMPO);
/// let key = Key::new(["ABBA", "Dancing Queen"]);
/// let failed = tempo.get_or_fetch(&key, || async { Err("the upstream is down") });
/// assert_eq!(world.run(failed), Err(FetchError::Failed("the upstream is down")));
/// // That is not remembered: who comes next asks again.
/// assert_eq!(world.run(tempo.get(&key)), Cached::Miss);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError<E> {
    /// The fetch has failed: our own, or one in this instance that we shared.
    #[error(transparent)]
    Failed(E),
    /// Another instance was fetching it, and has failed.
    #[error("it was being fetched for another request, in vain: try again in a moment")]
    Elsewhere,
    /// It was still being fetched when the [deadline](Typed::until) came.
    #[error("it was still being fetched when the time was over: try again in a moment")]
    TooLate,
}

/// What is known of a key.
struct Known<T> {
    value: Option<T>,
    fresh: bool,
    end: Timestamp,
}

/// What came of standing in line.
enum Outcome<T> {
    Answered(Option<T>),
    Failed,
    Ask(Option<Lease>),
}

impl<T> Typed<T>
where
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// The same view, for a caller that has time until `deadline`: it waits no longer
    /// for a fetch, be it another's or its own. That goes on for those who still wait
    /// for it, and ends where nobody does.
    #[must_use]
    pub fn until(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// What is known and fresh, without asking anybody.
    pub async fn get(&self, key: &Key) -> Cached<T> {
        match self.read(key).await.filter(|known| known.fresh) {
            None => Cached::Miss,
            Some(known) => {
                count_hit(&known);
                known.value.map_or(Cached::Negative, Cached::Hit)
            }
        }
    }

    /// What is known, else what `fetch` finds out. `fetch` tells apart what was
    /// found, that there is none (which is remembered, too), and that it could
    /// not find out (which never is).
    ///
    /// Callers of one key wait for one fetch: in this instance always, over all
    /// instances where the policy says so and the host has counters. It ends
    /// when all who wait for it are dropped, and not before. That it has failed,
    /// all of them learn at once. What is stale is returned at once, and
    /// refreshed after the response.
    ///
    /// # Errors
    /// The fetch's own, which every caller in this instance who waited gets, so
    /// it is `Clone`: put into an [`Arc`] what is not. That another instance's
    /// fetch has failed, or takes longer than there is [time](Self::until).
    pub async fn get_or_fetch<E, F, Fut>(
        &self,
        key: &Key,
        fetch: F,
    ) -> Result<Option<T>, FetchError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let Some(known) = self.read(key).await else {
            return self.fetch(key, false, fetch).await;
        };
        count_hit(&known);
        if !known.fresh {
            self.refresh_later(key, fetch);
        }
        Ok(known.value)
    }

    /// What `fetch` finds out, whatever is known. Should it fail, what is known
    /// is the answer.
    ///
    /// # Errors
    /// As of [`get_or_fetch`](Self::get_or_fetch), where nothing is known.
    pub async fn force_fresh<E, F, Fut>(
        &self,
        key: &Key,
        fetch: F,
    ) -> Result<Option<T>, FetchError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        match self.fetch(key, true, fetch).await {
            Ok(value) => Ok(value),
            Err(error) => match self.read(key).await {
                Some(known) => {
                    count(Count::StaleHit);
                    Ok(known.value)
                }
                None => Err(error),
            },
        }
    }

    /// Remembers a value, or that there is none. It is written when nothing
    /// else is to be done, and can be read at once.
    pub async fn put(&self, key: &Key, value: Option<&T>) {
        let times = self.times(value.is_some());
        self.write(key, value, times, None).await;
    }

    /// Forgets a value, or that there is none: whoever asks next, in any
    /// instance, asks the upstream. Uses also a store that is slow.
    ///
    /// A fetch that is under way is not stopped, and writes down what it finds.
    /// Dropping the future may leave the value where it is.
    ///
    /// # Errors
    /// When the store fails, is in trouble, or is not there: the value may be
    /// served still.
    pub async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.cache.0.store.forget(&self.store_key(key)).await
    }

    async fn write(&self, key: &Key, value: Option<&T>, times: Times, lease: Option<Lease>) {
        let Some(bytes) = envelope::encode(self.kind, key.parts(), value, times) else {
            tracing::debug!(kind = self.kind.namespace, "a value cannot be written");
            return;
        };
        let until = times.stale_until.unix();
        let guard = lease.map(|lease| Box::new(lease.fulfilled()) as Guard);
        let store = &self.cache.0.store;
        store
            .put_later(self.store_key(key), bytes, until, guard)
            .await;
    }

    fn store_key(&self, key: &Key) -> String {
        format!("{}:{}", self.kind.namespace, key.hash())
    }

    /// What is known of `key`, and may still be served. A slow store is not
    /// asked.
    async fn read(&self, key: &Key) -> Option<Known<T>> {
        let store = &self.cache.0.store;
        if store.is_quick() || store.waiting(&self.store_key(key)).is_some() {
            return self.read_even_slow(key).await;
        }
        None
    }

    async fn read_even_slow(&self, key: &Key) -> Option<Known<T>> {
        let (store, store_key) = (&self.cache.0.store, self.store_key(key));
        let known = match store.waiting(&store_key) {
            Some(waiting) => self.open(key, &waiting),
            None => self.open(key, &store.get(&store_key).await.ok()??),
        }?;
        let now = store.unix();
        (now < known.stale_until.unix()).then(|| Known {
            fresh: now < known.fresh_until.unix(),
            value: known.value,
            end: known.stale_until,
        })
    }

    fn open(&self, key: &Key, bytes: &[u8]) -> Option<Opened<T>> {
        envelope::decode(self.kind, key.parts(), bytes)
    }

    /// Joins the fetch of `key`, or begins it. One that is forced takes no answer
    /// from others, so it is not joined by those who would.
    async fn fetch<E, F, Fut>(
        &self,
        key: &Key,
        forced: bool,
        fetch: F,
    ) -> Result<Option<T>, FetchError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let name = match forced {
            true => format!("!{}", self.store_key(key)),
            false => self.store_key(key),
        };
        let (flight, under_way) = self.cache.0.flights.join(&name, || {
            scope::inherit(self.clone().work(key.clone(), forced, fetch))
        });
        if under_way {
            count(Count::Shared);
        }
        let Some(deadline) = self.deadline else {
            return flight.await;
        };
        let time = self.cache.0.store.clock().sleep_until(deadline);
        match select(flight, time).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), _)) => Err(FetchError::TooLate),
        }
    }

    /// What a flight does: lets others answer where it may, or asks.
    async fn work<E, F, Fut>(
        self,
        key: Key,
        forced: bool,
        fetch: F,
    ) -> Result<Option<T>, FetchError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        let outcome = match forced || !self.kind.policy.has_fetch_lease() {
            true => Outcome::Ask(None),
            false => self.stand_in_line(&key).await,
        };
        let lease = match outcome {
            Outcome::Answered(value) => {
                count(Count::Shared);
                return Ok(value);
            }
            Outcome::Failed => return Err(FetchError::Elsewhere),
            Outcome::Ask(lease) => lease,
        };
        count(Count::Miss);
        match fetch().await {
            Ok(value) => {
                let times = self.times(value.is_some());
                self.write(&key, value.as_ref(), times, lease).await;
                Ok(value)
            }
            Err(error) => {
                if let Some(lease) = lease {
                    lease.failed();
                }
                Err(FetchError::Failed(error))
            }
        }
    }

    /// Waits for our turn to ask, or for what another instance has found out.
    async fn stand_in_line(&self, key: &Key) -> Outcome<T> {
        let clock = self.cache.0.store.clock();
        let end = clock.now() + lease::LONGEST_WAIT;
        while clock.now() < end {
            let place = match self.line_up(key).await {
                Standing::Alone => break,
                Standing::Ours(lease) => return self.holding(key, lease).await,
                Standing::Theirs(place) => place,
            };
            if let Some(outcome) = self.wait_for(key, place, end).await {
                return outcome;
            }
        }
        Outcome::Ask(None)
    }

    /// The last holder may have answered since we have looked.
    async fn holding(&self, key: &Key, lease: Lease) -> Outcome<T> {
        match self.read_even_slow(key).await {
            Some(known) => {
                drop(lease.fulfilled());
                Outcome::Answered(known.value)
            }
            None => Outcome::Ask(Some(lease)),
        }
    }

    /// Looks for what the holder of the lease finds out. `None`: it was dropped,
    /// or its period or the longest wait is over.
    async fn wait_for(&self, key: &Key, mut place: Place, end: Instant) -> Option<Outcome<T>> {
        let clock = self.cache.0.store.clock();
        let (until, mut wait) = (place.until.min(end), lease::FIRST_LOOK);
        loop {
            let begin = clock.now();
            place = match place.look().await {
                Seen::Nothing(place) => place,
                Seen::Failed => return Some(Outcome::Failed),
                Seen::Dropped => return None,
                Seen::Ours(lease) => return Some(self.holding(key, lease).await),
            };
            if clock.now() >= until {
                return None;
            }
            // Looking must not be what makes a store slow.
            let pause = wait.max(4 * (clock.now() - begin));
            clock.sleep_until(until.min(clock.now() + pause)).await;
            wait = lease::LAST_LOOK.min(2 * wait);
            if let Some(known) = self.read_even_slow(key).await {
                return Some(Outcome::Answered(known.value));
            }
        }
    }

    async fn line_up(&self, key: &Key) -> Standing {
        lease::line_up(&self.cache.0.store, &self.store_key(key)).await
    }

    /// Asks anew after the response, unless its client has gone by then.
    fn refresh_later<E, F, Fut>(&self, key: &Key, fetch: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Send + 'static,
    {
        let inner = &self.cache.0;
        let refreshing = || {
            inner
                .refreshing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if !refreshing().insert(self.store_key(key)) {
            return;
        }
        let (this, key) = (self.clone(), key.clone());
        let refresh = async move {
            match scope::current() {
                // Whether it was aborted or not: the value is stale as before.
                Some(scope) => drop(scope.abort.guard(this.refresh(&key, fetch)).await),
                None => this.refresh(&key, fetch).await,
            }
            let refreshing = &this.cache.0.refreshing;
            let mut refreshing = refreshing.lock().unwrap_or_else(PoisonError::into_inner);
            refreshing.remove(&this.store_key(&key));
        };
        inner
            .store
            .spawner()
            .after_response(scope::inherit(refresh));
    }

    async fn refresh<E, F, Fut>(&self, key: &Key, fetch: F)
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<T>, E>>,
    {
        let lease = match self.kind.policy.has_fetch_lease() {
            true => match self.line_up(key).await {
                Standing::Ours(lease) => Some(lease),
                Standing::Alone => None,
                Standing::Theirs(_) => return,
            },
            false => None,
        };
        // Another may have been faster, or the value may have ended.
        let Some(known) = self.read(key).await.filter(|known| !known.fresh) else {
            return;
        };
        match fetch().await {
            Ok(value) => {
                let times = self.times(value.is_some());
                self.write(key, value.as_ref(), times, lease).await;
            }
            Err(_) => {
                let times = envelope::retry_times(self.now(), known.end);
                self.write(key, known.value.as_ref(), times, lease).await;
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::new(self.cache.0.store.unix())
    }

    fn times(&self, hit: bool) -> Times {
        let policy = &self.kind.policy;
        let stored = self.now();
        let (fresh, life) = match hit {
            true => (policy.fresh(self.chance()), policy.life()),
            false => (policy.negative_life(), policy.negative_life()),
        };
        Times {
            stored,
            fresh_until: stored.plus(fresh),
            stale_until: stored.plus(life),
        }
    }

    /// From 0 to 1.
    fn chance(&self) -> f64 {
        let mut random = [0; 4];
        self.cache.0.store.entropy().fill(&mut random);
        f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX)
    }
}

fn count_hit<T>(known: &Known<T>) {
    count(match (&known.value, known.fresh) {
        (_, false) => Count::StaleHit,
        (Some(_), true) => Count::Hit,
        (None, true) => Count::NegativeHit,
    });
}
