//! What has expired goes, by those who come later.

use futures::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::ports::{Counters as _, KeyValue as _};

/// Ends are spread over all stretches.
const LIVES: [Duration; 5] = [
    Duration::from_secs(20),
    Duration::from_secs(3_000),
    Duration::from_secs(4 * 3_600),
    Duration::from_secs(20 * 86_400),
    Duration::from_secs(90 * 86_400),
];

#[test]
fn what_is_put_is_there_until_it_ends_and_gone_some_time_after() {
    for life in LIVES {
        let world = World::new();
        run(&world, put(&store(&world), "x", life));
        world.clock.advance(life - SECOND);
        for _ in 0..20 {
            look(&world);
        }
        assert!(world.store.dump().contains_key("a:x"), "{life:?}");
        let_all_expire(&world, life);
        assert_eq!(left(&world), BTreeSet::new(), "{life:?}");
    }
}

#[test]
fn what_is_written_anew_stays() {
    let world = World::new();
    run(&world, put(&store(&world), "x", MINUTE));
    run(&world, put(&store(&world), "x", 10 * DAY));
    for _ in 0..9 {
        world.clock.advance(DAY);
        for _ in 0..100 {
            look(&world);
        }
    }
    assert!(world.store.dump().contains_key("a:x"));
    let_all_expire(&world, DAY);
    assert_eq!(left(&world), BTreeSet::new());
}

/// Values of all lives and counters, by 6,000 requests over a year: nothing is
/// left but what lives, and what ended a short while ago.
#[test]
fn a_year_of_traffic_leaves_only_what_is_live_and_its_index() {
    let world = World::new();
    let (mut most, pause) = (0, 365 * DAY / 6_000);
    for n in 0..6_000_u32 {
        let store = store(&world);
        run(&world, async {
            for (which, life) in LIVES.into_iter().enumerate() {
                put(&store, format!("{which}-{n}"), life).await;
            }
            let counter = PeriodCounter::new(&store, "n", SECOND).unwrap();
            counter.add(counter.present(), 1).await.unwrap();
        });
        most = most.max(world.store.len() + world.store.counters_len());
        world.clock.advance(pause);
    }
    // Of 90 days and a week, of 20 days and a week, and a batch for each.
    let live = (97 + 27) * 6_000 / 365;
    assert!(most <= 3 * live + 100, "{most} at most, {live} live");
    let_all_expire(&world, 90 * DAY);
    assert_eq!(left(&world), BTreeSet::new());
}

/// However many there were at once, those who come later remove twice as many as
/// they add.
#[test]
fn a_crowd_is_worked_off_in_half_as_many_requests() {
    let world = World::new();
    for n in 0..1_000 {
        run(&world, put(&store(&world), n, MINUTE));
    }
    assert_eq!(world.store.len(), 1_000 + 1_000 + 1 + 3);
    world.clock.advance(HOUR);
    for n in 1_000..1_500 {
        run(&world, put(&store(&world), n, MINUTE));
    }
    let old = |key: &String| {
        let name = key
            .strip_prefix("a:")
            .and_then(|name| name.parse::<u32>().ok());
        name.is_some_and(|name| name < 1_000)
    };
    let old = world.store.dump().into_keys().filter(old).count();
    assert_eq!(old, 0);
}

/// Wherever an instance dies, at putting or at sweeping: all is removed in the
/// end that it wrote, and all that was there before.
#[test]
fn whoever_dies_leaves_no_value_for_ever() {
    for (calls, acts) in (0..200).flat_map(|calls| [(calls, false), (calls, true)]) {
        let world = World::new();
        for n in 0..6 {
            run(&world, put(&store(&world), n, MINUTE));
        }
        world.clock.advance(HOUR);
        let (dying, double) = (
            world.instance(),
            StoreDouble::dying(&world.store, calls, acts),
        );
        let doomed = Store::open(&double.in_ports(dying.ports()));
        let work = Box::pin(async {
            for n in 10..13 {
                let until = doomed.unix() + MINUTE;
                let _ = doomed.put(&format!("a:{n}"), &value(until), until).await;
            }
            doomed.tend_now().await;
        });
        dying.run(select(work, double.death()));
        let lived = !double.is_dead();
        let_all_expire(&world, MINUTE);
        let values: Vec<_> = left(&world)
            .into_iter()
            .filter(|key| !key.starts_with("counter "))
            .collect();
        assert_eq!(values, Vec::<String>::new(), "dead at {calls}, {acts}");
        if lived {
            assert!(calls > 30, "{calls}");
            return;
        }
    }
    panic!("it never lives");
}

/// Two who sweep are held up before the same one of their calls, while others come
/// to the end: they do what they have taken on.
#[test]
fn who_is_held_up_at_sweeping_does_its_part() {
    for calls in 1..60 {
        let world = World::new();
        run(&world, put(&store(&world), "x", MINUTE));
        world.clock.advance(HOUR);
        let held = [store(&world), store(&world)];
        let mut sweeps = held.each_ref().map(|store| Box::pin(store.tend_now()));
        // Each gives others a turn before it calls.
        let ended = (0..calls).any(|_| {
            let polled = sweeps.each_mut().map(FutureExt::now_or_never);
            polled.iter().any(Option::is_some)
        });
        if ended {
            assert!(calls > 20, "{calls}");
            return;
        }
        look(&world);
        look(&world);
        world.run(join_all(sweeps));
        assert!(!world.store.dump().contains_key("a:x"), "at {calls}");
        let_all_expire(&world, MINUTE);
        assert_eq!(left(&world), BTreeSet::new(), "at {calls}");
    }
    panic!("they never end");
}

