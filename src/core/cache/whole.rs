//! The operator's sweep: all of the store, from a list of its keys.

use std::time::Duration;

use serde::Serialize;

use super::index::{self, batch_number, hour_of};
use super::stamp::Stamp;
use super::store::Store;
use super::sweep::{self, Looked};
use super::{claim, typed::Cache};
use crate::core::ports::StoreError;

/// What a whole sweep has found and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Keys that there were, counters left out.
    pub keys: u64,
    /// Values that had expired, or that nobody can read any more, and are gone.
    pub removed: u64,
    /// Values that may still be served.
    pub live: u64,
    /// What is not the cache's, and was left alone: no envelope, and in none of
    /// the namespaces that the sweep was told of.
    pub foreign: u64,
    /// Counters that there were.
    pub counters: u64,
    /// Counters that nobody will use any more, and are gone.
    pub counters_removed: u64,
}

impl Cache {
    /// Removes everything that has expired, makes the index anew, and removes
    /// counters that are over: the cache's own, and those for which `is_over`
    /// says so.
    ///
    /// Of what is no envelope, only keys in `namespaces` are removed, as damaged
    /// (`bpm` is the namespace of `bpm:…`). Others may use the same store, also
    /// for keys that look like the cache's. So name all namespaces that kinds,
    /// sessions ([`Sessions::namespaces`]) and flags have there, and keep nothing
    /// else in them.
    ///
    /// For operators: it lists the whole store, which Spin answers in one piece
    /// (200,000 keys take about 20 MB; near 1.4 million it fails for good), and
    /// reads every value. Everybody else can go on meanwhile.
    ///
    /// # Errors
    /// The first failure of the store. What was done by then stays done.
    ///
    /// Dropping the future leaves the sweep where it is: the sweeps of others go
    /// on after ten minutes.
    ///
    /// [`Sessions::namespaces`]: super::session::Sessions::namespaces
    pub async fn sweep_all(
        &self,
        namespaces: &[impl AsRef<str>],
        is_over: impl Fn(&str) -> bool,
    ) -> Result<Swept, StoreError> {
        // A list of many keys may well take longer than a request's calls may.
        let store = self.parts().0.unwatched();
        let mut swept = Swept::default();
        let state = sweep::hold(&store).await?;
        let is_ours = |key: &str| namespaces.iter().any(|name| is_in(key, name.as_ref()));
        let done = values(&store, state.sorted_in(), is_ours, &mut swept).await;
        // Whatever came of it, the others may go on.
        state.release(&store, done.is_ok()).await?;
        done?;
        counters(&store, is_over, &mut swept).await?;
        Ok(swept)
    }
}

/// Removes expired values and makes the pages of the hours anew.
async fn values(
    store: &Store,
    sorted_in: u64,
    is_ours: impl Fn(&str) -> bool,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let (mut pages, mut notes) = (Vec::new(), Vec::new());
    for key in store.keys().await? {
        swept.keys += 1;
        if key.starts_with(index::PREFIX) {
            // Batches that wait to be sorted in still will be.
            let over = batch_number(&key).is_some_and(|number| number <= sorted_in);
            if over || index::is_hour(&key) {
                pages.push(key);
            }
            continue;
        }
        match sweep::look(store, &key, Stamp::new(store.unix())).await? {
            Looked::Gone => {}
            Looked::Removed => swept.removed += 1,
            Looked::Live(until) => {
                swept.live += 1;
                notes.push((hour_of(until), key));
            }
            Looked::Unreadable if is_ours(&key) => {
                store.delete(&key).await?;
                swept.removed += 1;
            }
            Looked::Unreadable => swept.foreign += 1,
        }
    }
    for page in pages {
        store.delete(&page).await?;
    }
    index::merge(store, index::by_hour(notes)).await
}

fn is_in(key: &str, namespace: &str) -> bool {
    let rest = key.strip_prefix(namespace);
    rest.is_some_and(|rest| rest.starts_with(':'))
}

async fn counters(
    store: &Store,
    is_over: impl Fn(&str) -> bool,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    for name in store.counter_names().await? {
        swept.counters += 1;
        let unix: Duration = store.unix();
        if claim::is_over(&name, unix) || sweep::is_over(&name, unix) || is_over(&name) {
            store.remove(&name).await?;
            swept.counters_removed += 1;
        }
    }
    Ok(())
}
