//! What the store is asked for, and what becomes of requests when it fails.

use futures::future::select;
use proptest::prelude::*;

use super::*;
use crate::ports::{BoxFuture, KeyValue};

#[test]
fn writes_wait_until_nothing_else_is_ready_and_can_be_read_at_once() {
    let world = World::new();
    let bpm = bpm(&world);
    world.run(async {
        let before = world.store.calls();
        for n in 0..20 {
            bpm.put(&Key::new([n.to_string()]), Some(&n)).await;
        }
        // Busy all the time: nothing is written, everything is known.
        for n in 0..20 {
            assert_eq!(bpm.get(&Key::new([n.to_string()])).await, Cached::Hit(n));
        }
        assert_eq!(world.store.calls(), before);
        // As soon as there is nothing else to do, it is written: one batch of
        // notes (three calls) and the values.
        world.clock.sleep(TICK).await;
        assert_eq!(world.store.calls(), before + 3 + 20);
    });
    // A restart loses nothing.
    let other = cache(&world).typed::<u32>(&BPM);
    let seven = Key::new(["7"]);
    assert_eq!(world.run(other.get(&seven)), Cached::Hit(7));
}

/// Who flushes need not wait until nothing else is ready.
#[test]
fn what_was_flushed_is_in_the_store() {
    let world = World::new();
    let cache = cache(&world);
    let bpm = cache.typed::<u32>(&BPM);
    world.run(async {
        bpm.put(&key(), Some(&1)).await;
        let is_written = || {
            world
                .store
                .dump()
                .contains_key(&format!("bpm:{}", key().hash()))
        };
        assert!(!is_written());
        cache.flush().await;
        assert!(is_written());
    });
}

/// A value says of what it is: under another key's hash it is nobody's.
#[test]
fn what_lies_under_the_hash_of_another_key_is_a_miss() {
    let world = World::new();
    let (bpm, other) = (bpm(&world), Key::new(["other"]));
    world.run(bpm.put(&key(), Some(&1)));
    world.run(bpm.put(&other, Some(&2)));
    world.drain();
    let dump = world.store.dump();
    let at = |key: &Key| format!("bpm:{}", key.hash());
    world.store.put_raw(&at(&other), dump[&at(&key())].clone());
    let bpm = cache(&world).typed::<u32>(&BPM);
    assert_eq!(world.run(bpm.get(&key())), Cached::Hit(1));
    assert_eq!(world.run(bpm.get(&other)), Cached::Miss);
}

#[test]
fn what_is_removed_is_gone_from_the_queue_and_from_the_store() {
    let world = World::new();
    let (bpm, key) = (bpm(&world), key());
    world.run(async {
        // Before it is written, and after.
        for written in [false, true] {
            bpm.put(&key, Some(&1)).await;
            if written {
                world.clock.sleep(TICK).await;
            }
            assert_eq!(bpm.remove(&key).await, Ok(()));
            assert_eq!(bpm.get(&key).await, Cached::Miss);
            world.clock.sleep(TICK).await;
            let mut left = world.store.dump().into_keys();
            assert!(!left.any(|key| key.starts_with("bpm:")));
        }
        // Nothing is no trouble, nor is a store that is slow.
        world.store.slow_down(&world.clock, 300 * TICK);
        assert_eq!(bpm.get(&key).await, Cached::Miss);
        assert_eq!(bpm.remove(&key).await, Ok(()));
        let fault = StoreError::Unavailable("gone".into());
        world.store.fail_with(Some(fault.clone()));
        assert_eq!(bpm.remove(&key).await, Err(fault));
    });
    world.drain();
}

/// A cache whose value 1 is on its way into the store, which takes its time.
fn on_the_way(world: &World) -> Typed<u32> {
    let mut ports = world.ports();
    ports.key_value = Some(Arc::new(Native(world.clone())));
    let bpm = Cache::new(&Store::open(&ports)).typed(&BPM);
    world.run(async {
        bpm.put(&key(), Some(&1)).await;
        // Noted after one tick, written after two.
        world.clock.sleep(TICK + TICK / 2).await;
    });
    bpm
}

