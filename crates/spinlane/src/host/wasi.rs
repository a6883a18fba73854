//! Plain WASI hosts (`wasmtime serve`): configuration from the environment,
//! the store as `wasi:keyvalue@0.2.0-draft`, no shared counters.

use std::sync::Arc;

use futures::FutureExt;

use bindings::wasi::keyvalue0_2_0_draft::store::{self, Bucket, Error};
use spinlane_core::ports::{BoxFuture, Counters, KeyValue, StoreError, check_key};

/// Generated code, which cannot answer for this crate's lints.
#[allow(
    unsafe_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "wasi",
        generate_all,
    });
}

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
        .map(|bucket| Arc::new(WasiStore(bucket)) as Arc<dyn KeyValue>)
        .map_err(StoreError::from)
        .inspect_err(|error| tracing::warn!(%error, "no key-value store"))
        .ok();
    (store, None)
}

struct WasiStore(Bucket);

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::unavailable(match &error {
            Error::NoSuchStore => "no such store",
            Error::AccessDenied => "access denied",
            Error::Other(message) => message,
        })
    }
}

impl KeyValue for WasiStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move {
            check_key(key)?;
            self.0.get(key).map_err(StoreError::from)
        }
        .boxed()
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            check_key(key)?;
            self.0.set(key, value).map_err(StoreError::from)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            check_key(key)?;
            self.0.delete(key).map_err(StoreError::from)
        }
        .boxed()
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        async move { Ok(self.0.list_keys(None).map_err(StoreError::from)?.keys) }.boxed()
    }
}
