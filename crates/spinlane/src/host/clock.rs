//! [`Clock`] on `wasi:clocks`.

use std::time::Duration;

use wasip2::clocks::{monotonic_clock, wall_clock};

use super::timers::{self, Timer};
use spinlane_core::ports::{BoxFuture, Clock, Instant};

#[derive(Debug)]
pub(super) struct WasiClock;

impl Clock for WasiClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(monotonic_clock::now())
    }

    fn unix(&self) -> Duration {
        let now = wall_clock::now();
        Duration::new(now.seconds, now.nanoseconds)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(timers::at(deadline.as_nanos()))
    }
}

/// Resolves after `duration`.
pub(super) fn sleep(duration: Duration) -> Timer {
    timers::at((WasiClock.now() + duration).as_nanos())
}
