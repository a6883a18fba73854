//! One run for each caller and key.

use proptest::prelude::*;

use super::*;
use crate::testing::{StoreDouble, all, schedules};

const KEY: &str = "a-key-of-the-client";
const HOUR: Duration = Duration::from_secs(3_600);

fn keys_of(ports: &Ports) -> Keys {
    Keys::new(&Store::open(ports), "run-key")
}

fn keys(world: &World) -> Keys {
    keys_of(&world.ports())
}

#[test]
fn a_key_is_known_for_a_day_and_not_for_ever() {
    for hours in [0, 1, 23] {
        let world = World::new();
        world.clock.advance(HOUR * hours);
        let claim = || world.run(keys(&world).claim("me", KEY, b"{}")).unwrap();
        let Keyed::Ours(ours) = claim() else {
            panic!("nobody else has it")
        };
        world.run(ours.fulfil(ID)).unwrap();
        world.clock.advance(24 * HOUR);
        assert!(matches!(claim(), Keyed::Known(Known::Run(id)) if id == ID));
        world.clock.advance(24 * HOUR);
        assert!(matches!(claim(), Keyed::Ours(_)));
    }
}

#[test]
fn callers_and_bodies_are_told_apart() {
    let world = World::new();
    let claim = |caller: &str, key: &str, body: &str| {
        world
            .run(keys(&world).claim(caller, key, body.as_bytes()))
            .unwrap()
    };
    let Keyed::Ours(ours) = claim("me", KEY, "{}") else {
        panic!("nobody else has it")
    };
    world.run(ours.fulfil(ID)).unwrap();
    assert!(matches!(
        claim("me", KEY, "{} "),
        Keyed::Known(Known::Other)
    ));
    assert!(matches!(
        claim("me", KEY, "{}"),
        Keyed::Known(Known::Run(_))
    ));
    assert!(matches!(claim("you", KEY, "{}"), Keyed::Ours(_)));
    assert!(matches!(
        claim("me", "another-key-of-it", "{}"),
        Keyed::Ours(_)
    ));
}

/// Of who claims and dies nobody else begins the run; of who gives it back somebody
/// does.
#[test]
fn a_claim_is_waited_for_and_may_be_given_back() {
    let world = World::new();
    let claim = || world.run(keys(&world).claim("me", KEY, b"")).unwrap();
    let Keyed::Ours(ours) = claim() else {
        panic!("nobody else has it")
    };
    let begin = world.clock.now();
    assert!(matches!(claim(), Keyed::Pending));
    let waited = world.clock.now() - begin;
    assert!(waited >= 5 * SECOND && waited < 6 * SECOND, "{waited:?}");
    world.run(ours.release());
    let Keyed::Ours(ours) = claim() else {
        panic!("it was given back")
    };
    // Who waits gets it as soon as it is there.
    let fulfilled = async {
        world.clock.sleep(SECOND).await;
        ours.fulfil(ID).await.unwrap();
    };
    let other = keys(&world);
    let (known, ()) = world.run(async { futures::join!(other.claim("me", KEY, b""), fulfilled) });
    assert!(matches!(known.unwrap(), Keyed::Known(Known::Run(_))));
}

#[test]
fn the_store_does_not_tell_what_was_asked() {
    let world = World::new();
    world.run(async {
        let Keyed::Ours(ours) = keys(&world).claim("me", KEY, b"secret").await.unwrap() else {
            panic!("nobody else has it")
        };
        ours.fulfil(ID).await.unwrap();
    });
    for (key, value) in world.store.dump() {
        let value = String::from_utf8_lossy(&value).into_owned();
        for word in [KEY, ID, "secret"] {
            assert!(
                !key.contains(word) && !value.contains(word),
                "{key}: {value}"
            );
        }
    }
    assert!(
        world
            .store
            .counters()
            .keys()
            .all(|name| !name.contains(KEY))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(schedules()))]

    /// Many at once, with clocks a minute apart at the turn of a day, some of which die
    /// at any call: one run at most, and exactly one where nobody dies; all who are told
    /// of one are told of the same.
    #[test]
    fn one_run_at_most(
        seed: u64, most in 0..=900_u64,
        come in prop::collection::vec((0..3_000_u64, 0..=60_u64, prop::option::weighted(0.2, 0..8_u64)), 2..12),
    ) {
        let world = World::new();
        world.clock.advance(24 * HOUR - 30 * SECOND);
        let begun = std::cell::RefCell::new(Vec::new());
        let told = std::cell::RefCell::new(Vec::new());
        world.run(all(come.iter().enumerate().map(|(n, (start, ahead, dies))| {
            let double = match dies {
                Some(calls) => StoreDouble::dying(&world.store, *calls, seed.is_multiple_of(2)),
                None => StoreDouble::delaying(
                    &world.store, &world.clock, seed ^ n as u64, Duration::from_millis(most)),
            };
            let ports = Ports {
                clock: Arc::new(world.clock.skewed(SECOND * u32::try_from(*ahead).unwrap())),
                ..double.in_ports(world.ports())
            };
            let (world, begun, told) = (&world, &begun, &told);
            async move {
                world.clock.sleep(Duration::from_millis(*start)).await;
                let claim = async {
                    match keys_of(&ports).claim("me", KEY, b"").await.unwrap() {
                        Keyed::Ours(claim) => {
                            let id = format!("{n}");
                            begun.borrow_mut().push(id.clone());
                            claim.fulfil(&id).await.unwrap();
                        }
                        Keyed::Known(Known::Run(id)) => told.borrow_mut().push(id),
                        Keyed::Known(Known::Other) => panic!("the same was asked"),
                        Keyed::Pending => {}
                    }
                };
                futures::future::select(Box::pin(claim), double.death()).await;
            }
        })));
        let begun = begun.into_inner();
        prop_assert!(begun.len() <= 1, "{begun:?}");
        if come.iter().all(|(_, _, dies)| dies.is_none()) {
            prop_assert_eq!(begun.len(), 1);
        }
        prop_assert!(told.into_inner().iter().all(|id| *id == begun[0]));
    }
}
