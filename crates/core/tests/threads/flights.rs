//! Many who want the same values of the cache, and fetches that take their time, fail, or
//! are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use spinlane_core::cache::{Cache, FetchError, Key, Kind, Policy};
use spinlane_core::store::Store;
use spinlane_core::testing::World;

use crate::{Chance, for_each_seed, ports, side_by_side};

const KEYS: u64 = 3;
const CALLERS: u64 = 12;

static KIND: Kind = Kind::new("thread", 1).with_policy(Policy::DEFAULT.without_fetch_lease());

/// Fetches of one key.
#[derive(Default)]
struct Fetches {
    under_way: AtomicU64,
    begun: AtomicU64,
}

/// Counts a fetch, also one that is dropped.
struct UnderWay(Arc<Fetches>);

impl UnderWay {
    fn begin(fetches: &Arc<Fetches>) -> Self {
        fetches.begun.fetch_add(1, Ordering::SeqCst);
        let others = fetches.under_way.fetch_add(1, Ordering::SeqCst);
        assert_eq!(others, 0, "two fetches of one key at a time");
        Self(Arc::clone(fetches))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One fetch of a key at a time; all who wait for it get what it finds, whoever of them
/// goes; what was found is not asked for again.
#[test]
fn there_is_one_fetch_of_a_key_at_a_time() {
    for_each_seed(|seed| async move {
        let cache = Cache::new(&Store::open(&ports(&World::new())));
        let fetches: Arc<[Arc<Fetches>]> = (0..KEYS).map(|_| Arc::default()).collect();
        let answered = side_by_side(CALLERS, |caller| {
            let (cache, fetches) = (cache.clone(), Arc::clone(&fetches));
            ask(cache, fetches, Chance::new(seed, caller))
        });
        let answered: u64 = answered.await.into_iter().sum();
        for (key, fetches) in (0..KEYS).zip(&*fetches) {
            assert_eq!(
                fetches.under_way.load(Ordering::SeqCst),
                0,
                "it was ended or dropped"
            );
            // The next one is not left waiting for what is over.
            let (values, name) = (cache.typed::<u64>(&KIND), name(key));
            let known = values.get_or_fetch(&name, move || async move { Ok::<_, ()>(Some(key)) });
            assert_eq!(known.await, Ok(Some(key)));
        }
        let begun: u64 = fetches
            .iter()
            .map(|fetches| fetches.begun.load(Ordering::SeqCst))
            .sum();
        assert!(answered == 0 || begun > 0, "somebody has answered");
    });
}

fn name(key: u64) -> Key {
    Key::exact([key.to_string()])
}

/// Asks for keys by chance, and goes before the answer now and then. Tells how many
/// answers there were.
async fn ask(cache: Cache, fetches: Arc<[Arc<Fetches>]>, chance: Chance) -> u64 {
    let mut answered = 0;
    for _ in 0..10 {
        chance.pause().await;
        let key = chance.below(KEYS);
        let (of_key, within) = (Arc::clone(&fetches[key as usize]), chance.clone());
        let values = cache.typed::<u64>(&KIND);
        if chance.below(8) == 0 {
            values.remove(&name(key)).await.expect("the store is well");
        }
        let key_name = name(key);
        let known = values.get_or_fetch(&key_name, move || async move {
            let _under_way = UnderWay::begin(&of_key);
            within.pause().await;
            within.pause().await;
            match within.below(3) {
                0 => Err("failed"),
                _ => Ok(Some(key)),
            }
        });
        let known = match chance.below(3) {
            0 => chance.perhaps(known).await,
            _ => Some(known.await),
        };
        match known {
            Some(Ok(value)) => {
                assert_eq!(value, Some(key), "another key's");
                answered += 1;
            }
            Some(Err(error)) => assert_eq!(error, FetchError::Failed("failed")),
            None => {}
        }
    }
    answered
}
