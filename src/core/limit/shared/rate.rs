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
/// window may go. Whoever comes later takes a ticket of a window to come: of the
/// one in which the line of all before it ends.
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
    /// Whether a call then takes a second window, to start anywhere in it.
    wide: bool,
}

/// Tickets that were taken: when they may be used, since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tickets {
    begins: Duration,
    ends: Duration,
    /// From then on others of the same rate touch none of these.
    clear: Duration,
}

impl Tickets {
    /// When they are due.
    pub const fn begins(&self) -> Duration {
        self.begins
    }

    /// From when another rate's tickets have to be, to be met anew by tickets of
    /// this one, these being given up.
    pub(in crate::core::limit) const fn clear(&self) -> Duration {
        self.clear
    }

    /// How long it is until then.
    pub const fn due_in(&self, unix: Duration) -> Duration {
        self.begins.saturating_sub(unix)
    }

    /// Whether they have lapsed for more than `grace`: a call that starts so
    /// much later would come on top of those of later windows.
    pub fn are_over(&self, unix: Duration, grace: Duration) -> bool {
        unix >= self.ends + grace
    }

    /// When these and `others` may be used.
    pub fn and(self, others: Self) -> Option<Self> {
        let begins = self.begins.max(others.begins);
        let ends = self.ends.min(others.ends);
        let clear = self.clear.max(others.clear);
        (begins < ends).then_some(Self {
            begins,
            ends,
            clear,
        })
    }
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
            wide: false,
        }
    }

    /// The same rate, for calls that need tickets of another as well which are
    /// good for an instant only: so that both can be had together.
    #[must_use]
    pub(in crate::core::limit) fn beside(self, other: &Self) -> Self {
        let wide = self.apart && other.apart;
        Self { wide, ..self }
    }

    /// Takes `weight` tickets, and resolves when they are due. Dropping the
    /// future while it waits wastes what it has taken.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub async fn acquire(&self, weight: u32, deadline: Option<Instant>) -> Result<(), NoTicket> {
        if let Some(tickets) = self.reserve(weight, Duration::ZERO, deadline).await? {
            let clock = &self.shared.clock;
            clock.sleep(tickets.due_in(clock.unix())).await;
        }
        Ok(())
    }

    /// Takes `weight` tickets that are due at `from` (since the epoch) or later,
    /// without waiting until they are. One increment where there are some at
    /// that time, else two, and one more for each that others come before; each
    /// further window of a heavy call costs one as well. `None` while the store
    /// is left alone.
    ///
    /// # Errors
    /// [`NoTicket`]: when they would be due after `deadline`, before any is
    /// taken; and when the call is too heavy.
    pub async fn reserve(
        &self,
        weight: u32,
        from: Duration,
        deadline: Option<Instant>,
    ) -> Result<Option<Tickets>, NoTicket> {
        self.check(weight)?;
        let (each, all) = (
            u64::from(self.tickets),
            u64::from(weight) + u64::from(self.wide),
        );
        let (mut left, mut window) = (all, self.first_window(from));
        loop {
            self.in_time(window, deadline)?;
            let Some(before) = self.draw(window, left).await else {
                return Ok(None);
            };
            let drawn = left.min(each.saturating_sub(before));
            left -= drawn;
            if left == 0 {
                return Ok(Some(self.tickets_of(window)));
            }
            if drawn > 0 {
                // The rest at once, so that there is no more than one such call
                // in a window.
                window += 1;
                continue;
            }
            // Somebody else's tickets lie between: a call's are together.
            left = all;
            // As many windows on as the tries before this one fill, or where the
            // line of all who have tickets ends.
            window = (window + before / each).max(self.line_end().await);
        }
    }

    /// The first window of which tickets may be used at `from` or later.
    fn first_window(&self, from: Duration) -> u64 {
        let window = match (self.apart, self.wide) {
            // The second of two is the one that contains it,
            (true, true) => self.window_at(from).saturating_sub(1),
            // or it ends then.
            (true, false) => self.window_at(from.saturating_sub(Duration::from_nanos(1))),
            (false, _) => self.window_at(from),
        };
        window.max(self.window_at(self.shared.unix()))
    }

    /// Since the epoch, the beginning of the window in which the line of those
    /// ends who have tickets. A plain read.
    pub(in crate::core::limit) async fn line(&self) -> Duration {
        self.start_of(self.line_end().await)
    }

    async fn line_end(&self) -> u64 {
        let latest = trail::latest(&self.shared, &self.series).await;
        let farthest = self.window_at(self.shared.unix()) + FARTHEST;
        latest.filter(|latest| *latest <= farthest).unwrap_or(0)
    }

    /// When tickets of `window` may be used.
    fn tickets_of(&self, window: u64) -> Tickets {
        let next = self.start_of(window + 1);
        let (begins, ends) = match self.apart && !self.wide {
            true => (next, next + Duration::from_nanos(1)),
            false => (self.start_of(window), next),
        };
        let clear = match self.wide {
            true => self.start_of(window + 2),
            false => begins,
        };
        Tickets {
            begins,
            ends,
            clear,
        }
    }

    fn in_time(&self, window: u64, deadline: Option<Instant>) -> Result<(), TooLate> {
        let clock = &self.shared.clock;
        let wait = self.tickets_of(window).due_in(clock.unix());
        match deadline.is_some_and(|deadline| clock.now() + wait > deadline) && !wait.is_zero() {
            true => Err(TooLate { wait }),
            false => Ok(()),
        }
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
