//! The first line of a value in the store, which says what it is and when it
//! ends.
//!
//! ```text
//! {"spinlane":2,"kind":"bpm","version":1,"is":"hit","stored":"2026-01-01T00:00:00.000Z",
//!  "freshUntil":"2026-03-20T04:11:07.120Z","staleUntil":"2026-04-01T00:00:00.000Z","key":["abba","dancing queen"]}
//! 100.4
//! ```
//!
//! (one line in truth). So a browser of the store shows it as it is.

use serde::{Deserialize, Serialize};

use super::timestamp::Timestamp;

/// The format of the first line. What has another is nobody's value any more: in
/// the first one it was noted in another index.
const FORMAT: u16 = 2;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    spinlane: u16,
    pub(crate) kind: String,
    pub(crate) version: u16,
    pub(crate) is: Is,
    pub(crate) stored: Timestamp,
    /// Served as it is until then.
    pub(crate) fresh_until: Timestamp,
    /// Served while it is refreshed until then, and after that no more.
    pub(crate) stale_until: Timestamp,
    pub(crate) key: Vec<String>,
}

/// Whether there is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Is {
    Hit,
    Miss,
}

/// From when to when a value is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) stored: Timestamp,
    pub(crate) fresh_until: Timestamp,
    pub(crate) stale_until: Timestamp,
}

impl Header {
    pub(crate) fn new(kind: &str, version: u16, key: &[String], is: Is, times: Times) -> Self {
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
    pub(crate) fn line(&self) -> Vec<u8> {
        // Cannot fail: string keys only, and nothing with a fallible Serialize.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// The header at the beginning of `bytes`, and what comes after it. `None`
    /// for whatever is no value of this format.
    pub(crate) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let end = memchr::memchr(b'\n', bytes)?;
        let header: Self = serde_json::from_slice(&bytes[..end]).ok()?;
        let in_order =
            header.stored <= header.fresh_until && header.fresh_until <= header.stale_until;
        let known = header.spinlane == FORMAT && in_order;
        known.then_some((header, &bytes[end + 1..]))
    }

    pub(crate) fn is_of(&self, kind: &str, version: u16, key: &[String]) -> bool {
        self.kind == kind && self.version == version && self.key == key
    }
}
