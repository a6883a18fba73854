//! The cache itself, and its view of one kind of value.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::claim::{self, Asks, Claim};
use super::envelope::{self, Opened};
use super::flights::Flights;
use super::key::Key;
use super::policy::Kind;
use super::stats::{Count, count};
use crate::core::ports::StoreError;
use crate::core::scope;
use crate::core::store::{Guard, Stamp, Store, Times};

/// Values with an end, in a store that has none. Clones are the same cache.
///
/// Cheap to make: nothing is read before it is asked for.
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
    pub fn of<T>(&self, kind: &'static Kind) -> Typed<T> {
        Typed {
            cache: self.clone(),
            kind,
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
pub struct Typed<T> {
    cache: Cache,
    kind: &'static Kind,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        self.cache.of(self.kind)
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("kind", self.kind)
            .finish_non_exhaustive()
    }
}

/// Whose turn it is.
enum Turn<T> {
    Answered(Option<T>),
    Ask(Option<Claim>),
}

/// What is known of a key.
struct Known<T> {
    value: Option<T>,
    fresh: bool,
    end: Stamp,
}

impl<T> Typed<T>
where
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// What is known and fresh, without asking anybody: `Some(Some(value))`,
    /// `Some(None)` when it is known that there is none, `None` when nothing is
    /// known.
    pub async fn peek(&self, key: &Key) -> Option<Option<T>> {
        let known = self.read(key).await.filter(|known| known.fresh)?;
        count_hit(&known);
        Some(known.value)
    }

    /// What is known, else what `fetch` finds out. `fetch` tells apart what was
    /// found, that there is none (which is remembered, too), and that it could
    /// not find out (which never is).
    ///
    /// Callers of one key wait for one fetch: in this instance always, over all
    /// instances where the policy says so and the host has counters. It ends
    /// when all who wait for it are dropped, and not before. What is stale is
    /// returned at once, and refreshed after the response.
    ///
    /// # Errors
    /// The fetch's own. Every caller who waited gets it, so it is `Clone`: put
    /// into an [`Arc`] what is not.
    pub async fn get_or_fetch<E, F, Fut>(&self, key: &Key, fetch: F) -> Result<Option<T>, E>
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
    /// The fetch's own, where nothing is known. `Clone` as in
    /// [`get_or_fetch`](Self::get_or_fetch).
    pub async fn force_fresh<E, F, Fut>(&self, key: &Key, fetch: F) -> Result<Option<T>, E>
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

    async fn write(&self, key: &Key, value: Option<&T>, times: Times, claim: Option<Claim>) {
        let Some(bytes) = envelope::encode(self.kind, key.parts(), value, times) else {
            tracing::debug!(kind = self.kind.namespace, "a value cannot be written");
            return;
        };
        let until = times.stale_until.unix();
        let guard = claim.map(|claim| Box::new(claim) as Guard);
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
    async fn fetch<E, F, Fut>(&self, key: &Key, forced: bool, fetch: F) -> Result<Option<T>, E>
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
        flight.await
    }

    /// What a flight does: lets others answer where it may, or asks.
    async fn work<E, F, Fut>(self, key: Key, forced: bool, fetch: F) -> Result<Option<T>, E>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        let turn = match forced {
            true => Turn::Ask(None),
            false => self.turn(&key).await,
        };
        let claim = match turn {
            Turn::Answered(value) => {
                count(Count::Shared);
                return Ok(value);
            }
            Turn::Ask(claim) => claim,
        };
        count(Count::Miss);
        let value = fetch().await?;
        let times = self.times(value.is_some());
        self.write(&key, value.as_ref(), times, claim).await;
        Ok(value)
    }

    /// Waits for our turn to ask, or for what another instance has found out.
    async fn turn(&self, key: &Key) -> Turn<T> {
        if !self.kind.policy.one_asks {
            return Turn::Ask(None);
        }
        let clock = self.cache.0.store.clock();
        let begin = clock.now();
        let mut until = begin;
        loop {
            until = match self.claim(key).await {
                // While the store is left alone, whoever asks still does.
                Asks::Everybody if until > begin => begin + claim::PATIENCE,
                Asks::Everybody => break,
                Asks::We(claim) => {
                    // Its last holder may have answered since we have looked.
                    return match self.read_even_slow(key).await {
                        Some(known) => Turn::Answered(known.value),
                        None => Turn::Ask(Some(claim)),
                    };
                }
                Asks::Another(until) => until.min(begin + claim::PATIENCE),
            };
            let mut wait = claim::FIRST_LOOK;
            while clock.now() < until {
                clock.sleep_until(until.min(clock.now() + wait)).await;
                wait = claim::LAST_LOOK.min(2 * wait);
                if let Some(known) = self.read_even_slow(key).await {
                    return Turn::Answered(known.value);
                }
            }
            if clock.now() - begin >= claim::PATIENCE {
                break;
            }
        }
        Turn::Ask(None)
    }

    async fn claim(&self, key: &Key) -> Asks {
        claim::claim(&self.cache.0.store, &self.store_key(key)).await
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
        let claim = match self.kind.policy.one_asks {
            true => match self.claim(key).await {
                Asks::We(claim) => Some(claim),
                Asks::Everybody => None,
                Asks::Another(_) => return,
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
                self.write(key, value.as_ref(), times, claim).await;
            }
            Err(_) => {
                let times = envelope::retry_times(self.now(), known.end);
                self.write(key, known.value.as_ref(), times, claim).await;
            }
        }
    }

    fn now(&self) -> Stamp {
        Stamp::new(self.cache.0.store.unix())
    }

    fn times(&self, hit: bool) -> Times {
        let policy = &self.kind.policy;
        let stored = self.now();
        if !hit {
            let until = stored.plus(policy.miss);
            return Times {
                stored,
                fresh_until: until,
                stale_until: until,
            };
        }
        let fresh = policy.hit.saturating_sub(policy.stale);
        let fresh = fresh.saturating_sub(self.jitter());
        Times {
            stored,
            fresh_until: stored.plus(fresh),
            stale_until: stored.plus(policy.hit),
        }
    }

    /// From nothing to the policy's share of `hit`, by chance.
    fn jitter(&self) -> Duration {
        let mut random = [0; 4];
        self.cache.0.store.entropy().fill(&mut random);
        let policy = &self.kind.policy;
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        let percent = u32::from(policy.jitter_percent.min(100));
        let most = policy.hit.saturating_mul(percent) / 100;
        most.mul_f64(share)
    }
}

fn count_hit<T>(known: &Known<T>) {
    count(match (&known.value, known.fresh) {
        (_, false) => Count::StaleHit,
        (Some(_), true) => Count::Hit,
        (None, true) => Count::NegativeHit,
    });
}
