//! The cache itself, and its view of one kind of value.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::{self, Opened, Times};
use super::flights::Flights;
use super::key::Key;
use super::policy::Kind;
use super::queue::Queue;
use super::stamp::Stamp;
use super::stats::Count;
use super::store::{Store, count};
use crate::core::limit::shared::Health;
use crate::core::ports::{BoxFuture, Entropy, Ports, Spawner};
use crate::core::scope;

/// Values with an end, in a store that has none. Clones are the same cache.
///
/// Cheap to make: nothing is read before it is asked for.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    store: Store,
    queue: Queue,
    flights: Flights,
    spawner: Arc<dyn Spawner>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("queue", &self.0.queue)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache in the store of `ports`. Where there is none, or while it is in
    /// trouble, every value is asked for.
    pub fn new(ports: &Ports, health: Arc<Health>) -> Self {
        let store = Store::new(ports, health);
        Self(Arc::new(Inner {
            queue: Queue::new(store.clone(), Arc::clone(&ports.spawner)),
            store,
            flights: Flights::default(),
            spawner: Arc::clone(&ports.spawner),
            entropy: Arc::clone(&ports.entropy),
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

    /// What sessions in the same store are made of.
    pub(super) fn parts(&self) -> (Store, Arc<dyn Spawner>, Arc<dyn Entropy>) {
        let inner = &self.0;
        (
            inner.store.clone(),
            Arc::clone(&inner.spawner),
            Arc::clone(&inner.entropy),
        )
    }

    /// Writes what waits to be written, now. It would be written by itself,
    /// before the instance ends.
    pub async fn flush(&self) {
        self.0.queue.flush().await;
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

/// What is known of a key.
struct Known<T> {
    value: Option<T>,
    fresh: bool,
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
    /// The fetch's own.
    pub async fn get_or_fetch<E, F, Fut>(&self, key: &Key, fetch: F) -> Result<Option<T>, E>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        if let Some(known) = self.read(key).await {
            count_hit(&known);
            return Ok(known.value);
        }
        self.fetch(key, "", fetch).await
    }

    /// What `fetch` finds out, whatever is known. Should it fail, what is known
    /// is the answer.
    ///
    /// # Errors
    /// The fetch's own, where nothing is known.
    pub async fn force_fresh<E, F, Fut>(&self, key: &Key, fetch: F) -> Result<Option<T>, E>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        match self.fetch(key, "!", fetch).await {
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
        let Some(bytes) = envelope::encode(self.kind, key.parts(), value, times) else {
            tracing::debug!(kind = self.kind.namespace, "a value cannot be written");
            return;
        };
        let queue = &self.cache.0.queue;
        queue
            .push(self.store_key(key), bytes, times.stale_until)
            .await;
    }

    fn store_key(&self, key: &Key) -> String {
        format!("{}:{}", self.kind.namespace, key.hash())
    }

    /// What is known of `key`, and may still be served.
    async fn read(&self, key: &Key) -> Option<Known<T>> {
        let (inner, store_key) = (&self.cache.0, self.store_key(key));
        let known = match inner.queue.get(&store_key) {
            Some(waiting) => self.open(key, &waiting),
            None => self.open(key, &inner.store.get(&store_key).await.ok()??),
        }?;
        let now = inner.store.unix();
        (now < known.stale_until.unix()).then(|| Known {
            fresh: now < known.fresh_until.unix(),
            value: known.value,
        })
    }

    fn open(&self, key: &Key, bytes: &[u8]) -> Option<Opened<T>> {
        envelope::decode(self.kind, key.parts(), bytes)
    }

    /// Joins the fetch of `key`, or begins it.
    async fn fetch<E, F, Fut>(&self, key: &Key, series: &str, fetch: F) -> Result<Option<T>, E>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let name = format!("{series}{}", self.store_key(key));
        let (flight, under_way) = self.cache.0.flights.join(&name, || {
            let work = self.clone().work(key.clone(), fetch);
            in_scope(work)
        });
        count(if under_way {
            Count::Shared
        } else {
            Count::Miss
        });
        flight.await
    }

    async fn work<E, F, Fut>(self, key: Key, fetch: F) -> Result<Option<T>, E>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        let value = fetch().await?;
        self.put(&key, value.as_ref()).await;
        Ok(value)
    }

    fn times(&self, hit: bool) -> Times {
        let policy = &self.kind.policy;
        let stored = Stamp::new(self.cache.0.store.unix());
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
        self.cache.0.entropy.fill(&mut random);
        let policy = &self.kind.policy;
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        let most = policy.hit * u32::from(policy.jitter_percent.min(100)) / 100;
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

/// `work` with the scope of the request that asks for it, whoever drives it.
fn in_scope<F>(work: F) -> BoxFuture<'static, F::Output>
where
    F: Future + Send + 'static,
{
    match scope::current() {
        Some(current) => scope::run(current, work).boxed(),
        None => work.boxed(),
    }
}
