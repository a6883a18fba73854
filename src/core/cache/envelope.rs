//! How a value lies in the store: a line that says what it is, and the value.
//!
//! ```text
//! {"spinlane":1,"kind":"bpm","version":1,"is":"hit","stored":"2026-01-01T00:00:00.000Z",
//!  "freshUntil":"2026-03-20T04:11:07.120Z","staleUntil":"2026-04-01T00:00:00.000Z","key":["abba","dancing queen"]}
//! 100.4
//! ```
//!
//! (one line in truth). So a browser of the store shows it as it is. A miss has
//! no value. Whatever does not read as the envelope that is looked for, is a
//! miss: foreign or cut bytes, another format, kind, version or key.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::policy::Kind;
use super::stamp::Stamp;

/// The format of the first line.
const FORMAT: u16 = 1;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    spinlane: u16,
    pub(super) kind: String,
    pub(super) version: u16,
    pub(super) is: Is,
    pub(super) stored: Stamp,
    /// Served as it is until then.
    pub(super) fresh_until: Stamp,
    /// Served while it is refreshed until then, and after that no more.
    pub(super) stale_until: Stamp,
    pub(super) key: Vec<String>,
}

/// Whether there is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Is {
    Hit,
    Miss,
}

/// From when to when an envelope is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) stored: Stamp,
    pub(super) fresh_until: Stamp,
    pub(super) stale_until: Stamp,
}

impl Header {
    pub(super) fn new(kind: &str, version: u16, key: &[String], is: Is, times: Times) -> Self {
        Self {
            spinlane: FORMAT,
            kind: kind.to_owned(),
            version,
            is,
            stored: times.stored,
            fresh_until: times.fresh_until,
            stale_until: times.stale_until,
            key: key.to_vec(),
        }
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        // Cannot fail: string keys only, and nothing with a fallible Serialize.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// The header at the beginning of `bytes`, and what comes after it. `None`
    /// for whatever is no envelope of this format.
    pub(super) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let end = memchr::memchr(b'\n', bytes)?;
        let header: Self = serde_json::from_slice(&bytes[..end]).ok()?;
        let in_order =
            header.stored <= header.fresh_until && header.fresh_until <= header.stale_until;
        let known = header.spinlane == FORMAT && in_order;
        known.then_some((header, &bytes[end + 1..]))
    }

    pub(super) fn is_of(&self, kind: &str, version: u16, key: &[String]) -> bool {
        self.kind == kind && self.version == version && self.key == key
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
    pub(super) fresh_until: Stamp,
    pub(super) stale_until: Stamp,
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
