//! Who asks, and how often.

use futures::future::{join_all, select};

use super::*;
use crate::testing::{SeededEntropy, StoreDouble, all, schedules};

#[test]
fn one_fetch_serves_all_who_ask_in_an_instance() {
    let (world, upstream) = (World::new(), Upstream::default());
    let (bpm, scope) = (bpm(&world), request());
    let key = key();
    let ask = || bpm.get_or_fetch(&key, upstream.says_after(&world, MINUTE, Ok(Some(7))));
    let asked = scope::run(Arc::clone(&scope), join_all((0..100).map(|_| ask())));
    let answers = run(&world, asked);
    assert!(answers.iter().all(|answer| *answer == Ok(Some(7))));
    assert_eq!(upstream.asked(), 1);
    let report = scope.cache.report();
    assert_eq!((report.misses, report.shared), (1, 99));
}

#[test]
fn who_began_a_fetch_may_go_and_the_others_neither_wait_in_vain_nor_begin_anew() {
    let (world, upstream) = (World::new(), Upstream::default());
    let bpm = bpm(&world);
    let key = key();
    let ask = || bpm.get_or_fetch(&key, upstream.says_after(&world, MINUTE, Ok(Some(7))));
    let first = Box::pin(ask());
    let gone = world.clock.sleep(MINUTE / 2);
    let first = async {
        // Dropped half-way.
        drop(select(first, gone).await);
    };
    let begin = world.clock.now();
    let ((), second, third) = world.run(async { futures::join!(first, ask(), ask()) });
    assert_eq!((second, third), (Ok(Some(7)), Ok(Some(7))));
    assert_eq!(world.clock.now() - begin, MINUTE);
    assert_eq!(upstream.asked(), 1);
    world.drain();
}

#[test]
fn a_fetch_that_nobody_waits_for_any_more_is_dropped() {
    let world = World::new();
    let bpm = bpm(&world);
    let (alive, key) = (Arc::new(()), key());
    let held = Arc::clone(&alive);
    let ask = bpm.get_or_fetch(&key, move || async move {
        let _held = held;
        futures::future::pending::<Result<Option<u32>, ()>>().await
    });
    let gone = world.clock.sleep(MINUTE);
    world.run(async { drop(select(Box::pin(ask), gone).await) });
    assert_eq!(Arc::strong_count(&alive), 1);
    world.drain();
    // Its lease has gone with it: the next one may ask at once.
    let begin = world.clock.now();
    let next = bpm.get_or_fetch(&key, Upstream::default().says(Ok(Some(1))));
    assert_eq!(world.run(next), Ok(Some(1)));
    assert_eq!(world.clock.now(), begin);
}

#[test]
fn a_failure_is_told_to_all_who_wait() {
    let (world, upstream) = (World::new(), Upstream::default());
    let bpm = bpm(&world);
    let key = key();
    let ask = || bpm.get_or_fetch(&key, upstream.says_after(&world, MINUTE, Err("down")));
    let answers = run(&world, join_all((0..10).map(|_| ask())));
    assert!(answers.iter().all(|answer| *answer == failed("down")));
    assert_eq!(upstream.asked(), 1);
}

/// 500 instances, each with one request, for one cold key.
#[test]
fn a_stampede_over_instances_is_about_one_fetch() {
    let (world, upstream) = (World::new(), Upstream::default());
    let key = key();
    let ask = |n: u64| {
        let (bpm, world, key) = (bpm(&world), &world, &key);
        let fetch = upstream.says_after(world, Duration::from_millis(800), Ok(Some(7)));
        async move {
            world.clock.sleep(Duration::from_millis(n)).await;
            bpm.get_or_fetch(key, fetch).await
        }
    };
    let begin = world.clock.now();
    let answers = world.run(all((0..500).map(ask)));
    assert!(answers.iter().all(|answer| *answer == Ok(Some(7))));
    assert_eq!(upstream.asked(), 1);
    assert!(world.clock.now() - begin < Duration::from_secs(3));
    world.drain();
    let claims = world.store.counters();
    let claims = claims.keys().filter(|name| name.starts_with("fetch:"));
    assert_eq!(claims.count(), 0);
}

