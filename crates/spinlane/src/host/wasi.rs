//! Plain WASI hosts (`wasmtime serve`): configuration from the environment,
//! the store as `wasi:keyvalue@0.2.0-draft`, no shared counters.

use std::sync::Arc;

use bindings::wasi::keyvalue0_2_0_draft::store::{self, Bucket, Error};
use spinlane_core::ports::{Counters, KeyValue, StoreError};

use super::interfaces::{bindings, store_errors};
use super::store::{Blocking, BlockingStore};

bindings!("wasi");

/// The environment variable `SPINLANE_<NAME>`; `None` when it is unset.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(format!("SPINLANE_{}", name.to_ascii_uppercase())).ok()
}

type Stores = (Option<Arc<dyn KeyValue>>, Option<Arc<dyn Counters>>);

/// Opens the store. What counts here would count for this instance alone, so
/// there are no counters and limits have `instance` scope.
pub(super) fn stores() -> Stores {
    // `wasmtime serve` knows its one store by the empty name.
    let store = store::open("")
        .map(|bucket| Arc::new(BlockingStore(WasiStore(bucket))) as Arc<dyn KeyValue>)
        .map_err(StoreError::from)
        .inspect_err(|error| tracing::warn!(%error, "no key-value store"))
        .ok();
    (store, None)
}

struct WasiStore(Bucket);

store_errors!(Error);

impl Blocking for WasiStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key).map_err(StoreError::from)
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.set(key, value).map_err(StoreError::from)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key).map_err(StoreError::from)
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.0.list_keys(None).map_err(StoreError::from)?.keys)
    }
}
