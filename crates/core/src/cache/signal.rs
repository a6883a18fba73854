//! Signals that one instance raises and another one sees.
//!
//! Instances share nothing but the store. Who waits for a word from another one
//! looks for a signal now and then: one plain read, which is the cheapest thing
//! that a store does. A signal that nobody has lowered ends by itself, and is
//! swept like everything that expires.
//!
//! There is no doing without the store here: while it is left alone, signals are
//! neither raised nor seen.

use std::fmt;
use std::time::Duration;

use crate::ports::StoreError;
use crate::store::{Header, Is, Store, Times, Timestamp};

/// The version of a signal's envelope.
const VERSION: u16 = 1;

/// All signals of one namespace.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::cache::Signals;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let stops = || Signals::new(&Store::open(&world.ports()), "stop", Duration::from_secs(60));
/// // In one instance, and in another one.
/// world.run(stops().raise("run-1"))?;
/// assert!(world.run(stops().is_raised("run-1"))?);
/// world.run(stops().lower("run-1"))?;
/// assert!(!world.run(stops().is_raised("run-1"))?);
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone)]
pub struct Signals {
    store: Store,
    namespace: &'static str,
    lasts: Duration,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("namespace", &self.namespace)
            .field("lasts", &self.lasts)
            .finish_non_exhaustive()
    }
}

impl Signals {
    /// Signals in `store`, each raised for `lasts`.
    pub fn new(store: &Store, namespace: &'static str, lasts: Duration) -> Self {
        Self {
            store: store.clone(),
            namespace,
            lasts,
        }
    }

    /// Their namespace in the store. For the [full sweep](Store::full_sweep).
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// Raises the signal called `name`: it is in the store when this returns.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn raise(&self, name: &str) -> Result<(), StoreError> {
        let stored = self.now();
        let until = stored.plus(self.lasts);
        let times = Times {
            stored,
            fresh_until: until,
            stale_until: until,
        };
        let key = self.key(name);
        let header = Header::new(self.namespace, VERSION, &[name.to_owned()], Is::Miss, times);
        self.store.put(&key, &header.line(), until.unix()).await
    }

    /// Whether it is raised.
    ///
    /// # Errors
    /// When the store does not say.
    pub async fn is_raised(&self, name: &str) -> Result<bool, StoreError> {
        let Some(bytes) = self.store.get(&self.key(name)).await? else {
            return Ok(false);
        };
        let header = Header::split(&bytes);
        Ok(header.is_some_and(|(header, _)| {
            header.is_of(self.namespace, VERSION, &[name.to_owned()])
                && self.now() < header.stale_until
        }))
    }

    /// Lowers it.
    ///
    /// # Errors
    /// When the store fails. It ends by itself then.
    pub async fn lower(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete(&self.key(name)).await
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.namespace)
    }

    fn now(&self) -> Timestamp {
        Timestamp::new(self.store.unix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn signals(world: &World) -> Signals {
        let store = Store::open(&world.ports());
        Signals::new(&store, "stop", Duration::from_secs(60))
    }

    #[test]
    fn another_instance_sees_it_until_it_is_lowered_or_ends() {
        let world = World::new();
        let (one, two) = (signals(&world), signals(&world));
        world.run(async {
            assert_eq!(two.is_raised("a").await, Ok(false));
            one.raise("a").await.unwrap();
            assert_eq!(two.is_raised("a").await, Ok(true));
            assert_eq!(two.is_raised("b").await, Ok(false));
            two.lower("a").await.unwrap();
            assert_eq!(one.is_raised("a").await, Ok(false));
            one.raise("a").await.unwrap();
            world.clock.advance(Duration::from_secs(61));
            assert_eq!(two.is_raised("a").await, Ok(false));
        });
    }

    #[test]
    fn each_is_raised_and_lowered_by_itself() {
        let world = World::new();
        let signals = signals(&world);
        world.run(async {
            signals.raise("a").await.unwrap();
            signals.raise("b").await.unwrap();
            assert_eq!(signals.is_raised("a").await, Ok(true));
            signals.lower("b").await.unwrap();
            assert_eq!(signals.is_raised("a").await, Ok(true));
            assert_eq!(signals.is_raised("b").await, Ok(false));
        });
    }

    #[test]
    fn it_is_over_when_its_time_has_passed_and_no_sooner() {
        let world = World::new();
        let signals = signals(&world);
        let tick = Duration::from_millis(1);
        world.run(async {
            signals.raise("a").await.unwrap();
            world.clock.advance(signals.lasts - tick);
            assert_eq!(signals.is_raised("a").await, Ok(true));
            world.clock.advance(tick);
            assert_eq!(signals.is_raised("a").await, Ok(false));
        });
    }

    /// The operator's sweep removes what is damaged in the namespace that it is
    /// told of, and nothing in another one.
    #[test]
    fn its_namespace_is_where_it_is_stored() {
        let world = World::new();
        let signals = signals(&world);
        world.run(signals.raise("a")).unwrap();
        let raised = world.store.dump().into_keys();
        let mut raised = raised.filter(|key| key.ends_with(":a"));
        let key = raised.next().unwrap();
        world.store.put_raw(&key, b"damaged".to_vec());
        let store = Store::open(&world.ports());
        let swept = world.run(store.full_sweep(&[signals.namespace()])).unwrap();
        assert_eq!((swept.removed, swept.foreign), (1, 0));
    }

    #[test]
    fn a_look_is_one_read() {
        let world = World::new();
        let signals = signals(&world);
        world.run(async {
            signals.raise("a").await.unwrap();
            let before = world.store.calls();
            signals.is_raised("a").await.unwrap();
            assert_eq!(world.store.calls() - before, 1);
        });
    }

    /// A store that is only slow is used for what cannot be done without it.
    #[test]
    fn a_slow_store_holds_flags() {
        let world = World::new();
        let (one, two) = (signals(&world), signals(&world));
        world
            .store
            .slow_down(&world.clock, Duration::from_millis(300));
        world.run(async {
            for _ in 0..2 {
                one.raise("a").await.unwrap();
                assert_eq!(two.is_raised("a").await, Ok(true));
                two.lower("a").await.unwrap();
                assert_eq!(one.is_raised("a").await, Ok(false));
            }
        });
    }

    #[test]
    fn trouble_is_told_and_the_store_left_alone() {
        let world = World::new();
        let signals = signals(&world);
        let fault = StoreError::Unavailable("gone".into());
        world.store.fail_with(Some(fault.clone()));
        world.run(async {
            assert_eq!(signals.raise("a").await, Err(fault));
            let before = world.store.calls();
            assert!(signals.is_raised("a").await.is_err());
            assert_eq!(world.store.calls(), before);
            world.store.fail_with(None);
            world.clock.advance(Duration::from_secs(6));
            assert_eq!(signals.is_raised("a").await, Ok(false));
        });
    }
}
