//! Logs in virtual time, on stores of all manners.

mod keys;
mod schedules;

use std::sync::Arc;

use super::*;
use crate::ports::{Clock, Ports};
use crate::sse::{Body, Event, Recording, Writer, WriterConfig, channel};
use crate::testing::World;

const ID: &str = "0123456789abcdef0123456789abcdef";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn logs_of(ports: &Ports) -> RunLogs {
    RunLogs::new(&Store::open(ports), "run").unwrap()
}

/// One more instance on the store of `world`.
fn logs(world: &World) -> RunLogs {
    logs_of(&world.ports())
}

/// A run of an instance with `ports`, whose client is there.
struct Stream {
    writer: Writer,
    body: Body,
    recording: Recording,
}

fn stream(ports: &Ports) -> Stream {
    let config = WriterConfig::default().numbered(true).capacity(1 << 24);
    let (writer, body) = channel(Arc::clone(&ports.clock), config, None);
    let recording = writer.record();
    Stream {
        writer,
        body,
        recording,
    }
}

async fn say(writer: &Writer, word: impl std::fmt::Display) {
    writer.feed(Event::data(&word.to_string())).await.unwrap();
}

/// Frame `number` as it is on the wire.
fn frame(number: u64, word: impl std::fmt::Display) -> String {
    format!("id: {number}\ndata: {word}\n\n")
}

/// All that comes, as text, and how it ends.
async fn read_all(mut reader: LogReader) -> (String, Piece) {
    let mut text = Vec::new();
    loop {
        match reader.next().await {
            Piece::Frames(frames) => text.extend_from_slice(&frames),
            end => return (String::from_utf8(text).unwrap(), end),
        }
    }
}

/// A run of so many frames, from its begin to its end, without a pause.
fn ran(world: &World, frames: u64, owner: Option<&str>) {
    let Stream {
        writer,
        body,
        recording,
    } = stream(&world.ports());
    world.run(async {
        let log = logs(world).begin(ID, owner).await.unwrap();
        for number in 1..=frames {
            say(&writer, number).await;
        }
        drop((writer, body));
        log.keep(recording).await;
    });
    world.drain();
}

#[test]
fn frames_after_a_number_are_read_again_byte_for_byte() {
    for count in [0, 1, 63, 64, 65, 128, 200, 1_000] {
        let world = World::new();
        ran(&world, count, None);
        let whole: Vec<String> = (1..=count).map(|n| frame(n, n)).collect();
        for after in [0, 1, 62, 63, 64, 65, 127, 128, 199, 999, 5_000, u64::MAX] {
            let opened = world.run(logs(&world).open(ID, None, after));
            if after >= count {
                assert_eq!(
                    opened.err(),
                    Some(Unreadable::NothingLeft),
                    "{count}, {after}"
                );
                continue;
            }
            let (text, end) = world.run(read_all(opened.unwrap()));
            assert_eq!(text, whole[usize::try_from(after).unwrap()..].concat());
            assert_eq!(end, Piece::Ended);
        }
    }
}

#[test]
fn only_who_may_reads() {
    let world = World::new();
    ran(&world, 3, Some("user a"));
    let open = |id: &str, reader: Option<&str>| world.run(logs(&world).open(id, reader, 0)).err();
    assert_eq!(open(ID, Some("user a")), None);
    for reader in [None, Some("user b"), Some("")] {
        assert_eq!(open(ID, reader), Some(Unreadable::Unknown), "{reader:?}");
    }
    let guessed = "1123456789abcdef0123456789abcdef";
    assert_eq!(open(guessed, Some("user a")), Some(Unreadable::Unknown));
}

#[test]
fn the_store_has_no_word_of_it() {
    let world = World::new();
    let Stream {
        writer, recording, ..
    } = stream(&world.ports());
    world.run(async {
        let log = logs(&world).begin(ID, Some("the-owner")).await.unwrap();
        for _ in 0..100 {
            say(&writer, "secret-word").await;
        }
        drop(writer);
        log.keep(recording).await;
        let mut reader = logs(&world).open(ID, Some("the-owner"), 0).await.unwrap();
        reader.next().await;
    });
    let dump = world.store.dump();
    assert!(dump.len() >= 3);
    for (key, value) in dump {
        let value = String::from_utf8_lossy(&value).into_owned();
        for word in ["secret-word", ID, "the-owner", "data:"] {
            assert!(
                !key.contains(word) && !value.contains(word),
                "{key}: {value}"
            );
        }
    }
}

