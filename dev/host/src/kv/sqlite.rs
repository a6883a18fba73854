//! A store in SQLite, in a file or in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Answer, Backend, Found};

/// One connection: SQLite has one writer anyway.
#[derive(Debug)]
pub(crate) struct Sqlite(Mutex<Connection>);

impl Sqlite {
    /// Opens `path`, or a store in memory that ends with this value.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let connection = match path {
            Some(path) => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)
                        .with_context(|| format!("cannot make {}", folder.display()))?;
                }
                Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?
            }
            None => Connection::open_in_memory()?,
        };
        // Another host may have the file open as well.
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS spinlane_kv (
                store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
                PRIMARY KEY (store, key)
            ) WITHOUT ROWID",
            (),
        )?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `call` when polled. Calls take microseconds, so they are not worth
    /// a thread of their own.
    fn call<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move { call(&mut self.connection()).map_err(|error| error.to_string()) })
    }
}

fn read(connection: &Connection, store: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM spinlane_kv WHERE store = ?1 AND key = ?2")?
        .query_row([store, key], |row| row.get(0))
        .optional()
}

fn write(connection: &Connection, store: &str, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO spinlane_kv (store, key, value) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![store, key, value])?;
    Ok(())
}

fn remove(connection: &Connection, store: &str, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM spinlane_kv WHERE store = ?1 AND key = ?2")?
        .execute([store, key])?;
    Ok(())
}

/// The new value; `Err` with its length where there is no counter.
fn add(
    connection: &mut Connection,
    store: &str,
    key: &str,
    delta: i64,
) -> rusqlite::Result<Result<i64, usize>> {
    // Immediate: another process that reads before both write would count once.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = match read(&transaction, store, key)? {
        None => 0,
        Some(bytes) => match <[u8; 8]>::try_from(bytes.as_slice()) {
            Ok(bytes) => i64::from_le_bytes(bytes),
            Err(_) => return Ok(Err(bytes.len())),
        },
    };
    let after = before.wrapping_add(delta);
    write(&transaction, store, key, &after.to_le_bytes())?;
    transaction.commit()?;
    Ok(Ok(after))
}

