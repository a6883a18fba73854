//! The store behind the cache, left alone while it is in trouble.

use std::sync::Arc;
use std::time::Duration;

use super::stats::Count;
use crate::core::limit::shared::Health;
use crate::core::ports::{BoxFuture, Clock, Counters, KeyValue, Ports, StoreError};
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
    health: Arc<Health>,
}

impl Store {
    pub(super) fn new(ports: &Ports, health: Arc<Health>) -> Self {
        Self {
            clock: Arc::clone(&ports.clock),
            key_value: ports.key_value.clone(),
            counters: ports.counters.clone(),
            health,
        }
    }

    /// Whether calls would be made, and not left out.
    pub(super) fn is_used(&self) -> bool {
        self.key_value.is_some() && self.health.may_use(self.clock.now())
    }

    pub(super) fn has_counters(&self) -> bool {
        self.counters.is_some()
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

    fn key_value(&self) -> Result<&Arc<dyn KeyValue>, StoreError> {
        let none = || StoreError::Unavailable("this host has none".into());
        self.key_value.as_ref().ok_or_else(none)
    }

    async fn watched<T>(
        &self,
        call: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begin = self.clock.now();
        if !self.health.may_use(begin) {
            return Err(StoreError::Unavailable("left alone for a while".into()));
        }
        let result = call.await;
        let now = self.clock.now();
        self.health.report(now, now - begin, result.as_ref().err());
        if result.is_err() {
            count(Count::StoreError);
        }
        result
    }
}
