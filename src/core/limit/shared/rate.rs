//! Calls per second over all instances.

use std::time::Duration;

use super::{SKEW, Shared, TooLate, trail};
use crate::core::limit::{Rate, TooHeavy};
use crate::core::ports::Instant;

/// Windows of which the counter may still be asked for, and the time for which
/// it may whatever their length: by a clock that is late, or by a call to a slow
/// store.
const GRACE: u64 = 8;
const GRACE_TIME: Duration = SKEW.saturating_add(Duration::from_secs(1));

/// So many windows ahead of the present nobody waits for a ticket.
const FARTHEST: u64 = 100_000;

/// Why there are no tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTicket {
    /// They are due after the deadline.
    #[error(transparent)]
    TooLate(#[from] TooLate),
    /// They never are.
    #[error(transparent)]
    TooHeavy(#[from] TooHeavy),
}

/// A rate by tickets of time windows.
///
/// Time is cut into windows, each with a counter; the first `tickets` of a
/// window may go. Whoever comes later has its number tell how many windows are
/// full before it, and tries again in the one that is likely its own.
///
/// With three eighths of the burst in each window an interval of `t` meets at
/// most `t` / window + 2 windows, and so at most rate × `t` + 3/4 burst. Clocks
/// that differ, or guests that are held up after they have their ticket, by `s`
/// in sum make it rate × (`t` + `s`) + 3/4 burst: within rate × `t` + burst as
/// long as `s` is no more than the time of a quarter of the burst, which is
/// [`SKEW`] where the burst is a second's worth. A burst of 2 leaves no room: it
/// is passed by what comes in `s`. With a burst of 1 even two windows are too
/// many: there a call waits for the end of its window, so that calls are whole
/// windows apart.
///
/// Of a heavy call's tickets the last count for all; what it took of earlier
/// windows is idle meanwhile. So it may take no more of those than two full
/// windows leave of the burst, about a quarter, and then uses the same room as
/// clocks do.
#[derive(Clone)]
pub struct SharedRate {
    shared: Shared,
    series: String,
    tickets: u32,
    window: Duration,
    /// What a call may weigh.
    heaviest: u32,
    /// Whether calls start at the ends of windows only.
    apart: bool,
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
        // Less than `burst`, so it fits.
        let tickets = (u64::from(burst) * 3 / 8).max(1) as u32;
        Self {
            shared,
            series: format!("rate:{name}"),
            tickets,
            window: rate.time_for(tickets.into()).max(Duration::from_millis(1)),
            heaviest: (burst.saturating_sub(2 * tickets) + 1).min(burst).max(1),
            apart: burst < 2,
        }
    }

    /// Takes `weight` tickets, and resolves when they are due. One increment
    /// where they are due at once, and one more for each further window.
    /// Dropping the future while it waits wastes what it has taken.
    ///
    /// # Errors
    /// [`NoTicket`]: when that would be after `deadline`, or at once when the
    /// call is too heavy.
    pub async fn acquire(&self, weight: u32, deadline: Option<Instant>) -> Result<(), NoTicket> {
        self.check(weight)?;
        let clock = &self.shared.clock;
        let (tickets, mut left) = (u64::from(self.tickets), u64::from(weight));
        let mut window = self.window_at(clock.unix());
        loop {
            let Some(before) = self.draw(window, left).await else {
                return Ok(());
            };
            let drawn = left.min(tickets.saturating_sub(before));
            left -= drawn;
            if left == 0 {
                break;
            }
            if drawn == 0 {
                // Somebody else's tickets lie between: a call's are together.
                left = weight.into();
            } else {
                // The rest in advance, before the next window begins: so there
                // is no more than one such call in a window.
                window += 1;
                continue;
            }
            // As many windows on as the tries before this one fill.
            window += before / tickets;
            self.begin_of(window, deadline).await?;
            // A guest that was held up takes a ticket of the present.
            window = window.max(self.window_at(clock.unix()));
        }
        let window = window + u64::from(self.apart);
        Ok(self.begin_of(window, deadline).await?)
    }

    /// Whether a call of `weight` can ever have its tickets.
    ///
    /// # Errors
    /// [`TooHeavy`].
    pub fn check(&self, weight: u32) -> Result<(), TooHeavy> {
        let heaviest = self.heaviest;
        match weight > heaviest {
            true => Err(TooHeavy { weight, heaviest }),
            false => Ok(()),
        }
    }

    /// Waits until `window` has begun.
    async fn begin_of(&self, window: u64, deadline: Option<Instant>) -> Result<(), TooLate> {
        let clock = &self.shared.clock;
        let wait = self.start_of(window).saturating_sub(clock.unix());
        if wait.is_zero() {
            return Ok(());
        }
        let due = clock.now() + wait;
        if deadline.is_some_and(|deadline| due > deadline) {
            return Err(TooLate { wait });
        }
        clock.sleep_until(due).await;
        Ok(())
    }

    /// Tries for `n` tickets of `window`. Returns how many were tried for
    /// before; `None` while the store is left alone.
    async fn draw(&self, window: u64, n: u64) -> Option<u64> {
        let name = trail::name(&self.series, window);
        let delta = i64::try_from(n).unwrap_or(i64::MAX);
        let number = self.shared.increment(&name, delta).await?;
        let before = u64::try_from(number).unwrap_or(n).saturating_sub(n);
        if before == 0 {
            let present = self.window_at(self.shared.clock.unix());
            trail::begun(&self.shared, &self.series, window, present, self.grace()).await;
        }
        Some(before)
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

    /// Whether `counter` is one of this rate that nobody will use any more: of
    /// a window that has passed, or of one that cannot be asked for before the
    /// windows had another length.
    pub fn is_over(&self, counter: &str) -> bool {
        let present = self.window_at(self.shared.clock.unix());
        trail::period_of(&self.series, counter).is_some_and(|window| {
            window.saturating_add(self.grace()) < present || window > present + FARTHEST
        })
    }

    /// In windows.
    fn grace(&self) -> u64 {
        let windows = GRACE_TIME.as_nanos().div_ceil(self.window.as_nanos());
        u64::try_from(windows).unwrap_or(u64::MAX).max(GRACE)
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