/// Who asks for all others dies: its lease ends with its period.
#[test]
fn a_lease_without_its_holder_ends() {
    let (world, upstream) = (World::new(), Upstream::default());
    let store = Store::open(&world.ports());
    let place = format!("bpm:{}", key().hash());
    let lease::Standing::Ours(held) = world.run(lease::line_up(&store, &place)) else {
        panic!("nobody else is there");
    };
    std::mem::forget(held);
    let begin = world.clock.now();
    let answer = get(&world, &key(), upstream.says(Ok(Some(1))));
    assert_eq!(answer, Ok(Some(1)));
    assert!(world.clock.now() - begin <= Duration::from_secs(10));
}

#[test]
fn what_is_forced_is_asked_for_and_falls_back_to_what_is_known() {
    let (world, upstream) = (World::new(), Upstream::default());
    let force = |answer| {
        let (bpm, key) = (bpm(&world), key());
        run(&world, bpm.force_fresh(&key, upstream.says(answer)))
    };
    assert_eq!(force(Err("down")), failed("down"));
    assert_eq!(force(Ok(Some(1))), Ok(Some(1)));
    assert_eq!(force(Ok(Some(2))), Ok(Some(2)));
    assert_eq!(force(Err("down")), Ok(Some(2)));
    assert_eq!(upstream.asked(), 4);
    assert_eq!(known(&world, &key()), Cached::Hit(2));
}

/// 12 instances at once for one cold key, and an upstream that fails: it is
/// asked once, and all know as soon as the next look.
#[test]
fn a_failure_is_known_at_once_in_every_instance() {
    let (world, upstream) = (World::new(), Upstream::default());
    let (key, begin) = (key(), world.clock.now());
    let took = Duration::from_secs(1);
    let ask = |_| {
        let bpm = bpm(&world);
        let fetch = upstream.says_after(&world, took, Err("500"));
        let (key, clock) = (&key, &world.clock);
        async move { (bpm.get_or_fetch(key, fetch).await, clock.now()) }
    };
    let all = world.run(join_all((0..12).map(ask)));
    for (answer, at) in &all {
        assert!(answer.is_err(), "{answer:?}");
        assert!(*at - begin <= took + 250 * TICK, "{:?}", *at - begin);
    }
    let ours = all.iter().filter(|(answer, _)| *answer == failed("500"));
    assert_eq!((ours.count(), upstream.asked()), (1, 1));
    // It is no answer for who comes now.
    world.drain();
    let answer = get(&world, &key, upstream.says(Ok(Some(1))));
    assert_eq!((answer, upstream.asked()), (Ok(Some(1)), 2));
    assert_eq!(known(&world, &key), Cached::Hit(1));
}

/// Instances on a store whose calls take up to 0.3 s, for one cold key and an
/// upstream that answers or fails: it is asked once for all who come while it is
/// asked, and nobody waits for long after its answer.
#[test]
fn one_fetch_and_one_failure_on_any_schedule() {
    for seed in 0..u64::from(schedules()) {
        let (world, upstream) = (World::new(), Upstream::default());
        let random = SeededEntropy::new(seed);
        let up_to = |millis: u64| TICK * u32::try_from(random.below(millis + 1)).unwrap();
        let (most, took) = (up_to(300), Duration::from_secs(2));
        let fails = random.below(2) == 0;
        let answer = if fails { Err("500") } else { Ok(Some(7)) };
        let key = &key();
        let runs = (0..6).map(|n| {
            let double = StoreDouble::delaying(&world.store, &world.clock, seed ^ n << 32, most);
            let store = Store::open(&double.in_ports(world.ports()));
            let bpm = Cache::new(&store).typed::<u32>(&BPM);
            let fetch = upstream.says_after(&world, took, answer);
            let (begin, world) = (up_to(500), &world);
            async move {
                world.clock.sleep(begin).await;
                (bpm.get_or_fetch(key, fetch).await, world.clock.now())
            }
        });
        let begin = world.clock.now();
        for (told, at) in world.run(all(runs)) {
            assert_eq!(told.is_err(), fails, "seed {seed}: {told:?}");
            // A line, a look, the fetch; the write or the mark; a look again,
            // which is five times as long as it takes.
            let longest = Duration::from_millis(500) + took + 16 * most + 250 * TICK;
            assert!(
                at - begin <= longest,
                "seed {seed}: {:?} of {longest:?}",
                at - begin
            );
        }
        assert_eq!(upstream.asked(), 1, "seed {seed}");
    }
}

