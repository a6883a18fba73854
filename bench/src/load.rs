//! Clients that go on by themselves, and a look at what they get meanwhile.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use crate::server::Server;

/// What all clients of a load have had so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: AtomicU64,
    times: Mutex<Vec<Duration>>,
}

impl Tally {
    /// So many more frames, chats or answers.
    pub(crate) fn add(&self, count: usize) {
        self.count.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// One more, and how long it took.
    pub(crate) fn time(&self, took: Duration) {
        self.add(1);
        self.times().push(took);
    }

    fn times(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clients that run until this is dropped.
#[derive(Default)]
pub(crate) struct Load {
    clients: JoinSet<Result<()>>,
    tally: Arc<Tally>,
}

/// What they had in a stretch of time, and what the host took for it.
#[derive(Debug)]
pub(crate) struct Sample {
    count: u64,
    took: Duration,
    cpu: Duration,
    times: Vec<Duration>,
}

impl Load {
    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Adds a client, which has no end of its own.
    pub(crate) fn add(&mut self, client: impl Future<Output = Result<()>> + Send + 'static) {
        self.clients.spawn(client);
    }

    /// Lets `warm_up` pass, and looks for `length`.
    pub(crate) async fn sample(
        &mut self,
        server: &Server,
        warm_up: Duration,
        length: Duration,
    ) -> Result<Sample> {
        self.undisturbed(warm_up).await?;
        let cpu = server.cpu()?;
        self.tally.times().clear();
        let (begin, count) = (Instant::now(), self.tally.count.load(Ordering::Relaxed));
        self.undisturbed(length).await?;
        let sample = Sample {
            took: begin.elapsed(),
            count: self.tally.count.load(Ordering::Relaxed) - count,
            times: std::mem::take(&mut *self.tally.times()),
            cpu: server.cpu()? - cpu,
        };
        match sample.count {
            0 => bail!("nothing arrived in {:?}", sample.took),
            _ => Ok(sample),
        }
    }

    /// Waits, unless a client ends: none should.
    async fn undisturbed(&mut self, time: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            Some(ended) = self.clients.join_next() => {
                ended??;
                bail!("a client ended early")
            }
        }
    }
}

impl Sample {
    /// How many there were in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// The host's processor time for each, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }

    /// The time, in milliseconds, that so many in a hundred did not exceed.
    pub(crate) fn percentile(&mut self, percent: usize) -> Option<f64> {
        percentile(&mut self.times, percent)
    }
}

/// The value, in milliseconds, that so many in a hundred do not exceed.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Option<f64> {
    times.sort_unstable();
    let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
    Some(times.get(at)?.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        for (percent, millis) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert_eq!(percentile(&mut times, percent), Some(millis));
        }
        assert_eq!(percentile(&mut [], 50), None);
    }
}
