//! Who waits for a lane, in the order of asking.

use std::collections::VecDeque;
use std::task::Waker;

/// Waiters by ticket, oldest first.
///
/// Tickets only grow, so the line is sorted by itself: coming, and going from
/// either end, costs the same however many wait. Who leaves from the middle
/// leaves a gap, found by bisection; the gaps are closed when they are more
/// than the waiters.
#[derive(Debug, Default)]
pub(super) struct Line {
    places: VecDeque<(u64, Option<Waker>)>,
    waiting: usize,
}

impl Line {
    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// The ticket of who came first.
    pub(super) fn first(&self) -> Option<u64> {
        self.places.front().map(|(ticket, _)| *ticket)
    }

    pub(super) fn first_waker(&self) -> Option<&Waker> {
        self.places.front()?.1.as_ref()
    }

    /// Goes to the end of the line. `ticket` is higher than any before it.
    pub(super) fn join(&mut self, ticket: u64, waker: Waker) {
        self.places.push_back((ticket, Some(waker)));
        self.waiting += 1;
    }

    /// The waker of `ticket`, while that waits.
    pub(super) fn waker(&mut self, ticket: u64) -> Option<&mut Waker> {
        let at = self.place(ticket)?;
        self.places[at].1.as_mut()
    }

    /// Leaves the line, from wherever.
    pub(super) fn leave(&mut self, ticket: u64) {
        let Some(at) = self.place(ticket) else {
            return;
        };
        if self.places[at].1.take().is_none() {
            return;
        }
        self.waiting -= 1;
        // Both ends are always taken.
        while self.places.front().is_some_and(|place| place.1.is_none()) {
            self.places.pop_front();
        }
        while self.places.back().is_some_and(|place| place.1.is_none()) {
            self.places.pop_back();
        }
        if self.places.len() > 2 * self.waiting {
            self.places.retain(|place| place.1.is_some());
        }
    }

    /// All who wait.
    pub(super) fn wakers(&self) -> impl Iterator<Item = &Waker> {
        self.places.iter().filter_map(|place| place.1.as_ref())
    }

    fn place(&self, ticket: u64) -> Option<usize> {
        // Nearly always it is the first that goes.
        if self.first() == Some(ticket) {
            return Some(0);
        }
        let found = self.places.binary_search_by_key(&ticket, |place| place.0);
        found.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// As a sorted set, and never more than twice as long.
        #[test]
        fn it_is_a_sorted_set(steps in proptest::collection::vec((any::<bool>(), 0..40u64), 0..200)) {
            let (mut line, mut model, mut next) = (Line::default(), BTreeSet::new(), 0);
            for (join, which) in steps {
                if join {
                    line.join(next, Waker::noop().clone());
                    model.insert(next);
                    next += 1;
                } else {
                    // Now and then somebody who has left, or never came.
                    let ticket = which * next.max(1) / 40;
                    line.leave(ticket);
                    model.remove(&ticket);
                }
                prop_assert_eq!(line.first(), model.first().copied());
                prop_assert_eq!((line.len(), line.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(line.wakers().count(), model.len());
                prop_assert!(line.places.len() <= 2 * model.len());
                for ticket in 0..next {
                    prop_assert_eq!(line.waker(ticket).is_some(), model.contains(&ticket));
                }
            }
        }
    }
}
