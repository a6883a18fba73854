//! Random runs and readers, each an instance of its own, on stores of all manners.

use proptest::prelude::*;

use super::*;
use crate::testing::{StoreDouble, all, schedules};

/// How an instance's store behaves.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Plain,
    Delays(u64),
    Blocks(u64),
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        Just(Manner::Plain),
        (0..400_u64).prop_map(Manner::Delays),
        (0..100_u64).prop_map(Manner::Blocks),
    ]
}

/// Another machine, whose clock is ahead, with a store of this manner.
fn machine(world: &World, manner: Manner, seed: u64, ahead: u64) -> Ports {
    let (store, clock) = (&world.store, &world.clock);
    let most = Duration::from_millis;
    let ports = match manner {
        Manner::Plain => world.ports(),
        Manner::Delays(ms) => {
            StoreDouble::delaying(store, clock, seed, most(ms)).in_ports(world.ports())
        }
        Manner::Blocks(ms) => {
            StoreDouble::blocking(store, clock, seed, most(ms)).in_ports(world.ports())
        }
    };
    Ports {
        clock: Arc::new(clock.skewed(SECOND * u32::try_from(ahead).unwrap())),
        ..ports
    }
}

/// What a run says: after so long, so many frames of so many bytes.
type Says = Vec<(u64, u64, usize)>;

fn says() -> impl Strategy<Value = Says> {
    let burst = prop_oneof![9 => 1..5_u64, 1 => 60..150_u64];
    prop::collection::vec((0..3_000_u64, burst, 1..100_usize), 1..10)
}

/// Says all of it, and returns it as it was on the wire.
async fn run(world: &World, writer: Writer, says: &Says) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for (pause, frames, bytes) in says {
        world.clock.sleep(Duration::from_millis(*pause)).await;
        for _ in 0..*frames {
            let word = "x".repeat(*bytes);
            say(&writer, &word).await;
            said.push(frame(said.len() as u64 + 1, word));
        }
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(schedules()))]

    /// Whoever begins to read, whenever, after whichever frame, again and again, has in
    /// the end every frame once, in its order.
    #[test]
    fn readers_miss_nothing_and_repeat_nothing(
        seed: u64, writes in manner(), reads in manner(), ahead in 0..=60_u64, says in says(),
        // When a reader begins, and for how long it reads before it begins anew.
        readers in prop::collection::vec((0..9_000_u64, prop::collection::vec(0..4_000_u64, 0..6)), 1..4),
    ) {
        let world = World::new();
        let ports = machine(&world, writes, seed, ahead);
        let Stream { writer, body, recording } = stream(&ports);
        let log = world.run(logs_of(&ports).begin(ID, None)).unwrap();
        let watch = recording.watch();
        drop(body);
        let (world, says) = (&world, &says);
        let reading = all(readers.iter().enumerate().map(|(n, (start, kills))| async move {
            world.clock.sleep(Duration::from_millis(*start)).await;
            let mut text = String::new();
            let mut kills = kills.iter();
            loop {
                let ports = machine(world, reads, seed ^ n as u64, 0);
                let after = text.matches("id: ").count() as u64;
                let mut reader = match logs_of(&ports).open(ID, None, after).await {
                    Ok(reader) => reader,
                    Err(Unreadable::NothingLeft) => return Ok(text),
                    Err(error) => return Err(error),
                };
                let life = kills.next().map_or(10 * MINUTE, |ms| Duration::from_millis(*ms));
                let mut end = std::pin::pin!(world.clock.sleep(life));
                loop {
                    let next = std::pin::pin!(reader.next());
                    match futures::future::select(next, end.as_mut()).await {
                        futures::future::Either::Left((Piece::Frames(frames), _)) => {
                            text += std::str::from_utf8(&frames).unwrap();
                        }
                        futures::future::Either::Left((Piece::Ended, _)) => return Ok(text),
                        futures::future::Either::Left((Piece::Lost, _)) => return Err(Unreadable::Gone),
                        futures::future::Either::Right(_) => break,
                    }
                }
            }
        }));
        let (said, (), read) = world.run(async {
            futures::join!(run(world, writer, says), log.keep(recording), reading)
        });
        for read in read {
            // A log may end; then it says so, and nobody takes a part for the whole.
            if watch.is_kept() {
                prop_assert_eq!(read.unwrap(), said.concat());
            } else {
                prop_assert!(read.is_err());
            }
        }
    }

    /// Where the run's instance dies at any call, readers have what there was, frame for
    /// frame, and then it is lost, within 25 s.
    #[test]
    fn a_run_may_die_at_any_call(seed: u64, calls in 1..40_u64, acts: bool, says in says(), after in 0..30_u64) {
        let world = World::new();
        let other = world.instance();
        let double = StoreDouble::dying(&world.store, calls, acts);
        let ports = double.in_ports(other.ports());
        let Stream { writer, body, recording } = stream(&ports);
        let said = other.run(async {
            let log = logs_of(&ports).begin(ID, None).await.unwrap();
            let life = async {
                let (said, ()) = futures::join!(run(&world, writer, &says), log.keep(recording));
                said
            };
            match futures::future::select(Box::pin(life), double.death()).await {
                futures::future::Either::Left((said, _)) => Some(said),
                futures::future::Either::Right(_) => None,
            }
        });
        drop((body, other));
        let begin = world.clock.now();
        let ports = machine(&world, Manner::Delays(300), seed, 0);
        let read = world.run(async {
            match logs_of(&ports).open(ID, None, after).await {
                Ok(reader) => Some(read_all(reader).await),
                Err(Unreadable::NothingLeft) => None,
                Err(error) => panic!("{error}"),
            }
        });
        prop_assert!(world.clock.now() - begin < 25 * SECOND);
        let skip = usize::try_from(after).unwrap();
        match (said, read) {
            (Some(said), Some((text, end))) => {
                prop_assert_eq!(end, Piece::Ended);
                prop_assert_eq!(text, said[skip..].concat());
            }
            (Some(said), None) => prop_assert!(said.len() <= skip),
            (None, read) => {
                // Dead: without its last word, or just after it.
                if let Some((text, _)) = read {
                    for (at, number) in text.match_indices("id: ").zip(after + 1..) {
                        let expected = format!("id: {number}\n");
                        prop_assert!(text[at.0..].starts_with(&expected));
                    }
                }
            }
        }
    }
}
