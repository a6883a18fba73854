//! [`Clock`] on `wasi:clocks`.

use std::time::Duration;

use wasip2::clocks::{monotonic_clock, wall_clock};
use wstd::runtime::AsyncPollable;

use crate::core::ports::{BoxFuture, Clock, Instant};

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
        Box::pin(sleep_until(deadline))
    }
}

/// Resolves at `deadline`. The timer exists only while it is waited for.
pub(super) async fn sleep_until(deadline: Instant) {
    let pollable = monotonic_clock::subscribe_instant(deadline.as_nanos());
    AsyncPollable::new(pollable).wait_for().await;
}

/// Resolves after `duration`.
pub(super) async fn sleep(duration: Duration) {
    sleep_until(WasiClock.now() + duration).await;
}
