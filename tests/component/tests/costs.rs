//! What an upstream call asks of the store: the table in the README.

use std::time::{Duration, SystemTime};

use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::{PATIENCE, fixture_host, settled};
use spinlane_host::{Host, StoreCall};
use spinlane_upstreams::{Reply, Sink};

use crate::limits::{Calls, calls, held};

/// The length of a lease, and of its end in which who begins has the next as well.
const LEASE: Duration = Duration::from_secs(10);
const OVERLAP: Duration = Duration::from_secs(2);

/// Calls of the store, by what they are for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Costs {
    /// Increments: leases taken and given back, and tickets of rates.
    increments: usize,
    /// Reads: is the lane paused?
    pauses: usize,
    /// Writes: it is.
    paused: usize,
    /// What keeps the store in order, after the response.
    upkeep: usize,
}

impl Costs {
    fn new(recorded: &[StoreCall]) -> Self {
        let mut costs = Self::default();
        for StoreCall { function, key } in recorded {
            let of_calls = key.contains("lane:") || key.contains("rate:");
            let counted = match *function {
                "increment" if of_calls => &mut costs.increments,
                "get" if key.starts_with("~pause:") => &mut costs.pauses,
                "set" if key.starts_with("~pause:") => &mut costs.paused,
                _ => &mut costs.upkeep,
            };
            *counted += 1;
        }
        costs
    }
}

/// What has been asked of the store since the last time, when all is done.
async fn spent(host: &Host) -> Costs {
    settled(host).await;
    Costs::new(&host.store().recorded())
}

/// Moves the wall clock on to `phase` of a lease's period. How far it was moved
/// by then is in `ahead`.
fn move_to(host: &Host, phase: Duration, ahead: &mut Duration) {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = unix.expect("a time after 1970") + *ahead;
    let now = Duration::from_nanos((now.as_nanos() % LEASE.as_nanos()) as u64);
    let by = (LEASE + phase - now).as_nanos() % LEASE.as_nanos();
    let by = Duration::from_nanos(by as u64);
    host.advance_wall_clock(by);
    *ahead += by;
}

async fn are_those_of_the_table(host: &Host) {
    let upstream = Sink::start().await.unwrap();
    upstream.reply(Reply::default());
    host.store().record();
    let mut ahead = Duration::ZERO;
    let (early, late) = (Duration::from_secs(1), LEASE - OVERLAP / 2);
    for (what, phase, query, increments) in [
        ("no wait", early, "lane=a&limit=3", 3),
        ("once more", early, "lane=a&limit=3", 3),
        ("a rate of its own", early, "lane=b&limit=3&lane_rate=20", 4),
        ("at a lease's end", late, "lane=a&limit=3", 5),
        ("both", late, "lane=b&limit=3&lane_rate=20", 6),
    ] {
        move_to(host, phase, &mut ahead);
        let reports = calls(host, &upstream, query).await;
        assert_eq!(reports[0]["status"], 200, "{what}: {reports:?}");
        let costs = spent(host).await;
        assert_eq!(costs.increments, increments, "{what}: {costs:?}");
        assert_eq!((costs.pauses, costs.paused), (1, 0), "{what}: {costs:?}");
        // A beginning, a batch of it, what is due, and two entries for each added.
        assert!(costs.upkeep <= 32, "{what}: {costs:?}");
        println!("{what}: {costs:?}");
    }
    a_pause_is_written_once_and_looked_at_once(host, &upstream, &mut ahead).await;
    a_waiter_looks_a_few_times_a_second(host, &upstream, &mut ahead).await;
}

async fn a_pause_is_written_once_and_looked_at_once(
    host: &Host,
    upstream: &Sink,
    ahead: &mut Duration,
) {
    upstream.push(Reply {
        status: 429,
        retry_after: Some("1".into()),
        ..Reply::default()
    });
    move_to(host, Duration::from_secs(1), ahead);
    let reports = calls(host, upstream, "lane=c&limit=3&repeatable=1").await;
    assert_eq!(reports[0]["attempts"], 2, "{reports:?}");
    let costs = spent(host).await;
    // Each attempt has a slot and a ticket of its own.
    assert_eq!((costs.increments, costs.paused), (6, 1), "{costs:?}");
    // Each looks once, the second once more when the pause is over; and a pause is
    // not shortened by who writes one.
    assert_eq!(costs.pauses, 4, "{costs:?}");
    println!("a pause: {costs:?}");
}

async fn a_waiter_looks_a_few_times_a_second(host: &Host, upstream: &Sink, ahead: &mut Duration) {
    const WAITS: Duration = Duration::from_secs(4);
    move_to(host, Duration::from_secs(1), ahead);
    upstream.reply(held());
    let holder = Calls::start(host, upstream, "lane=d&limit=1").await;
    let open = upstream.wait_for(PATIENCE, |counts| counts.open == 1).await;
    open.expect("the slot is taken");
    host.store().recorded();
    let query = format!("lane=d&limit=1&deadline_ms={}", WAITS.as_millis());
    let reports = calls(host, upstream, &query).await;
    assert!(reports[0]["error"].is_string(), "{reports:?}");
    let costs = Costs::new(&host.store().recorded());
    println!("{WAITS:?} of waiting: {costs:?}");
    let seconds = WAITS.as_secs() as usize;
    // It takes a place in the line, and gives it back.
    let increments = seconds..=4 * seconds + 2;
    assert!(increments.contains(&costs.increments), "{costs:?}");
    assert!(costs.pauses <= seconds + 1, "{costs:?}");
    drop(holder);
    settled(host).await;
}

#[tokio::test]
async fn costs_of_a_call_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let host = fixture_host().store(folder.path().join("store.db"));
    are_those_of_the_table(&host.start().await.unwrap()).await;
}

#[tokio::test]
async fn costs_of_a_call_on_redis() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let host = fixture_host().store(&redis.url);
    are_those_of_the_table(&host.start().await.unwrap()).await;
}