/// No segment can be put in another's place, nor its life be made longer.
#[test]
fn segments_are_not_moved() {
    let world = World::new();
    ran(&world, 70, None);
    let mut dump = world.store.dump().into_iter();
    let (first, value) = dump.find(|(key, _)| key.ends_with(":0")).unwrap();
    let second = first.replace(":0", ":1");
    world.store.put_raw(&second, value.clone());
    let reader = world.run(logs(&world).open(ID, None, 0)).unwrap();
    let (text, end) = world.run(read_all(reader));
    assert_eq!((text.matches("id:").count(), end), (64, Piece::Lost));
    let text = String::from_utf8_lossy(&value).replace("2026-01-01T00", "2027-01-01T00");
    world.store.put_raw(&first, text.into_bytes());
    let opened = world.run(logs(&world).open(ID, None, 0));
    assert_eq!(opened.err(), Some(Unreadable::Unknown));
}

#[test]
fn a_log_is_kept_for_ten_minutes_after_the_end() {
    for count in [3, 100] {
        let world = World::new();
        ran(&world, count, None);
        world.clock.advance(KEPT - SECOND);
        let reader = world.run(logs(&world).open(ID, None, 1)).unwrap();
        assert_eq!(world.run(read_all(reader)).1, Piece::Ended);
        world.clock.advance(2 * SECOND);
        for after in [0, 70] {
            let opened = world.run(logs(&world).open(ID, None, after));
            assert_eq!(opened.err(), Some(Unreadable::Unknown), "{count}, {after}");
        }
    }
}

#[test]
fn after_a_week_nothing_is_left() {
    let world = World::new();
    for count in [0, 3, 64, 700] {
        ran(&world, count, None);
        let reader = world.run(logs(&world).open(ID, None, 0));
        if let Ok(reader) = reader {
            world.run(read_all(reader));
        }
        let keys = Keys::new(&Store::open(&world.ports()), "run-key");
        world.run(async {
            let key = format!("a key of a run {count}");
            let Keyed::Ours(claim) = keys.claim("me", &key, b"").await.unwrap() else {
                panic!("nobody else has it")
            };
            claim.fulfil(ID).await.unwrap();
        });
        world.drain();
    }
    assert!(world.store.len() > 10);
    for _ in 0..7 * 24 {
        world.clock.advance(3_600 * SECOND);
        world.run(Store::open(&world.ports()).get("none")).unwrap();
        world.drain();
    }
    let keys = world.store.dump().into_keys();
    let left: Vec<_> = keys.filter(|key| key.matches(':').count() > 1).collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(
        world.store.counters().len(),
        0,
        "{:?}",
        world.store.counters()
    );
}

/// An operator's sweep meanwhile takes none of it, and notes none of it twice.
#[test]
fn a_full_sweep_leaves_what_can_be_read() {
    let world = World::new();
    ran(&world, 200, None);
    let before = world.store.len();
    let store = Store::open(&world.ports());
    world.run(store.full_sweep(&["run"])).unwrap();
    assert_eq!(world.store.len(), before);
    let reader = world.run(logs(&world).open(ID, None, 0)).unwrap();
    assert_eq!(world.run(read_all(reader)).1, Piece::Ended);
}

/// Who reads a run that says nothing for a long time waits, also where its store is as
/// slow as it may be; who has seen more than the log has does, too.
#[test]
fn silence_is_not_death() {
    for delay in [0, 200, 450] {
        let world = World::new();
        let delay = Duration::from_millis(delay);
        world.store.slow_down(&world.clock, delay);
        let Stream {
            writer, recording, ..
        } = stream(&world.ports());
        world.run(async {
            let log = logs(&world).begin(ID, None).await.unwrap();
            let work = async {
                say(&writer, 1).await;
                world.clock.sleep(5 * MINUTE).await;
                say(&writer, 2).await;
                drop(writer);
            };
            let all = async {
                world.clock.sleep(30 * SECOND).await;
                let reader = logs(&world).open(ID, None, 0).await.unwrap();
                let ahead = logs(&world).open(ID, None, 1).await.unwrap();
                futures::join!(read_all(reader), read_all(ahead))
            };
            let ((), (), (all, rest)) = futures::join!(work, log.keep(recording), all);
            assert_eq!(all, (frame(1, 1) + &frame(2, 2), Piece::Ended), "{delay:?}");
            assert_eq!(rest, (frame(2, 2), Piece::Ended), "{delay:?}");
        });
    }
}

/// A run whose instance dies is lost within 20 s and a look, whatever the clocks say.
#[test]
fn a_run_that_has_died_is_lost() {
    let world = World::new();
    let other = world.instance();
    let ahead = Ports {
        clock: Arc::new(world.clock.skewed(MINUTE)),
        ..other.ports()
    };
    let Stream {
        writer,
        body,
        recording,
    } = stream(&ahead);
    other.run(async {
        let log = logs_of(&ahead).begin(ID, None).await.unwrap();
        say(&writer, 1).await;
        let some_time = std::pin::pin!(world.clock.sleep(7 * SECOND));
        futures::future::select(Box::pin(log.keep(recording)), some_time).await;
    });
    drop((writer, body, other));
    let begin = world.clock.now();
    let reader = world.run(logs(&world).open(ID, None, 0)).unwrap();
    assert_eq!(world.run(read_all(reader)), (frame(1, 1), Piece::Lost));
    let took = world.clock.now() - begin;
    assert!(took >= LOST && took <= LOST + 2 * SECOND, "{took:?}");
}

