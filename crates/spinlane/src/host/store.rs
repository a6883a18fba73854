//! What the stores of all hosts have in common.

use futures::FutureExt;

use spinlane_core::ports::{BoxFuture, COUNTER_PREFIX, KeyValue, StoreError, check_key};

/// A host's store, whose calls block the guest.
pub(super) trait Blocking: Send + Sync {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    fn delete(&self, key: &str) -> Result<(), StoreError>;
    fn keys(&self) -> Result<Vec<String>, StoreError>;
}

/// The port on such a store. A call runs when it is polled, and is then ready.
#[derive(Debug)]
pub(super) struct BlockingStore<S>(pub(super) S);

impl<S: Blocking> KeyValue for BlockingStore<S> {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move {
            check_key(key)?;
            self.0.get(key)
        }
        .boxed()
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            check_key(key)?;
            self.0.set(key, value)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            check_key(key)?;
            self.0.delete(key)
        }
        .boxed()
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        async move {
            let mut keys = self.0.keys()?;
            keys.retain(|key| !key.starts_with(COUNTER_PREFIX));
            Ok(keys)
        }
        .boxed()
    }
}
