//! A store that is not there, where there should be one.

use crate::ports::{BoxFuture, Counters, KeyValue, StoreError};

/// A store that could not be opened: every call fails, as it does in a store that
/// cannot be reached.
#[derive(Clone, Debug)]
pub struct Unopened(pub StoreError);

impl Unopened {
    fn fail<T: Send + 'static>(&self) -> BoxFuture<'static, Result<T, StoreError>> {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}

impl KeyValue for Unopened {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        self.fail()
    }

    fn set<'a>(&'a self, _: &'a str, _: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.fail()
    }

    fn delete<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.fail()
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.fail()
    }
}

impl Counters for Unopened {
    fn increment<'a>(&'a self, _: &'a str, _: i64) -> BoxFuture<'a, Result<i64, StoreError>> {
        self.fail()
    }

    fn exists<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.fail()
    }

    fn remove<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.fail()
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.fail()
    }
}