/// What cannot be looked at may live.
#[test]
fn a_store_that_fails_loses_no_run() {
    let world = World::new();
    let Stream {
        writer, recording, ..
    } = stream(&world.ports());
    world.run(async {
        let log = logs(&world).begin(ID, None).await.unwrap();
        let mut reader = logs(&world).open(ID, None, 0).await.unwrap();
        let work = async {
            say(&writer, 1).await;
            world.clock.sleep(3 * SECOND).await;
            say(&writer, 2).await;
            drop(writer);
        };
        let reading = async {
            assert_eq!(reader.next().await, Piece::Frames(frame(1, 1).into()));
            world.clock.sleep(5 * SECOND).await;
            // The reader's own store fails for a minute.
            world.store.fail_with(Some(StoreError::unavailable("gone")));
            let failing = async {
                world.clock.sleep(MINUTE).await;
                world.store.fail_with(None);
            };
            let ((), next) = futures::join!(failing, reader.next());
            assert_eq!(next, Piece::Frames(frame(2, 2).into()));
            assert_eq!(reader.next().await, Piece::Ended);
        };
        futures::join!(work, log.keep(recording), reading);
    });
}

/// The log of a run on a store that is ever slower; how long its writes have blocked
/// it, of how long it was.
fn slow(delay: Duration, run: Duration) -> (World, Duration, bool) {
    let world = World::new();
    let ports = world.ports();
    let Stream {
        writer,
        body,
        recording,
    } = stream(&ports);
    let watch = recording.watch();
    let spent = world.run(async {
        world.store.slow_down(&world.clock, delay);
        let log = logs(&world).begin(ID, None).await.unwrap();
        let begin = world.clock.now();
        let before = world.store.calls();
        let work = async {
            for number in 1.. {
                say(&writer, number).await;
                world.clock.sleep(Duration::from_millis(100)).await;
                if world.clock.now() - begin >= run {
                    break;
                }
            }
            drop(writer);
        };
        futures::join!(work, log.keep(recording));
        u32::try_from(world.store.calls() - before).unwrap() * delay
    });
    let kept = watch.is_kept();
    drop(body);
    (world, spent, kept)
}

#[test]
fn a_slow_store_costs_a_run_a_tenth_of_its_time_at_most() {
    for (delay, run, stays) in [
        (20, 60, true),
        (100, 60, true),
        (200, 60, true),
        (200, 10, true),
        // Ten words a second are two segments each time by then.
        (450, 120, false),
        (501, 120, false),
        (2_000, 120, false),
    ] {
        let (delay, run) = (Duration::from_millis(delay), SECOND * run);
        let (world, spent, kept) = slow(delay, run);
        assert_eq!(kept, stays, "{delay:?}");
        assert!(spent <= run / 10, "{delay:?}: {spent:?} of {run:?}");
        world.store.slow_down(&world.clock, Duration::ZERO);
        let opened = world.run(logs(&world).open(ID, None, 0)).err();
        assert_eq!(opened, (!stays).then_some(Unreadable::Gone), "{delay:?}");
    }
}

/// The log ends, the stream does not; who reads the log is told so.
#[test]
fn a_store_that_fails_or_is_full_ends_the_log_alone() {
    for full in [false, true] {
        let world = World::new();
        let Stream {
            writer,
            body,
            recording,
        } = stream(&world.ports());
        let watch = recording.watch();
        world.run(async {
            let log = logs(&world).begin(ID, None).await.unwrap();
            let work = async {
                say(&writer, 1).await;
                world.clock.sleep(2 * SECOND).await;
                let fault = StoreError::unavailable("gone");
                world.store.fill(full);
                world.store.fail_with((!full).then_some(fault));
                say(&writer, 2).await;
                world.clock.sleep(2 * SECOND).await;
                world.store.fail_with(None);
                say(&writer, 3).await;
                assert!(!watch.is_kept());
            };
            let reading = async {
                world.clock.sleep(SECOND).await;
                read_all(logs(&world).open(ID, None, 0).await.unwrap()).await
            };
            let ((), (), read) = futures::join!(work, log.keep(recording), reading);
            assert_eq!(read, (frame(1, 1), Piece::Lost), "{full}");
            drop(writer);
            let read = http_body_util::BodyExt::collect(body)
                .await
                .unwrap()
                .to_bytes();
            assert_eq!(read, frame(1, 1) + &frame(2, 2) + &frame(3, 3));
        });
        let opened = world.run(logs(&world).open(ID, None, 0)).err();
        let expected = match full {
            false => Unreadable::Gone,
            true => Unreadable::Unknown,
        };
        assert_eq!(opened, Some(expected));
    }
}

