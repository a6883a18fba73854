//! Writes that wait until nothing else has to be done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::channel::oneshot;

use super::claim::Claim;
use super::index;
use super::stamp::Stamp;
use super::store::Store;
use crate::core::ports::{Spawner, StoreError};
use crate::core::scope;

/// Beyond either, who writes waits until all is written.
const MOST_BYTES: usize = 1 << 20;
const MOST_WRITES: usize = 512;

/// The write-behind queue of an instance.
///
/// A store call blocks the guest, so writes wait until nothing else in it is
/// ready: between two frames of a stream, at the latest after the response. The
/// spawned task that writes them keeps the instance alive until then. What
/// waits is read from here.
#[derive(Clone)]
pub(super) struct Queue(Arc<Inner>);

struct Inner {
    store: Store,
    /// The same, used also while it is no more than slow.
    patient: Store,
    spawner: Arc<dyn Spawner>,
    state: Mutex<State>,
    /// Held by who writes: one at a time.
    turn: futures::lock::Mutex<()>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<String, Waiting>,
    bytes: usize,
    /// Whether a task is on its way to write.
    draining: bool,
}

struct Waiting {
    value: Bytes,
    /// When it may be removed from the store.
    until: Stamp,
    at: Stage,
    /// Ends when it is written.
    _claim: Option<Claim>,
}

/// How far a write has come. A key is noted in the index before its value is
/// written: what breaks off in between leaves a note too many, and no value
/// that nobody finds again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Noted,
    Writing,
}

/// What is to be done next.
enum Next {
    Note(Vec<(String, Stamp)>),
    Write(String, Bytes),
    Nothing,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Queue")
            .field("writes", &state.waiting.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(store: Store, spawner: Arc<dyn Spawner>) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner {
            patient: store.even_slow(),
            store,
            spawner,
            state,
            turn: futures::lock::Mutex::new(()),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits to be written under `key`.
    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.state()
            .waiting
            .get(key)
            .map(|write| write.value.clone())
    }

    /// Puts a write into the queue. While the store is left alone it is not
    /// kept: the cache is off then.
    pub(super) async fn push(
        &self,
        key: String,
        value: Vec<u8>,
        until: Stamp,
        claim: Option<Claim>,
    ) {
        // Those who wait for what was claimed get it also from a slow store.
        if !(self.0.store.is_used() || claim.is_some() && self.0.patient.is_used()) {
            return;
        }
        let (full, begin) = {
            let mut state = self.state();
            let write = Waiting {
                value: value.into(),
                until,
                at: Stage::New,
                _claim: claim,
            };
            state.bytes += write.value.len();
            if let Some(before) = state.waiting.insert(key, write) {
                state.bytes -= before.value.len();
            }
            let full = state.bytes > MOST_BYTES || state.waiting.len() > MOST_WRITES;
            (full, !std::mem::replace(&mut state.draining, true))
        };
        if begin {
            let this = self.clone();
            let drain = async move { this.drain().await };
            self.0.spawner.spawn(scope::inherit(drain));
        }
        if full {
            self.flush().await;
        }
    }

    /// Removes what is under `key`, in the store as well. What is being written
    /// is waited for: it would come back.
    pub(super) async fn remove(&self, key: &str) -> Result<(), StoreError> {
        let _turn = self.0.turn.lock().await;
        self.forget(key);
        self.0.patient.delete(key).await
    }

    /// Takes a write off the queue, whatever it waits for.
    fn forget(&self, key: &str) {
        let mut state = self.state();
        if let Some(write) = state.waiting.remove(key) {
            state.bytes -= write.value.len();
        }
    }

    /// Writes one after the other, each when nothing else is ready.
    async fn drain(&self) {
        loop {
            self.0.spawner.idle().await;
            if !self.step().await {
                let mut state = self.state();
                if state.waiting.is_empty() {
                    state.draining = false;
                    return;
                }
            }
        }
    }

    /// Writes all that waits, now. In a task of its own: who waits for it may
    /// go, and no write is left half done.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel::<()>();
        let this = self.clone();
        self.0.spawner.spawn(scope::inherit(async move {
            while this.step().await {}
            drop(done);
        }));
        // Ends when `done` is dropped.
        let _ = written.await;
    }

    /// Does what is next; false when there is nothing, or when it did not work:
    /// all is forgotten then.
    async fn step(&self) -> bool {
        let _turn = self.0.turn.lock().await;
        let done = match self.next() {
            Next::Nothing => return false,
            Next::Note(notes) => index::note(&self.0.patient, &notes).await,
            Next::Write(key, value) => {
                let written = self.0.patient.set(&key, &value).await;
                self.written(&key);
                written
            }
        };
        if done.is_err() {
            let mut state = self.state();
            state.waiting.clear();
            state.bytes = 0;
        }
        done.is_ok()
    }

    fn next(&self) -> Next {
        let mut state = self.state();
        let mut notes = Vec::new();
        for (key, write) in &mut state.waiting {
            match write.at {
                Stage::New => {
                    write.at = Stage::Noted;
                    notes.push((key.clone(), write.until));
                }
                Stage::Noted if notes.is_empty() => {
                    write.at = Stage::Writing;
                    return Next::Write(key.clone(), write.value.clone());
                }
                Stage::Noted | Stage::Writing => {}
            }
        }
        if notes.is_empty() {
            return Next::Nothing;
        }
        Next::Note(notes)
    }

    /// Takes a write off the queue, unless it was replaced meanwhile.
    fn written(&self, key: &str) {
        let mut state = self.state();
        let current = state.waiting.get(key);
        if current.is_some_and(|write| write.at == Stage::Writing)
            && let Some(write) = state.waiting.remove(key)
        {
            state.bytes -= write.value.len();
        }
    }
}
