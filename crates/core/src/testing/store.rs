//! A store in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;

use super::{VirtualClock, lock};
use crate::ports::{BoxFuture, Counters, KeyValue, StoreError, check_key};

/// A store in memory, with faults on demand.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<MemoryState>>);

#[derive(Debug, Default)]
struct MemoryState {
    values: BTreeMap<String, Vec<u8>>,
    counters: BTreeMap<String, i64>,
    fault: Option<StoreError>,
    /// How long each call holds everything up.
    delay: Option<(VirtualClock, Duration)>,
    full: bool,
    calls: u64,
    increments: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every later call fails with `fault`; `None` heals the store.
    pub fn fail_with(&self, fault: Option<StoreError>) {
        lock(&self.0).fault = fault;
    }

    /// Every later call takes so long on `clock`, and blocks the guest as long
    /// as Spin's do; zero heals the store.
    pub fn slow_down(&self, clock: &VirtualClock, delay: Duration) {
        lock(&self.0).delay = (!delay.is_zero()).then(|| (clock.clone(), delay));
    }

    /// Whether every later write is refused.
    pub fn fill(&self, full: bool) {
        lock(&self.0).full = full;
    }

    /// Calls seen so far, of every kind.
    pub fn calls(&self) -> u64 {
        lock(&self.0).calls
    }

    /// Those of them that were increments.
    pub fn increments(&self) -> u64 {
        lock(&self.0).increments
    }

    /// Values held (counters left out).
    pub fn len(&self) -> usize {
        lock(&self.0).values.len()
    }

    /// Whether it holds neither values nor counters.
    pub fn is_empty(&self) -> bool {
        let state = lock(&self.0);
        state.values.is_empty() && state.counters.is_empty()
    }

    /// A copy of all counters, to look into.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        lock(&self.0).counters.clone()
    }

    /// Counters held.
    pub fn counters_len(&self) -> usize {
        lock(&self.0).counters.len()
    }

    /// A copy of all values, to look into.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        lock(&self.0).values.clone()
    }

    /// Puts raw bytes under `key`, past every check: corrupts on purpose.
    pub fn put_raw(&self, key: &str, value: Vec<u8>) {
        lock(&self.0).values.insert(key.into(), value);
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        f: impl FnOnce(&mut MemoryState) -> Result<T, StoreError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        // Acts when polled, not when called, as a real store does.
        async move {
            let delay = lock(&self.0).delay.clone();
            if let Some((clock, delay)) = delay {
                clock.advance(delay);
            }
            let mut state = lock(&self.0);
            state.calls += 1;
            match &state.fault {
                Some(fault) => Err(fault.clone()),
                None => f(&mut state),
            }
        }
        .boxed()
    }
}

impl KeyValue for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        self.call(move |state| {
            check_key(key)?;
            Ok(state.values.get(key).cloned())
        })
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.call(move |state| {
            check_key(key)?;
            if state.full {
                return Err(StoreError::Refused("no room".into()));
            }
            state.values.insert(key.into(), value.into());
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.call(move |state| {
            check_key(key)?;
            state.values.remove(key);
            Ok(())
        })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.call(|state| Ok(state.values.keys().cloned().collect()))
    }
}

impl Counters for MemoryStore {
    fn increment<'a>(
        &'a self,
        name: &'a str,
        delta: i64,
    ) -> BoxFuture<'a, Result<i64, StoreError>> {
        self.call(move |state| {
            state.increments += 1;
            let value = state.counters.entry(name.into()).or_default();
            *value = value.wrapping_add(delta);
            Ok(*value)
        })
    }

    fn exists<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.call(move |state| Ok(state.counters.contains_key(name)))
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.call(move |state| {
            state.counters.remove(name);
            Ok(())
        })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.call(|state| Ok(state.counters.keys().cloned().collect()))
    }
}
