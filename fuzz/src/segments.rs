//! What runs have said, in the store. The store may be anybody's, so whatever is there, a
//! reader is given what the run has written, or it is given nothing.

use std::time::Duration;

use futures::future::{Either, join, select};
use spinlane_core::ports::{Clock, KeyValue};
use spinlane_core::runlog::{LogReader, Piece, RunLogs, Unreadable};
use spinlane_core::sse::{self, Event, WriterConfig};
use spinlane_core::store::Store;
use spinlane_core::testing::World;

use crate::input::Input;

const ID: &str = "0123456789abcdef0123456789abcdef";

/// Frames in a segment.
const FRAMES: usize = 64;

/// Any bytes in the place of a segment; and logs of any frames, one of whose segments was
/// changed, exchanged or removed.
///
/// # Panics
/// When something is read that was not written, or what was written is not read.
pub fn target(data: &[u8]) {
    match data {
        [0, bytes @ ..] => foreign(bytes),
        bytes => written(&mut Input::new(bytes)),
    }
}

fn logs(world: &World) -> RunLogs {
    RunLogs::new(&Store::open(&world.ports()), "run").expect("there are counters")
}

/// Segments in the store, in their order.
fn segments(world: &World) -> Vec<(String, Vec<u8>)> {
    let number = |key: &str| key.rsplit(':').next()?.parse::<usize>().ok();
    let dump = world.store.dump().into_iter();
    let mut all: Vec<_> = dump
        .filter(|(key, _)| key.starts_with("run:") && number(key).is_some())
        .collect();
    all.sort_by_key(|(key, _)| number(key));
    all
}

/// Nobody but who knows the run's id can write what is taken for a segment.
fn foreign(bytes: &[u8]) {
    let world = World::new();
    let log = world.run(logs(&world).begin(ID, None));
    let (key, _) = segments(&world).remove(0);
    world.store.put_raw(&key, bytes.to_vec());
    let opened = world.run(logs(&world).open(ID, None, 0));
    assert_eq!(opened.err(), Some(Unreadable::Unknown));
    drop(log);
}

/// A run that was kept, and how.
struct Run {
    /// Its frames, as they were on the wire.
    frames: Vec<Vec<u8>>,
    owner: Option<String>,
    /// Whether it came to its end, or died.
    has_ended: bool,
}

fn written(input: &mut Input<'_>) {
    let world = World::new();
    let run = keep(&world, input);
    let after = input.below(run.frames.len() + 2);
    let opened = run.open(&world, after);
    if run.owner.is_some() {
        let other = world.run(logs(&world).open(ID, Some("somebody else"), 0));
        assert_eq!(other.err(), Some(Unreadable::Unknown));
    }
    match opened {
        Ok(reader) => run.is_read(&world, after, reader, None),
        Err(why) => {
            assert_eq!(why, Unreadable::NothingLeft);
            assert!(run.has_ended && after >= run.frames.len());
        }
    }
    let Some(changed) = change(&world, input) else {
        return;
    };
    match run.open(&world, after) {
        Ok(_) if changed == 0 => panic!("its first segment is not its own"),
        Ok(reader) => run.is_read(&world, after, reader, Some(changed)),
        Err(Unreadable::Unknown) => assert_eq!(changed, 0),
        Err(why) => {
            assert_eq!(why, Unreadable::NothingLeft);
            assert!(run.has_ended && after >= run.frames.len());
        }
    }
}

/// The next event of `input`.
fn event(input: &mut Input<'_>) -> Event {
    let choice = input.byte();
    let text = input.text();
    let event = match choice % 8 {
        0 => Event::comment(&text),
        1 => Event::json(&text).expect("a text has a JSON form"),
        _ => Event::data(&text),
    };
    match choice & 8 {
        0 => event,
        _ => event
            .clone()
            .event(&input.text())
            .unwrap_or_else(|_| event.retry(Duration::from_secs(1))),
    }
}

