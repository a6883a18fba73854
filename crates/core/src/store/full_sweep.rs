//! The operator's sweep: all of the store, from a list of its keys.

use std::collections::HashSet;

use serde::Serialize;

use super::index::{self, Stretches};
use super::sweep::{self, Looked};
use super::{Store, period};
use crate::ports::StoreError;

/// Begins the keys, and the names of counters, that an earlier form of the
/// store's contents had. Nobody reads them any more.
const OLD_KEYS: [&str; 2] = ["cache-index:", "limits:"];
const OLD_COUNTERS: [&str; 5] = ["rate:", "lane:", "caller:", "cache-fetch:", "cache-sweep:"];
const OLD_COUNTER: &str = "cache-index";

/// What a full sweep has found and done.
///
/// ```
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let store = Store::open(&world.ports());
/// world.run(store.set("tempo:7", b"nothing that anybody can read"))?;
/// world.run(store.set("another's", b"value"))?;
/// let swept = world.run(store.full_sweep(&["tempo"]))?;
/// assert_eq!((swept.keys, swept.removed, swept.foreign), (2, 1, 1));
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FullSweep {
    /// Keys that there were, counters left out.
    pub keys: u64,
    /// Values that had expired, or that nobody can read any more, and are gone.
    pub removed: u64,
    /// Values that may still be served.
    pub live: u64,
    /// What is not ours, and was left alone: no value with an end, and in none of
    /// the namespaces that the sweep was told of.
    pub foreign: u64,
    /// Counters that there were.
    pub counters: u64,
    /// Counters that nobody will use any more, and are gone.
    pub counters_removed: u64,
}

impl Store {
    /// Removes everything that has expired and counters that are over, and notes
    /// in the index what is live and was not.
    ///
    /// Of what has no end that can be read, only keys in `namespaces` are
    /// removed, as damaged (`bpm` is the namespace of `bpm:…`). Others may use
    /// the same store, also for keys that look like ours. So name all namespaces
    /// that kinds, sessions ([`Sessions::namespaces`]) and signals have there, and
    /// keep nothing else in them.
    ///
    /// For operators: it lists the whole store, which Spin answers in one piece
    /// (200,000 keys take about 20 MB; near 1.4 million it fails for good), and
    /// reads every value. Everybody else can go on meanwhile.
    ///
    /// # Errors
    /// The first failure of the store. What was done by then stays done; so it
    /// does where the future is dropped.
    ///
    /// [`Sessions::namespaces`]: crate::cache::session::Sessions::namespaces
    pub async fn full_sweep(
        &self,
        namespaces: &[impl AsRef<str>],
    ) -> Result<FullSweep, StoreError> {
        let mut swept = FullSweep::default();
        let is_ours = |key: &str| namespaces.iter().any(|name| is_in(key, name.as_ref()));
        let keys = self.keys().await?;
        swept.keys = keys.len() as u64;
        let (pages, keys): (Vec<_>, Vec<_>) = keys
            .into_iter()
            .partition(|key| key.starts_with(index::PREFIX));
        self.values(&keys, &pages, is_ours, &mut swept).await?;
        for page in pages {
            if index::stretch_of(&page).is_some_and(|of| self.is_past(of)) {
                self.delete(&page).await?;
            }
        }
        self.all_counters(&mut swept).await?;
        Ok(swept)
    }

    async fn values(
        &self,
        keys: &[String],
        pages: &[String],
        is_ours: impl Fn(&str) -> bool,
        swept: &mut FullSweep,
    ) -> Result<(), StoreError> {
        let noted = self.noted(pages).await?;
        let mut missing = Vec::new();
        for key in keys {
            let is_old = OLD_KEYS.iter().any(|old| key.starts_with(old));
            match sweep::look(self, key, self.unix()).await? {
                Looked::Gone => {}
                Looked::Removed => swept.removed += 1,
                Looked::Live(until) => {
                    swept.live += 1;
                    let family = index::family_of(key);
                    if !noted.contains(key) && !family.is_some_and(|of| noted.contains(&of)) {
                        missing.push((key.clone(), until.unix()));
                    }
                }
                Looked::Unreadable if is_old || is_ours(key) => {
                    self.delete(key).await?;
                    swept.removed += 1;
                }
                Looked::Unreadable => swept.foreign += 1,
            }
        }
        index::note(self, missing).await
    }

    /// What the index names that is still to be worked off.
    async fn noted(&self, pages: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut noted = HashSet::new();
        for page in pages {
            if index::stretch_of(page).is_some_and(|of| !self.is_past(of))
                && let Some(bytes) = self.get(page).await?
            {
                noted.extend(index::keys_of(&bytes).map(str::to_owned));
            }
        }
        Ok(noted)
    }

    /// Whether all that ends in a stretch is gone by a full sweep.
    fn is_past(&self, (of, stretch): (Stretches, u64)) -> bool {
        of.is_due(stretch, self.unix())
    }

    async fn all_counters(&self, swept: &mut FullSweep) -> Result<(), StoreError> {
        for name in self.counter_names().await? {
            swept.counters += 1;
            let period = period::parse(&name);
            let over = match (period.and_then(index::counter_of), period) {
                (Some(of), _) => self.is_past(of),
                (None, Some(period)) => period.is_over(self.unix()),
                (None, None) => {
                    name == OLD_COUNTER || OLD_COUNTERS.iter().any(|old| name.starts_with(old))
                }
            };
            if over {
                self.remove(&name).await?;
                swept.counters_removed += 1;
            }
        }
        Ok(())
    }
}

fn is_in(key: &str, namespace: &str) -> bool {
    let rest = key.strip_prefix(namespace);
    rest.is_some_and(|rest| rest.starts_with(':'))
}
