//! Tasks that wait for the same thing, in the order of their coming: for a lane, for
//! room in a stream, for an abort.

use std::collections::VecDeque;
use std::task::Waker;

/// Waiters by ticket, oldest first.
///
/// Tickets only grow, so the line is sorted by itself: coming, and going from
/// either end, costs the same however many wait. Who leaves from the middle
/// leaves a gap, found by bisection; the gaps are closed when they are more
/// than the waiters.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    newest: u64,
    places: VecDeque<(u64, Option<Waker>)>,
    waiting: usize,
}

impl Waiters {
    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// The ticket of who came first.
    pub(crate) fn first(&self) -> Option<u64> {
        self.places.front().map(|(ticket, _)| *ticket)
    }

    pub(crate) fn first_waker(&self) -> Option<Waker> {
        self.places.front()?.1.clone()
    }

    /// Goes to the end of the line; the ticket that comes back is higher than any
    /// before it.
    pub(crate) fn join(&mut self, waker: &Waker) -> u64 {
        self.newest += 1;
        self.places.push_back((self.newest, Some(waker.clone())));
        self.waiting += 1;
        self.newest
    }

    /// Keeps `waker` for `ticket`, which joins where there is none.
    pub(crate) fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        match *ticket {
            Some(ticket) => self.renew(ticket, waker),
            None => *ticket = Some(self.join(waker)),
        }
    }

    /// `waker` is the one to wake for `ticket` from now on, while that waits.
    pub(crate) fn renew(&mut self, ticket: u64, waker: &Waker) {
        let place = self.place(ticket).map(|at| &mut self.places[at].1);
        if let Some(Some(known)) = place {
            known.clone_from(waker);
        }
    }

    /// Whether `ticket`, or a newcomer, has nobody before it.
    pub(crate) fn is_first(&self, ticket: Option<u64>) -> bool {
        self.is_empty() || (ticket.is_some() && self.first() == ticket)
    }

    /// Leaves the line, from wherever.
    pub(crate) fn leave(&mut self, ticket: u64) {
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
    pub(crate) fn wakers(&self) -> impl Iterator<Item = Waker> {
        self.places.iter().filter_map(|place| place.1.clone())
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
            let (mut line, mut model, mut next) = (Waiters::default(), BTreeSet::new(), 1);
            for (join, which) in steps {
                if join {
                    prop_assert_eq!(line.join(Waker::noop()), next);
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
                prop_assert!(line.is_first(None) == model.is_empty());
                for ticket in 0..next {
                    prop_assert_eq!(line.place(ticket).is_some_and(|at| line.places[at].1.is_some()), model.contains(&ticket));
                    let is_first = model.is_empty() || model.first() == Some(&ticket);
                    prop_assert_eq!(line.is_first(Some(ticket)), is_first);
                }
            }
        }
    }
}