/// Runs what `input` says, beside its log.
fn keep(world: &World, input: &mut Input<'_>) -> Run {
    let config = WriterConfig::default().numbered(true);
    let (writer, body) = sse::channel(world.ports().clock, config, None);
    let recording = writer.record();
    // Its client goes: what it says waits for nobody.
    drop(body);
    let owner = (input.below(3) == 0).then(|| input.text());
    let has_ended = input.below(4) > 0;
    let events: Vec<_> = (0..input.below(3 * FRAMES)).map(|_| event(input)).collect();
    let mut run = Run {
        frames: Vec::new(),
        owner,
        has_ended,
    };
    for event in &events {
        run.expect(event);
    }
    let work = async {
        for event in events {
            writer.feed(event).await.expect("it is kept");
            if input.below(16) == 0 {
                world.clock.sleep(Duration::from_millis(300)).await;
            }
        }
    };
    world.run(async {
        let log = logs(world).begin(ID, run.owner.as_deref()).await;
        let log = log.expect("the store is there").keep(recording);
        if has_ended {
            let end = async {
                work.await;
                writer.close().await.expect("it is kept");
            };
            join(log, end).await;
        } else if let Either::Left(_) = select(Box::pin(log), Box::pin(work)).await {
            panic!("the log has ended before its run");
        }
    });
    run
}

impl Run {
    /// Notes what a reader is to find of `event`.
    fn expect(&mut self, event: &Event) {
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        // Nobody would see a comment again.
        let mut lines = bytes.split(|byte| *byte == b'\n');
        if !lines.any(|line| line.starts_with(b"data:")) {
            return;
        }
        let mut frame = format!("id: {}\n", self.frames.len() + 1).into_bytes();
        frame.extend_from_slice(&bytes);
        self.frames.push(frame);
    }

    fn open(&self, world: &World, after: usize) -> Result<LogReader, Unreadable> {
        world.run(logs(world).open(ID, self.owner.as_deref(), after as u64))
    }

    /// `reader`, which begins after a frame, is given what was written, and of a segment
    /// that was `changed` and what follows it nothing.
    fn is_read(&self, world: &World, after: usize, reader: LogReader, changed: Option<usize>) {
        let (read, end) = world.run(read_all(reader));
        let after = after.min(self.frames.len());
        let rest = self.frames[after..].concat();
        assert!(rest.starts_with(&read), "what was not written");
        let last = self.frames.len().saturating_sub(1) / FRAMES;
        let first = (after / FRAMES).min(last);
        // What comes before it does not matter to who begins behind it.
        match (end, changed.filter(|changed| *changed >= first)) {
            (Piece::Ended, _) => assert!(self.has_ended && read.len() == rest.len()),
            (_, None) => assert!(!self.has_ended, "it has an end"),
            (_, Some(changed)) => {
                let end = (changed * FRAMES).max(after);
                let good = self.frames[after..end].concat();
                assert!(read.len() <= good.len(), "of a segment that was changed");
            }
        }
    }
}

/// All that comes, and how it ends.
async fn read_all(mut reader: LogReader) -> (Vec<u8>, Piece) {
    let mut read = Vec::new();
    loop {
        match reader.next().await {
            Piece::Frames(frames) => read.extend_from_slice(&frames),
            end => return (read, end),
        }
    }
}

/// Puts something else in the place of a segment: its number, where that is another thing
/// than it was.
fn change(world: &World, input: &mut Input<'_>) -> Option<usize> {
    let all = segments(world);
    let at = input.below(all.len());
    let (key, before) = &all[at];
    let mut bytes = before.clone();
    match input.below(8) {
        0 => {
            let removed = world.run(world.store.delete(key));
            removed.expect("it is there");
            return Some(at);
        }
        // Another of the same run.
        1 => bytes.clone_from(&all[input.below(all.len())].1),
        // The same of another run.
        2 => bytes = another(world, at),
        _ => {
            for _ in 0..=input.below(4) {
                edit(&mut bytes, input);
            }
        }
    }
    world.store.put_raw(key, bytes.clone());
    (bytes != *before).then_some(at)
}

fn edit(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    if bytes.is_empty() {
        return;
    }
    let at = input.below(bytes.len());
    match input.below(4) {
        0 => drop(bytes.remove(at)),
        1 => bytes.insert(at, input.byte()),
        2 => bytes.truncate(at),
        _ => bytes[at] ^= 1 << input.below(8),
    }
}

/// Segment `number` of a run of which the reader does not know the id.
fn another(world: &World, number: usize) -> Vec<u8> {
    let config = WriterConfig::default().numbered(true).capacity(1 << 20);
    let (writer, body) = sse::channel(world.ports().clock, config, None);
    let recording = writer.record();
    let before = segments(world);
    world.run(async {
        let log = logs(world).begin("another", None).await;
        for _ in 0..=number * FRAMES {
            writer.feed(Event::data("another's")).await.expect("room");
        }
        drop((writer, body));
        log.expect("the store is there").keep(recording).await;
    });
    let mut theirs = segments(world);
    theirs.retain(|segment| !before.contains(segment));
    theirs.swap_remove(number).1
}
