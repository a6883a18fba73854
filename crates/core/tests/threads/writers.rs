//! Many writers of one stream, and a reader, each on a thread of its own.

use std::collections::BTreeMap;

use http_body_util::BodyExt;
use spinlane_core::abort::{AbortHandle, AbortReason};
use spinlane_core::sse::{self, Body, Decoder, Event, Writer, WriterConfig};
use spinlane_core::testing::World;

use crate::{Chance, for_each_seed, ports, side_by_side};

const WRITERS: u64 = 6;
const EVENTS: u64 = 20;

fn stream(seed: u64) -> (Writer, Body, AbortHandle) {
    let abort = AbortHandle::new();
    // A few events fill it.
    let config = WriterConfig::default().capacity(64 + (seed % 5 * 50) as usize);
    let clock = ports(&World::new()).clock;
    let (writer, body) = sse::channel(clock, config.numbered(true), Some(abort.clone()));
    (writer, body, abort)
}

/// Writes in all the ways that there are, and gives the numbers of what is to come out.
/// Ends when the stream does.
async fn write(writer: Writer, chance: Chance, task: u64) -> Vec<u64> {
    let mut queued = Vec::new();
    for number in 0..EVENTS {
        chance.pause().await;
        let name = format!("{task}:{number}");
        let event = Event::data(&name);
        let taken = match chance.below(5) {
            0 => writer.feed(event).await.is_ok(),
            1 => writer.send(event).await.is_ok(),
            2 => writer.feed_json(&name).await.is_ok(),
            // It may not have been queued: then it must not come out.
            3 => matches!(chance.perhaps(writer.feed(event)).await, Some(Ok(()))),
            // It may come out or not.
            _ => {
                let posted = Event::data("posted");
                writer.post(posted);
                false
            }
        };
        if taken {
            queued.push(number);
        } else if writer.is_closed() {
            break;
        }
    }
    queued
}

/// What comes out: of each writer the numbers, and all ids.
async fn read(mut body: Body, chance: Chance, frames: u64) -> BTreeMap<u64, Vec<u64>> {
    let (mut decoder, mut seen) = (Decoder::new(1 << 20), BTreeMap::<u64, Vec<u64>>::new());
    let mut next_id = 1_u64;
    for _ in 0..frames {
        let Some(frame) = body.frame().await else {
            break;
        };
        let bytes = frame.expect("no error").into_data().expect("data");
        let decoded = decoder.push(&bytes, |event| {
            assert_eq!(event.id, next_id.to_string(), "ids follow the wire");
            next_id += 1;
            let name = event.data.trim_matches('"');
            if let Some((task, number)) = name.split_once(':') {
                let number = number.parse().expect("a number");
                seen.entry(task.parse().expect("a task"))
                    .or_default()
                    .push(number);
            }
        });
        decoded.expect("small events");
        chance.pause().await;
    }
    seen
}

/// What was queued comes out, once, in the order of each writer; what was taken back does
/// not; then the stream ends.
#[test]
fn nothing_is_lost_doubled_or_reordered() {
    for_each_seed(|seed| async move {
        let (writer, body, abort) = stream(seed);
        let reader = tokio::spawn(read(body, Chance::new(seed, 100), u64::MAX));
        let queued = side_by_side(WRITERS, |task| {
            write(writer.clone(), Chance::new(seed, task), task)
        });
        let queued = queued.await;
        writer.end(Event::data("end")).await.expect("it is open");
        let mut seen = reader.await.expect("it does not panic");
        for (task, queued) in (0..).zip(queued) {
            assert_eq!(
                seen.remove(&task).unwrap_or_default(),
                queued,
                "writer {task}"
            );
        }
        assert!(!abort.signal().is_aborted(), "it ended by itself");
    });
}

/// A reader that goes ends all writers, wherever they are, and the abort fires.
#[test]
fn a_reader_that_goes_ends_all_writers() {
    for_each_seed(|seed| async move {
        let (writer, body, abort) = stream(seed);
        let chance = Chance::new(seed, 100);
        let frames = chance.below(20);
        let reader = tokio::spawn(read(body, chance, frames));
        let queued = side_by_side(WRITERS, |task| {
            write(writer.clone(), Chance::new(seed, task), task)
        });
        let queued = queued.await;
        let seen = reader.await.expect("it does not panic");
        for (task, seen) in seen {
            let queued = &queued[task as usize];
            assert!(
                queued.starts_with(&seen) || seen.starts_with(queued),
                "writer {task}"
            );
        }
        assert!(writer.feed(Event::data("x")).await.is_err(), "it is closed");
        assert_eq!(abort.signal().reason(), Some(AbortReason::ClientGone));
    });
}
