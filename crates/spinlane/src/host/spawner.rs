//! [`Spawner`] on wstd's reactor.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use spinlane_core::ports::{BoxFuture, Spawner};

/// The reactor's loop ends when nothing is left to run, so a detached task
/// keeps the instance alive until it has ended.
#[derive(Debug)]
pub(super) struct ReactorSpawner;

impl Spawner for ReactorSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        wstd::runtime::spawn(counted(task)).detach();
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
        Box::pin(Idle {
            turns: None,
            quiet: 0,
        })
    }
}

thread_local! {
    /// Tasks for after the response; `None` when that has ended.
    static LATER: RefCell<Option<Vec<BoxFuture<'static, ()>>>> = const { RefCell::new(None) };
    /// How often a task went on, those left out that only asked for idleness.
    static TURNS: Cell<u64> = const { Cell::new(0) };
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

pin_project_lite::pin_project! {
    /// Future of [`counted`].
    pub(super) struct Counted<F> {
        #[pin]
        future: F,
    }
}

/// `future`, with its turns counted. All that run here must be.
pub(super) fn counted<F: Future>(future: F) -> Counted<F> {
    Counted { future }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        TURNS.set(TURNS.get().wrapping_add(1));
        self.project().future.poll(cx)
    }
}

/// Resolves when this task has had two turns in a row without any other's. One
/// would not be enough: whom the host has woken comes after who woke itself.
struct Idle {
    turns: Option<u64>,
    quiet: u8,
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Not this turn: others that wait for idleness would wait for us.
        let turns = TURNS.get().wrapping_sub(1);
        TURNS.set(turns);
        self.quiet = match self.turns.replace(turns) {
            Some(before) if before == turns => self.quiet + 1,
            _ => 0,
        };
        if self.quiet == 2 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
