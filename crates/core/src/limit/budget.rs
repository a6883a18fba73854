//! The per-request budget of upstream calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How many upstream calls one request may make.
///
/// Clones share one account. A few calls are held back for the request's own
/// overhead (renewing a token, saving a session), so that the work itself
/// cannot starve it: only [`take_overhead`](Self::take_overhead) reaches them.
///
/// ```
/// use spinlane_core::limit::Budget;
///
/// let budget = Budget::new(10);
/// // One of them is for the request's own overhead.
/// assert_eq!((budget.total(), budget.remaining()), (10, 9));
/// assert!(!budget.take(7)?.warn);
/// assert!(budget.take(1)?.warn, "80 % are used");
/// assert!(budget.take(2).is_err());
/// assert!(budget.take_overhead(1).is_ok());
/// # Ok::<(), spinlane_core::limit::BudgetExhausted>(())
/// ```
#[derive(Clone, Debug)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    total: u32,
    reserve: u32,
    used: AtomicU32,
    warned: AtomicBool,
    /// A share draws on its parent as well.
    parent: Option<Budget>,
}

/// The request has made all the upstream calls that it may.
///
/// ```
/// use spinlane_core::limit::Budget;
///
/// let budget = Budget::with_reserve(3, 0);
/// assert!(budget.take(2).is_ok());
/// // All or none: the last one is still there for who asks for less.
/// let error = budget.take(2).unwrap_err();
/// assert_eq!((error.total, error.used, error.asked), (3, 2, 2));
/// assert_eq!(budget.remaining(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the budget of {total} upstream calls has no room for {asked} more ({used} used)")]
#[non_exhaustive]
pub struct BudgetExhausted {
    /// Calls it started with.
    pub total: u32,
    /// Calls made so far.
    pub used: u32,
    /// Calls that were asked for now.
    pub asked: u32,
}

/// Calls were taken from a budget.
///
/// ```
/// use spinlane_core::limit::{Budget, Taken};
///
/// let budget = Budget::with_reserve(5, 0);
/// assert_eq!(budget.take(4)?, Taken { warn: true });
/// assert_eq!(budget.take(1)?, Taken { warn: false }, "it was said");
/// # Ok::<(), spinlane_core::limit::BudgetExhausted>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "`warn` is said once"]
pub struct Taken {
    /// This take was the one that reached 80 % of the request's whole budget.
    /// Said once per request; it is in the log as well.
    pub warn: bool,
}

const RESERVE: u32 = 10;

impl Budget {
    /// Upstream calls of a request that nothing else is said of.
    pub const DEFAULT: u32 = 950;

    /// A budget of `total` calls, 10 of them (of a small budget: a tenth) for
    /// overhead only.
    pub fn new(total: u32) -> Self {
        Self::with_reserve(total, RESERVE.min(total / 10))
    }

    /// A budget of `total` calls, `reserve` of them for overhead only.
    pub fn with_reserve(total: u32, reserve: u32) -> Self {
        Self::account(total, reserve.min(total), None)
    }

    fn account(total: u32, reserve: u32, parent: Option<Self>) -> Self {
        Self(Arc::new(Account {
            total,
            reserve,
            used: AtomicU32::new(0),
            warned: AtomicBool::new(false),
            parent,
        }))
    }

    /// The calls it started with, overhead included.
    pub fn total(&self) -> u32 {
        self.0.total
    }

    /// The calls taken so far.
    pub fn used(&self) -> u32 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// How many calls [`take`](Self::take) would still grant.
    pub fn remaining(&self) -> u32 {
        let own = (self.0.total - self.0.reserve).saturating_sub(self.used());
        match &self.0.parent {
            Some(parent) => own.min(parent.remaining()),
            None => own,
        }
    }

    /// Whether `n` calls could be taken now. Another user of the budget may
    /// come first: only [`take`](Self::take) decides.
    pub fn can_make(&self, n: u32) -> bool {
        n <= self.remaining()
    }

    /// Takes `n` calls, all or none.
    ///
    /// # Errors
    /// [`BudgetExhausted`] when fewer than `n` are left.
    pub fn take(&self, n: u32) -> Result<Taken, BudgetExhausted> {
        self.draw(n, false)
    }