#[test]
fn what_is_removed_while_it_is_written_does_not_come_back() {
    let world = World::new();
    let (bpm, key) = (on_the_way(&world), key());
    world.run(async {
        assert_eq!(bpm.remove(&key).await, Ok(()));
        assert_eq!(bpm.get(&key).await, Cached::Miss);
    });
    world.drain();
    assert_eq!(known(&world, &key), Cached::Miss);
}

/// Another takes its place in the queue, and is written after it.
#[test]
fn what_is_replaced_while_it_is_written_is_written_anew() {
    let world = World::new();
    let (bpm, key) = (on_the_way(&world), key());
    world.run(async {
        bpm.put(&key, Some(&2)).await;
        assert_eq!(bpm.get(&key).await, Cached::Hit(2));
    });
    world.drain();
    assert_eq!(known(&world, &key), Cached::Hit(2));
}

#[test]
fn a_queue_that_is_full_is_written_at_once() {
    let world = World::new();
    let text = cache(&world).typed::<String>(&BPM);
    world.run(async {
        for n in 0..12 {
            let value = "x".repeat(100_000);
            text.put(&Key::new([n.to_string()]), Some(&value)).await;
        }
        let written = world.store.dump();
        let written = written.keys().filter(|key| key.starts_with("bpm:"));
        assert!(written.count() >= 11);
    });
}

/// A store whose writes take time and hold nobody up, as in a native server.
struct Native(World);

impl KeyValue for Native {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        self.0.store.get(key)
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.0.clock.sleep(TICK).await;
            self.0.store.set(key, value).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        KeyValue::delete(&self.0.store, key)
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.0.store.keys()
    }
}

#[test]
fn who_waits_for_a_full_queue_may_go_and_all_is_written() {
    let world = World::new();
    let mut ports = world.ports();
    ports.key_value = Some(Arc::new(Native(world.clone())));
    let text = Cache::new(&Store::open(&ports)).typed::<String>(&BPM);
    let puts = Box::pin(async {
        for n in 0..12 {
            let value = "x".repeat(100_000);
            text.put(&Key::new([n.to_string()]), Some(&value)).await;
        }
    });
    let gone = world.clock.sleep(5 * TICK);
    world.run(async { drop(select(puts, gone).await) });
    world.drain();
    let written = world.store.dump();
    let written = written.keys().filter(|key| key.starts_with("bpm:"));
    assert_eq!(written.count(), 11);
}

#[test]
fn a_hit_costs_one_store_call() {
    let world = World::new();
    put(&world, &key(), Some(1));
    let before = world.store.calls();
    let (bpm, key) = (bpm(&world), key());
    assert_eq!(world.run(bpm.get(&key)), Cached::Hit(1));
    assert_eq!(world.store.calls(), before + 1);
    // And three more, after the response, to see whether a sweep is due.
    world.drain();
    assert_eq!(world.store.calls(), before + 4);
}

#[test]
fn what_is_done_for_a_request_is_counted() {
    let (world, upstream) = (World::new(), Upstream::default());
    let scope = request();
    let bpm = bpm(&world);
    let none = Key::new(["none"]);
    let key = key();
    world.run(scope::run(Arc::clone(&scope), async {
        let _ = bpm.get_or_fetch(&key, upstream.says(Ok(Some(1)))).await;
        let _ = bpm.get_or_fetch(&key, upstream.says(Ok(Some(1)))).await;
        let _ = bpm.get_or_fetch(&none, upstream.says(Ok(None))).await;
        let _ = bpm.get_or_fetch(&none, upstream.says(Ok(None))).await;
        assert_eq!(bpm.get(&none).await, Cached::Negative);
        world
            .store
            .fail_with(Some(StoreError::Unavailable("gone".into())));
        world.clock.sleep(TICK).await;
    }));
    let expected = Report {
        hits: 1,
        misses: 2,
        negative_hits: 2,
        store_errors: 1,
        ..Report::default()
    };
    assert_eq!(scope.cache.report(), expected);
}

