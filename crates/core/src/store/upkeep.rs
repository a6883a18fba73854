//! What an instance does for the store after its response: it notes the counters
//! that it has begun, and removes what is due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::index::{self, Entry};
use super::{Store, sweep};

/// So many entries that are due are worked off for each that was added, and
/// these besides.
const FOR_EACH: usize = 2;
const BESIDES: usize = 4;

/// What is to be done after the response.
#[derive(Debug, Default)]
pub(super) struct Upkeep(Mutex<Todo>);

#[derive(Debug, Default)]
struct Todo {
    /// Whether a task is on its way.
    scheduled: bool,
    /// Whether there was one.
    begun: bool,
    /// Counters that are to be noted.
    notes: Vec<Entry>,
    /// Entries that were added to the index since the last sweep.
    added: usize,
}

impl Todo {
    /// Whether a task has to be sent.
    fn schedule(&mut self) -> bool {
        self.begun = true;
        !std::mem::replace(&mut self.scheduled, true)
    }
}

impl Store {
    fn todo(&self) -> MutexGuard<'_, Todo> {
        self.inner
            .upkeep
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn schedule(&self, change: impl FnOnce(&mut Todo) -> bool) {
        let send = {
            let mut todo = self.todo();
            change(&mut todo) && todo.schedule()
        };
        if send {
            let this = self.clone();
            let tend = Box::pin(async move { this.tend_now().await });
            self.spawner().after_response(tend);
        }
    }

    /// Who uses the store looks after it, once, when the response is over.
    pub(super) fn tend_later(&self) {
        self.schedule(|todo| !todo.begun);
    }

    /// Notes after the response that `key` ends at `until`.
    pub(super) fn note_later(&self, key: String, until: Duration) {
        self.schedule(|todo| {
            todo.notes.push((key, until));
            true
        });
    }

    /// Tells that so many entries were added to the index.
    pub(super) fn added(&self, entries: usize) {
        self.schedule(|todo| {
            todo.added += entries;
            true
        });
    }

    /// Notes what is to be noted, and sweeps.
    pub(super) async fn tend_now(&self) {
        let notes = std::mem::take(&mut self.todo().notes);
        // What fails is done another time, or by the operator's sweep.
        let _ = index::note(self, notes).await;
        let added = std::mem::take(&mut self.todo().added);
        let _ = sweep::sweep(self, FOR_EACH * added + BESIDES).await;
        let mut todo = self.todo();
        todo.scheduled = false;
        let more = todo.added > 0 || !todo.notes.is_empty();
        drop(todo);
        self.schedule(|_| more);
    }
}
