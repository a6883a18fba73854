//! Stores that behave as real ones do at their worst.
//!
//! All stand on one [`MemoryStore`], so that several instances, each with a
//! double of its own, have it in common.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::{MemoryStore, SeededEntropy, VirtualClock, lock};
use crate::limit::jitter;
use crate::ports::{BoxFuture, Clock, Counters, KeyValue, Ports, StoreError};

/// What one instance has for a store.
#[derive(Clone)]
pub struct StoreDouble {
    store: MemoryStore,
    manner: Arc<Manner>,
}

/// How its calls go.
enum Manner {
    /// They take up to so long before and after they act, in which others go on.
    Delays(VirtualClock, SeededEntropy, Duration),
    /// They block the guest for up to so long, before and after they act.
    Blocks(VirtualClock, SeededEntropy, Duration),
    /// The instance dies at one of them.
    Dies(Life),
}

/// What is left of an instance's life.
struct Life {
    /// Calls that it makes still.
    left: AtomicU64,
    /// Whether the last one acts.
    acts: bool,
    dead: AtomicBool,
    watching: Mutex<Option<Waker>>,
}

impl fmt::Debug for StoreDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreDouble").finish_non_exhaustive()
    }
}

impl StoreDouble {
    fn new(store: &MemoryStore, manner: Manner) -> Self {
        Self {
            store: store.clone(),
            manner: Arc::new(manner),
        }
    }

    /// Calls take up to `most`, by chance before and after they act, so that
    /// those of several instances interleave. They hold nobody up.
    pub fn delaying(store: &MemoryStore, clock: &VirtualClock, seed: u64, most: Duration) -> Self {
        let entropy = SeededEntropy::new(seed);
        Self::new(store, Manner::Delays(clock.clone(), entropy, most))
    }

    /// Calls take up to `most`, by chance before and after they act, and block
    /// the guest as long, as Spin's do.
    pub fn blocking(store: &MemoryStore, clock: &VirtualClock, seed: u64, most: Duration) -> Self {
        let entropy = SeededEntropy::new(seed);
        Self::new(store, Manner::Blocks(clock.clone(), entropy, most))
    }

    /// The instance dies at its call number `calls` (from 0): after it has
    /// acted, or before. It makes no other, and none of its tasks goes on.
    pub fn dying(store: &MemoryStore, calls: u64, acts: bool) -> Self {
        let life = Life {
            left: AtomicU64::new(calls),
            acts,
            dead: AtomicBool::new(false),
            watching: Mutex::default(),
        };
        Self::new(store, Manner::Dies(life))
    }

    /// `ports` with this store.
    pub fn in_ports(&self, ports: Ports) -> Ports {
        Ports {
            key_value: Some(Arc::new(self.clone())),
            counters: Some(Arc::new(self.clone())),
            ..ports
        }
    }

    /// Resolves when the instance has died, with whatever it was doing.
    pub fn death(&self) -> BoxFuture<'static, ()> {
        let manner = Arc::clone(&self.manner);
        Box::pin(std::future::poll_fn(move |cx| {
            let Manner::Dies(life) = &*manner else {
                return Poll::Pending;
            };
            *lock(&life.watching) = Some(cx.waker().clone());
            match life.dead.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }))
    }

    /// Whether it has.
    pub fn is_dead(&self) -> bool {
        matches!(&*self.manner, Manner::Dies(life) if life.dead.load(Ordering::SeqCst))
    }

    async fn call<T>(&self, act: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        match &*self.manner {
            Manner::Delays(clock, entropy, most) => {
                clock.sleep(jitter(*most / 2, entropy)).await;
                let result = act.await;
                clock.sleep(jitter(*most / 2, entropy)).await;
                result
            }
            Manner::Blocks(clock, entropy, most) => {
                clock.advance(jitter(*most / 2, entropy));
                let result = act.await;
                clock.advance(jitter(*most / 2, entropy));
                result
            }
            Manner::Dies(life) => {
                let left = life.left.load(Ordering::SeqCst);
                if left > 0 {
                    life.left.store(left - 1, Ordering::SeqCst);
                    return act.await;
                }
                if life.acts && !life.dead.load(Ordering::SeqCst) {
                    let _ = act.await;
                }
                life.dead.store(true, Ordering::SeqCst);
                if let Some(watching) = lock(&life.watching).take() {
                    watching.wake();
                }
                std::future::pending().await
            }
        }
    }
}

impl KeyValue for StoreDouble {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(self.call(self.store.get(key)))
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.call(self.store.set(key, value)))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.call(self.store.delete(key)))
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(self.call(self.store.keys()))
    }
}

impl Counters for StoreDouble {
    fn increment<'a>(
        &'a self,
        name: &'a str,
        delta: i64,
    ) -> BoxFuture<'a, Result<i64, StoreError>> {
        Box::pin(self.call(self.store.increment(name, delta)))
    }

    fn exists<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.call(self.store.exists(name)))
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.call(self.store.remove(name)))
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(self.call(self.store.names()))
    }
}
