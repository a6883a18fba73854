//! Rates.

use super::*;
use crate::testing::all;

fn per_second(tokens: u32) -> Rate {
    Rate::per_second(NonZeroU32::new(tokens).unwrap())
}

fn rate(store: &Store, tokens: u32, burst: u32) -> SharedRate {
    SharedRate::new(store, "all", per_second(tokens), burst).unwrap()
}

/// Takes tickets until a call may start by them, and says when it does.
async fn start(rate: &SharedRate, store: &Store) {
    loop {
        let tickets = rate.reserve(Duration::ZERO, 1, None).await.unwrap();
        store.clock().sleep(tickets.due_in(store.unix())).await;
        if store.unix() < tickets.end {
            return;
        }
    }
}

/// When calls start that come at these times, to an instance each, whose clocks
/// are ahead by `skews` in turn.
fn starts(tokens: u32, burst: u32, come: &[u64], skews: &[u64]) -> Vec<Duration> {
    let (world, starts) = (World::new(), Mutex::new(Vec::new()));
    let begin = world.clock.now();
    world.run(all(come.iter().enumerate().map(|(n, come)| {
        let store = instance(&world, millis(skews[n % skews.len()]));
        let (clock, starts) = (&world.clock, &starts);
        async move {
            clock.sleep(millis(*come)).await;
            start(&rate(&store, tokens, burst), &store).await;
            starts.lock().unwrap().push(clock.now() - begin);
        }
    })));
    starts.into_inner().unwrap()
}

#[test]
fn the_rate_is_used_and_never_passed() {
    let starts = starts(40, 40, &[0; 1_200], &[0, 0, 70, 70, 240, 240]);
    holds(&starts, per_second(40), 40).unwrap();
    let took = starts.iter().max().unwrap().as_secs_f64();
    assert!(took <= 1_200.0 / 40.0 / 0.9, "{took} s");
}

#[test]
fn half_a_burst_starts_at_once_and_the_rest_does_not_wait_for_more_than_it_needs() {
    for rate in [5, 10, 40, 100] {
        let starts = starts(rate, rate, &vec![0; rate as usize], &[0]);
        let at_once = starts.iter().filter(|start| start.is_zero()).count();
        assert!(at_once * 2 >= rate as usize, "{at_once} of {rate}");
        let last = starts.iter().max().unwrap();
        assert!(*last <= SECOND, "{last:?} at {rate}");
    }
}

/// Who looks at a rate that nobody uses leaves nothing behind.
#[test]
fn a_look_at_the_window_writes_nothing_where_nobody_has_counted() {
    let world = World::new();
    let store = instance(&world, Duration::ZERO);
    let window = world.run(rate(&store, 40, 1).window()).unwrap();
    assert_eq!(window.taken, 0);
    world.drain();
    assert_eq!(
        (world.store.increments(), world.store.counters_len()),
        (0, 0)
    );
}

/// Windows far ahead are in use, and the present one still counts.
#[test]
fn a_long_line_does_not_make_newcomers_pass() {
    let come: Vec<_> = (0..60_u64).map(|n| n.saturating_sub(40) * 300).collect();
    holds(&starts(2, 2, &come, &[0]), per_second(2), 2).unwrap();
}

/// Who comes to a line has to find its end, whatever it is long.
#[test]
fn who_comes_to_a_long_line_takes_few_steps_along_it() {
    let world = World::new();
    let store = instance(&world, Duration::ZERO);
    world.run(async {
        let rate = rate(&store, 5, 5);
        for n in 0..400 {
            let before = world.store.calls();
            rate.reserve(Duration::ZERO, 1, None).await.unwrap();
            let calls = world.store.calls() - before;
            assert!(calls <= 60, "{calls} calls for number {n}");
        }
    });
}

/// One machine's clock is a minute ahead.
#[test]
fn a_clock_that_is_ahead_makes_nobody_wait() {
    let world = World::new();
    world.run(async {
        let wrong = instance(&world, 60 * SECOND);
        for _ in 0..100 {
            rate(&wrong, 40, 40)
                .reserve(Duration::ZERO, 1, None)
                .await
                .unwrap();
        }
        let store = instance(&world, Duration::ZERO);
        let begin = world.clock.now();
        for _ in 0..20 {
            start(&rate(&store, 40, 40), &store).await;
        }
        assert_eq!(world.clock.now(), begin);
    });
}

#[test]
fn a_ticket_beyond_the_deadline_is_refused_before_it_is_taken() {
    let world = World::new();
    let store = instance(&world, Duration::ZERO);
    world.run(async {
        let rate = rate(&store, 1, 2);
        let deadline = world.clock.now() + 1_500 * MILLI;
        let mut refused = None;
        for _ in 0..4 {
            let reserved = rate.reserve(Duration::ZERO, 1, Some(deadline)).await;
            refused = refused.or(reserved.err());
        }
        let Some(NoTicket::Deadline { wait }) = refused else {
            panic!("{refused:?}");
        };
        assert!(wait > 1_500 * MILLI, "{wait:?}");
        assert!(world.store.counters_len() <= 2);
    });
}

#[test]
fn the_present_window_is_shown() {
    let world = World::new();
    let store = instance(&world, Duration::ZERO);
    world.run(async {
        let rate = rate(&store, 40, 40);
        let from = world.clock.unix();
        let tickets = rate.reserve(from, 1, None).await.unwrap();
        assert!(tickets.begin <= from && from < tickets.end);
        let window = rate.window().await.unwrap();
        assert_eq!((window.tickets, window.length), (8, millis(200)));
        assert!(window.taken <= 1);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::testing::schedules()))]

    /// Any rate whose burst is a second's worth or more, clocks 250 ms apart:
    /// over any interval at most rate × t + burst. And with any burst, where
    /// clocks agree.
    #[test]
    fn no_interval_admits_too_much(
        tokens in 1..60_u32,
        more in 0..60_u32,
        less in 2..20_u32,
        come in prop::collection::vec(0..4_000_u64, 1..60),
        skew in 0..=250_u64,
    ) {
        let burst = (tokens + more).max(2);
        let skewed = starts(tokens, burst, &come, &[0, skew, skew / 2]);
        holds(&skewed, per_second(tokens), burst)?;
        holds(&starts(tokens, less, &come, &[0]), per_second(tokens), less)?;
        // Whoever came last waited for no more than all before it need, and what
        // a line is longer where somebody went along it.
        let last = skewed.iter().max().unwrap().as_secs_f64();
        let need = come.len() as f64 / f64::from(tokens);
        prop_assert!(last <= 4.0 + 1.2 * need + 1.5, "{last} s, {need} s needed");
    }
}
