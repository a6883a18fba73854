//! What the cache did for one request.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;

use crate::scope;

/// Counts of one request, in its [`Scope`](crate::scope::Scope).
#[derive(Debug, Default)]
pub struct Stats {
    hits: AtomicU32,
    stale_hits: AtomicU32,
    misses: AtomicU32,
    negative_hits: AtomicU32,
    shared: AtomicU32,
    store_errors: AtomicU32,
}

/// What there is to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Hit,
    StaleHit,
    Miss,
    NegativeHit,
    Shared,
    StoreError,
}

/// Counts something for the request that is being polled, if there is one.
pub(super) fn count(count: Count) {
    if let Some(scope) = scope::current() {
        scope.cache.add(count);
    }
}

/// What the cache has done for the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "utoipa", schema(as = CacheReport))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Values found, and fresh.
    pub hits: u32,
    /// Values served although they are to be refreshed.
    pub stale_hits: u32,
    /// Values that an upstream had to be asked for.
    pub misses: u32,
    /// Known already: there is no such value.
    pub negative_hits: u32,
    /// Values that another was asking for already.
    pub shared: u32,
    /// Calls of the key-value store that failed.
    pub store_errors: u32,
}

impl Stats {
    fn counter(&self, count: Count) -> &AtomicU32 {
        match count {
            Count::Hit => &self.hits,
            Count::StaleHit => &self.stale_hits,
            Count::Miss => &self.misses,
            Count::NegativeHit => &self.negative_hits,
            Count::Shared => &self.shared,
            Count::StoreError => &self.store_errors,
        }
    }

    pub(crate) fn add(&self, count: Count) {
        self.counter(count).fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn report(&self) -> Report {
        let get = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        Report {
            hits: get(&self.hits),
            stale_hits: get(&self.stale_hits),
            misses: get(&self.misses),
            negative_hits: get(&self.negative_hits),
            shared: get(&self.shared),
            store_errors: get(&self.store_errors),
        }
    }
}
