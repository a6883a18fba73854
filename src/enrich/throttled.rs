//! What a person sees of hundreds of calls: how far they have come, and not
//! each one that waits or is repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::Progress;
use crate::AppState;
use spinlane_core::limit::Observer;
use spinlane_core::log::millis;
use spinlane_core::ports::{Clock, Instant};

/// A wait that is longer than this is worth a word, and one word in this time
/// is enough.
const QUIET: Duration = Duration::from_secs(5);

/// Passes on what an observer should hear of many calls at once.
pub(super) struct ThrottledObserver {
    inner: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
    began: Instant,
    /// The time of the last word, in milliseconds since the beginning.
    said: AtomicU64,
}

impl ThrottledObserver {
    pub(super) fn new(app: &AppState, inner: Arc<dyn Observer>) -> Self {
        let clock = Arc::clone(&app.ports.clock);
        Self {
            inner,
            began: clock.now(),
            clock,
            said: AtomicU64::new(0),
        }
    }
}

impl Observer for ThrottledObserver {
    fn waiting(&self, lane: &str, waited: Duration) {
        let now = millis(self.clock.now() - self.began);
        let quiet = now.saturating_sub(self.said.load(Ordering::Relaxed));
        if waited >= QUIET && quiet >= millis(QUIET) {
            self.said.store(now, Ordering::Relaxed);
            self.inner.waiting(lane, waited);
        }
    }

    fn attempt(&self, lane: &str, attempt: u32, waited: Duration) {
        self.inner.attempt(lane, attempt, waited);
    }
}

/// How many steps are reported at most.
const REPORTS: usize = 50;

const LABEL: &str = "Looking up tempo and tags";

/// Counts steps, and reports some of them.
pub(super) struct Steps<'a> {
    done: AtomicUsize,
    total: usize,
    progress: &'a Progress<'a>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(total: usize, progress: &'a Progress<'a>) -> Self {
        progress(0, total, LABEL);
        Self {
            done: AtomicUsize::new(0),
            total,
            progress,
        }
    }

    /// `steps` more are done.
    pub(super) fn done(&self, steps: usize) {
        let before = self.done.fetch_add(steps, Ordering::Relaxed);
        let done = before + steps;
        let stride = self.total.div_ceil(REPORTS).max(1);
        if before / stride < done / stride || (done == self.total && steps > 0) {
            (self.progress)(done, self.total, LABEL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn many_steps_make_few_reports_and_the_last_one_is_among_them() {
        for total in [1, 7, 50, 999, 1_000] {
            let reports = Mutex::new(Vec::new());
            let note = |done, of, _: &str| {
                assert_eq!(of, total);
                reports.lock().unwrap().push(done);
            };
            let steps = Steps::new(total, &note);
            (0..total).for_each(|_| steps.done(1));
            let reports = reports.lock().unwrap();
            assert!(reports.len() <= REPORTS + 2, "{total}: {reports:?}");
            assert_eq!((reports[0], *reports.last().unwrap()), (0, total));
            assert!(reports.is_sorted());
        }
    }
}
