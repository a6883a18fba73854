//! Writers and their body, in virtual time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{join, join_all};
use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;
use crate::abort::AbortReason;
use crate::sse::Decoder;
use crate::testing::World;

fn stream(world: &World, capacity: usize) -> (Writer, Body) {
    let config = WriterConfig {
        capacity,
        numbered: true,
        ..WriterConfig::default()
    };
    channel(Arc::new(world.clock.clone()), config, None)
}

async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = body.frame().await?;
    Some(frame.unwrap().into_data().unwrap())
}

/// The data of every event, after a look at the ids.
fn data(bytes: &[u8]) -> Vec<String> {
    let mut data = Vec::new();
    let mut decoder = Decoder::new(1 << 20);
    decoder
        .push(bytes, |event| {
            data.push(event.data.into_owned());
            assert_eq!(event.id, data.len().to_string());
        })
        .unwrap();
    assert!(!decoder.has_partial());
    data
}

async fn all(mut body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next(&mut body).await {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// Whether `future` is ready at its next poll.
fn ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    Pin::new(future).now_or_never()
}

#[test]
fn everything_queued_leaves_at_once() {
    let world = World::new();
    let (writer, mut body) = stream(&world, 1 << 16);
    world.run(async {
        for n in 0..100 {
            writer.feed(Event::data(&n.to_string())).await.unwrap();
        }
        let chunk = next(&mut body).await.unwrap();
        assert_eq!(data(&chunk).len(), 100);
        writer.feed_json("lone").await.unwrap();
        assert_eq!(
            next(&mut body).await.unwrap(),
            "id: 101\ndata: \"lone\"\n\n"
        );
    });
}

#[test]
fn a_full_queue_makes_feeders_wait_in_line() {
    let world = World::new();
    let (writer, mut body) = stream(&world, 150);
    let large = "x".repeat(60);
    world.run(async {
        writer.feed(Event::data(&large)).await.unwrap();
        let mut second = Box::pin(writer.feed(Event::data(&large)));
        let mut third = Box::pin(writer.feed(Event::data("small")));
        assert_eq!(ready(&mut second), None);
        // It would fit, but not before the one that came first.
        assert_eq!(ready(&mut third), None);
        assert!(!writer.try_feed_json("now").unwrap());
        assert_eq!(data(&next(&mut body).await.unwrap()).len(), 1);
        assert_eq!(ready(&mut third), None);
        assert_eq!(ready(&mut second), Some(Ok(())));
        assert_eq!(ready(&mut third), Some(Ok(())));
    });
}

#[test]
fn a_waiting_feeder_that_is_dropped_leaves_no_trace() {
    let world = World::new();
    let (writer, mut body) = stream(&world, 120);
    let large = "x".repeat(60);
    world.run(async {
        writer.feed(Event::data(&large)).await.unwrap();
        let mut dropped = Box::pin(writer.feed(Event::data(&large)));
        assert_eq!(ready(&mut dropped), None);
        let (fed, ()) = join(writer.feed(Event::data("b")), async {
            // Dropping the one in front lets the next one go.
            drop(dropped);
        })
        .await;
        fed.unwrap();
        writer.close().now_or_never();
        let mut bytes = Vec::new();
        while let Some(chunk) = next(&mut body).await {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(data(&bytes), [large.as_str(), "b"]);
    });
}

#[test]
fn an_event_larger_than_the_queue_passes_when_it_is_empty() {
    let world = World::new();
    let (writer, mut body) = stream(&world, 10);
    world.run(async {
        let large = "x".repeat(1000);
        writer.feed(Event::data(&large)).await.unwrap();
        assert_eq!(data(&next(&mut body).await.unwrap()), [large]);
    });
}

#[test]
fn send_waits_until_the_host_has_taken_the_event() {
    let world = World::new();
    let (writer, mut body) = stream(&world, 1 << 16);
    world.run(async {
        let mut sent = Box::pin(writer.send(Event::data("a")));
        assert_eq!(ready(&mut sent), None);
        next(&mut body).await.unwrap();
        // Handed over, but not known to be taken before the next is asked for.
        assert_eq!(ready(&mut sent), None);
        let mut idle = Box::pin(next(&mut body));
        assert_eq!(ready(&mut idle), None);
        assert_eq!(ready(&mut sent), Some(Ok(())));
        assert_eq!(writer.flush().await, Ok(()));
    });
}

#[test]
fn posts_never_wait_and_never_crowd_out_content() {
    let world = World::new();
    let (writer, mut body) = stream(&world, 1000);
    world.run(async {
        let post = |text: &str| writer.post(Event::data(text));
        // Half of the queue is for what must not be lost.
        let taken = (0..100).filter(|_| post(&"p".repeat(50))).count();
        assert!((3..10).contains(&taken), "{taken}");
        assert!(writer.try_feed_json(&"c".repeat(300)).unwrap());
        // Of those with a key the newest waits for room.
        for n in 0..5 {
            assert!(writer.post(Event::data(&format!("step {n}")).coalesce("step")));
        }
        let seen = data(&next(&mut body).await.unwrap());
        assert_eq!(seen.len(), taken + 2);
        assert_eq!(seen.last().map(String::as_str), Some("step 4"));
        assert_eq!(writer.stats().dropped, (100 - taken as u64) + 4);
    });
}

#[test]
fn a_heartbeat_comes_after_exactly_fifteen_silent_seconds() {
    let world = World::new();
    let (writer, mut body) = stream(&world, 1 << 16);
    let clock = world.clock.clone();
    let second = Duration::from_secs(1);
    world.run(async {
        assert_eq!(next(&mut body).await.unwrap(), ": heartbeat\n\n");
        assert_eq!(clock.now().as_nanos(), 15_000_000_000);
        // Anything written begins the silence anew.
        let feeder = async {
            clock.sleep(10 * second).await;
            writer.feed(Event::data("x")).await.unwrap();
        };
        let reader = async {
            let event = next(&mut body).await.unwrap();
            (event, next(&mut body).await.unwrap())
        };
        let ((event, heartbeat), ()) = join(reader, feeder).await;
        assert_eq!(event, "id: 1\ndata: x\n\n");
        assert_eq!(heartbeat, ": heartbeat\n\n");
        assert_eq!(clock.now().as_nanos(), 40_000_000_000);
        assert_eq!(writer.stats().heartbeats, 2);
    });
    drop(body);
    assert_eq!(world.clock.pending_timers(), 0);
}

#[test]
fn the_end_is_the_end() {
    let world = World::new();
    let (writer, body) = stream(&world, 1 << 16);
    let (bytes, ended) = world.run(join(all(body), async {
        writer.feed(Event::data("a")).await.unwrap();
        let ended = writer.end(Event::data("bye")).await;
        assert_eq!(writer.feed(Event::data("late")).await, Err(Closed));
        assert!(!writer.post(Event::data("late")));
        assert_eq!(writer.end(Event::data("late")).await, Err(Closed));
        ended
    }));
    assert_eq!(ended, Ok(()));
    assert_eq!(data(&bytes), ["a", "bye"]);
}

#[test]
fn dropping_the_last_writer_ends_the_stream() {
    let world = World::new();
    let (writer, body) = stream(&world, 1 << 16);
    let clone = writer.clone();
    let bytes = world.run(async {
        writer.feed(Event::data("a")).await.unwrap();
        drop(writer);
        clone.feed(Event::data("b")).await.unwrap();
        drop(clone);
        all(body).await
    });
    assert_eq!(data(&bytes), ["a", "b"]);
}

#[test]
fn a_peer_that_goes_closes_every_call_and_fires_the_abort() {
    let world = World::new();
    let abort = AbortHandle::new();
    let config = WriterConfig {
        capacity: 100,
        ..WriterConfig::default()
    };
    let (writer, body) = channel(Arc::new(world.clock.clone()), config, Some(abort.clone()));
    let large = Event::data(&"x".repeat(90));
    let waiting = join_all([
        writer.send(large.clone()).boxed(),
        writer.feed(large.clone()).boxed(),
        writer.flush().boxed(),
    ]);
    let (results, ()) = world.run(join(waiting, async move {
        assert_eq!(abort.signal().reason(), None);
        drop(body);
        assert_eq!(abort.signal().reason(), Some(AbortReason::ClientGone));
    }));
    assert_eq!(results, [Err(Closed); 3]);
    assert!(writer.is_closed());
    assert_eq!(world.run(writer.close()), Err(Closed));
}

#[test]
fn a_stream_that_ended_by_itself_fires_no_abort() {
    let world = World::new();
    let abort = AbortHandle::new();
    let config = WriterConfig::default();
    let (writer, body) = channel(Arc::new(world.clock.clone()), config, Some(abort.clone()));
    world.run(join(writer.close(), all(body))).0.unwrap();
    assert_eq!(abort.signal().reason(), None);
}

#[test]
fn last_words_follow_what_is_queued_and_end_the_stream() {
    let world = World::new();
    let (writer, body) = stream(&world, 1 << 16);
    let last = body.panic_tail(|id| Some(Event::data(&format!("panic in {id}"))));
    world.run(writer.feed(Event::data("a"))).unwrap();
    assert_eq!(data(&last.bytes("r1")), ["a", "panic in r1"]);
    assert_eq!(last.bytes("r1"), b"", "it is said once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Writers that feed, send and give up at random, with a queue that is
    /// nearly always full, and a body that is read at random times: nothing
    /// hangs, nothing is lost, and each writer's events keep their order.
    #[test]
    fn nothing_is_lost_or_reordered(
        writers in prop::collection::vec(
            prop::collection::vec((0..3_u8, 1..120_usize, 0..5_u64), 1..12),
            1..6,
        ),
        reads in prop::collection::vec(0..4_u64, 1..40),
    ) {
        let world = World::new();
        let (writer, mut body) = stream(&world, 150);
        let clock = world.clock.clone();
        let milli = Duration::from_millis(1);
        let tasks = writers.iter().enumerate().map(|(who, steps)| {
            let (writer, clock) = (writer.clone(), clock.clone());
            async move {
                let mut certain = Vec::new();
                let mut perhaps = Vec::new();
                for (n, (kind, size, pause)) in steps.iter().enumerate() {
                    let text = format!("{who}:{n}:{}", "x".repeat(*size));
                    let event = Event::data(&text);
                    match kind {
                        0 => {
                            writer.feed(event).await.unwrap();
                            certain.push(text);
                        }
                        1 => {
                            writer.send(event).await.unwrap();
                            certain.push(text);
                        }
                        _ => {
                            let patience = clock.sleep(milli);
                            let feed = Box::pin(writer.feed(event));
                            match futures::future::select(feed, patience).await {
                                futures::future::Either::Left(_) => certain.push(text),
                                futures::future::Either::Right(_) => perhaps.push(text),
                            }
                        }
                    }
                    clock.sleep(milli * u32::try_from(*pause).unwrap()).await;
                }
                (certain, perhaps)
            }
        });
        let writing = join_all(tasks.collect::<Vec<_>>());
        drop(writer);
        let reading = async {
            let mut bytes = Vec::new();
            let mut pauses = reads.iter().cycle();
            while let Some(chunk) = next(&mut body).await {
                bytes.extend_from_slice(&chunk);
                clock.sleep(milli * u32::try_from(*pauses.next().unwrap()).unwrap()).await;
            }
            bytes
        };
        let (results, bytes) = world.run(join(writing, reading));
        let seen = data(&bytes);
        for (who, (certain, perhaps)) in results.iter().enumerate() {
            let own: Vec<&String> =
                seen.iter().filter(|text| text.starts_with(&format!("{who}:"))).collect();
            prop_assert_eq!(own, certain.iter().collect::<Vec<_>>());
            prop_assert!(perhaps.iter().all(|text| !seen.contains(text)));
        }
    }
}
