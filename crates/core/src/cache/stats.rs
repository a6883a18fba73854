//! What the cache did for one request.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;

use crate::scope;

/// Counts something for the request that is being polled, if there is one.
pub(super) fn count(count: Count) {
    if let Some(scope) = scope::current() {
        scope.cache.add(count);
    }
}

/// Makes what is counted out of one list: the counters of a request, and the report
/// of them that logs, heads and streams show.
macro_rules! counts {
    ($($(#[$($doc:tt)+])+ $count:ident => $name:ident,)+) => {
        /// What there is to count.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count {
            $($count,)+
        }

        /// What the cache has done for the request.
        ///
        /// ```
        /// use std::sync::Arc;
        ///
        /// use spinlane_core::abort::AbortSignal;
        /// use spinlane_core::cache::{Cache, Key, Kind};
        /// use spinlane_core::limit::Budget;
        /// use spinlane_core::scope::{self, Scope};
        /// use spinlane_core::store::Store;
        /// use spinlane_core::testing::World;
        ///
        /// static TEMPO: Kind = Kind::new("tempo", 1);
        ///
        /// let world = World::new();
        /// let tempo = Cache::new(&Store::open(&world.ports())).typed::<f32>(&TEMPO);
        /// let request = Arc::new(Scope::new("request-1", Budget::new(50), AbortSignal::never()));
        /// world.run(scope::run(Arc::clone(&request), async {
        ///     let key = Key::new(["ABBA", "Dancing Queen"]);
        ///     tempo.put(&key, Some(&100.4)).await;
        ///     tempo.get(&key).await
        /// }));
        /// assert_eq!(request.cache.report().hits, 1);
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "utoipa", schema(as = CacheReport))]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct Report {
            $($(#[$($doc)+])+ pub $name: u32,)+
        }

        impl Report {
            /// Each number with its name.
            pub fn named(&self) -> [(&'static str, u32); COUNTS] {
                [$((stringify!($name), self.$name),)+]
            }
        }

        impl Stats {
            /// The counts now.
            pub fn report(&self) -> Report {
                let get = |count: Count| self.0[count as usize].load(Ordering::Relaxed);
                Report {
                    $($name: get(Count::$count),)+
                }
            }
        }

        const COUNTS: usize = [$(Count::$count),+].len();
    };
}

counts! {
    /// Values found, and fresh.
    Hit => hits,
    /// Values served although they are to be refreshed.
    StaleHit => stale_hits,
    /// Values that an upstream had to be asked for.
    Miss => misses,
    /// Known already: there is no such value.
    NegativeHit => negative_hits,
    /// Values that another was asking for already.
    Shared => shared,
    /// Calls of the key-value store that failed.
    StoreError => store_errors,
}

/// Counts of one request, in its [`Scope`](crate::scope::Scope).
///
/// ```
/// use spinlane_core::cache::Stats;
///
/// let report = Stats::default().report();
/// assert_eq!(report.named()[0], ("hits", report.hits));
/// ```
#[derive(Debug, Default)]
pub struct Stats([AtomicU32; COUNTS]);

impl Stats {
    pub(crate) fn add(&self, count: Count) {
        self.0[count as usize].fetch_add(1, Ordering::Relaxed);
    }
}
