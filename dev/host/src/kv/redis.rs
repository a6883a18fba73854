//! A store in Redis, as Spin's provider keeps it: one key space for all store
//! labels, counters as decimal text, no reading of many keys at once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, Commands};

use super::{Answer, Backend, Found};

/// How long a Redis may take to accept a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that all instances share; it is made anew when it breaks.
pub(crate) struct Redis {
    client: Client,
    connection: ConnectionManager,
}

impl Redis {
    /// Connects to `redis://…`.
    pub(crate) async fn open(url: &str) -> anyhow::Result<Self> {
        // The address may hold a password: it is not repeated.
        let client = Client::open(url).context("--store: not a Redis address")?;
        let connection = ConnectionManager::new_with_config(client.clone(), config());
        let connection = connection.await.context("--store: cannot reach Redis")?;
        Ok(Self { client, connection })
    }

    fn call<'a, T, F>(&self, call: impl FnOnce(ConnectionManager) -> F + Send + 'a) -> Answer<'a, T>
    where
        F: Future<Output = redis::RedisResult<T>> + Send,
    {
        let connection = self.connection.clone();
        Box::pin(async move { call(connection).await.map_err(|error| error.to_string()) })
    }
}

/// A call that finds no Redis fails at once, and the next one tries again: an application
/// is held up by a call. By default, as in Spin, this client tries again after a second
/// and then every minute (<https://github.com/redis-rs/redis-rs/issues/1830>), and calls
/// wait for that.
fn config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(CONNECTION_TIMEOUT)
}

impl Backend for Redis {
    fn get<'a>(&'a self, _: &'a str, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        self.call(move |mut redis| async move { redis.get(key).await })
    }

    fn set<'a>(&'a self, _: &'a str, key: &'a str, value: Vec<u8>) -> Answer<'a, ()> {
        self.call(move |mut redis| async move { redis.set(key, value).await })
    }

    fn delete<'a>(&'a self, _: &'a str, key: &'a str) -> Answer<'a, ()> {
        self.call(move |mut redis| async move { redis.del(key).await })
    }

    fn exists<'a>(&'a self, _: &'a str, key: &'a str) -> Answer<'a, bool> {
        self.call(move |mut redis| async move { redis.exists(key).await })
    }

    fn keys<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<String>> {
        self.call(move |mut redis| async move { redis.keys("*").await })
    }

    fn increment<'a>(&'a self, _: &'a str, key: &'a str, delta: i64) -> Answer<'a, i64> {
        self.call(move |mut redis| async move { redis.incr(key, delta).await })
    }

    fn get_many<'a>(&'a self, _: &'a str, _: Vec<String>) -> Answer<'a, Found> {
        Box::pin(async { Err("Spin's Redis store cannot read several keys at once".into()) })
    }

    fn set_many<'a>(&'a self, _: &'a str, values: Vec<(String, Vec<u8>)>) -> Answer<'a, ()> {
        self.call(move |mut redis| async move { redis.mset(&values).await })
    }

    fn delete_many<'a>(&'a self, _: &'a str, keys: Vec<String>) -> Answer<'a, ()> {
        self.call(move |mut redis| async move { redis.del(keys).await })
    }

    fn dump(&self, _: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let dump = || -> redis::RedisResult<_> {
            let mut redis = self.client.get_connection()?;
            let keys: Vec<String> = redis.keys("*")?;
            let mut all = BTreeMap::new();
            for key in keys {
                if let Some(value) = redis.get(&key)? {
                    all.insert(key, value);
                }
            }
            Ok(all)
        };
        dump().map_err(|error| error.to_string())
    }

    fn put_raw(&self, _: &str, key: &str, value: &[u8]) -> Result<(), String> {
        let put = || self.client.get_connection()?.set(key, value);
        put().map_err(|error| error.to_string())
    }
}
