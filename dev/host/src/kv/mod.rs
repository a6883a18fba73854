//! Key-value stores: where values are kept, and what tests do to them.

mod control;
mod redis;
mod sqlite;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::bail;

pub use control::{SPIN_INCREMENT, StoreCall, StoreControl};
use redis::Redis;
use sqlite::Sqlite;

/// What a backend answers; the text of an error is for the component's log.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Keys with their values; `None` where there is none.
pub(crate) type Found = Vec<(String, Option<Vec<u8>>)>;

/// Where values are kept. The calls of components are asynchronous, so that a
/// backend may be at the other end of a network; the two for tests may block.
pub(crate) trait Backend: Send + Sync {
    /// The value under `key`.
    fn get<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;
    /// Writes `value` over what was there.
    fn set<'a>(&'a self, store: &'a str, key: &'a str, value: Vec<u8>) -> Answer<'a, ()>;
    /// Removes `key`, if it is there.
    fn delete<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, ()>;
    /// Whether there is a value under `key`.
    fn exists<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, bool>;
    /// All keys, in no order.
    fn keys<'a>(&'a self, store: &'a str) -> Answer<'a, Vec<String>>;
    /// Adds `delta` atomically and answers the new value; absent counts as 0.
    /// A value that is no counter is an error and stays as it is.
    fn increment<'a>(&'a self, store: &'a str, key: &'a str, delta: i64) -> Answer<'a, i64>;
    /// The values under `keys`.
    fn get_many<'a>(&'a self, store: &'a str, keys: Vec<String>) -> Answer<'a, Found>;
    /// Writes all of `values`.
    fn set_many<'a>(&'a self, store: &'a str, values: Vec<(String, Vec<u8>)>) -> Answer<'a, ()>;
    /// Removes all of `keys` that are there.
    fn delete_many<'a>(&'a self, store: &'a str, keys: Vec<String>) -> Answer<'a, ()>;

    /// Every key with its value, for tests to look into.
    fn dump(&self, store: &str) -> Result<BTreeMap<String, Vec<u8>>, String>;
    /// Writes `value`, for tests, past every fault.
    fn put_raw(&self, store: &str, key: &str, value: &[u8]) -> Result<(), String>;
}

/// The backend as components reach it: every call counted, delayed or failed
/// as tests have told the [`StoreControl`].
#[derive(Clone)]
pub(crate) struct Store {
    backend: Arc<dyn Backend>,
    control: StoreControl,
}

