//! Per-request context without passing it.
//!
//! [`run`] makes a [`Scope`] reachable from any depth of the future that it
//! wraps. The scope is set on every poll and restored after it, so requests
//! that are polled by turns on one thread never see each other's.
//!
//! Work that outlives the scope (a spawned task) does not inherit it by itself:
//! wrap it in [`inherit`] before spawning.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::abort::AbortSignal;
use super::cache;
use super::limit::Budget;
use super::ports::BoxFuture;
use super::trace::TraceContext;

/// What belongs to one request.
///
/// ```
/// use std::sync::Arc;
///
/// use futures::executor::block_on;
/// use spinlane_core::abort::AbortSignal;
/// use spinlane_core::limit::Budget;
/// use spinlane_core::scope::{self, Scope};
///
/// let scope = Scope::new("request-1", Budget::new(50), AbortSignal::never());
/// let name = block_on(scope::run(Arc::new(scope), async { scope::current_request_id() }));
/// assert_eq!(name.as_deref(), Some("request-1"));
/// assert!(scope::current().is_none(), "it ends with the work");
/// ```
#[derive(Clone, Debug)]
pub struct Scope {
    /// Names the request in logs and answers.
    pub request_id: Arc<str>,
    /// How many upstream calls the request may still make.
    pub budget: Arc<Budget>,
    /// Fires when the request's work should end.
    pub abort: AbortSignal,
    /// What the cache has done for the request.
    pub cache: Arc<cache::Stats>,
    /// How long its upstream calls had to wait.
    pub waited: Arc<Waited>,
    /// Its span. Upstream calls are told the trace.
    pub trace: Option<TraceContext>,
}

impl Scope {
    /// A scope outside any trace, in which nothing has happened yet.
    pub fn new(request_id: impl Into<Arc<str>>, budget: Budget, abort: AbortSignal) -> Self {
        Self {
            request_id: request_id.into(),
            budget: Arc::new(budget),
            abort,
            cache: Arc::default(),
            waited: Arc::default(),
            trace: None,
        }
    }
}

/// Time that calls spent waiting for slots and tokens, added up over all of
/// them: calls that wait side by side count twice.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::scope::Waited;
///
/// let waited = Waited::default();
/// // Two calls, side by side.
/// waited.add(Duration::from_millis(300));
/// waited.add(Duration::from_millis(200));
/// assert_eq!(waited.total(), Duration::from_millis(500));
/// ```
#[derive(Debug, Default)]
pub struct Waited(AtomicU64);

impl Waited {
    /// Adds a wait.
    pub fn add(&self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }

    /// All of it.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// The scope of the request that is being polled, if any.
pub fn current() -> Option<Arc<Scope>> {
    CURRENT.with_borrow(Clone::clone)
}

/// The id of the request that is being polled, for a panic hook: never panics
/// itself, not even while the scope is being changed.
pub fn current_request_id() -> Option<Arc<str>> {
    CURRENT
        .try_with(|current| {
            let current = current.try_borrow().ok()?;
            Some(Arc::clone(&current.as_ref()?.request_id))
        })
        .ok()
        .flatten()
}

/// Runs `future` inside `scope`.
pub fn run<F: Future>(scope: Arc<Scope>, future: F) -> InScope<F> {
    InScope { scope, future }
}

/// `work` inside the scope that is current now, if any, whoever drives it.
pub fn inherit<F>(work: F) -> BoxFuture<'static, F::Output>
where
    F: Future + Send + 'static,
{
    match current() {
        Some(current) => Box::pin(run(current, work)),
        None => Box::pin(work),
    }
}

pin_project_lite::pin_project! {
    /// Future of [`run`].
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use futures::executor::block_on;
    /// use futures::future::join;
    /// use spinlane_core::abort::AbortSignal;
    /// use spinlane_core::limit::Budget;
    /// use spinlane_core::scope::{self, Scope};
    /// use spinlane_core::turn;
    ///
    /// let request = |name: &str| {
    ///     let scope = Scope::new(name, Budget::new(50), AbortSignal::never());
    ///     scope::run(Arc::new(scope), async {
    ///         turn::for_others().await;
    ///         scope::current_request_id()
    ///     })
    /// };
    /// // Polled by turns on one thread, each sees its own.
    /// let (one, two) = block_on(join(request("one"), request("two")));
    /// assert_eq!((one.as_deref(), two.as_deref()), (Some("one"), Some("two")));
    /// ```
    pub struct InScope<F> {
        scope: Arc<Scope>,
        #[pin]
        future: F,
    }
}

impl<F> fmt::Debug for InScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InScope")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Puts the previous scope back, also when the poll panics.
struct Restore(Option<Arc<Scope>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _restore = Restore(CURRENT.replace(Some(Arc::clone(this.scope))));
        this.future.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    fn scope(id: &str) -> Arc<Scope> {
        Arc::new(Scope::new(id, Budget::new(950), AbortSignal::never()))
    }

    fn id() -> Option<String> {
        current_request_id().map(|id| id.to_string())
    }

    #[test]
    fn is_seen_inside_and_nowhere_else() {
        let inner = run(scope("a"), async {
            assert_eq!(id().as_deref(), Some("a"));
            run(scope("b"), async { assert_eq!(id().as_deref(), Some("b")) }).await;
            assert_eq!(id().as_deref(), Some("a"));
        });
        assert_eq!(id(), None);
        block_on(inner);
        assert_eq!(id(), None);
    }

    #[test]
    fn interleaved_requests_do_not_mix() {
        async fn task(name: &'static str) {
            for _ in 0..10 {
                assert_eq!(id().as_deref(), Some(name));
                // Gives the turn to the other request.
                let mut yielded = false;
                std::future::poll_fn(move |cx| {
                    if std::mem::replace(&mut yielded, true) {
                        return Poll::Ready(());
                    }
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
            }
        }
        block_on(futures::future::join(
            run(scope("left"), task("left")),
            run(scope("right"), task("right")),
        ));
    }

    #[test]
    fn a_panic_does_not_leak_the_scope() {
        let caught = std::panic::catch_unwind(|| {
            block_on(run(scope("a"), async { panic!("on purpose") }));
        });
        assert!(caught.is_err());
        assert_eq!(id(), None);
    }
}
