//! Calls per second over all instances.

use std::time::Duration;

use super::{Shared, TooLate, trail};
use crate::core::limit::Rate;
use crate::core::ports::Instant;

/// Windows of which the counter may still be asked for, by a late clock.
const GRACE: u64 = 8;

/// A rate by tickets of time windows.
///
/// Time is cut into windows, each with a counter; the first `tickets` of a
/// window may go. Whoever comes later has its number tell how many windows are
/// full before it, and tries again in the one that is likely its own.
///
/// With three eighths of the burst in each window an interval of `t` meets at
/// most `t` / window + 2 windows, and so at most rate × `t` + 3/4 burst; the
/// last quarter is for clocks that differ, by up to a quarter of the time that
/// the burst takes.
#[derive(Clone)]
pub struct SharedRate {
    shared: Shared,
    series: String,
    tickets: u32,
    window: Duration,
}

/// A window of a [`SharedRate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Tickets that were taken of it.
    pub taken: u64,
    /// Tickets that it has.
    pub tickets: u32,
    /// How long it is.
    pub length: Duration,
}

impl std::fmt::Debug for SharedRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedRate")
            .field("series", &self.series)
            .field("tickets", &self.tickets)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl SharedRate {
    /// `name` tells rates in one store apart.
    pub fn new(shared: Shared, name: &str, rate: Rate, burst: u32) -> Self {
        let tickets = (burst * 3 / 8).max(1);
        Self {
            shared,
            series: format!("rate:{name}"),
            tickets,
            window: rate.time_for(tickets.into()).max(Duration::from_millis(1)),
        }
    }

    /// Takes a ticket, and resolves when it is due. Dropping the future while
    /// it waits wastes at most one ticket.
    ///
    /// # Errors
    /// [`TooLate`] when that would be after `deadline`.
    pub async fn acquire(&self, deadline: Option<Instant>) -> Result<(), TooLate> {
        let clock = &self.shared.clock;
        let mut window = self.window_at(clock.unix());
        loop {
            let name = trail::name(&self.series, window);
            let Some(number) = self.shared.increment(&name, 1).await else {
                return Ok(());
            };
            if number == 1 {
                let present = self.window_at(clock.unix());
                trail::begun(&self.shared, &self.series, window, present, GRACE).await;
            }
            let number = u64::try_from(number).unwrap_or(1);
            let tickets = u64::from(self.tickets);
            if number <= tickets {
                return Ok(());
            }
            // As many windows on as the tries before this one fill.
            window += (number - 1) / tickets;
            let wait = self.start_of(window).saturating_sub(clock.unix());
            let due = clock.now() + wait;
            if deadline.is_some_and(|deadline| due > deadline) {
                return Err(TooLate { wait });
            }
            clock.sleep_until(due).await;
            // A guest that was held up takes a ticket of the present.
            window = window.max(self.window_at(clock.unix()));
        }
    }

    /// How the present window stands, for a status page. `None` while the store
    /// is left alone.
    pub async fn window(&self) -> Option<Window> {
        let window = self.window_at(self.shared.clock.unix());
        let mut taken = 0;
        if trail::is_used(&self.shared, &self.series, window).await {
            let name = trail::name(&self.series, window);
            taken = self.shared.increment(&name, 0).await?;
        }
        self.shared.is_used().then(|| Window {
            taken: taken.clamp(0, self.tickets.into()).unsigned_abs(),
            tickets: self.tickets,
            length: self.window,
        })
    }

    fn window_at(&self, unix: Duration) -> u64 {
        let windows = unix.as_nanos() / self.window.as_nanos();
        u64::try_from(windows).unwrap_or(u64::MAX)
    }

    fn start_of(&self, window: u64) -> Duration {
        let nanos = u128::from(window) * self.window.as_nanos();
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
