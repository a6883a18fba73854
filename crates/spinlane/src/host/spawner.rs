//! [`Spawner`] on the reactor.

use std::cell::RefCell;

use super::reactor;
use spinlane_core::ports::{BoxFuture, Spawner};

/// The reactor ends when nothing is left to run, so a task keeps the instance alive
/// until it has ended.
#[derive(Debug)]
pub(super) struct ReactorSpawner;

impl Spawner for ReactorSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        reactor::spawn(task);
    }

    fn after_response(&self, task: BoxFuture<'static, ()>) {
        let task = LATER.with_borrow_mut(|later| match later {
            Some(later) => {
                later.push(task);
                None
            }
            None => Some(task),
        });
        if let Some(task) = task {
            self.spawn(task);
        }
    }

    fn idle(&self) -> BoxFuture<'static, ()> {
        Box::pin(reactor::idle())
    }
}

thread_local! {
    /// Tasks for after the response; `None` when that has ended.
    static LATER: RefCell<Option<Vec<BoxFuture<'static, ()>>>> = const { RefCell::new(None) };
}

/// A request begins: an instance may serve several, one after the other.
pub(super) fn response_begins() {
    LATER.set(Some(Vec::new()));
}

/// Starts what was left for after the response.
pub(super) fn response_ended() {
    for task in LATER.take().into_iter().flatten() {
        ReactorSpawner.spawn(task);
    }
}
