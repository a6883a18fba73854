//! What stands between the rules and a store that has neither expiry nor
//! transactions: one [`Store`] for all who use it.
//!
//! It knows the store's health, removes what has expired, and has the two forms
//! in which several instances can write without losing each other's: values
//! that are written whole under a key of their own, and
//! [`PeriodCounter`]s. No plain value is read, changed and written back: of two
//! instances that do so at once, one is lost.
//!
//! **Trouble.** A call that fails leaves the store alone for 5 s, with one
//! warning; what is asked meanwhile is [`StoreError::LeftAlone`]. Limits of
//! upstream calls then hold within an instance; what protects the operator has to
//! be refused. One that succeeds, however late, is believed; one that took longer
//! than 250 ms switches the cache off for 5 s, and nothing else
//! ([`Store::is_quick`]).
//!
//! **A turn for others.** A call of the store may block the whole guest. Before
//! each, others in the guest that are ready go on: a heartbeat, the renewal of a
//! lease, a stop.
//!
//! **Expiry.** What is written with an end is noted in an index by the time at
//! which it ends (`index`), counters of past periods as well. After its
//! response a request works off at least twice as many entries that are due as
//! it has added (`sweep`), so that what is left over does not grow. What an
//! instance leaves that dies is for the operator's [`Store::full_sweep`].

mod behind;
mod claim;
mod full_sweep;
mod header;
mod health;
mod index;
mod period;
mod sweep;
mod timestamp;
mod upkeep;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub(crate) use behind::Guard;
pub use claim::{Claim, Claimed};
pub use full_sweep::FullSweep;
pub(crate) use header::{Header, Is, Times};
pub use period::PeriodCounter;
pub(crate) use timestamp::Timestamp;

pub use super::ports::LEFT_ALONE;

/// In a family of numbered keys, that of who reads them.
pub(crate) const READER: &str = "reader";

use super::cache::Count;
use super::ports::{
    BoxFuture, Clock, Counters, Entropy, KeyValue, Ports, Spawner, StoreError, check_key,
};
use super::{scope, turn};
use behind::Behind;
use health::Health;
use upkeep::Upkeep;

/// The store of an instance. Clones are the same.
///
/// Cheap to make: nothing is asked of the store before it is needed.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let store = Store::open(&world.ports());
/// assert!(store.is_there() && store.has_counters());
/// world.run(store.set("name", b"value"))?;
/// assert_eq!(world.run(store.get("name"))?.as_deref(), Some(&b"value"[..]));
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// Whether its calls go before those of others.
    urgent: bool,
}

struct Inner {
    ports: Ports,
    health: Health,
    behind: Behind,
    upkeep: Upkeep,
    urgent: Mutex<Arc<[Weak<dyn Urgent>]>>,
}

/// What must not wait behind the calls that a busy guest makes.
pub(crate) trait Urgent: Send + Sync {
    /// What has to be done by now, with calls of [`Store::urgently`].
    fn due(&self) -> Option<BoxFuture<'static, ()>>;
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("health", &self.inner.health)
            .field("behind", &self.inner.behind)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The store of `ports`. One for all who use it in an instance, so that they
    /// learn of its trouble from each other.
    pub fn open(ports: &Ports) -> Self {
        let inner = Inner {
            ports: ports.clone(),
            health: Health::default(),
            behind: Behind::default(),
            upkeep: Upkeep::default(),
            urgent: Mutex::new(Arc::new([])),
        };
        Self {
            inner: Arc::new(inner),
            urgent: false,
        }
    }

    /// The same, for what is [`Urgent`]: calls neither give others a turn first,
    /// nor do what else is urgent.
    pub(crate) fn urgently(&self) -> Self {
        Self {
            urgent: true,
            ..self.clone()
        }
    }

    /// Does what `what` has due before any other call.
    pub(crate) fn add_urgent(&self, what: Weak<dyn Urgent>) {
        let mut urgent = self.all_urgent();
        *urgent = urgent.iter().cloned().chain([what]).collect();
    }

    /// How many have something urgent now and then.
    pub(crate) fn urgent(&self) -> usize {
        self.all_urgent().len()
    }

    fn all_urgent(&self) -> MutexGuard<'_, Arc<[Weak<dyn Urgent>]>> {
        let urgent = &self.inner.urgent;
        urgent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what has to be done by now. (Asked of each without the lock: it takes
    /// others.)
    async fn do_urgent(&self) {
        let all = Arc::clone(&self.all_urgent());
        for what in &*all {
            let due = what.upgrade().and_then(|what| what.due());
            if let Some(work) = due {
                work.await;
            }
        }
    }

    /// Whether the host has a store at all.
    pub fn is_there(&self) -> bool {
        self.inner.ports.key_value.is_some()
    }

    /// Whether the host has atomic counters in it.
    pub fn has_counters(&self) -> bool {
        self.inner.ports.counters.is_some()
    }

    /// How long it is left alone still, because a call has failed.
    pub fn left_alone(&self) -> Option<Duration> {
        self.inner.health.left_alone(self.clock().now())
    }

    /// Whether it is worth asking for what can be done without it: it is there,
    /// not left alone, and has not been slow within the last 5 s.
    pub fn is_quick(&self) -> bool {
        self.is_there() && self.inner.health.is_quick(self.clock().now())
    }

    /// How long the slowest call took that this instance made of late.
    pub(crate) fn slowest(&self) -> Duration {
        self.inner.health.slowest()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.ports.clock
    }

    pub(crate) fn spawner(&self) -> &Arc<dyn Spawner> {
        &self.inner.ports.spawner
    }

    pub(crate) fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.inner.ports.entropy
    }

