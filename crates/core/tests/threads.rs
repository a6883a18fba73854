//! The rules under real threads, as native servers use them: what holds in virtual time
//! holds there.
//!
//! Each scenario is run for 200 seeds, more by `PROPTEST_CASES`. A seed gives what is
//! done; in which order, the machine decides.

#[path = "threads/flights.rs"]
mod flights;
#[path = "threads/lanes.rs"]
mod lanes;
#[path = "threads/writers.rs"]
mod writers;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spinlane_core::ports::{BoxFuture, Clock, Instant, Ports, Spawner};
use spinlane_core::testing::{SeededEntropy, World, schedules};

/// Longer than anything takes that goes on at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine's clock.
struct RealClock(std::time::Instant);

impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.elapsed().as_nanos() as u64)
    }

    fn unix(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("it is later than 1970")
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let deadline = self.0 + Duration::from_nanos(deadline.as_nanos());
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }
}

/// Tasks of the runtime that a test runs on.
struct Runtime;

impl Spawner for Runtime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

/// The ports of `world`, with time and tasks of the machine.
fn ports(world: &World) -> Ports {
    Ports {
        clock: Arc::new(RealClock(std::time::Instant::now())),
        spawner: Arc::new(Runtime),
        ..world.ports()
    }
}

/// What a task does, by chance.
#[derive(Clone)]
struct Chance(Arc<SeededEntropy>);

impl Chance {
    fn new(seed: u64, task: u64) -> Self {
        Self(Arc::new(SeededEntropy::new(seed << 8 | task)))
    }

    fn below(&self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// Lets others go on, or for a moment sleeps.
    async fn pause(&self) {
        match self.below(8) {
            0 => tokio::time::sleep(Duration::from_micros(self.below(300))).await,
            1..5 => tokio::task::yield_now().await,
            _ => {}
        }
    }

    /// `future`, which is dropped after a moment should it not have ended: `None`.
    async fn perhaps<F: Future>(&self, future: F) -> Option<F::Output> {
        let patience = Duration::from_micros(self.below(300));
        tokio::time::timeout(patience, future).await.ok()
    }
}

/// Seeds at a time: most of their tasks wait.
const AT_A_TIME: usize = 100;

/// Runs `scenario` for each seed, on several threads.
fn for_each_seed<F: Future<Output = ()> + Send + 'static>(scenario: impl Fn(u64) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    let seeds: Vec<_> = (0..u64::from(schedules() / 5)).collect();
    for seeds in seeds.chunks(AT_A_TIME) {
        runtime.block_on(async {
            let scenarios = seeds
                .iter()
                .map(|seed| (*seed, tokio::spawn(scenario(*seed))));
            for (seed, running) in scenarios.collect::<Vec<_>>() {
                match tokio::time::timeout(PATIENCE, running).await {
                    Err(_) => panic!("seed {seed}: somebody waits for ever"),
                    Ok(Err(failed)) => panic!("seed {seed}: {failed}"),
                    Ok(Ok(())) => {}
                }
            }
        });
    }
}

/// Runs `task` so many times side by side, until all have ended.
async fn side_by_side<F>(tasks: u64, task: impl Fn(u64) -> F) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let tasks: Vec<_> = (0..tasks)
        .map(|number| tokio::spawn(task(number)))
        .collect();
    let mut outputs = Vec::new();
    for task in tasks {
        outputs.push(task.await.expect("it does not panic"));
    }
    outputs
}
