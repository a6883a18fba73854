//! One-way "stop now": an [`AbortHandle`] fires, every [`AbortSignal`] of it
//! learns so.
//!
//! The signal carries why: a client that went away and a user who pressed stop
//! end a run in different ways.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::waiters::Waiters;

/// Why something was aborted.
///
/// ```
/// use spinlane_core::abort::{AbortHandle, AbortReason};
///
/// let handle = AbortHandle::new();
/// handle.abort(AbortReason::Deadline);
/// let last_word = match handle.signal().reason() {
///     Some(AbortReason::Stopped) => Some("stopped"),
///     Some(AbortReason::Deadline) => Some("out of time"),
///     // There is nobody to tell.
///     Some(AbortReason::ClientGone | AbortReason::Abandoned) | None => None,
/// };
/// assert_eq!(last_word, Some("out of time"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// The peer closed the connection, or took no byte for too long.
    ClientGone,
    /// Somebody asked for the end (the stop route).
    Stopped,
    /// The request's own deadline has come.
    Deadline,
    /// Its client has gone, and nobody else reads it.
    Abandoned,
}

#[derive(Debug, Default)]
struct AbortState {
    reason: Option<AbortReason>,
    /// Those who wait for it.
    waiting: Waiters,
}

#[derive(Debug, Default)]
struct AbortCell(Mutex<AbortState>);

impl AbortCell {
    fn with<T>(&self, f: impl FnOnce(&mut AbortState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Fires the abort. Cloneable: the first reason wins.
///
/// ```
/// use futures::executor::block_on;
/// use spinlane_core::abort::{AbortHandle, AbortReason};
///
/// let handle = AbortHandle::new();
/// let signal = handle.signal();
/// assert!(handle.abort(AbortReason::Stopped));
/// assert!(!handle.abort(AbortReason::Deadline), "the first reason wins");
/// // What it was to guard is dropped.
/// let work = signal.guard(std::future::pending::<()>());
/// assert_eq!(block_on(work), Err(AbortReason::Stopped));
/// ```
#[derive(Clone, Debug, Default)]
pub struct AbortHandle(Arc<AbortCell>);

impl AbortHandle {
    /// A handle that has not fired.
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal that this handle will fire.
    pub fn signal(&self) -> AbortSignal {
        AbortSignal(Arc::clone(&self.0))
    }

    /// Fires. Returns whether this call was the first; later reasons are
    /// ignored.
    pub fn abort(&self, reason: AbortReason) -> bool {
        let waiting = self.0.with(|state| {
            if state.reason.is_some() {
                return None;
            }
            state.reason = Some(reason);
            Some(std::mem::take(&mut state.waiting))
        });
        // Woken outside the lock: a waker may poll, and so lock, at once.
        let first = waiting.is_some();
        for waker in waiting.iter().flat_map(Waiters::wakers) {
            waker.wake();
        }
        first
    }
}

/// Learns that an abort has fired.
///
/// ```
/// use futures::executor::block_on;
/// use spinlane_core::abort::{AbortHandle, AbortReason, AbortSignal};
///
/// let handle = AbortHandle::new();
/// let signal = handle.signal();
/// assert_eq!(block_on(signal.guard(async { "found" })), Ok("found"), "it has not fired");
/// handle.abort(AbortReason::ClientGone);
/// assert_eq!(signal.reason(), Some(AbortReason::ClientGone));
/// // For work that nobody can stop.
/// assert!(!AbortSignal::never().is_aborted());
/// ```
#[derive(Clone, Debug)]
pub struct AbortSignal(Arc<AbortCell>);

impl AbortSignal {
    /// A signal that never fires.
    pub fn never() -> Self {
        AbortHandle::new().signal()
    }

    /// The reason, once fired.
    pub fn reason(&self) -> Option<AbortReason> {
        self.0.with(|state| state.reason)
    }

    /// Whether it has fired.
    pub fn is_aborted(&self) -> bool {
        self.reason().is_some()
    }

    /// Resolves with the reason when it fires.
    pub fn aborted(&self) -> Aborted {
        Aborted {
            shared: Arc::clone(&self.0),
            ticket: None,
        }
    }

    /// Runs `future` until it ends or the signal fires; on abort `future` is
    /// dropped before this resolves, which cancels what it was doing.
    ///
    /// # Errors
    /// The abort's reason.
    pub async fn guard<F: Future>(&self, future: F) -> Result<F::Output, AbortReason> {
        let aborted = self.aborted();
        futures::pin_mut!(future);
        match futures::future::select(aborted, future).await {
            futures::future::Either::Left((reason, _)) => Err(reason),
            futures::future::Either::Right((output, _)) => Ok(output),
        }
    }
}

/// Future of [`AbortSignal::aborted`]. Dropping it leaves no trace.
///
/// ```
/// use futures::executor::block_on;
/// use futures::future::join;
/// use spinlane_core::abort::{AbortHandle, AbortReason};
///
/// let handle = AbortHandle::new();
/// let aborted = handle.signal().aborted();
/// let stop = async { handle.abort(AbortReason::Stopped) };
/// assert_eq!(block_on(join(aborted, stop)), (AbortReason::Stopped, true));
/// ```
#[derive(Debug)]
pub struct Aborted {
    shared: Arc<AbortCell>,
    ticket: Option<u64>,
}

impl Future for Aborted {
    type Output = AbortReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AbortReason> {
        let Self { shared, ticket } = &mut *self;
        shared.with(|state| match state.reason {
            Some(reason) => Poll::Ready(reason),
            None => {
                state.waiting.wait(ticket, cx.waker());
                Poll::Pending
            }
        })
    }
}

impl Drop for Aborted {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.with(|state| state.waiting.leave(ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::executor::block_on;

    #[test]
    fn the_first_reason_wins_and_wakes_all() {
        let handle = AbortHandle::new();
        let signal = handle.signal();
        assert!(!signal.is_aborted());
        let waits = futures::future::join_all((0..10).map(|_| signal.aborted()));
        assert!(handle.abort(AbortReason::Stopped));
        assert!(!handle.abort(AbortReason::ClientGone));
        assert_eq!(block_on(waits), vec![AbortReason::Stopped; 10]);
    }

    #[test]
    fn dropped_waits_leave_no_trace() {
        let handle = AbortHandle::new();
        let signal = handle.signal();
        for _ in 0..100 {
            assert!(signal.aborted().now_or_never().is_none());
        }
        assert!(signal.0.with(|state| state.waiting.is_empty()));
    }

    #[test]
    fn guard_drops_the_work() {
        struct OnDrop(AbortHandle);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.abort(AbortReason::Deadline);
            }
        }
        let (handle, dropped) = (AbortHandle::new(), AbortHandle::new());
        let witness = OnDrop(dropped.clone());
        let signal = handle.signal();
        let guarded = signal.guard(async move {
            let _witness = witness;
            futures::future::pending::<()>().await;
        });
        handle.abort(AbortReason::ClientGone);
        assert_eq!(block_on(guarded), Err(AbortReason::ClientGone));
        assert!(dropped.signal().is_aborted());
    }
}
