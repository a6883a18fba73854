//! What has expired goes.

use super::*;

/// Random numbers, always the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A request of an instance of its own: asks for `keys`, of which every fourth
/// has no value.
fn traffic(world: &World, upstream: &Upstream, keys: impl IntoIterator<Item = u64>) {
    let bpm = bpm(world);
    run(world, async {
        for number in keys {
            let key = Key::exact([number.to_string()]);
            let answer = (!number.is_multiple_of(4)).then_some(7);
            let got = bpm.get_or_fetch(&key, upstream.says(Ok(answer))).await;
            assert_eq!(got, Ok(answer));
        }
    });
}

/// Every key of the index, by the hour under which it is noted.
fn noted(world: &World) -> Vec<(u64, String)> {
    let mut noted = Vec::new();
    for (key, value) in world.store.dump() {
        let text = String::from_utf8(value).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        if let Some(page) = key.strip_prefix("cache-index:hour:") {
            let hour = page.split(':').next().unwrap().parse().unwrap();
            noted.extend(lines.map(|line| (hour, line.to_owned())));
        } else if key.starts_with("cache-index:batch:") {
            let pairs = lines.map(|line| line.split_once(' ').unwrap());
            noted.extend(pairs.map(|(hour, key)| (hour.parse().unwrap(), key.to_owned())));
        }
    }
    noted
}

/// Requests are fewer than a year would have, and closer to the keys: each of
/// 100,000 keys is asked for at least once, half as many again by chance. Each
/// request is an instance of its own, and does no more for the sweep than any
/// request does.
#[test]
fn a_year_of_traffic_leaves_only_what_is_live_and_its_index() {
    const KEYS: u64 = 100_000;
    const REQUESTS: u64 = 5_000;
    let (world, upstream, mut dice) = (World::new(), Upstream::default(), Dice(1));
    let pause = Duration::from_secs(365 * 86_400 / REQUESTS);
    let mut most = 0;
    for request in 0..REQUESTS {
        // 7919 has no factor in common with the number of keys: all come.
        let new = (0..20).map(|n| (request * 20 + n) * 7_919 % KEYS);
        let again: Vec<u64> = (0..5).map(|_| dice.below(KEYS)).collect();
        traffic(&world, &upstream, new.chain(again));
        most = most.max(world.store.len());
        world.clock.advance(pause);
    }
    // What the last hours have left is worked off by the next requests.
    for _ in 0..60 {
        world.clock.advance(3 * MINUTE);
        let _ = peek(&world, &key());
    }
    let now = world.clock.unix();
    let (mut live, mut index) = (0, 0);
    let noted = noted(&world);
    let known: std::collections::HashSet<_> = noted.iter().cloned().collect();
    for (key, value) in world.store.dump() {
        if key.starts_with("cache-index:") {
            index += 1;
            continue;
        }
        let (header, _) = envelope::Header::split(&value).unwrap();
        // What has expired goes when its hour has passed.
        let hour = header.stale_until.unix().as_secs() / 3_600;
        assert!(hour >= now.as_secs() / 3_600, "{key}: {header:?}");
        assert!(
            known.contains(&(hour, key.clone())),
            "{key} is not in the index"
        );
        live += 1;
    }
    // A value that is written anew is noted anew, under its new hour.
    for (hour, _) in &noted {
        assert!(*hour >= now.as_secs() / 3_600);
    }
    assert_eq!(world.store.counters_len(), 1);
    println!(
        "{} fetches; {live} live values, {} notes on {index} pages; at most {most} keys",
        upstream.asked(),
        noted.len(),
    );
    assert!(
        live > 20_000 && index < 24 * 91,
        "{live} live, {index} pages"
    );
    assert!(most < 40_000, "{most} keys");
}

