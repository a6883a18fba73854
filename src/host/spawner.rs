//! [`Spawner`] on wstd's reactor.

use crate::core::ports::{BoxFuture, Spawner};

/// The reactor's loop ends when nothing is left to run, so a detached task
/// keeps the instance alive until it has ended.
#[derive(Debug)]
pub(super) struct ReactorSpawner;

impl Spawner for ReactorSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        wstd::runtime::spawn(task).detach();
    }
}
