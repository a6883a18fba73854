//! The store in virtual time.

mod expiry;
mod full_sweep;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join_all, select};

use super::*;
use crate::testing::{StoreDouble, Unopened, World, all};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// One more instance on the store of `world`.
fn store(world: &World) -> Store {
    Store::open(&world.ports())
}

/// Runs one request to its end, and what it leaves for after the response.
fn run<F: Future>(world: &World, request: F) -> F::Output {
    let output = world.run(request);
    world.drain();
    output
}

/// A value that ends at `until`.
fn value(until: Duration) -> Vec<u8> {
    let until = Timestamp::new(until);
    let times = Times {
        stored: until,
        fresh_until: until,
        stale_until: until,
    };
    Header::new("a", 1, &["k".to_owned()], Is::Miss, times).line()
}

/// Puts a value under `a:{name}` that lives for `life`.
async fn put(store: &Store, name: impl std::fmt::Display, life: Duration) {
    let until = store.unix() + life;
    let put = store.put(&format!("a:{name}"), &value(until), until).await;
    put.unwrap();
}

/// A request of an instance of its own that looks for one value.
fn look(world: &World) {
    let store = store(world);
    run(world, store.get("a:none")).unwrap();
}

/// Whatever the store holds that is of no use to anybody: all but the index's
/// notes of how far it is.
fn left(world: &World) -> BTreeSet<String> {
    let keys = world.store.dump().into_keys();
    let counters = world.store.counters().into_keys();
    let counters = counters.map(|name| format!("counter {name}"));
    let is_note = |key: &String| index::ALL.iter().any(|of| *key == of.begin_key());
    keys.chain(counters).filter(|key| !is_note(key)).collect()
}

/// Requests that only look, for as long as the longest stretch lasts, or until
/// nothing is left.
fn let_all_expire(world: &World, life: Duration) {
    for _ in 0..10 {
        world.clock.advance((life + 15 * DAY) / 10);
        for _ in 0..10 + life.as_secs() / 86_400 {
            // Counted first: a copy of what thousands have left takes its time.
            let few = world.store.len() <= index::ALL.len() && world.store.counters_len() == 0;
            if few && left(world).is_empty() {
                return;
            }
            look(world);
        }
    }
}

#[test]
fn who_has_failed_is_not_asked_and_it_is_told_apart() {
    let world = World::new();
    let store = store(&world);
    let fault = StoreError::Unavailable("gone".into());
    world.store.fail_with(Some(fault.clone()));
    world.run(async {
        assert_eq!(store.get("a").await, Err(fault));
        world.clock.advance(2 * SECOND);
        let wait = LEFT_ALONE - 2 * SECOND;
        let error = store.set("a", b"1").await.unwrap_err();
        assert_eq!(error, StoreError::LeftAlone { wait });
        assert_eq!(error.retry_after(), store.left_alone());
        let counter = PeriodCounter::new(&store, "n", MINUTE).unwrap();
        assert_eq!(counter.add(1, 1).await, Err(error));
        assert_eq!(world.store.calls(), 1);
        world.store.fail_with(None);
        world.clock.advance(wait);
        assert_eq!(store.get("a").await, Ok(None));
    });
}

#[test]
fn a_store_that_answers_late_is_used_and_not_quick() {
    let world = World::new();
    let store = store(&world);
    world.store.slow_down(&world.clock, MINUTE);
    world.run(async {
        assert_eq!(store.get("a").await, Ok(None));
        assert!(!store.is_quick());
        assert_eq!(store.left_alone(), None);
        assert_eq!(store.slowest(), MINUTE);
        assert_eq!(store.get("a").await, Ok(None));
    });
}

#[test]
fn a_host_without_a_store_has_none_and_one_that_does_not_open_is_in_trouble() {
    let world = World::new();
    let none = Ports {
        key_value: None,
        counters: None,
        ..world.ports()
    };
    let none = Store::open(&none);
    assert!(!none.is_there() && !none.has_counters() && !none.is_quick());
    assert!(PeriodCounter::new(&none, "n", MINUTE).is_none());
    let fault = StoreError::Unavailable("locked".into());
    let unopened = Ports {
        key_value: Some(Arc::new(Unopened(fault.clone()))),
        counters: Some(Arc::new(Unopened(fault.clone()))),
        ..world.ports()
    };
    let unopened = Store::open(&unopened);
    assert!(unopened.has_counters());
    let counter = PeriodCounter::new(&unopened, "n", MINUTE).unwrap();
    assert_eq!(world.run(counter.add(1, 1)), Err(fault));
    assert!(unopened.left_alone().is_some());
}