#[test]
fn a_batch_that_never_comes_holds_the_sweep_up_for_a_minute_only() {
    let world = World::new();
    let counters = world.ports().counters.unwrap();
    put(&world, &key(), Some(1));
    // Somebody took a number and died.
    world.run(counters.increment("cache-index", 1)).unwrap();
    put(&world, &Key::new(["other"]), Some(1));
    let batches = || {
        let dump = world.store.dump();
        let mut batches = dump.into_keys().filter(|key| key.contains("batch"));
        batches.next()
    };
    world.clock.advance(MINUTE);
    let _ = peek(&world, &key());
    assert_eq!(batches().as_deref(), Some("cache-index:batch:3"));
    world.clock.advance(MINUTE - TICK);
    let _ = peek(&world, &key());
    assert_eq!(batches().as_deref(), Some("cache-index:batch:3"));
    world.clock.advance(MINUTE);
    let _ = peek(&world, &key());
    assert_eq!(batches(), None);
    assert_eq!(noted(&world).len(), 2);
}

#[test]
fn an_hour_may_have_more_keys_than_a_page() {
    static MANY: Kind = Kind::new("many", 1).with_policy(Policy {
        hit: Duration::from_secs(3_600),
        stale: Duration::ZERO,
        jitter_percent: 0,
        ..Policy::DEFAULT
    });
    let world = World::new();
    for part in 0..4 {
        let many = cache(&world).of::<u32>(&MANY);
        run(&world, async {
            for n in 0..300 {
                many.put(&Key::exact([(part * 300 + n).to_string()]), Some(&n))
                    .await;
            }
        });
        world.clock.advance(MINUTE);
    }
    assert_eq!(
        world
            .store
            .dump()
            .keys()
            .filter(|key| key.starts_with("many:"))
            .count(),
        1_200
    );
    for _ in 0..5 {
        world.clock.advance(MINUTE);
        let _ = peek(&world, &key());
    }
    // Four full pages, and the newest.
    let pages = world.store.dump();
    let pages = pages
        .keys()
        .filter(|key| key.starts_with("cache-index:hour:"));
    assert_eq!(pages.count(), 5);
    world.clock.advance(Duration::from_secs(2 * 3_600));
    // 64 keys in each request.
    for _ in 0..25 {
        world.clock.advance(MINUTE);
        let _ = peek(&world, &key());
    }
    let left: Vec<_> = world.store.dump().into_keys().collect();
    assert_eq!(left, ["cache-index:state"]);
}

#[test]
fn the_whole_sweep_finds_what_no_index_knows() {
    let world = World::new();
    for n in 0..20 {
        put(
            &world,
            &Key::exact([n.to_string()]),
            (n % 2 == 0).then_some(n),
        );
    }
    world.clock.advance(10 * MINUTE);
    // A crash: neither index nor state is left, and a value is damaged.
    for key in world.store.dump().into_keys() {
        if key.starts_with("cache-index:") {
            world
                .run(crate::core::ports::KeyValue::delete(&world.store, &key))
                .unwrap();
        }
    }
    let damaged = format!("bpm:{}", Key::exact(["0"]).hash());
    world.store.put_raw(&damaged, b"{".to_vec());
    world.store.put_raw("somebody:else", b"theirs".to_vec());
    let counters = world.ports().counters.unwrap();
    for name in [
        "cache-fetch:bpm:0:1",
        "cache-sweep:0:1",
        "rate:all:1",
        "theirs:1",
    ] {
        world.run(counters.increment(name, 1)).unwrap();
    }
    let cache = cache(&world);
    let swept = run(
        &world,
        cache.sweep_all(&["bpm"], |name| name.starts_with("rate:")),
    );
    let expected = Swept {
        // The sweep's own state is one of them.
        keys: 22,
        removed: 11,
        live: 9,
        foreign: 1,
        counters: 5,
        counters_removed: 3,
    };
    assert_eq!(swept, Ok(expected));
    // And the index knows what is live.
    assert_eq!(noted(&world).len(), 9);
    world.clock.advance(91 * DAY);
    for _ in 0..20 {
        world.clock.advance(MINUTE);
        let _ = peek(&world, &key());
    }
    let left: Vec<_> = world.store.dump().into_keys().collect();
    assert_eq!(left, ["cache-index:state", "somebody:else"]);
}

