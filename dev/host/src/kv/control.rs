//! The handles by which tests look into a store and make its life hard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Backend;

/// The one store that every manifest may name, and that tests look into.
const LABEL: &str = "default";

/// What an increment costs in Spin's SQLite store, whose writers take turns.
pub const SPIN_INCREMENT: Duration = Duration::from_micros(700);

#[derive(Clone, Debug, Default)]
struct Trouble {
    fault: Option<String>,
    delay: Option<Duration>,
    increment_cost: Option<Duration>,
    full: bool,
    unopened: bool,
}

#[derive(Debug, Default)]
struct State {
    trouble: Mutex<Trouble>,
    /// Held by the increment whose turn it is.
    turn: tokio::sync::Mutex<()>,
    calls: AtomicU64,
    increments: AtomicU64,
    /// While somebody records.
    journal: Mutex<Option<Vec<StoreCall>>>,
}

/// One call of a component, as [`StoreControl::recorded`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCall {
    /// The function's name in Spin's interface: `get`, `increment`.
    pub function: &'static str,
    /// The key; empty where there are several or none.
    pub key: String,
}

/// What tests see of, and do to, a host's key-value store. Clones control the
/// same store. Nothing of it can be reached from the command line.
#[derive(Clone)]
pub struct StoreControl {
    backend: Arc<dyn Backend>,
    state: Arc<State>,
}

impl std::fmt::Debug for StoreControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoreControl").field(&self.state).finish()
    }
}

impl StoreControl {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            state: Arc::default(),
        }
    }

    /// Every later call of a component fails with this text; `None` heals.
    pub fn fail(&self, fault: Option<String>) {
        self.trouble().fault = fault;
    }

    /// Whether every later write of a component is refused.
    pub fn fill(&self, full: bool) {
        self.trouble().full = full;
    }

    /// Whether no store opens any more: instances that have one open keep it.
    pub fn refuse_to_open(&self, refuse: bool) {
        self.trouble().unopened = refuse;
    }

    /// Whether a store opens.
    pub(crate) fn opens(&self) -> bool {
        !self.trouble().unopened
    }

    /// Every later call of a component takes this much longer, and its guest
    /// is blocked for as long; `None` heals.
    pub fn delay(&self, delay: Option<Duration>) {
        self.trouble().delay = delay;
    }

    /// Every later increment takes this much longer, one after the other: with
    /// [`SPIN_INCREMENT`] as in Spin's own store. `None` heals.
    pub fn increment_cost(&self, cost: Option<Duration>) {
        self.trouble().increment_cost = cost;
    }

    /// Calls of components so far, of every kind, failed ones included.
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// How many of these were increments.
    pub fn increments(&self) -> u64 {
        self.state.increments.load(Ordering::SeqCst)
    }

    /// Keeps a record of every call from here on, failed ones included.
    pub fn record(&self) {
        *self.journal() = Some(Vec::new());
    }

    /// The calls since [`record`](Self::record), in their order, or since this
    /// was asked last; nothing where nobody records.
    pub fn recorded(&self) -> Vec<StoreCall> {
        self.journal()
            .as_mut()
            .map_or_else(Vec::new, std::mem::take)
    }

    fn journal(&self) -> MutexGuard<'_, Option<Vec<StoreCall>>> {
        let journal = &self.state.journal;
        journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything in the store `default`.
    ///
    /// # Panics
    /// When the store's file cannot be read: a test cannot go on then.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        self.backend.dump(LABEL).expect("the store can be read")
    }

    /// Writes into the store `default`, past every fault: corrupts on purpose.
    ///
    /// # Panics
    /// When the store's file cannot be written: a test cannot go on then.
    pub fn put_raw(&self, key: &str, value: impl AsRef<[u8]>) {
        self.backend
            .put_raw(LABEL, key, value.as_ref())
            .expect("the store can be written");
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        let trouble = &self.state.trouble;
        trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a component's call, holds it up and fails it, as told.
    pub(super) async fn before_call(
        &self,
        function: &'static str,
        key: &str,
    ) -> Result<(), String> {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(journal) = &mut *self.journal() {
            let key = key.to_owned();
            journal.push(StoreCall { function, key });
        }
        let Trouble { fault, delay, .. } = self.trouble().clone();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        fault.map_or(Ok(()), Err)
    }

    /// The same for a call that may need room.
    pub(super) async fn before_write(
        &self,
        function: &'static str,
        key: &str,
    ) -> Result<(), String> {
        self.before_call(function, key).await?;
        match self.trouble().full {
            true => Err("database or disk is full".into()),
            false => Ok(()),
        }
    }

    /// Counts an increment, and holds it up for its turn and its cost.
    pub(super) async fn before_increment(&self) {
        self.state.increments.fetch_add(1, Ordering::SeqCst);
        let Some(cost) = self.trouble().increment_cost else {
            return;
        };
        let _turn = self.state.turn.lock().await;
        // Timers are too coarse for it.
        let paid = tokio::task::spawn_blocking(move || std::thread::sleep(cost));
        // Fails only where the thread cannot be had, as the host ends.
        let _ = paid.await;
    }
}
