//! The operator's sweep.

use super::*;
use crate::ports::{Counters as _, KeyValue as _};

fn full_sweep(world: &World) -> FullSweep {
    let store = store(world);
    run(world, store.full_sweep(&["a"])).unwrap()
}

#[test]
fn it_finds_what_no_index_knows() {
    let world = World::new();
    for n in 0..20 {
        let life = if n % 2 == 0 { HOUR } else { MINUTE };
        run(&world, put(&store(&world), n, life));
    }
    world.clock.advance(20 * MINUTE);
    // A crash: nothing of the index is left, and a value is damaged.
    for key in world.store.dump().into_keys() {
        if key.starts_with("~index:") {
            world.run(world.store.delete(&key)).unwrap();
        }
    }
    for name in world.store.counters().into_keys() {
        world.run(world.store.remove(&name)).unwrap();
    }
    world.store.put_raw("a:0", b"{".to_vec());
    world.store.put_raw("somebody:else", b"theirs".to_vec());
    let expected = FullSweep {
        keys: 21,
        removed: 11,
        live: 9,
        foreign: 1,
        counters: 0,
        counters_removed: 0,
    };
    // The index's own counter comes to be in between.
    let swept = full_sweep(&world);
    assert_eq!(
        FullSweep {
            counters: 0,
            ..swept
        },
        expected
    );
    // What is live is in the index again, and only once.
    let again = full_sweep(&world);
    assert_eq!((again.removed, again.live), (0, 9));
    let noted = world.store.dump().into_iter();
    let noted = noted.filter(|(key, _)| key.matches(':').count() == 3);
    assert_eq!(
        noted
            .map(|(_, batch)| index::keys_of(&batch).count())
            .sum::<usize>(),
        9
    );
    let_all_expire(&world, HOUR);
    assert_eq!(left(&world), BTreeSet::from(["somebody:else".to_owned()]));
}

/// The index's own batches and counters go with what they are of, and no sooner.
#[test]
fn it_removes_what_is_past_and_counts_it() {
    let world = World::new();
    for n in 0..3 {
        run(&world, put(&store(&world), n, MINUTE));
    }
    run(&world, async {
        let store = store(&world);
        for name in ["one", "two"] {
            let counter = PeriodCounter::new(&store, name, SECOND).unwrap();
            counter.add(counter.present(), 1).await.unwrap();
        }
    });
    let counters = world.store.counters_len() as u64;
    let early = full_sweep(&world);
    assert_eq!((early.counters, early.counters_removed), (counters, 0));
    assert!(counters > 2, "the index has counters of its own");
    world.clock.advance(DAY);
    let swept = full_sweep(&world);
    assert_eq!((swept.removed, swept.counters), (3, counters));
    assert_eq!(swept.counters_removed, counters);
    assert_eq!(left(&world), BTreeSet::new());
}

/// All that an earlier form of the store's contents left.
#[test]
fn it_removes_what_earlier_forms_left() {
    let world = World::new();
    for key in [
        "cache-index:state",
        "cache-index:batch:7",
        "limits:rate:all",
        "limits:pause:x",
    ] {
        world.store.put_raw(key, b"0,1".to_vec());
    }
    let old = [
        "cache-index",
        "cache-fetch:bpm:0:1",
        "cache-sweep:0:1",
        "rate:all:1",
        "lane:deezer:1",
        "caller:requests:ab:1",
    ];
    for name in old.into_iter().chain(["theirs:1", "theirs"]) {
        world.run(world.store.increment(name, 1)).unwrap();
    }
    let swept = full_sweep(&world);
    assert_eq!((swept.removed, swept.counters_removed), (4, 6));
    let theirs = ["counter theirs", "counter theirs:1"].map(str::to_owned);
    assert_eq!(left(&world), BTreeSet::from(theirs));
}

/// Keys of an application that look like ours: an id behind a name.
#[test]
fn it_leaves_alone_what_is_no_value_elsewhere() {
    let world = World::new();
    let theirs = ["user:0123", "a-of:0123", "a"];
    for key in theirs {
        world.store.put_raw(key, b"{".to_vec());
    }
    world.store.put_raw("a:whatever", b"{".to_vec());
    let swept = full_sweep(&world);
    assert_eq!((swept.removed, swept.foreign), (1, 3));
    let dump = world.store.dump();
    assert!(theirs.iter().all(|key| dump.contains_key(*key)));
}

/// It goes on beside others that put and sweep, and takes nothing that lives.
#[test]
fn it_takes_nothing_that_lives() {
    let world = World::new();
    for n in 0..50 {
        run(&world, put(&store(&world), n, HOUR));
    }
    let tick = Duration::from_millis(1);
    let slow = StoreDouble::delaying(&world.store, &world.clock, 1, 20 * tick);
    let operator = Store::open(&slow.in_ports(world.ports()));
    let others = async {
        for n in 50..100 {
            put(&store(&world), n, HOUR).await;
            world.clock.sleep(10 * tick).await;
        }
    };
    let (swept, ()) = run(&world, join(operator.full_sweep(&["a"]), others));
    assert_eq!(swept.unwrap().removed, 0);
    let values = world
        .store
        .dump()
        .into_keys()
        .filter(|key| key.starts_with("a:"));
    assert_eq!(values.count(), 100);
    let_all_expire(&world, HOUR);
    assert_eq!(left(&world), BTreeSet::new());
}
