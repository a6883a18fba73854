//! A segment of a log, in the store and out of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{FRAMES, Run};
use crate::store::{Header, Is, Times, Timestamp};

/// The version of what lies under a header.
const VERSION: u16 = 1;

/// How a run goes on after a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum After {
    /// It says more.
    More,
    /// It has ended.
    End,
    /// It may say more, and its log does not.
    Nothing,
}

/// Some of a run's frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Counts the writes of the run.
    pub(super) touch: u64,
    pub(super) after: After,
    /// Who alone may read it.
    pub(super) owner: Option<String>,
    pub(super) frames: Bytes,
}

/// The first line of what is encrypted.
#[derive(Serialize, Deserialize)]
struct Line {
    touch: u64,
    after: After,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

impl Segment {
    /// How many frames it has.
    pub(super) fn count(&self) -> usize {
        ends(&self.frames).count()
    }

    /// Whether the next one has begun.
    pub(super) fn is_full(&self) -> bool {
        self.count() >= FRAMES
    }

    /// Its frames but for the first `skip`.
    pub(super) fn without(&self, skip: usize) -> Bytes {
        let begin = match skip.checked_sub(1) {
            None => 0,
            Some(last) => ends(&self.frames).nth(last).unwrap_or(self.frames.len()),
        };
        self.frames.slice(begin..)
    }
}

/// Where each frame ends. An event has no blank line but its last.
fn ends(frames: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memmem::find_iter(frames, b"\n\n").map(|at| at + 2)
}

impl Run {
    /// What to write for segment `number`, to be kept until `until`. `None` where it is
    /// too long to be encrypted.
    pub(super) fn encoded(
        &self,
        number: u64,
        segment: &Segment,
        until: Timestamp,
    ) -> Option<Vec<u8>> {
        let line = Line {
            touch: segment.touch,
            after: segment.after,
            owner: segment.owner.clone(),
        };
        let mut plain = serde_json::to_vec(&line).ok()?;
        plain.push(b'\n');
        plain.extend_from_slice(&segment.frames);
        let mut bytes = self.header(number, until);
        let entropy = &**self.store.entropy();
        let sealed = self.cipher.seal(entropy, &bytes, &plain)?;
        bytes.extend(sealed);
        Some(bytes)
    }

    /// The segment in `bytes`, unless it is over, or none of this run's.
    pub(super) fn decoded(&self, number: u64, bytes: &[u8]) -> Option<Segment> {
        let (header, sealed) = Header::split(bytes)?;
        let is_ours = header.is_of(self.namespace, VERSION, &self.named(number));
        if !is_ours || header.stale_until <= self.now() {
            return None;
        }
        let plain = self
            .cipher
            .open(&bytes[..bytes.len() - sealed.len()], sealed)?;
        let end = memchr::memchr(b'\n', &plain)?;
        let line: Line = serde_json::from_slice(&plain[..end]).ok()?;
        Some(Segment {
            touch: line.touch,
            after: line.after,
            owner: line.owner,
            frames: Bytes::from(plain).slice(end + 1..),
        })
    }

    /// The first line of what is written under a key, with its end.
    pub(super) fn header(&self, part: impl std::fmt::Display, until: Timestamp) -> Vec<u8> {
        let times = Times {
            stored: self.now().min(until),
            fresh_until: until,
            stale_until: until,
        };
        Header::new(self.namespace, VERSION, &self.named(part), Is::Hit, times).line()
    }
}
