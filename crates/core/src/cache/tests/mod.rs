//! The cache in virtual time.

mod expiry;
mod fetch;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;

use super::*;
use crate::abort::AbortSignal;
use crate::limit::Budget;
use crate::ports::{Clock, StoreError};
use crate::scope::{self, Scope};
use crate::store::{Header, Store};
use crate::testing::World;

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(1);

static BPM: Kind = Kind::new("bpm", 1);

/// One more instance on the store of `world`.
fn cache(world: &World) -> Cache {
    Cache::new(&Store::open(&world.ports()))
}

fn bpm(world: &World) -> Typed<u32> {
    cache(world).typed(&BPM)
}

fn key() -> Key {
    Key::new(["ABBA", "Dancing Queen"])
}

/// What the upstream says of it.
type Answer = Result<Option<u32>, &'static str>;

/// What who asks is told.
type Told = Result<Option<u32>, FetchError<&'static str>>;

fn failed(error: &'static str) -> Told {
    Err(FetchError::Failed(error))
}

/// An upstream that is asked, with a count of how often.
#[derive(Clone, Default)]
struct Upstream(Arc<AtomicUsize>);

impl Upstream {
    fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Asks it, for an answer that it takes no time for.
    fn says(
        &self,
        answer: Answer,
    ) -> impl FnOnce() -> futures::future::Ready<Answer> + Send + 'static {
        let asked = Arc::clone(&self.0);
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            futures::future::ready(answer)
        }
    }

    /// The same, after `time`.
    fn says_after(
        &self,
        world: &World,
        time: Duration,
        answer: Answer,
    ) -> impl FnOnce() -> futures::future::BoxFuture<'static, Answer> + Send + 'static {
        let (asked, clock) = (Arc::clone(&self.0), world.clock.clone());
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            clock.sleep(time).map(move |()| answer).boxed()
        }
    }
}

fn request() -> Arc<Scope> {
    Arc::new(Scope::new("r", Budget::new(950), AbortSignal::never()))
}

/// Runs one request to its end, and what it leaves for after the response.
fn run<F: Future>(world: &World, request: F) -> F::Output {
    let output = world.run(request);
    world.drain();
    output
}

/// A request that asks for `key`, in an instance of its own.
fn get<F, Fut>(world: &World, key: &Key, fetch: F) -> Told
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let bpm = bpm(world);
    run(world, bpm.get_or_fetch(key, fetch))
}

/// What is known of `key`, without asking.
fn known(world: &World, key: &Key) -> Cached<u32> {
    let bpm = bpm(world);
    run(world, bpm.get(key))
}

fn put(world: &World, key: &Key, value: Option<u32>) {
    let bpm = bpm(world);
    run(world, bpm.put(key, value.as_ref()));
}
