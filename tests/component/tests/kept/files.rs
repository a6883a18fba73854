//! Fixtures as files, which can be read in a review.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use spinlane_component_tests::repository;
use spinlane_host::Host;

/// 1 January 2040: what is written there is not over until then.
const WRITTEN: Duration = Duration::from_secs(2_208_988_800);

/// Begins the keys of counters.
const COUNTER: &str = "~n:";

/// Values by their keys.
pub(crate) type Values = BTreeMap<String, Vec<u8>>;

/// A store, and what is known of it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) values: Values,
    pub(crate) counters: BTreeMap<String, i64>,
    pub(crate) known: Value,
    /// What the run has said.
    pub(crate) run: String,
}

/// Moves the clock of the host's components to when fixtures are written.
pub(crate) fn to_their_time(host: &Host) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let ahead = WRITTEN.checked_sub(now.expect("a clock"));
    host.advance_wall_clock(ahead.expect("the fixtures are in the future"));
}

/// When a value is over, as its first line says; `None` where it says nothing.
pub(crate) fn end_of(value: &[u8]) -> Option<String> {
    let line = value.split(|byte| *byte == b'\n').next()?;
    let header: Value = serde_json::from_slice(line).ok()?;
    Some(header["staleUntil"].as_str()?.to_owned())
}

fn folder() -> PathBuf {
    repository("tests/component/stores")
}

impl Kept {
    /// Of a dump of a store in SQLite, where a counter has eight bytes.
    pub(crate) fn new(dump: Values, known: Value, run: String) -> Self {
        let (counters, values): (Values, Values) = dump
            .into_iter()
            .partition(|(key, _)| key.starts_with(COUNTER));
        let count = |value: Vec<u8>| i64::from_le_bytes(value.try_into().expect("a counter"));
        Self {
            values,
            counters: counters
                .into_iter()
                .map(|(key, value)| (key, count(value)))
                .collect(),
            known,
            run,
        }
    }

    /// All of them, the newest last.
    pub(crate) fn all() -> Vec<Self> {
        let all = std::fs::read_dir(folder()).expect("the fixtures");
        let mut all: Vec<_> = all.map(|entry| entry.expect("an entry").path()).collect();
        all.retain(|path| path.is_dir());
        all.sort();
        assert!(
            !all.is_empty(),
            "SPINLANE_WRITE_STORE=NAME writes the first"
        );
        all.iter().map(|folder| Self::load(folder)).collect()
    }

    fn load(folder: &Path) -> Self {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a fixture");
        let (mut values, mut counters) = (Values::new(), BTreeMap::new());
        for line in text("store.txt").lines() {
            let (key, value) = line.split_once('\t').expect("a key and a value");
            match key.starts_with(COUNTER) {
                true => drop(counters.insert(key.into(), value.parse().expect("a number"))),
                false => drop(values.insert(key.into(), bytes(value))),
            }
        }
        Self {
            values,
            counters,
            known: serde_json::from_str(&text("known.json")).expect("JSON"),
            run: text("run.txt"),
        }
    }

    /// Adds a folder.
    pub(crate) fn save(&self, name: &str) {
        let folder = folder().join(name);
        std::fs::create_dir(&folder).expect("a fixture that is there stays as it is");
        let values = self.values.iter().map(|(key, value)| (key, text(value)));
        let counters = self.counters.iter();
        let lines = values.chain(counters.map(|(key, count)| (key, count.to_string())));
        let store: String = lines
            .map(|(key, value)| format!("{key}\t{value}\n"))
            .collect();
        let known = format!("{:#}\n", self.known);
        for (name, text) in [
            ("store.txt", &store),
            ("known.json", &known),
            ("run.txt", &self.run),
        ] {
            std::fs::write(folder.join(name), text).expect("it can be written");
        }
    }

    /// Puts all of it into the store of a host, in which a counter is what `counter` says.
    pub(crate) fn put_into<T: AsRef<[u8]>>(&self, host: &Host, counter: impl Fn(i64) -> T) {
        let store = host.store();
        for (key, value) in &self.values {
            store.put_raw(key, value);
        }
        for (key, count) in &self.counters {
            store.put_raw(key, counter(*count));
        }
    }

    /// What is known under `name`.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.known[name].as_str().expect("a text")
    }
}

/// Bytes as text: what can be read as it is, the rest as `\xNN`.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").expect("there is memory"),
        }
    }
    text
}

/// The bytes of a text.
fn bytes(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, length) = match &escaped[..1] {
            "n" => (b'\n', 1),
            "\\" => (b'\\', 1),
            _ => (
                u8::from_str_radix(&escaped[1..3], 16).expect("hexadecimal"),
                3,
            ),
        };
        bytes.push(byte);
        rest = &escaped[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn every_byte_is_written_and_read() {
    let all: Vec<u8> = (0..=255).chain(*b"\\x41\\n").collect();
    assert_eq!(bytes(&text(&all)), all);
}