    /// The wall clock's time, since the Unix epoch.
    pub(crate) fn unix(&self) -> Duration {
        self.clock().unix()
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// When the store fails, is left alone, or is not there.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key_value = self.key_value()?;
        self.call(|| key_value.get(key)).await
    }

    /// Writes `value` under `key`, for ever: what has an end is
    /// [`put`](Self::put).
    ///
    /// # Errors
    /// As [`get`](Self::get), and when the store has no room. Whether it was
    /// written is not known then.
    pub async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let key_value = self.key_value()?;
        self.call(|| key_value.set(key, value)).await
    }

    /// As [`set`](Self::set), and tells how long the store itself took.
    pub(crate) async fn set_timed(&self, key: &str, value: &[u8]) -> Result<Duration, StoreError> {
        let key_value = self.key_value()?;
        let (result, took) = self.timed(|| key_value.set(key, value)).await?;
        result.map(|()| took)
    }

    /// Removes what is under `key`, if anything is.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key_value = self.key_value()?;
        self.call(|| key_value.delete(key)).await
    }

    /// Writes `value` under `key`, to be removed when `until` (since the Unix epoch)
    /// has passed, by whoever comes then: after 12 minutes where it lives up to an
    /// hour, after 6 hours where up to two days, else after a week. It is noted
    /// first: what breaks off in between leaves a note too
    /// many, and no value that nobody finds again.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn put(&self, key: &str, value: &[u8], until: Duration) -> Result<(), StoreError> {
        check_key(key)?;
        index::note(self, [(key.to_owned(), until)]).await?;
        self.set(key, value).await
    }

    /// Notes, after the response, that all keys that `prefix` (with its colon) begins may
    /// be removed when `until` has passed, by one entry: those numbered from 0 on
    /// without a gap, and that of their [`READER`].
    pub(crate) fn note_family_later(&self, prefix: &str, until: Duration) {
        self.note_later(index::family(prefix), until);
    }

    /// The last number from 0 on under which there is something, with `prefix` before
    /// it, where there is none beyond one that is missing.
    pub(crate) async fn last_numbered(&self, prefix: &str) -> Result<Option<u64>, StoreError> {
        let key = |number: u64| format!("{prefix}{}", number - 1);
        let last = index::last_there(self, key).await?;
        Ok(last.checked_sub(1))
    }

    /// Every key that is no counter, for the full sweep.
    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let key_value = self.key_value()?;
        self.call(|| key_value.keys()).await
    }

    /// Adds to a counter, whatever its name.
    async fn increment(&self, name: &str, delta: i64) -> Result<i64, StoreError> {
        let counters = self.counters()?;
        self.call(|| counters.increment(name, delta)).await
    }

    async fn has_counter(&self, name: &str) -> Result<bool, StoreError> {
        let counters = self.counters()?;
        self.call(|| counters.exists(name)).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let counters = self.counters()?;
        self.call(|| counters.remove(name)).await
    }

    /// The name of every counter, for the full sweep.
    async fn counter_names(&self) -> Result<Vec<String>, StoreError> {
        let Some(counters) = &self.inner.ports.counters else {
            return Ok(Vec::new());
        };
        self.call(|| counters.names()).await
    }

    fn key_value(&self) -> Result<&Arc<dyn KeyValue>, StoreError> {
        let none = || StoreError::Unavailable("this host has none".into());
        self.inner.ports.key_value.as_ref().ok_or_else(none)
    }

    fn counters(&self) -> Result<&Arc<dyn Counters>, StoreError> {
        let none = || StoreError::Unavailable("this host has no counters".into());
        self.inner.ports.counters.as_ref().ok_or_else(none)
    }

    /// Makes a call, unless the store is left alone, and learns from it.
    async fn call<'a, T>(
        &self,
        make: impl FnOnce() -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (result, _) = self.timed(make).await?;
        result
    }

    /// The same, with how long it took, without the turn of others.
    async fn timed<'a, T>(
        &self,
        make: impl FnOnce() -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> Result<(Result<T, StoreError>, Duration), StoreError> {
        if !self.urgent {
            self.tend_later();
            turn::for_others().await;
            self.do_urgent().await;
        }
        let begin = self.clock().now();
        if let Some(wait) = self.inner.health.left_alone(begin) {
            return Err(StoreError::LeftAlone { wait });
        }
        let result = make().await;
        let (now, error) = (self.clock().now(), result.as_ref().err());
        self.inner.health.report(now, now - begin, error);
        if error.is_some()
            && let Some(scope) = scope::current()
        {
            scope.cache.add(Count::StoreError);
        }
        Ok((result, now - begin))
    }
}

#[cfg(test)]
mod tests;