/// Keys of an application that look like the cache's: an id behind a name.
#[test]
fn the_whole_sweep_leaves_alone_what_is_no_envelope_elsewhere() {
    let world = World::new();
    let digits = "0123456789abcdef".repeat(4);
    let theirs = [
        format!("user:{}", &digits[..32]),
        format!("blob:{digits}"),
        // Begins as a namespace that is named, and is another.
        format!("bpm-of:{}", &digits[..32]),
        "bpm".to_owned(),
    ];
    for key in &theirs {
        world.store.put_raw(key, b"{".to_vec());
    }
    world.store.put_raw("bpm:whatever", b"{".to_vec());
    let cache = cache(&world);
    let swept = run(&world, cache.sweep_all(&["bpm"], |_| false)).unwrap();
    assert_eq!((swept.removed, swept.foreign), (1, 4));
    let left = world.store.dump();
    for key in &theirs {
        assert!(left.contains_key(key), "{key} is gone");
    }
}

/// Without counters there is no number for a batch: notes go to their hours.
#[test]
fn without_counters_values_end_as_well() {
    let world = World::new();
    let mut ports = world.ports();
    ports.counters = None;
    let bpm = || Cache::new(&ports, Arc::default()).of::<u32>(&BPM);
    let (one, key) = (bpm(), key());
    run(&world, one.put(&key, None));
    assert_eq!(world.run(one.peek(&key)), Some(None));
    world.clock.advance(Duration::from_secs(2 * 3_600));
    for _ in 0..3 {
        world.clock.advance(MINUTE);
        let two = bpm();
        assert_eq!(run(&world, two.peek(&key)), None);
    }
    let left: Vec<_> = world.store.dump().into_keys().collect();
    assert_eq!(left, ["cache-index:state"]);
}

/// How many store calls a request makes that only looks, its sweep included.
fn calls_of_a_look(world: &World) -> u64 {
    let before = world.store.calls();
    let _ = peek(world, &key());
    world.store.calls() - before
}

/// Of a million batches none is left, and nobody remembers that.
#[test]
fn a_lost_state_is_made_up_for_in_pieces() {
    let world = World::new();
    let counters = world.ports().counters.unwrap();
    let many = counters.increment("cache-index", 1_000_000);
    world.run(many).unwrap();
    for _ in 0..5 {
        world.clock.advance(MINUTE);
        let calls = calls_of_a_look(&world);
        assert!(calls < 1_000, "{calls} calls");
    }
}

#[test]
fn a_damaged_count_of_pages_is_not_believed() {
    let world = World::new();
    put(&world, &key(), None);
    world.clock.advance(MINUTE);
    let _ = peek(&world, &key());
    let mut pages = world.store.dump().into_keys();
    let page = pages.rfind(|key| key.contains("hour"));
    let page = page.unwrap();
    let mut text = b"#4000000000\n".to_vec();
    text.extend(&world.store.dump()[&page]);
    world.store.put_raw(&page, text);
    world.clock.advance(Duration::from_secs(2 * 3_600));
    let calls = calls_of_a_look(&world);
    assert!(calls < 100, "{calls} calls");
    let left: Vec<_> = world.store.dump().into_keys().collect();
    assert_eq!(left, ["cache-index:state"]);
}

/// As a clock leaves it that is years ahead.
#[test]
fn a_state_of_the_future_does_not_stop_the_sweep() {
    let world = World::new();
    let state = br#"{"turn":18446744073709551615,"at":"2026-01-01T00:00:00.000Z","more":false,"hour":9999999,"batch":9999999}"#;
    world.store.put_raw("cache-index:state", state.to_vec());
    world.clock.advance(MINUTE);
    let _ = peek(&world, &key());
    put(&world, &key(), None);
    world.clock.advance(Duration::from_secs(2 * 3_600));
    for _ in 0..3 {
        world.clock.advance(MINUTE);
        let _ = peek(&world, &key());
    }
    let left: Vec<_> = world.store.dump().into_keys().collect();
    assert_eq!(left, ["cache-index:state"]);
}
