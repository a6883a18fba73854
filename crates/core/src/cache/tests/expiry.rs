//! For how long values are known.

use super::*;

#[test]
fn a_hit_is_served_for_90_days_and_no_longer() {
    let (world, upstream) = (World::new(), Upstream::default());
    let ask = |answer| get(&world, &key(), upstream.says(answer));
    assert_eq!(ask(Ok(Some(100))), Ok(Some(100)));
    assert_eq!(ask(Ok(Some(200))), Ok(Some(100)));
    assert_eq!(upstream.asked(), 1);
    world.clock.advance(90 * DAY - TICK);
    // It is served, and refreshed after the response; which fails.
    assert_eq!(ask(Err("down")), Ok(Some(100)));
    world.clock.advance(TICK);
    assert_eq!(ask(Err("down")), failed("down"));
}

#[test]
fn a_hit_without_a_stale_part_is_fresh_to_its_end() {
    static PLAIN: Kind = Kind::new("plain", 1).with_policy(Policy::keep(Duration::from_secs(600)));
    let world = World::new();
    let (plain, key) = (cache(&world).typed::<u32>(&PLAIN), key());
    run(&world, plain.put(&key, Some(&1)));
    world.clock.advance(10 * MINUTE - TICK);
    // Nobody is asked, whatever time is left.
    let scope = request();
    let asked = plain.get_or_fetch(&key, || async { Err::<Option<u32>, _>("asked") });
    let answer = run(&world, scope::run(Arc::clone(&scope), asked));
    assert_eq!(answer, Ok(Some(1)));
    assert_eq!(scope.cache.report().hits, 1);
    world.clock.advance(TICK);
    assert_eq!(run(&world, plain.get(&key)), Cached::Miss);
}

#[test]
fn a_hit_may_be_kept_for_ever() {
    static FOR_EVER: Kind = Kind::new("for-ever", 1).with_policy(Policy::keep(Duration::MAX));
    let world = World::new();
    let (kept, key) = (cache(&world).typed::<u32>(&FOR_EVER), key());
    run(&world, kept.put(&key, Some(&1)));
    world.clock.advance(100_000 * DAY);
    assert_eq!(run(&world, kept.get(&key)), Cached::Hit(1));
}

#[test]
fn a_miss_is_remembered_for_5_minutes_and_no_longer() {
    let (world, upstream) = (World::new(), Upstream::default());
    let ask = || get(&world, &key(), upstream.says(Ok(None)));
    assert_eq!(ask(), Ok(None));
    world.clock.advance(5 * MINUTE - TICK);
    assert_eq!(ask(), Ok(None));
    assert_eq!(known(&world, &key()), Cached::Negative);
    assert_eq!(upstream.asked(), 1);
    world.clock.advance(TICK);
    assert_eq!(known(&world, &key()), Cached::Miss);
    assert_eq!(ask(), Ok(None));
    assert_eq!(upstream.asked(), 2);
}

#[test]
fn a_failure_is_never_remembered() {
    let (world, upstream) = (World::new(), Upstream::default());
    for asked in 1..=3 {
        let answer = get(&world, &key(), upstream.says(Err("429")));
        assert_eq!(answer, failed("429"));
        assert_eq!(upstream.asked(), asked);
    }
    let dump = world.store.dump();
    assert!(dump.keys().all(|key| !key.starts_with("bpm:")), "{dump:?}");
}

#[test]
fn values_stored_together_are_not_refreshed_together() {
    let world = World::new();
    let bpm = bpm(&world);
    run(&world, async {
        for n in 0..400 {
            bpm.put(&Key::new([n.to_string()]), Some(&n)).await;
        }
    });
    let mut due = Vec::new();
    for (key, bytes) in world.store.dump() {
        if key.starts_with("bpm:") {
            let (header, _) = Header::split(&bytes).unwrap();
            due.push((header.fresh_until.unix() - header.stored.unix()).as_secs() / 86_400);
        }
    }
    assert_eq!(due.len(), 400);
    for day in 75..83 {
        let count = due.iter().filter(|due| **due == day).count();
        assert!((20..=80).contains(&count), "{count} on day {day}");
    }
}

#[test]
fn what_is_stale_is_served_and_refreshed_after_the_response() {
    let (world, upstream) = (World::new(), Upstream::default());
    put(&world, &key(), Some(1));
    world.clock.advance(84 * DAY);
    let scope = request();
    let bpm = bpm(&world);
    let key = key();
    let slow = || upstream.says_after(&world, MINUTE, Ok(Some(2)));
    let begin = world.clock.now();
    let asked = scope::run(Arc::clone(&scope), async {
        // Twice: it is refreshed once.
        let first = bpm.get_or_fetch(&key, slow()).await;
        let second = bpm.get_or_fetch(&key, slow()).await;
        (first, second)
    });
    assert_eq!(world.run(asked), (Ok(Some(1)), Ok(Some(1))));
    assert_eq!(world.clock.now(), begin);
    assert_eq!(upstream.asked(), 0);
    assert_eq!(scope.cache.report().stale_hits, 2);
    world.drain();
    assert_eq!(upstream.asked(), 1);
    assert_eq!(run(&world, bpm.get(&key)), Cached::Hit(2));
}

#[test]
fn stale_values_answer_while_the_upstream_is_down_and_are_refreshed_when_it_is_back() {
    let (world, upstream) = (World::new(), Upstream::default());
    put(&world, &key(), Some(1));
    world.clock.advance(84 * DAY);
    let down = || get(&world, &key(), upstream.says(Err("down")));
    assert_eq!(down(), Ok(Some(1)));
    assert_eq!(upstream.asked(), 1);
    // Nobody asks again for a minute, and everybody is served.
    for _ in 0..10 {
        assert_eq!(down(), Ok(Some(1)));
    }
    assert_eq!(upstream.asked(), 1);
    world.clock.advance(MINUTE);
    assert_eq!(down(), Ok(Some(1)));
    assert_eq!(upstream.asked(), 2);
    world.clock.advance(MINUTE);
    let back = || get(&world, &key(), upstream.says(Ok(Some(2))));
    assert_eq!(back(), Ok(Some(1)));
    assert_eq!(back(), Ok(Some(2)));
    assert_eq!(upstream.asked(), 3);
}
