//! Who asks, and how often.

use futures::future::{join_all, select};

use super::*;

#[test]
fn one_fetch_serves_all_who_ask_in_an_instance() {
    let (world, upstream) = (World::new(), Upstream::default());
    let (bpm, scope) = (bpm(&world), request());
    let key = key();
    let ask = || bpm.get_or_fetch(&key, upstream.says_after(&world, MINUTE, Ok(Some(7))));
    let all = scope::run(Arc::clone(&scope), join_all((0..100).map(|_| ask())));
    let answers = run(&world, all);
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
    // Its claim has gone with it: the next one may ask at once.
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
    assert!(answers.iter().all(|answer| *answer == Err("down")));
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
    let answers = world.run(join_all((0..500).map(ask)));
    assert!(answers.iter().all(|answer| *answer == Ok(Some(7))));
    assert_eq!(upstream.asked(), 1);
    assert!(world.clock.now() - begin < Duration::from_secs(3));
    world.drain();
    let claims = world.store.counters();
    let claims = claims
        .keys()
        .filter(|name| name.starts_with("cache-fetch:"));
    assert_eq!(claims.count(), 0);
}

/// Who asks for all others dies: its claim ends with its moment.
#[test]
fn a_claim_without_its_holder_ends() {
    let (world, upstream) = (World::new(), Upstream::default());
    let ports = world.ports();
    let counters = ports.counters.unwrap();
    let moment = world.clock.unix().as_millis() / 10_000;
    let name = format!("cache-fetch:bpm:{}:{moment}", key().hash());
    world.run(counters.increment(&name, 1)).unwrap();
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
    assert_eq!(force(Err("down")), Err("down"));
    assert_eq!(force(Ok(Some(1))), Ok(Some(1)));
    assert_eq!(force(Ok(Some(2))), Ok(Some(2)));
    assert_eq!(force(Err("down")), Ok(Some(2)));
    assert_eq!(upstream.asked(), 4);
    assert_eq!(peek(&world, &key()), Some(Some(2)));
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