/// One call finds out; for the next 5 s nobody tries.
#[test]
fn a_store_in_trouble_is_left_alone_and_requests_succeed() {
    let (world, upstream) = (World::new(), Upstream::default());
    let bpm = bpm(&world);
    let key = key();
    let ask = || bpm.get_or_fetch(&key, upstream.says(Ok(Some(1))));
    let fault = StoreError::Unavailable("gone".into());
    world.store.fail_with(Some(fault));
    for _ in 0..10 {
        assert_eq!(world.run(ask()), Ok(Some(1)));
    }
    assert_eq!(world.store.calls(), 1);
    world.store.fail_with(None);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(upstream.asked(), 10);
    assert_eq!(run(&world, ask()), Ok(Some(1)));
    assert_eq!(run(&world, bpm.get(&key)), Cached::Hit(1));
}

#[test]
fn a_slow_store_switches_the_cache_off() {
    let world = World::new();
    put(&world, &key(), Some(1));
    let (bpm, key) = (bpm(&world), key());
    world.store.slow_down(&world.clock, Duration::from_secs(2));
    world.run(async {
        // It is the answer that is late.
        assert_eq!(bpm.get(&key).await, Cached::Hit(1));
        let calls = world.store.calls();
        assert_eq!(bpm.get(&key).await, Cached::Miss);
        assert_eq!(world.store.calls(), calls);
        world.store.slow_down(&world.clock, Duration::ZERO);
        world.clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(bpm.get(&key).await, Cached::Hit(1));
    });
}

#[test]
fn a_store_that_is_full_costs_only_the_cache() {
    let (world, upstream) = (World::new(), Upstream::default());
    world.store.fill(true);
    for _ in 0..3 {
        let answer = get(&world, &key(), upstream.says(Ok(Some(1))));
        assert_eq!(answer, Ok(Some(1)));
    }
    assert_eq!(upstream.asked(), 3);
}

#[test]
fn without_a_store_everything_is_asked_for() {
    let (world, upstream) = (World::new(), Upstream::default());
    let mut ports = world.ports();
    (ports.key_value, ports.counters) = (None, None);
    let (bpm, key) = (Cache::new(&Store::open(&ports)).typed::<u32>(&BPM), key());
    for _ in 0..2 {
        let ask = bpm.get_or_fetch(&key, upstream.says(Ok(Some(1))));
        assert_eq!(run(&world, ask), Ok(Some(1)));
    }
    assert_eq!(upstream.asked(), 2);
}

proptest! {
    /// Random bytes in the place of random parts of the store, its index and
    /// its state among them: every request is answered rightly, nothing panics,
    /// and what was damaged is asked for anew.
    #[test]
    fn a_store_corrupted_at_random_answers_rightly(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..12),
    ) {
        let (world, upstream) = (World::new(), Upstream::default());
        let key = |n: u32| Key::exact([n.to_string()]);
        for n in 0..8 {
            put(&world, &key(n), Some(n));
        }
        world.clock.advance(2 * MINUTE);
        let keys: Vec<_> = world.store.dump().into_keys().collect();
        for (which, at, byte, how) in damage {
            let which = which.get(&keys);
            let mut bytes = world.store.dump()[which].clone();
            let at = at.index(bytes.len().max(1));
            match how {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte),
                // What lies inside the digits of a value, nobody can notice.
                _ if bytes.get(at).is_some_and(u8::is_ascii_digit) => bytes = vec![byte; at],
                _ => bytes.iter_mut().skip(at).take(1).for_each(|at| *at = byte),
            }
            // A digit put into a number makes another number.
            if !(how == 1 && byte.is_ascii_digit()) {
                world.store.put_raw(which, bytes);
            }
        }
        for n in 0..8 {
            let answer = get(&world, &key(n), upstream.says(Ok(Some(n))));
            prop_assert_eq!(answer, Ok(Some(n)));
            world.clock.advance(2 * MINUTE);
        }
        prop_assert!(upstream.asked() <= 8);
        for n in 0..8 {
            prop_assert_eq!(known(&world, &key(n)), Cached::Hit(n));
        }
    }
}