impl Backend for Sqlite {
    fn get<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        self.call(move |connection| read(connection, store, key))
    }

    fn set<'a>(&'a self, store: &'a str, key: &'a str, value: Vec<u8>) -> Answer<'a, ()> {
        self.call(move |connection| write(connection, store, key, &value))
    }

    fn delete<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, ()> {
        self.call(move |connection| remove(connection, store, key))
    }

    fn exists<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, bool> {
        self.call(move |connection| {
            connection
                .prepare_cached("SELECT 1 FROM spinlane_kv WHERE store = ?1 AND key = ?2")?
                .exists([store, key])
        })
    }

    fn keys<'a>(&'a self, store: &'a str) -> Answer<'a, Vec<String>> {
        self.call(move |connection| {
            let mut keys =
                connection.prepare_cached("SELECT key FROM spinlane_kv WHERE store = ?1")?;
            let keys = keys.query_map([store], |row| row.get(0))?;
            keys.collect()
        })
    }

    /// Eight bytes, little-endian, as Spin keeps them. A value of another
    /// length is an error here; under Spin it takes the whole host down.
    fn increment<'a>(&'a self, store: &'a str, key: &'a str, delta: i64) -> Answer<'a, i64> {
        Box::pin(async move {
            add(&mut self.connection(), store, key, delta)
                .map_err(|error| error.to_string())?
                .map_err(|length| format!("{key:?} holds {length} bytes, not a counter of 8"))
        })
    }

    /// Leaves out keys that are not there, as Spin does on SQLite.
    fn get_many<'a>(&'a self, store: &'a str, keys: Vec<String>) -> Answer<'a, Found> {
        self.call(move |connection| {
            let mut found = Found::new();
            for key in keys {
                if let Some(value) = read(connection, store, &key)? {
                    found.push((key, Some(value)));
                }
            }
            Ok(found)
        })
    }

    fn set_many<'a>(&'a self, store: &'a str, values: Vec<(String, Vec<u8>)>) -> Answer<'a, ()> {
        self.call(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (key, value) in &values {
                write(&transaction, store, key, value)?;
            }
            transaction.commit()
        })
    }

    fn delete_many<'a>(&'a self, store: &'a str, keys: Vec<String>) -> Answer<'a, ()> {
        self.call(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for key in &keys {
                remove(&transaction, store, key)?;
            }
            transaction.commit()
        })
    }

    fn dump(&self, store: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let all = |connection: &Connection| -> rusqlite::Result<_> {
            let mut all =
                connection.prepare_cached("SELECT key, value FROM spinlane_kv WHERE store = ?1")?;
            let all = all.query_map([store], |row| Ok((row.get(0)?, row.get(1)?)))?;
            all.collect()
        };
        all(&self.connection()).map_err(|error| error.to_string())
    }

    fn put_raw(&self, store: &str, key: &str, value: &[u8]) -> Result<(), String> {
        write(&self.connection(), store, key, value).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    #[tokio::test]
    async fn values_are_kept_by_store_and_key() {
        let kv = Sqlite::open(None).unwrap();
        kv.set("a", "k", vec![0, 255]).await.unwrap();
        kv.set("b", "k", vec![1]).await.unwrap();
        assert_eq!(kv.get("a", "k").await, Ok(Some(vec![0, 255])));
        kv.set("a", "k", vec![]).await.unwrap();
        assert_eq!(kv.get("a", "k").await, Ok(Some(vec![])));
        assert_eq!(kv.keys("a").await, Ok(vec!["k".to_owned()]));
        kv.delete("a", "k").await.unwrap();
        kv.delete("a", "k").await.unwrap();
        assert_eq!(kv.get("a", "k").await, Ok(None));
        assert_eq!(kv.exists("a", "k").await, Ok(false));
        assert_eq!(kv.exists("b", "k").await, Ok(true));
        assert_eq!(kv.dump("b").unwrap().len(), 1);
    }

    #[tokio::test]
    async fn many_at_once() {
        let kv = Sqlite::open(None).unwrap();
        let values = [("x", 1), ("y", 2)].map(|(key, value)| (key.to_owned(), vec![value]));
        kv.set_many("a", values.to_vec()).await.unwrap();
        let keys = || ["x", "none", "y"].map(str::to_owned).to_vec();
        let found = kv.get_many("a", keys()).await.unwrap();
        assert_eq!(found, values.map(|(key, value)| (key, Some(value))));
        kv.delete_many("a", keys()).await.unwrap();
        assert_eq!(kv.dump("a").unwrap().len(), 0);
    }

    #[test]
    fn increments_over_two_connections_are_atomic() {
        let folder = std::env::temp_dir().join(format!("spinlane-kv-{}", std::process::id()));
        let file = folder.join("store.db");
        // Two hosts may begin a new file at the same moment.
        let stores = [(); 2].map(|()| {
            let file = file.clone();
            std::thread::spawn(move || Arc::new(Sqlite::open(Some(&file)).unwrap()))
        });
        let stores = stores.map(|store| store.join().unwrap());
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let kv = Arc::clone(&stores[n % 2]);
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .build()
                        .unwrap();
                    let all = (0..25).map(|_| runtime.block_on(kv.increment("a", "n", 1)).unwrap());
                    all.collect::<Vec<_>>()
                })
            })
            .collect();
        let seen: BTreeSet<i64> = threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        drop(stores);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(seen, (1..=200).collect());
    }

    #[tokio::test]
    async fn a_value_that_is_no_counter_is_an_error() {
        let kv = Sqlite::open(None).unwrap();
        kv.set("a", "n", b"x".to_vec()).await.unwrap();
        let error = kv.increment("a", "n", 1).await.unwrap_err();
        assert!(error.contains("not a counter"), "{error}");
        assert_eq!(kv.get("a", "n").await, Ok(Some(b"x".to_vec())));
    }
}