/// One instance refreshes what is stale, however many serve it at once.
#[test]
fn a_stale_value_is_refreshed_by_one_instance() {
    let (world, upstream) = (World::new(), Upstream::default());
    put(&world, &key(), Some(1));
    world.clock.advance(84 * DAY);
    let key = key();
    let ask = |_| {
        let bpm = bpm(&world);
        let fetch = upstream.says_after(&world, Duration::from_secs(1), Ok(Some(2)));
        let key = &key;
        async move { bpm.get_or_fetch(key, fetch).await }
    };
    let all = world.run(join_all((0..10).map(ask)));
    assert!(all.iter().all(|answer| *answer == Ok(Some(1))));
    world.drain();
    assert_eq!(upstream.asked(), 1);
    assert_eq!(known(&world, &key), Cached::Hit(2));
}

/// Whose client goes hands the fetch to the next in line.
#[test]
fn a_fetch_that_was_dropped_is_taken_over() {
    let (world, upstream) = (World::new(), Upstream::default());
    let key = key();
    let (first, others) = (bpm(&world), [bpm(&world), bpm(&world)]);
    let begin = world.clock.now();
    let second = Duration::from_secs(1);
    let gone = async {
        let fetch = upstream.says_after(&world, MINUTE, Ok(Some(1)));
        let ask = Box::pin(first.get_or_fetch(&key, fetch));
        drop(select(ask, world.clock.sleep(second)).await);
    };
    let others = others.each_ref().map(|bpm| {
        let fetch = upstream.says_after(&world, second, Ok(Some(2)));
        async {
            world.clock.sleep(TICK).await;
            bpm.get_or_fetch(&key, fetch).await
        }
    });
    let ((), answers) = world.run(async { futures::join!(gone, join_all(others)) });
    assert_eq!(answers, [Ok(Some(2)), Ok(Some(2))]);
    assert_eq!(upstream.asked(), 2);
    let took = world.clock.now() - begin;
    assert!(took <= 3 * second, "{took:?}");
}

/// In this instance and in another.
#[test]
fn nobody_waits_for_others_beyond_the_own_deadline() {
    let (world, upstream) = (World::new(), Upstream::default());
    let (here, there, key) = (bpm(&world), bpm(&world), key());
    let begin = world.clock.now();
    let deadline = begin + MINUTE / 30;
    let slow = || upstream.says_after(&world, MINUTE / 4, Ok(Some(1)));
    let patient = here.get_or_fetch(&key, slow());
    let hurried = [here.clone(), there].map(|bpm| bpm.until(Some(deadline)));
    let hurried = hurried.each_ref().map(|bpm| async {
        world.clock.sleep(TICK).await;
        let answer = bpm.get_or_fetch(&key, slow()).await;
        (answer, world.clock.now())
    });
    let (first, others) = world.run(async { futures::join!(patient, join_all(hurried)) });
    for other in others {
        assert_eq!(other, (Err(FetchError::TooLate), deadline));
    }
    assert_eq!((first, upstream.asked()), (Ok(Some(1)), 1));
}

/// A crowd makes a store slow. That must not let it through to the upstream.
#[test]
fn a_stampede_on_a_slow_store_is_about_one_fetch_too() {
    let (world, upstream) = (World::new(), Upstream::default());
    world
        .store
        .slow_down(&world.clock, Duration::from_millis(260));
    let key = key();
    let ask = |_| {
        let (bpm, key) = (bpm(&world), &key);
        let fetch = upstream.says_after(&world, Duration::from_millis(800), Ok(Some(7)));
        async move { bpm.get_or_fetch(key, fetch).await }
    };
    let answers = world.run(join_all((0..3).map(ask)));
    assert!(answers.iter().all(|answer| *answer == Ok(Some(7))));
    assert_eq!(upstream.asked(), 1);
}