impl Store {
    /// Opens a store: a SQLite file, a `redis://` address, or memory that ends
    /// with this value.
    pub(crate) async fn open(place: Option<&Path>) -> anyhow::Result<Self> {
        let address = place.and_then(Path::to_str);
        let address = address.filter(|place| place.contains("://"));
        Ok(match address {
            Some(address) if address.starts_with("redis://") => {
                Self::new(Redis::open(address).await?)
            }
            // The address may hold a password: it is not repeated.
            Some(_) => bail!("--store takes a file or a redis:// address"),
            None => Self::new(Sqlite::open(place)?),
        })
    }

    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self::new(Sqlite::open(None).expect("memory"))
    }

    fn new(backend: impl Backend + 'static) -> Self {
        let backend: Arc<dyn Backend> = Arc::new(backend);
        Self {
            control: StoreControl::new(Arc::clone(&backend)),
            backend,
        }
    }

    pub(crate) fn control(&self) -> &StoreControl {
        &self.control
    }

    async fn call<T>(
        &self,
        function: &'static str,
        key: &str,
        call: Answer<'_, T>,
    ) -> Result<T, String> {
        self.control.before_call(function, key).await?;
        call.await
    }

    async fn write<T>(
        &self,
        function: &'static str,
        key: &str,
        call: Answer<'_, T>,
    ) -> Result<T, String> {
        self.control.before_write(function, key).await?;
        call.await
    }

    pub(crate) async fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.call("get", key, self.backend.get(store, key)).await
    }

    pub(crate) async fn set(&self, store: &str, key: &str, value: Vec<u8>) -> Result<(), String> {
        self.write("set", key, self.backend.set(store, key, value))
            .await
    }

    pub(crate) async fn delete(&self, store: &str, key: &str) -> Result<(), String> {
        self.call("delete", key, self.backend.delete(store, key))
            .await
    }

    pub(crate) async fn exists(&self, store: &str, key: &str) -> Result<bool, String> {
        self.call("exists", key, self.backend.exists(store, key))
            .await
    }

    pub(crate) async fn keys(&self, store: &str) -> Result<Vec<String>, String> {
        self.call("keys", "", self.backend.keys(store)).await
    }

    pub(crate) async fn increment(
        &self,
        store: &str,
        key: &str,
        delta: i64,
    ) -> Result<i64, String> {
        self.control.before_increment().await;
        self.write("increment", key, self.backend.increment(store, key, delta))
            .await
    }

    pub(crate) async fn get_many(&self, store: &str, keys: Vec<String>) -> Result<Found, String> {
        // Nothing to do is no call, as under Spin: Redis would refuse it.
        if keys.is_empty() {
            return Ok(Found::new());
        }
        self.call("get_many", "", self.backend.get_many(store, keys))
            .await
    }

    pub(crate) async fn set_many(
        &self,
        store: &str,
        values: Vec<(String, Vec<u8>)>,
    ) -> Result<(), String> {
        if values.is_empty() {
            return Ok(());
        }
        self.write("set_many", "", self.backend.set_many(store, values))
            .await
    }

    pub(crate) async fn delete_many(&self, store: &str, keys: Vec<String>) -> Result<(), String> {
        if keys.is_empty() {
            return Ok(());
        }
        self.call("delete_many", "", self.backend.delete_many(store, keys))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_address_that_is_not_redis_is_no_file() {
        let address = Path::new("rediss://me:secret@127.0.0.1");
        let refused = Store::open(Some(address)).await.err().unwrap();
        let text = format!("{refused:#}");
        assert!(
            text.contains("redis://") && !text.contains("secret"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn increments_take_turns_and_cost_what_they_do_under_spin() {
        let store = Store::new(Sqlite::open(None).unwrap());
        let increment = || store.increment("default", "n", 1);
        store.control().increment_cost(Some(SPIN_INCREMENT));
        let begun = std::time::Instant::now();
        let all = tokio::try_join!(increment(), increment(), increment(), increment());
        assert_eq!(all, Ok((1, 2, 3, 4)));
        assert!(begun.elapsed() >= 4 * SPIN_INCREMENT);
    }

    #[tokio::test(start_paused = true)]
    async fn tests_count_fail_slow_and_corrupt_the_store() {
        let store = Store::new(Sqlite::open(None).unwrap());
        let control = store.control().clone();
        store.set("default", "k", vec![1]).await.unwrap();
        store.increment("default", "n", 2).await.unwrap();
        assert_eq!((control.calls(), control.increments()), (2, 1));

        control.fail(Some("disk on fire".into()));
        let failed = store.get("default", "k").await;
        assert_eq!(failed, Err("disk on fire".to_owned()));
        control.put_raw("k", b"corrupt");
        control.fail(None);
        let value = store.get("default", "k").await.unwrap();
        assert_eq!(value.as_deref(), Some(b"corrupt".as_slice()));

        control.delay(Some(Duration::from_secs(3)));
        let begun = tokio::time::Instant::now();
        assert_eq!(store.exists("default", "k").await, Ok(true));
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        // Nor is a batch of nothing a call.
        store.delete_many("default", vec![]).await.unwrap();
        // What tests do is neither counted nor delayed.
        assert_eq!(control.dump().len(), 2);
        assert_eq!(control.calls(), 5);
    }

    #[tokio::test]
    async fn calls_are_recorded_for_who_wants_to_know() {
        let store = Store::new(Sqlite::open(None).unwrap());
        let control = store.control().clone();
        store.set("default", "k", vec![1]).await.unwrap();
        assert_eq!(control.recorded(), []);
        control.record();
        store.increment("default", "n", 2).await.unwrap();
        let (function, key) = ("increment", "n".to_owned());
        assert_eq!(control.recorded(), [StoreCall { function, key }]);
        assert_eq!(control.recorded(), []);
    }
}
