//! Every upstream's faults, and the store's, at every moment, whatever clients do.
//!
//! 300 requests; `SPINLANE_PROOF_REQUESTS=10000` for more. `SPINLANE_PROOF_FIRST=1557` begins
//! at that number, to make one again that has shown a fault.

use std::ops::Range;
use std::time::Duration;

use futures::future::join;
use spinlane_component_tests::load::chance::Chance;
use spinlane_component_tests::load::{Load, VARIABLES};
use spinlane_component_tests::{Dj, alone, hosts};

use crate::{given, passed, rested, seed};

/// Requests that are under way at a time.
const AT_ONCE: usize = 24;

/// Requests after which all has to come to rest.
const ROUND: u64 = 500;

/// After so long nobody is counted any more who has not been counted again.
const LEASES: Duration = Duration::from_secs(45);

fn requests() -> u64 {
    given("SPINLANE_PROOF_REQUESTS", 300)
}

/// Rounds of requests.
fn rounds(requests: u64, size: u64) -> impl Iterator<Item = Range<u64>> {
    let first = given("SPINLANE_PROOF_FIRST", 0);
    let end = first + requests;
    (first..end)
        .step_by(usize::try_from(size).expect("a few"))
        .map(move |from| from..end.min(from + size))
}

/// 30 % of requests meet an upstream's fault, and 20 % of clients go.
#[tokio::test(flavor = "multi_thread")]
async fn upstreams_fail_and_clients_go() {
    let _alone = alone().await;
    let dj = Dj::start_public(&VARIABLES).await;
    let load = Load::new(dj.origin(), &dj.upstreams, seed());
    rested(&load, load.open_sessions(8).await);
    for round in rounds(requests(), ROUND) {
        passed(&load, load.requests(round.clone(), AT_ONCE).await);
        rested(&load, load.is_at_rest(&dj.host, Duration::ZERO).await);
        println!("{} requests", round.end);
    }
    println!("{}", load.tally);
    assert_eq!(load.tally.all("requests"), requests());
}

/// What the store does for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Fails,
    Full,
    Slow,
    Corrupt,
    Unopened,
}

impl Trouble {
    const ALL: [Self; 5] = [
        Self::Fails,
        Self::Full,
        Self::Slow,
        Self::Corrupt,
        Self::Unopened,
    ];

    fn begin(self, dj: &Dj, chance: &Chance) {
        let store = dj.host.store();
        match self {
            Self::Fails => store.fail(Some("disk on fire".into())),
            Self::Full => store.fill(true),
            Self::Slow => store.delay(Some(chance.millis(20, 300))),
            Self::Unopened => store.refuse_to_open(true),
            Self::Corrupt => {
                // Counters are the host's to keep: it refuses what is none.
                let keys = store
                    .dump()
                    .into_keys()
                    .filter(|key| !key.starts_with("~n:"));
                for key in keys.filter(|_| chance.percent(50)) {
                    let garbage: &[u8] = match chance.below(3) {
                        0 => b"",
                        1 => b"{\"spinlane\":2,",
                        _ => &[0xff, 0xfe, b'\n', 0],
                    };
                    store.put_raw(&key, garbage);
                }
            }
        }
    }

    fn end(dj: &Dj) {
        let store = dj.host.store();
        store.fail(None);
        store.fill(false);
        store.delay(None);
        store.refuse_to_open(false);
    }
}

/// The same while the store fails, is full, slow, damaged, or does not open: from some
/// moment of the requests on, for a while.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_fails_beside_them() {
    let _alone = alone().await;
    let dj = Dj::start_public(&VARIABLES).await;
    let load = Load::new(dj.origin(), &dj.upstreams, seed() + 1);
    load.store_is_in_trouble(true);
    let mut ahead = Duration::ZERO;
    for (number, round) in rounds(requests().min(3_000), AT_ONCE as u64).enumerate() {
        rested(&load, load.open_sessions(2).await);
        let chance = Chance::new(seed(), u64::MAX - number as u64);
        let trouble = Trouble::ALL[number % Trouble::ALL.len()];
        load.tally.count("store", format!("{trouble:?}"));
        let beside = async {
            tokio::time::sleep(chance.millis(0, 400)).await;
            trouble.begin(&dj, &chance);
            tokio::time::sleep(chance.millis(100, 1_500)).await;
            Trouble::end(&dj);
        };
        let (judged, ()) = join(load.requests(round, AT_ONCE), beside).await;
        passed(&load, judged);
        // What could not be given back is forgotten with its lease.
        dj.host.advance_wall_clock(LEASES);
        ahead += LEASES;
        rested(&load, load.is_at_rest(&dj.host, ahead).await);
    }
    println!("{}", load.tally);
}

/// Every connection is refused.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_where_upstreams_should_be() {
    let nowhere = format!("http://127.0.0.1:{}", hosts::free_port());
    let mut variables: Vec<(&str, &str)> = VARIABLES.to_vec();
    for upstream in ["anthropic_base_url", "deezer_base_url", "lastfm_base_url"] {
        variables.push((upstream, &nowhere));
    }
    let _alone = alone().await;
    let dj = Dj::start_public(&variables).await;
    let load = Load::new(dj.origin(), &dj.upstreams, seed() + 2);
    load.upstreams_are_unreachable();
    rested(&load, load.open_sessions(2).await);
    passed(&load, load.requests(0..requests().min(50), AT_ONCE).await);
    rested(&load, load.is_at_rest(&dj.host, Duration::ZERO).await);
    assert!(
        load.tally
            .times("last frames", "error: upstream_unreachable")
            > 0
    );
    println!("{}", load.tally);
}
