//! What lies in the store: values of the cache, and records of sessions. The store may
//! be anybody's, so whatever is there, it is what was written or it is nothing.

use serde_json::{Value, json};
use spinlane_core::cache::session::{SessionLimits, Sessions};
use spinlane_core::cache::{Cache, Cached, Key, Kind};
use spinlane_core::store::Store;
use spinlane_core::testing::World;

use crate::input::Input;

static KIND: Kind = Kind::new("fuzz", 1);

/// Any bytes in the place of a value, and any change of a session's record.
///
/// # Panics
/// When something is read that was not written.
pub fn target(data: &[u8]) {
    match data {
        [0, edits @ ..] => record(edits),
        bytes => value(bytes),
    }
}

fn value(bytes: &[u8]) {
    let world = World::new();
    let cache = Cache::new(&Store::open(&world.ports())).typed::<Value>(&KIND);
    let key = Key::new(["ABBA", "Dancing Queen"]);
    world
        .store
        .put_raw(&format!("fuzz:{}", key.hash()), bytes.to_vec());
    match world.run(cache.get(&key)) {
        Cached::Miss => {}
        Cached::Negative => assert!(envelope(bytes, "miss").is_some_and(<[u8]>::is_empty)),
        Cached::Hit(value) => {
            let written = envelope(bytes, "hit").expect("the envelope of a value");
            let written: Value = serde_json::from_slice(written).expect("JSON");
            assert_eq!(value, written);
            // What is read can be written, and read again.
            world.run(cache.put(&key, Some(&value)));
            world.drain();
            assert_eq!(world.run(cache.get(&key)), Cached::Hit(value));
        }
    }
}

/// What follows the first line, where that says what it must.
fn envelope<'a>(bytes: &'a [u8], is: &str) -> Option<&'a [u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let header: Value = serde_json::from_slice(&bytes[..end]).ok()?;
    let expected = json!({"spinlane": 2, "kind": "fuzz", "version": 1, "is": is,
        "key": ["abba", "dancing queen"]});
    let mut members = expected.as_object()?.iter();
    let good = members.all(|(name, value)| header[name] == *value);
    good.then_some(&bytes[end + 1..])
}

fn record(edits: &[u8]) {
    let mut input = Input::new(edits);
    let world = World::new();
    let sessions = Sessions::new(
        &Store::open(&world.ports()),
        "session",
        SessionLimits::default(),
    );
    let token = world.run(sessions.create(&"a user's")).expect("a session");
    let load = || world.run(sessions.load::<String>(token.expose()));
    let written = load().expect("the session");
    let mut keys = world.store.dump().into_iter();
    let (key, mut bytes) = keys
        .find(|(key, _)| key.starts_with("session:"))
        .expect("its record");
    while !input.rest().is_empty() && !bytes.is_empty() {
        let at = input.below(bytes.len());
        match input.below(4) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, input.byte()),
            2 => bytes.truncate(at),
            _ => bytes[at] = input.byte(),
        }
        input.byte();
    }
    world.store.put_raw(&key, bytes);
    if let Ok(read) = load() {
        assert_eq!(read, written, "a record that was changed");
    }
}
