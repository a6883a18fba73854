//! One fetch for all who want the same.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{Shared, WeakShared};

use crate::ports::BoxFuture;

/// Fetches that are under way, by the key of the store.
///
/// A fetch belongs to all who wait for it and is driven by whichever of them is
/// polled: who began it may go, and the others neither begin anew nor are left
/// waiting. When the last of them has gone, it is dropped.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    /// A [`WeakShared`] of the flight's type.
    flights: HashMap<String, (u64, Box<dyn Any + Send + Sync>)>,
}

/// A fetch that many wait for.
pub(super) type Flight<O> = Shared<BoxFuture<'static, O>>;

impl Flights {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flight of `key`, and whether it was under way before. Where that one
    /// has another type, `make` makes one that nobody shares.
    pub(super) fn join<O>(
        &self,
        key: &str,
        make: impl FnOnce() -> BoxFuture<'static, O>,
    ) -> (Flight<O>, bool)
    where
        O: Clone + Send + Sync + 'static,
    {
        let mut table = self.table();
        if let Some((_, flight)) = table.flights.get(key)
            && let Some(flight) = flight.downcast_ref::<WeakShared<BoxFuture<'static, O>>>()
            && let Some(flight) = flight.upgrade()
            && flight.peek().is_none()
        {
            return (flight, true);
        }
        table.next += 1;
        let landing = Landing {
            flights: self.clone(),
            key: key.to_owned(),
            id: table.next,
        };
        let fetch = make();
        let flight = async move {
            let _landing = landing;
            fetch.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            let entry = (table.next, Box::new(weak) as Box<dyn Any + Send + Sync>);
            table.flights.insert(key.to_owned(), entry);
        }
        (flight, false)
    }
}

/// Takes a flight off the table when it has ended, or was dropped.
struct Landing {
    flights: Flights,
    key: String,
    id: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut table = self.flights.table();
        if table
            .flights
            .get(&self.key)
            .is_some_and(|(id, _)| *id == self.id)
        {
            table.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// One that ends takes itself off the table, and not what came in its place.
    #[test]
    fn a_flight_that_is_dropped_takes_no_other_with_it() {
        let flights = Flights::default();
        let (numbers, shared) = flights.join::<u32>("k", || pending().boxed());
        assert!(!shared);
        // Of another type: it takes the place.
        let (texts, shared) = flights.join::<String>("k", || pending().boxed());
        assert!(!shared);
        drop(numbers);
        let (_, shared) = flights.join::<String>("k", || unreachable!("it is under way"));
        assert!(shared);
        drop(texts);
        assert!(flights.table().flights.is_empty());
    }
}
