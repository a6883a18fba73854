//! Key-value stores: the backends, and what tests do to them.

mod sqlite;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use sqlite::Sqlite;

/// What a backend answers; the text is for the component's log.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Where values are kept.
pub(crate) trait Backend: Send + Sync {
    /// The value under `key`.
    fn get<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;
    /// Writes `value` over what was there.
    fn set<'a>(&'a self, store: &'a str, key: &'a str, value: Vec<u8>) -> Answer<'a, ()>;
    /// Removes `key`.
    fn delete<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, ()>;
    /// All keys, in no order.
    fn keys<'a>(&'a self, store: &'a str) -> Answer<'a, Vec<String>>;
    /// Adds `delta` atomically and answers the new value; absent counts as 0.
    fn increment<'a>(&'a self, store: &'a str, key: &'a str, delta: i64) -> Answer<'a, i64>;
    /// Every key with its value, for tests to look into.
    fn dump<'a>(&'a self, store: &'a str) -> Answer<'a, BTreeMap<String, Vec<u8>>>;
}

#[derive(Debug, Default)]
struct Trouble {
    fault: Option<String>,
    delay: Option<Duration>,
}

/// A store, and the handles by which tests make its life hard. Nothing of that
/// is reachable from the command line.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    trouble: Arc<Mutex<Trouble>>,
    calls: Arc<AtomicU64>,
    increments: Arc<AtomicU64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("trouble", &self.trouble)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl Store {
    pub(crate) fn new(backend: impl Backend + 'static) -> Self {
        Self {
            backend: Arc::new(backend),
            trouble: Arc::default(),
            calls: Arc::default(),
            increments: Arc::default(),
        }
    }

    /// Every later call of a component fails with `fault`; `None` heals.
    pub fn fail(&self, fault: Option<&str>) {
        self.trouble().fault = fault.map(str::to_owned);
    }

    /// Every later call of a component takes at least this long.
    pub fn delay(&self, delay: Option<Duration>) {
        self.trouble().delay = delay;
    }

    /// Calls of components so far, of every kind.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Increments among them.
    pub fn increments(&self) -> u64 {
        self.increments.load(Ordering::SeqCst)
    }

    /// Everything in the store `default`.
    ///
    /// # Errors
    /// The backend's.
    pub async fn dump(&self) -> Result<BTreeMap<String, Vec<u8>>, String> {
        self.backend.dump("default").await
    }

    /// Writes raw bytes into the store `default`: corrupts on purpose.
    ///
    /// # Errors
    /// The backend's.
    pub async fn put_raw(&self, key: &str, value: Vec<u8>) -> Result<(), String> {
        self.backend.set("default", key, value).await
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call of a component: counted, delayed, failed, as told.
    async fn call<T>(&self, call: Answer<'_, T>) -> Result<T, String> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (fault, delay) = {
            let trouble = self.trouble();
            (trouble.fault.clone(), trouble.delay)
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match fault {
            Some(fault) => Err(fault),
            None => call.await,
        }
    }

    pub(crate) async fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.call(self.backend.get(store, key)).await
    }

    pub(crate) async fn set(&self, store: &str, key: &str, value: Vec<u8>) -> Result<(), String> {
        self.call(self.backend.set(store, key, value)).await
    }

    pub(crate) async fn delete(&self, store: &str, key: &str) -> Result<(), String> {
        self.call(self.backend.delete(store, key)).await
    }

    pub(crate) async fn keys(&self, store: &str) -> Result<Vec<String>, String> {
        self.call(self.backend.keys(store)).await
    }

    pub(crate) async fn increment(
        &self,
        store: &str,
        key: &str,
        delta: i64,
    ) -> Result<i64, String> {
        self.increments.fetch_add(1, Ordering::SeqCst);
        self.call(self.backend.increment(store, key, delta)).await
    }
}
