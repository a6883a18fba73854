//! How a value of the cache lies in the store: a [`Header`], and the value as
//! JSON. A miss has no value. Whatever does not read as the envelope that is
//! looked for, is a miss: foreign or cut bytes, another format, kind, version or
//! key.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::policy::Kind;
use crate::store::{Header, Is, Times, Timestamp};

/// So long after a refresh that failed the next one is tried.
const RETRY: Duration = Duration::from_secs(60);

/// Of a value that could not be refreshed: it ends as it would have.
pub(super) fn retry_times(now: Timestamp, end: Timestamp) -> Times {
    Times {
        stored: now.min(end),
        fresh_until: now.plus(RETRY).min(end),
        stale_until: end,
    }
}

/// The bytes to store; `None` where the value cannot be written as JSON.
pub(super) fn encode<T: Serialize>(
    kind: &Kind,
    key: &[String],
    value: Option<&T>,
    times: Times,
) -> Option<Vec<u8>> {
    let is = if value.is_some() { Is::Hit } else { Is::Miss };
    let mut bytes = Header::new(kind.namespace, kind.version, key, is, times).line();
    if let Some(value) = value {
        serde_json::to_writer(&mut bytes, value).ok()?;
    }
    Some(bytes)
}

/// What an envelope holds, and when it ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Opened<T> {
    pub(super) value: Option<T>,
    pub(super) fresh_until: Timestamp,
    pub(super) stale_until: Timestamp,
}

/// What `bytes` hold of `kind` under `key`.
pub(super) fn decode<T: DeserializeOwned>(
    kind: &Kind,
    key: &[String],
    bytes: &[u8],
) -> Option<Opened<T>> {
    let (header, value) = Header::split(bytes)?;
    if !header.is_of(kind.namespace, kind.version, key) {
        return None;
    }
    let value = match header.is {
        Is::Hit => Some(serde_json::from_slice(value).ok()?),
        Is::Miss if value.is_empty() => None,
        Is::Miss => return None,
    };
    Some(Opened {
        value,
        fresh_until: header.fresh_until,
        stale_until: header.stale_until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    static KIND: Kind = Kind::new("bpm", 2);

    fn key() -> Vec<String> {
        ["abba", "dancing queen"].map(str::to_owned).to_vec()
    }

    fn times() -> Times {
        let at = |seconds: u64| Timestamp::new(Duration::from_secs(1_767_225_600 + seconds));
        Times {
            stored: at(0),
            fresh_until: at(60),
            stale_until: at(90),
        }
    }

    #[test]
    fn reads_well_in_a_browser_of_the_store() {
        let bytes = encode(&KIND, &key(), Some(&100.4), times()).unwrap();
        let expected = concat!(
            r#"{"spinlane":2,"kind":"bpm","version":2,"is":"hit","#,
            r#""stored":"2026-01-01T00:00:00.000Z","freshUntil":"2026-01-01T00:01:00.000Z","#,
            r#""staleUntil":"2026-01-01T00:01:30.000Z","key":["abba","dancing queen"]}"#,
            "\n100.4"
        );
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn hits_and_misses_are_what_they_were() {
        for value in [Some(100.4), None] {
            let bytes = encode(&KIND, &key(), value.as_ref(), times()).unwrap();
            let opened: Opened<f64> = decode(&KIND, &key(), &bytes).unwrap();
            assert_eq!(opened.value, value);
            assert_eq!(opened.stale_until, times().stale_until);
        }
    }

    /// Of another kind, version, key, format, or order of times.
    #[test]
    fn what_is_not_looked_for_is_a_miss() {
        static OTHER: Kind = Kind::new("tags", 2);
        static NEWER: Kind = Kind::new("bpm", 3);
        let bytes = encode(&KIND, &key(), Some(&1), times()).unwrap();
        assert_eq!(decode::<u8>(&OTHER, &key(), &bytes), None);
        assert_eq!(decode::<u8>(&NEWER, &key(), &bytes), None);
        assert_eq!(decode::<u8>(&KIND, &key()[..1], &bytes), None);
        assert_eq!(decode::<String>(&KIND, &key(), &bytes), None);
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("\"spinlane\":2", "\"spinlane\":1"),
            ("\"hit\"", "\"miss\""),
            ("\"hit\"", "\"stolen\""),
            ("2026-01-01T00:01:30", "2025-01-01T00:01:30"),
            ("2026-01-01T00:01:30", "2026-01-01T00:01:60"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            assert_eq!(decode::<u8>(&KIND, &key(), changed.as_bytes()), None);
        }
        // Members of a later version that this one need not know are no harm.
        let more = text.replace("\"kind\"", "\"note\":[1],\"kind\"");
        assert!(decode::<u8>(&KIND, &key(), more.as_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<serde_json::Value>(&KIND, &key(), &bytes);
        }

        /// Cut anywhere, or with any byte changed: the value is right or a miss.
        /// What changes inside the value itself, JSON cannot tell; so the value
        /// here is one of which every byte is looked at.
        #[test]
        fn damage_is_noticed_or_does_no_harm(at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
            let value = "x".repeat(20);
            let good = encode(&KIND, &key(), Some(&value), times()).unwrap();
            let at = at.index(good.len());
            let mut bad = good.clone();
            if cut {
                bad.truncate(at);
            } else {
                bad[at] = byte;
            }
            if let Some(opened) = decode::<String>(&KIND, &key(), &bad) {
                prop_assert!(opened.value.is_some_and(|value| value.len() == 20));
            }
        }
    }
}