#[test]
fn a_log_ends_after_an_hour() {
    let world = World::new();
    let Stream {
        writer,
        body: _body,
        recording,
    } = stream(&world.ports());
    let watch = recording.watch();
    world.run(async {
        let log = logs(&world).begin(ID, None).await.unwrap();
        say(&writer, 1).await;
        log.keep(recording).await;
    });
    assert!(!watch.is_kept());
    let took = world.clock.now() - crate::ports::Instant::default();
    assert!(took >= LONGEST && took < LONGEST + MINUTE, "{took:?}");
}

/// A run knows whether anybody reads it, by what readers of other instances note.
#[test]
fn who_is_read_is_not_abandoned() {
    let world = World::new();
    let Stream {
        writer,
        body,
        recording,
    } = stream(&world.ports());
    world.run(async {
        let log = logs(&world).begin(ID, None).await.unwrap();
        let readers = log.readers();
        drop(body);
        let begin = world.clock.now();
        let reading = async {
            world.clock.sleep(50 * SECOND).await;
            let mut reader = logs(&world).open(ID, None, 0).await.unwrap();
            let reading = std::pin::pin!(reader.next());
            let for_a_while = std::pin::pin!(world.clock.sleep(3 * MINUTE));
            futures::future::select(reading, for_a_while).await;
        };
        let abandoned = async {
            readers.none_for(MINUTE).await;
            let took = world.clock.now() - begin;
            let last = 50 * SECOND + 3 * MINUTE;
            assert!(
                took > last + MINUTE - TOUCH && took <= last + MINUTE + TOUCH,
                "{took:?}"
            );
            drop(writer);
        };
        futures::join!(log.keep(recording), reading, abandoned);
    });
}

/// Calls of the store a second, of a run that says something all the time and of one
/// that is silent, and of their readers.
#[test]
fn what_a_run_and_a_reader_cost() {
    for (pause, run, reader) in [(20_u64, 4.1, 4.3), (60_000, 0.25, 1.5)] {
        let world = World::new();
        let Stream {
            writer, recording, ..
        } = stream(&world.ports());
        let log = world.run(logs(&world).begin(ID, None)).unwrap();
        let until = world.clock.now() + MINUTE;
        let before = world.store.calls();
        world.run(async {
            let work = async {
                while world.clock.now() < until {
                    say(&writer, "word").await;
                    world.clock.sleep(Duration::from_millis(pause)).await;
                }
                drop(writer);
            };
            futures::join!(work, log.keep(recording));
        });
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let rate = |calls: u64| calls as f64 / 60.0;
        let wrote = rate(world.store.calls() - before);
        // Of 50 frames a second, each 64 are a segment more, to write and to read.
        let segments = if pause < 1_000 { 50.0 / 64.0 } else { 0.0 };
        assert!(wrote <= run + segments, "{wrote} a second");
        let reads = reads_a_second(pause);
        let most = reader + segments;
        assert!((0.5..=most).contains(&reads), "{reads} a second");
        println!("a frame each {pause} ms: a run {wrote:.2}, a reader {reads:.2} calls/s");
    }
}

fn reads_a_second(pause: u64) -> f64 {
    let (world, running) = (World::new(), World::new());
    // The run's own calls are not counted: they go to a store of their own, which is
    // copied.
    let Stream {
        writer, recording, ..
    } = stream(&running.ports());
    let log = running.run(logs(&running).begin(ID, None)).unwrap();
    let copy = |from: &World| {
        for (key, value) in from.store.dump() {
            world.store.put_raw(&key, value);
        }
    };
    copy(&running);
    let mut keep = Box::pin(log.keep(recording));
    let mut reader = world.run(logs(&world).open(ID, None, 0)).unwrap();
    let before = world.store.calls();
    let mut said = 0;
    for tick in 0..600_u64 {
        // Both worlds go on, a tenth of a second at a time.
        let tenth = Duration::from_millis(100);
        while said * pause < tick * 100 {
            running.run(say(&writer, said));
            said += 1;
        }
        let time = std::pin::pin!(running.clock.sleep(tenth));
        running.run(futures::future::select(&mut keep, time));
        copy(&running);
        let until = world.clock.now() + tenth;
        while world.clock.now() < until {
            let next = std::pin::pin!(reader.next());
            let time = std::pin::pin!(world.clock.sleep_until(until));
            world.run(futures::future::select(next, time));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let calls = (world.store.calls() - before) as f64;
    calls / 60.0
}