/// Ten tasks that do nothing but ask, and one that is woken after each of their
/// calls: it is never behind more than one call of each.
#[test]
fn others_have_a_turn_before_each_call() {
    let world = World::new();
    let delay = 50 * Duration::from_millis(1);
    world.store.slow_down(&world.clock, delay);
    let ask = |store: Store| async move {
        for _ in 0..20 {
            store.get("a").await.unwrap();
        }
    };
    let beats = async {
        let mut late = Duration::ZERO;
        for _ in 0..50 {
            let due = world.clock.now() + delay;
            world.clock.sleep_until(due).await;
            late = late.max(world.clock.now() - due);
        }
        late
    };
    let asking = join_all((0..10).map(|_| ask(store(&world))));
    let (_, late) = world.run(join(asking, beats));
    assert!(late <= 10 * delay, "{late:?}");
}

#[test]
fn periods_are_counted_apart_and_by_all_instances() {
    let world = World::new();
    let counter = || PeriodCounter::new(&store(&world), "n", MINUTE).unwrap();
    world.run(async {
        let period = counter().present();
        assert_eq!(counter().add(period, 2).await, Ok(2));
        assert_eq!(counter().add(period, 1).await, Ok(3));
        world.clock.advance(MINUTE);
        assert_eq!(counter().present(), period + 1);
        assert_eq!(counter().add(period + 1, 1).await, Ok(1));
        assert_eq!(counter().begin_of(period + 1), world.clock.unix());
    });
    let names: Vec<_> = world.store.counters().into_keys().collect();
    assert_eq!(names, ["n@60000000000:29453760", "n@60000000000:29453761"]);
}

#[test]
fn names_tell_when_a_counter_is_over() {
    let unix = Duration::from_secs(1_000 * 3_600);
    let hour = |period: u64| period::name("some:thing@x", HOUR, period);
    let over = |name: &str, at: Duration| period::parse(name).map(|counter| counter.is_over(at));
    assert_eq!(over(&hour(1_000), unix + HOUR + 119 * SECOND), Some(false));
    assert_eq!(over(&hour(1_000), unix + HOUR + 120 * SECOND), Some(true));
    // Up to a hundred periods ahead somebody may count.
    assert_eq!(over(&hour(1_100), unix), Some(false));
    assert_eq!(over(&hour(1_101), unix), Some(true));
    // Of short ones up to an hour.
    let short = |secs| period::name("n", SECOND, (unix.as_secs()) + secs);
    assert_eq!(over(&short(3_600), unix), Some(false));
    assert_eq!(over(&short(3_601), unix), Some(true));
    for other in ["", "n", "n:1", "n@1", "n@a:1", "n@1:a", "lane:x:7"] {
        assert_eq!(over(other, unix), None, "{other}");
    }
}

/// A write that is replaced while it is on its way into the store is made anew.
#[test]
fn what_is_replaced_while_it_is_written_is_written() {
    let world = World::new();
    for pause in 0..60 {
        let most = 10 * Duration::from_millis(1);
        let double = StoreDouble::delaying(&world.store, &world.clock, pause, most);
        let store = Store::open(&double.in_ports(world.ports()));
        let until = world.clock.unix() + MINUTE;
        let put = |value: &[u8]| store.put_later("a:x".to_owned(), value.to_vec(), until, None);
        world.run(async {
            put(b"first").await;
            world.clock.sleep(Duration::from_millis(pause)).await;
            put(b"second").await;
            assert_eq!(store.waiting("a:x").as_deref(), Some(b"second".as_slice()));
        });
        world.drain();
        assert_eq!(world.store.dump()["a:x"], b"second", "{pause} ms");
    }
}
