//! The cache in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join_all, select};
use proptest::prelude::*;

use super::*;
use crate::core::abort::AbortSignal;
use crate::core::limit::Budget;
use crate::core::limit::shared::Health;
use crate::core::ports::{Clock, StoreError};
use crate::core::scope::{self, Scope};
use crate::core::testing::World;

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(1);

static BPM: Kind = Kind::new("bpm", 1);

/// One more instance on the store of `world`.
fn cache(world: &World) -> Cache {
    Cache::new(&world.ports(), Arc::new(Health::new()))
}

fn bpm(world: &World) -> Typed<u32> {
    cache(world).of(&BPM)
}

fn key() -> Key {
    Key::new(["ABBA", "Dancing Queen"])
}

/// What the upstream says of it.
type Answer = Result<Option<u32>, &'static str>;

/// An upstream that is asked, with a count of how often.
#[derive(Clone, Default)]
struct Upstream(Arc<AtomicUsize>);

impl Upstream {
    fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Asks it, for an answer that it takes no time for.
    fn says(
        &self,
        answer: Answer,
    ) -> impl FnOnce() -> futures::future::Ready<Answer> + Send + 'static {
        let asked = Arc::clone(&self.0);
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            futures::future::ready(answer)
        }
    }

    /// The same, after `time`.
    fn says_after(
        &self,
        world: &World,
        time: Duration,
        answer: Answer,
    ) -> impl FnOnce() -> futures::future::BoxFuture<'static, Answer> + Send + 'static {
        let (asked, clock) = (Arc::clone(&self.0), world.clock.clone());
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            clock.sleep(time).map(move |()| answer).boxed()
        }
    }
}

fn request() -> Arc<Scope> {
    Arc::new(Scope::new("r", Budget::new(950), AbortSignal::never()))
}

/// Runs one request to its end, and what it leaves for after the response.
fn run<F: Future>(world: &World, request: F) -> F::Output {
    let output = world.run(request);
    world.drain();
    output
}

/// A request that asks for `key`, in an instance of its own.
fn get<F, Fut>(world: &World, key: &Key, fetch: F) -> Answer
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let bpm = bpm(world);
    run(world, bpm.get_or_fetch(key, fetch))
}

fn peek(world: &World, key: &Key) -> Option<Option<u32>> {
    let bpm = bpm(world);
    run(world, bpm.peek(key))
}

fn put(world: &World, key: &Key, value: Option<u32>) {
    let bpm = bpm(world);
    run(world, bpm.put(key, value.as_ref()));
}

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
    assert_eq!(ask(Err("down")), Err("down"));
}

#[test]
fn a_hit_is_fresh_until_its_grace_begins() {
    static PLAIN: Kind = Kind::new("plain", 1).with_policy(Policy {
        jitter_percent: 0,
        ..Policy::DEFAULT
    });
    let world = World::new();
    let (plain, key) = (cache(&world).of::<u32>(&PLAIN), key());
    run(&world, plain.put(&key, Some(&1)));
    world.clock.advance(83 * DAY - TICK);
    assert_eq!(run(&world, plain.peek(&key)), Some(Some(1)));
    world.clock.advance(TICK);
    assert_eq!(run(&world, plain.peek(&key)), None);
}

#[test]
fn a_miss_is_remembered_for_5_minutes_and_no_longer() {
    let (world, upstream) = (World::new(), Upstream::default());
    let ask = || get(&world, &key(), upstream.says(Ok(None)));
    assert_eq!(ask(), Ok(None));
    world.clock.advance(5 * MINUTE - TICK);
    assert_eq!(ask(), Ok(None));
    assert_eq!(peek(&world, &key()), Some(None));
    assert_eq!(upstream.asked(), 1);
    world.clock.advance(TICK);
    assert_eq!(peek(&world, &key()), None);
    assert_eq!(ask(), Ok(None));
    assert_eq!(upstream.asked(), 2);
}

#[test]
fn a_failure_is_never_remembered() {
    let (world, upstream) = (World::new(), Upstream::default());
    for asked in 1..=3 {
        let answer = get(&world, &key(), upstream.says(Err("429")));
        assert_eq!(answer, Err("429"));
        assert_eq!(upstream.asked(), asked);
    }
    assert!(
        world
            .store
            .dump()
            .keys()
            .all(|key| key.starts_with("cache-index:"))
    );
    assert_eq!(
        world.store.counters(),
        [("cache-index".to_owned(), 0)].into()
    );
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
            let (header, _) = envelope::Header::split(&bytes).unwrap();
            due.push((header.fresh_until.unix() - header.stored.unix()).as_secs() / 86_400);
        }
    }
    assert_eq!(due.len(), 400);
    for day in 74..83 {
        let count = due.iter().filter(|due| **due == day).count();
        assert!((20..=80).contains(&count), "{count} on day {day}");
    }
}

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
    assert_eq!(run(&world, bpm.peek(&key)), Some(Some(2)));
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
            assert_eq!(bpm.peek(&Key::new([n.to_string()])).await, Some(Some(n)));
        }
        assert_eq!(world.store.calls(), before);
        // As soon as there is nothing else to do, it is written: one batch of
        // notes (two calls) and the values.
        world.clock.sleep(TICK).await;
        assert_eq!(world.store.calls(), before + 2 + 20);
    });
    // A restart loses nothing.
    let other = cache(&world).of::<u32>(&BPM);
    let seven = Key::new(["7"]);
    assert_eq!(world.run(other.peek(&seven)), Some(Some(7)));
}

#[test]
fn a_queue_that_is_full_is_written_at_once() {
    let world = World::new();
    let text = cache(&world).of::<String>(&BPM);
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

#[test]
fn a_hit_costs_one_store_call() {
    let world = World::new();
    put(&world, &key(), Some(1));
    let before = world.store.calls();
    let (bpm, key) = (bpm(&world), key());
    assert_eq!(world.run(bpm.peek(&key)), Some(Some(1)));
    assert_eq!(world.store.calls(), before + 1);
    // And one more, after the response, to see whether a sweep is due.
    world.drain();
    assert_eq!(world.store.calls(), before + 2);
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
        assert_eq!(bpm.peek(&none).await, Some(None));
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
    for trouble in ["down", "slow"] {
        match trouble {
            "down" => world.store.fail_with(Some(fault.clone())),
            _ => world.store.slow_down(&world.clock, Duration::from_secs(2)),
        }
        let before = world.store.calls();
        for _ in 0..10 {
            assert_eq!(world.run(ask()), Ok(Some(1)));
        }
        assert_eq!(world.store.calls(), before + 1, "{trouble}");
        world.store.fail_with(None);
        world.store.slow_down(&world.clock, Duration::ZERO);
        world.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(upstream.asked(), 20);
    assert_eq!(run(&world, ask()), Ok(Some(1)));
    assert_eq!(run(&world, bpm.peek(&key)), Some(Some(1)));
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
    let (bpm, key) = (Cache::new(&ports, Arc::default()).of::<u32>(&BPM), key());
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
            prop_assert_eq!(peek(&world, &key(n)), Some(Some(n)));
        }
    }
}

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
    let swept = run(&world, cache.sweep_all(|name| name.starts_with("rate:")));
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
