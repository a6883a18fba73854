//! Reservations: calls of a budget that one piece of work is sure of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use spinlane_core::limit::Budget;

/// The calls of a budget that a piece of work takes at most, so that what is
/// begun can be finished: nobody else gets them meanwhile. Repeated attempts
/// are not among them; they are made from what the budget has beyond. What is
/// left is given back with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Reservation(Arc<Reserved>);

#[derive(Debug)]
struct Reserved {
    budget: Budget,
    left: AtomicU32,
}

impl Reservation {
    /// Reserves `calls`; `None` when the budget has no more so many.
    pub(super) fn reserve(budget: &Budget, calls: u32) -> Option<Self> {
        let _ = budget.take(calls).ok()?;
        Some(Self(Arc::new(Reserved {
            budget: budget.clone(),
            left: AtomicU32::new(calls),
        })))
    }

    /// Who pays the next call: the budget, which has just got one back for it.
    pub(super) fn pay(&self) -> Budget {
        let less = |left: u32| left.checked_sub(1);
        let left = &self.0.left;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if taken.is_ok() {
            self.0.budget.give_back(1);
        }
        self.0.budget.clone()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.give_back(*self.left.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_there_when_it_is_needed() {
        let budget = Budget::with_reserve(5, 0);
        let reserved = Reservation::reserve(&budget, 3).unwrap();
        assert_eq!(budget.remaining(), 2);
        assert!(Reservation::reserve(&budget, 3).is_none());
        let _ = budget.take(2).unwrap();
        for _ in 0..3 {
            let _ = reserved.pay().take(1).unwrap();
        }
        assert!(reserved.pay().take(1).is_err(), "no more than was reserved");
    }

    #[test]
    fn what_is_left_is_given_back() {
        let budget = Budget::with_reserve(5, 0);
        let reserved = Reservation::reserve(&budget, 3).unwrap();
        let kept = reserved.clone();
        let _ = reserved.pay().take(1).unwrap();
        drop(reserved);
        assert_eq!(budget.used(), 3);
        drop(kept);
        assert_eq!(budget.used(), 1);
    }
}
