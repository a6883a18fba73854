//! What Spin gives beyond WASI: variables, the store, atomic counters.

use std::sync::{Arc, LazyLock};

use spin_sdk::key_value::{Error, Store};

use spinlane_core::ports::{Counters, KeyValue, StoreError};

use super::store::{Blocking, BlockingStore};

/// The Spin variable `name`; `None` when it is not declared or has no value.
pub fn variable(name: &str) -> Option<String> {
    spin_sdk::variables::get(name).ok()
}

/// Spin knows no other label without a runtime configuration.
const STORE: &str = "default";

type Stores = (Option<Arc<dyn KeyValue>>, Option<Arc<dyn Counters>>);

/// The store, which is opened when it is first used: most routes do without. In a
/// build with counters one that does not open is a store in trouble, and not a host
/// without: what it protects must not be left open.
#[cfg(feature = "counters")]
pub(super) fn stores() -> Stores {
    let store = SpinStore(Lazy::new(open));
    (
        Some(Arc::new(BlockingStore(store))),
        Some(counters::stored()),
    )
}

/// The store, if there is one.
#[cfg(not(feature = "counters"))]
pub(super) fn stores() -> Stores {
    let store = Lazy::new(open as fn() -> _);
    let is_there = store.as_ref().is_ok();
    let store = BlockingStore(SpinStore(store));
    (is_there.then(|| Arc::new(store) as _), None)
}

/// Opened once in an instance: at most 256 may be open in it at a time.
type Lazy<T> = LazyLock<Result<T, StoreError>>;

fn open() -> Result<Store, StoreError> {
    Store::open(STORE)
        .map_err(unavailable)
        .inspect_err(|error| tracing::warn!(%error, "no key-value store"))
}

struct SpinStore(Lazy<Store>);

impl SpinStore {
    fn store(&self) -> Result<&Store, StoreError> {
        self.0.as_ref().map_err(Clone::clone)
    }
}

/// What Spin says of its store, in our words. It takes a value, as `map_err` gives it.
#[allow(clippy::needless_pass_by_value)]
fn unavailable(error: Error) -> StoreError {
    StoreError::unavailable(&error.to_string())
}

impl Blocking for SpinStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store()?.get(key).map_err(unavailable)
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.store()?.set(key, value).map_err(unavailable)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.store()?.delete(key).map_err(unavailable)
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.store()?.get_keys().map_err(unavailable)
    }
}

#[cfg(feature = "counters")]
mod counters {
    use super::super::interfaces::{bindings, store_errors};
    use super::{Arc, Counters, Lazy, STORE, StoreError};
    use bindings::wasi::keyvalue0_2_0_draft2::atomics;
    use bindings::wasi::keyvalue0_2_0_draft2::store::{self, Bucket, Error};
    use futures::FutureExt;
    use spinlane_core::ports::{BoxFuture, COUNTER_PREFIX};

    bindings!("spin-counters");

    struct SpinCounters(Lazy<Bucket>);

    /// Those of the store.
    pub(super) fn stored() -> Arc<dyn Counters> {
        Arc::new(SpinCounters(Lazy::new(open)))
    }

    fn open() -> Result<Bucket, StoreError> {
        store::open(STORE)
            .map_err(StoreError::from)
            .inspect_err(|error| tracing::warn!(%error, "no atomic counters"))
    }

    impl SpinCounters {
        fn bucket(&self) -> Result<&Bucket, StoreError> {
            self.0.as_ref().map_err(Clone::clone)
        }
    }

    store_errors!(Error);

    fn key(name: &str) -> String {
        format!("{COUNTER_PREFIX}{name}")
    }

    impl Counters for SpinCounters {
        fn increment<'a>(
            &'a self,
            name: &'a str,
            delta: i64,
        ) -> BoxFuture<'a, Result<i64, StoreError>> {
            async move {
                atomics::increment(self.bucket()?, &key(name), delta).map_err(StoreError::from)
            }
            .boxed()
        }

        fn exists<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
            async move { self.bucket()?.exists(&key(name)).map_err(StoreError::from) }.boxed()
        }

        fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
            async move { self.bucket()?.delete(&key(name)).map_err(StoreError::from) }.boxed()
        }

        fn names(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
            async move {
                let keys = self
                    .bucket()?
                    .list_keys(None)
                    .map_err(StoreError::from)?
                    .keys;
                Ok(keys
                    .iter()
                    .filter_map(|key| key.strip_prefix(COUNTER_PREFIX))
                    .map(str::to_owned)
                    .collect())
            }
            .boxed()
        }
    }
}
