//! Writes that wait until nothing else has to be done.
//!
//! A call of the store blocks the guest, so these writes wait until nothing else
//! in it is ready: between two frames of a stream, at the latest after the
//! response. The spawned task that writes them keeps the instance alive until
//! then. What waits is read from here.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;

use super::{Store, index};
use crate::ports::StoreError;
use crate::scope;

/// Beyond either, who writes waits until all is written.
const MOST_BYTES: usize = 1 << 20;
const MOST_WRITES: usize = 512;

/// The write-behind queue of an instance.
#[derive(Default)]
pub(super) struct Behind {
    queue: Mutex<Queue>,
    /// Held by who writes: one at a time.
    turn: futures::lock::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<String, Waiting>,
    bytes: usize,
    /// Whether a task is on its way to write.
    draining: bool,
}

/// Is dropped when a value is written, or will not be.
pub(crate) type Guard = Box<dyn Any + Send>;

struct Waiting {
    value: Bytes,
    /// When it may be removed from the store, since the epoch.
    until: Duration,
    at: Stage,
    _guard: Option<Guard>,
}

/// How far a write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Noted,
    Writing,
}

/// What is to be done next.
enum Next {
    Note(Vec<(String, Duration)>),
    Write(String, Bytes),
    Nothing,
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue();
        f.debug_struct("Behind")
            .field("writes", &queue.waiting.len())
            .field("bytes", &queue.bytes)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// Takes a write off, whatever it waits for.
    fn forget(&mut self, key: &str) {
        if let Some(write) = self.waiting.remove(key) {
            self.bytes -= write.value.len();
        }
    }

    fn next(&mut self) -> Next {
        let mut notes = Vec::new();
        for (key, write) in &mut self.waiting {
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
        match notes.is_empty() {
            true => Next::Nothing,
            false => Next::Note(notes),
        }
    }

    /// Takes a write off that was made, unless it was replaced meanwhile.
    fn written(&mut self, key: &str) {
        let current = self.waiting.get(key);
        if current.is_some_and(|write| write.at == Stage::Writing) {
            self.forget(key);
        }
    }
}

impl Behind {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// What waits to be written under `key`.
    pub(crate) fn waiting(&self, key: &str) -> Option<Bytes> {
        let queue = self.inner.behind.queue();
        queue.waiting.get(key).map(|write| write.value.clone())
    }

    /// As [`put`](Self::put), when nothing else is to be done; it can be read at
    /// once, from [`waiting`](Self::waiting). Not while the store is slow or left
    /// alone, unless somebody waits for it, who has to be given a slow store's
    /// too: `guard`.
    pub(crate) async fn put_later(
        &self,
        key: String,
        value: Vec<u8>,
        until: Duration,
        guard: Option<Guard>,
    ) {
        let waited_for = guard.is_some() && self.is_there() && self.left_alone().is_none();
        if !(self.is_quick() || waited_for) {
            return;
        }
        let (full, begin, _before) = {
            let mut queue = self.inner.behind.queue();
            let write = Waiting {
                value: value.into(),
                until,
                at: Stage::New,
                _guard: guard,
            };
            queue.bytes += write.value.len();
            let before = queue.waiting.insert(key, write);
            queue.bytes -= before.as_ref().map_or(0, |before| before.value.len());
            let full = queue.bytes > MOST_BYTES || queue.waiting.len() > MOST_WRITES;
            (full, !std::mem::replace(&mut queue.draining, true), before)
        };
        if begin {
            let this = self.clone();
            let drain = async move { this.drain().await };
            self.spawner().spawn(scope::inherit(drain));
        }
        if full {
            self.flush().await;
        }
    }

    /// Removes what is under `key`, and what waits to be written there. What is
    /// being written is waited for: it would come back.
    pub(crate) async fn forget(&self, key: &str) -> Result<(), StoreError> {
        let _turn = self.inner.behind.turn.lock().await;
        self.inner.behind.queue().forget(key);
        self.delete(key).await
    }

    /// Writes one after the other, each when nothing else is ready.
    async fn drain(&self) {
        loop {
            self.spawner().idle().await;
            if !self.step().await {
                let mut queue = self.inner.behind.queue();
                if queue.waiting.is_empty() {
                    queue.draining = false;
                    return;
                }
            }
        }
    }

    /// Writes what waits to be written, now. It would be written by itself,
    /// before the instance ends. In a task of its own: who waits for it may go,
    /// and no write is left half done.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel::<()>();
        let this = self.clone();
        self.spawner().spawn(scope::inherit(async move {
            while this.step().await {}
            drop(done);
        }));
        // Ends when `done` is dropped.
        let _ = written.await;
    }

    /// Does what is next; false when there is nothing, or when it did not work:
    /// all is forgotten then.
    async fn step(&self) -> bool {
        let behind = &self.inner.behind;
        let _turn = behind.turn.lock().await;
        let next = behind.queue().next();
        let done = match next {
            Next::Nothing => return false,
            Next::Note(notes) => index::note(self, notes).await,
            Next::Write(key, value) => {
                let written = self.set(&key, &value).await;
                behind.queue().written(&key);
                written
            }
        };
        if done.is_err() {
            let forgotten = {
                let mut queue = behind.queue();
                queue.bytes = 0;
                std::mem::take(&mut queue.waiting)
            };
            // Not under the lock: guards go with it.
            drop(forgotten);
        }
        done.is_ok()
    }
}