/// A number was taken, and its batch never written.
#[test]
fn a_batch_that_never_comes_holds_nothing_up() {
    let world = World::new();
    let stretch = index::ALL[0];
    let present = stretch.at(world.clock.unix());
    world.store.put_raw(&stretch.mark_key(present), Vec::new());
    world
        .run(world.store.increment(&stretch.batches(present), 3))
        .unwrap();
    run(&world, put(&store(&world), "x", MINUTE));
    let_all_expire(&world, MINUTE);
    assert_eq!(left(&world), BTreeSet::new());
}

/// Where a clock has been that was a year ahead, or late, or what is written of
/// the sweep is damaged: it goes on.
#[test]
fn no_note_of_the_sweep_stops_it() {
    for damage in ["99999999", "18446744073709551615", "", "rubbish", "0"] {
        let world = World::new();
        run(&world, put(&store(&world), "x", MINUTE));
        let key = index::ALL[0].begin_key();
        world.store.put_raw(&key, damage.as_bytes().to_vec());
        look(&world);
        run(&world, put(&store(&world), "y", MINUTE));
        // Damage that says "long ago" makes it look at much that is not there.
        let_all_expire(&world, MINUTE);
        assert!(
            !world.store.dump().contains_key("a:y") || damage == "0",
            "{damage}"
        );
    }
}

#[test]
fn a_sweep_is_a_bounded_piece_of_work() {
    let world = World::new();
    look(&world);
    // A year in which nobody came, and as if there had been a million batches.
    world.clock.advance(365 * DAY);
    let before = world.store.calls();
    look(&world);
    let calls = world.store.calls() - before;
    assert!(calls <= 3 * 258, "{calls}");
    let old = index::ALL[2];
    world.store.put_raw(
        &old.begin_key(),
        old.at(world.clock.unix() - 20 * DAY).to_string().into(),
    );
    let name = old.batches(old.at(world.clock.unix() - 20 * DAY));
    world.store.put_raw(
        &old.mark_key(old.at(world.clock.unix() - 20 * DAY)),
        Vec::new(),
    );
    world.run(world.store.increment(&name, 1_000_000)).unwrap();
    let before = world.store.calls();
    look(&world);
    let calls = world.store.calls() - before;
    assert!(calls <= 2 * 258 + 50, "{calls}");
}

/// Without counters there is no number for a batch: the next that is free.
#[test]
fn without_counters_values_end_as_well() {
    let world = World::new();
    let ports = Ports {
        counters: None,
        ..world.ports()
    };
    for n in 0..50 {
        run(&world, put(&Store::open(&ports), n, MINUTE));
    }
    let batches = world
        .store
        .dump()
        .into_keys()
        .filter(|key| key.starts_with("~index:600:"));
    assert_eq!(batches.count(), 50 + 1);
    for _ in 0..40 {
        world.clock.advance(MINUTE);
        let store = Store::open(&ports);
        run(&world, store.get("a:none")).unwrap();
    }
    assert_eq!(left(&world), BTreeSet::new());
}

#[test]
fn what_cannot_be_noted_is_not_written() {
    let world = World::new();
    world.store.fill(true);
    let until = world.clock.unix() + MINUTE;
    let put = run(&world, store(&world).put("a:x", b"{}", until));
    assert!(matches!(put, Err(StoreError::Refused(_))), "{put:?}");
    let reserved = world.run(store(&world).put("~n:x", b"{}", until));
    assert!(matches!(reserved, Err(StoreError::Refused(_))));
    world.run(world.store.get("a:x")).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::testing::schedules()))]

    /// Instances that put and sweep at once, their calls interleaving, with
    /// clocks that differ: what lives is there, and in the end all is gone.
    #[test]
    fn sweeps_that_interleave_lose_nothing_that_lives_and_leave_nothing(
        seed: u64,
        most in 0..900_u64,
        rounds in prop::collection::vec((0..700_u64, 0..5_usize), 3..12),
    ) {
        let world = World::new();
        for (round, (pause, life)) in rounds.iter().enumerate() {
            let life = [MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, DAY][*life];
            world.run(all((0..4_u64).map(|n| {
                let seed = seed ^ (round as u64 * 31 + n);
                let most = Duration::from_millis(most);
                let double = StoreDouble::delaying(&world.store, &world.clock, seed, most);
                let ahead = Duration::from_millis(250 * (n % 2));
                let ports = Ports {
                    clock: Arc::new(world.clock.skewed(ahead)),
                    ..double.in_ports(world.ports())
                };
                let store = Store::open(&ports);
                async move {
                    put(&store, format!("{round}-{n}"), life).await;
                    let counter = PeriodCounter::new(&store, "n", SECOND).unwrap();
                    counter.add(counter.present(), 1).await.unwrap();
                }
            })));
            world.drain();
            let now = world.clock.unix();
            for n in 0..4 {
                let key = format!("a:{round}-{n}");
                let bytes = world.run(world.store.get(&key)).unwrap();
                let ends = bytes.map(|bytes| Header::split(&bytes).unwrap().0.stale_until.unix());
                prop_assert!(ends.is_some_and(|ends| ends > now || life == MINUTE));
            }
            world.clock.advance(Duration::from_secs(*pause));
        }
        let_all_expire(&world, DAY);
        prop_assert_eq!(left(&world), BTreeSet::new());
    }
}
