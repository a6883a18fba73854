//! The store behind the cache, left alone while it is in trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::stats::Count;
use super::sweep;
use crate::core::limit::shared::Health;
use crate::core::ports::{BoxFuture, Clock, Counters, KeyValue, Ports, Spawner, StoreError};
use crate::core::scope;

/// Counts something for the request that is being polled, if there is one.
pub(super) fn count(count: Count) {
    if let Some(scope) = scope::current() {
        scope.cache.add(count);
    }
}

/// The store, its counters, and their health.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) clock: Arc<dyn Clock>,
    key_value: Option<Arc<dyn KeyValue>>,
    counters: Option<Arc<dyn Counters>>,
    /// `None`: whatever its state, it is used.
    health: Option<Arc<Health>>,
    /// Whether there is no doing without it: see [`Health::may_use_even_slow`].
    even_slow: bool,
    spawner: Arc<dyn Spawner>,
    /// Whether the sweep was called, which each instance does once.
    swept: Arc<AtomicBool>,
}

impl Store {
    pub(super) fn new(ports: &Ports, health: Arc<Health>) -> Self {
        Self {
            clock: Arc::clone(&ports.clock),
            key_value: ports.key_value.clone(),
            counters: ports.counters.clone(),
            health: Some(health),
            even_slow: false,
            spawner: Arc::clone(&ports.spawner),
            swept: Arc::default(),
        }
    }

    /// The same store, used however long its calls take.
    pub(super) fn unwatched(self) -> Self {
        Self {
            health: None,
            ..self
        }
    }

    /// The same store, used also while it is no more than slow.
    pub(super) fn even_slow(&self) -> Self {
        Self {
            even_slow: true,
            ..self.clone()
        }
    }

    fn may_use(&self) -> bool {
        let now = self.clock.now();
        let health = self.health.as_ref();
        health.is_none_or(|health| match self.even_slow {
            true => health.may_use_even_slow(now),
            false => health.may_use(now),
        })
    }

    /// Whether calls would be made, and not left out.
    pub(super) fn is_used(&self) -> bool {
        self.key_value.is_some() && self.may_use()
    }

    pub(super) fn unix(&self) -> Duration {
        self.clock.unix()
    }

    /// The value under `key`. `Err` while the store is left alone, and when the
    /// call fails.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key_value = self.key_value()?;
        self.watched(key_value.get(key)).await
    }

    pub(super) async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let key_value = self.key_value()?;
        self.watched(key_value.set(key, value)).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key_value = self.key_value()?;
        self.watched(key_value.delete(key)).await
    }

    /// Adds to a counter; `Ok(None)` where there are none.
    pub(super) async fn increment(
        &self,
        name: &str,
        delta: i64,
    ) -> Result<Option<i64>, StoreError> {
        let Some(counters) = &self.counters else {
            return Ok(None);
        };
        self.watched(counters.increment(name, delta))
            .await
            .map(Some)
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let Some(counters) = &self.counters else {
            return Ok(());
        };
        self.watched(counters.remove(name)).await
    }

    /// Every key that is no counter, for the whole sweep.
    pub(super) async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let key_value = self.key_value()?;
        self.watched(key_value.keys()).await
    }

    /// The name of every counter, for the whole sweep.
    pub(super) async fn counter_names(&self) -> Result<Vec<String>, StoreError> {
        let Some(counters) = &self.counters else {
            return Ok(Vec::new());
        };
        self.watched(counters.names()).await
    }

    /// The store. Who uses it looks after it, when the response is over.
    fn key_value(&self) -> Result<&Arc<dyn KeyValue>, StoreError> {
        if !self.swept.swap(true, Ordering::Relaxed) {
            // Sweeping can wait, whoever it is that uses the store.
            let this = Self {
                even_slow: false,
                ..self.clone()
            };
            self.spawner.after_response(Box::pin(async move {
                // What is in trouble is swept another time.
                let _ = sweep::turn(&this).await;
            }));
        }
        let none = || StoreError::Unavailable("this host has none".into());
        self.key_value.as_ref().ok_or_else(none)
    }

    async fn watched<T>(
        &self,
        call: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begin = self.clock.now();
        if !self.may_use() {
            return Err(StoreError::Unavailable("left alone for a while".into()));
        }
        let result = call.await;
        let now = self.clock.now();
        if let Some(health) = &self.health {
            health.report(now, now - begin, result.as_ref().err());
        }
        if result.is_err() {
            count(Count::StoreError);
        }
        result
    }
}