    /// Takes `n` calls for the request's own overhead: may use the reserve.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_overhead(&self, n: u32) -> Result<Taken, BudgetExhausted> {
        self.draw(n, true)
    }

    /// Gives back `n` calls that were taken and then not made.
    pub fn give_back(&self, n: u32) {
        let less = |used: u32| Some(used.saturating_sub(n));
        let _ = self
            .0
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if let Some(parent) = &self.0.parent {
            parent.give_back(n);
        }
    }

    /// One budget per entry of `percents`, each capped to that part of what
    /// remains now (rounded down). They draw on this one: what all take
    /// together never exceeds it, even where the parts exceed 100.
    pub fn split(&self, percents: &[u32]) -> Vec<Self> {
        let left = u64::from(self.remaining());
        let share = |percent: &u32| {
            let calls = (left * u64::from(*percent) / 100).min(left);
            let calls = u32::try_from(calls).unwrap_or(u32::MAX);
            Self::account(calls, 0, Some(self.clone()))
        };
        percents.iter().map(share).collect()
    }

    fn draw(&self, n: u32, overhead: bool) -> Result<Taken, BudgetExhausted> {
        let account = &*self.0;
        let limit = account.total - if overhead { 0 } else { account.reserve };
        let more = |used: u32| used.checked_add(n).filter(|used| n == 0 || *used <= limit);
        let before = account
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|used| BudgetExhausted {
                total: account.total,
                used,
                asked: n,
            })?;
        let Some(parent) = &account.parent else {
            return Ok(self.note(before + n));
        };
        parent.draw(n, overhead).inspect_err(|_| {
            account.used.fetch_sub(n, Ordering::Relaxed);
        })
    }

    /// Warns when `used` is the first to reach 80 %.
    fn note(&self, used: u32) -> Taken {
        let total = self.0.total;
        let high = u64::from(used) * 100 >= u64::from(total) * 80 && used > 0;
        let warn = high && !self.0.warned.swap(true, Ordering::Relaxed);
        if warn {
            tracing::warn!(used, total, "80 % of the request's upstream calls are used");
        }
        Taken { warn }
    }
}

impl Default for Budget {
    /// [`Budget::DEFAULT`] calls.
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_reserve_is_for_overhead() {
        let budget = Budget::default();
        assert_eq!((budget.total(), budget.remaining()), (950, 940));
        assert!(budget.can_make(940) && !budget.can_make(941));
        let error = budget.take(941).unwrap_err();
        let (total, used, asked) = (950, 0, 941);
        assert_eq!(error, BudgetExhausted { total, used, asked });
        assert_eq!(
            error.to_string(),
            "the budget of 950 upstream calls has no room for 941 more (0 used)"
        );
        assert!(budget.take(940).unwrap().warn);
        assert!(budget.take(1).is_err());
        assert!(!budget.take_overhead(10).unwrap().warn);
        assert!(budget.take_overhead(1).is_err());
        assert_eq!((budget.used(), budget.remaining()), (950, 0));
    }

    #[test]
    fn a_small_budget_is_not_all_reserve() {
        assert_eq!(Budget::new(5).remaining(), 5);
        assert_eq!(Budget::new(50).remaining(), 45);
        assert_eq!(Budget::new(0).remaining(), 0);
        assert_eq!(Budget::with_reserve(3, 7).remaining(), 0);
    }

    #[test]
    fn it_warns_once_at_80_percent() {
        let budget = Budget::new(10);
        let warned: Vec<_> = (0..9).map(|_| budget.take(1).unwrap().warn).collect();
        assert_eq!(warned.iter().position(|warn| *warn), Some(7));
        assert_eq!(warned.iter().filter(|warn| **warn).count(), 1);
    }

    #[test]
    fn shares_draw_on_their_parent() {
        let budget = Budget::new(100);
        let shares = budget.split(&[50, 50]);
        assert_eq!(shares[0].remaining(), 45);
        let _ = shares[0].take(45).unwrap();
        assert!(shares[0].take(1).is_err());
        assert_eq!(budget.used(), 45);
        // Somebody else uses what the second share had hoped for.
        let _ = budget.take(40).unwrap();
        assert_eq!(shares[1].remaining(), 5);
        assert!(shares[1].take(6).is_err());
        assert_eq!(shares[1].used(), 0, "a refused take leaves nothing behind");
        shares[0].give_back(2);
        assert_eq!((shares[0].used(), budget.used()), (43, 83));
    }

    proptest! {
        #[test]
        fn nothing_exceeds_the_budget(
            total in 0..300u32,
            takes in proptest::collection::vec((0..4usize, 0..20u32, any::<bool>()), 0..80),
        ) {
            let root = Budget::new(total);
            let mut all = vec![root.clone()];
            all.extend(root.split(&[50, 70]));
            let nested = all[1].split(&[30]);
            all.extend(nested);
            let mut warnings = 0;
            for (which, n, overhead) in takes {
                let budget = &all[which];
                let (could, before) = (budget.can_make(n), root.used());
                let taken = if overhead { budget.take_overhead(n) } else { budget.take(n) };
                prop_assert!(overhead || taken.is_ok() == could);
                prop_assert_eq!(root.used(), before + if taken.is_ok() { n } else { 0 });
                warnings += u32::from(taken.is_ok_and(|taken| taken.warn));
                prop_assert!(all.iter().all(|budget| budget.used() <= budget.total()));
                prop_assert!(all[3].used() <= all[1].used());
                prop_assert!(all[1].used() + all[2].used() <= root.used());
            }
            prop_assert_eq!(warnings, u32::from(root.used() > 0 && root.used() * 5 >= total * 4));
        }
    }
}
