//! An incremental parser for event streams: total over all bytes, bounded in
//! memory, linear in time.

use std::borrow::Cow;
use std::time::Duration;

use memchr::memchr2;

/// The stream can not be read any further.
///
/// ```
/// use spinlane_core::sse::{DecodeError, Decoder};
///
/// let (mut decoder, mut seen) = (Decoder::new(12), 0);
/// let error = decoder.push(b"data: one\n\ndata: more than it may hold", |_| seen += 1);
/// assert_eq!((error, seen), (Err(DecodeError::TooLarge { limit: 12 }), 1));
/// // Nothing that comes later is read.
/// assert_eq!(decoder.push(b"\n\ndata: two\n\n", |_| seen += 1), error);
/// assert_eq!(seen, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// One event, with the line that comes next, is larger than the decoder may
    /// hold.
    #[error("an event of the stream is larger than {limit} bytes")]
    TooLarge {
        /// What [`Decoder::new`] was given.
        limit: usize,
    },
}

/// An event, as the decoder hands it on.
///
/// ```
/// use spinlane_core::sse::{Decoded, Decoder};
///
/// let mut seen = Vec::new();
/// let mut note = |event: Decoded<'_>| {
///     seen.push(format!("{} {} {}", event.id, event.event, event.data));
/// };
/// let mut decoder = Decoder::new(1024);
/// decoder.push(b"id: 7\nevent: note\ndata: one\n\n", &mut note)?;
/// decoder.push(b"data: two\n\n", &mut note)?;
/// assert_eq!(seen, ["7 note one", "7 message two"]);
/// # Ok::<(), spinlane_core::sse::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The type; `message` unless the stream names another.
    pub event: Cow<'a, str>,
    /// The data lines, joined with LF.
    pub data: Cow<'a, str>,
    /// The last event id that the stream has given so far.
    pub id: &'a str,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The parser. Chunks may be split anywhere, inside a character too; invalid
/// UTF-8 becomes U+FFFD.
///
/// ```
/// use spinlane_core::sse::Decoder;
///
/// let (mut decoder, mut seen) = (Decoder::new(1024), Vec::new());
/// // Split wherever it likes.
/// for chunk in ["data: o", "ne\n\nda", "ta: two\r\n\r\n"] {
///     decoder.push(chunk.as_bytes(), |event| seen.push(event.data.into_owned()))?;
/// }
/// assert_eq!(seen, ["one", "two"]);
/// # Ok::<(), spinlane_core::sse::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// Inside a comment: nobody needs what it says, so it costs no memory.
    in_comment: bool,
    /// The last chunk ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Bytes of a byte order mark so far. It counts only at the very beginning.
    bom: Option<usize>,
    /// Data lines so far, each with its LF.
    data: Vec<u8>,
    event: Vec<u8>,
    /// Takes effect at the blank line, so that a cut block has no effect.
    pending_id: Option<String>,
    id: String,
    retry: Option<Duration>,
    /// Fields of a block that has not ended.
    in_block: bool,
    failed: Option<DecodeError>,
    /// Bytes looked at or copied, for the test that time is linear.
    #[cfg(test)]
    pub(super) work: usize,
    /// The most that was held within a push, a line that is taken apart
    /// included.
    #[cfg(test)]
    pub(super) peak: usize,
}

impl Decoder {
    /// A decoder that holds at most `limit` bytes: of one event, with the id that
    /// is in force. A line counts whole, without its end, beside what the event
    /// has so far; a comment does not count. Where the chunks are split makes no
    /// difference.
    ///
    /// Within a [`push`](Self::push) there is a second copy of a line that came
    /// in pieces, then of the text that is handed on, in which an invalid byte
    /// becomes a character of three: at most four times `limit` in all, the
    /// spare room of buffers left out.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            in_comment: false,
            after_cr: false,
            bom: Some(0),
            data: Vec::new(),
            event: Vec::new(),
            pending_id: None,
            id: String::new(),
            retry: None,
            in_block: false,
            failed: None,
            #[cfg(test)]
            work: 0,
            #[cfg(test)]
            peak: 0,
        }
    }

    /// Takes the next bytes of the stream and calls `on_event` for every event
    /// that they complete.
    ///
    /// # Errors
    /// [`DecodeError`], after the events that came before it. It is final:
    /// every later call answers the same.
    pub fn push(
        &mut self,
        chunk: &[u8],
        mut on_event: impl FnMut(Decoded<'_>),
    ) -> Result<(), DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.scan(chunk, &mut on_event);
        if let Err(error) = result {
            // Nothing of it will be needed.
            *self = Self {
                failed: Some(error),
                id: std::mem::take(&mut self.id),
                ..Self::new(self.limit)
            };
        }
        result
    }

    /// Ends the stream and calls `on_event` for what had arrived of an event
    /// whose blank line is missing. The standard says to drop it, and so does
    /// who does not call this: it is for reading an upstream that is known to
    /// end without one. What it gives may be a part of what was meant.
    ///
    /// # Errors
    /// [`DecodeError`], as [`push`](Self::push).
    pub fn finish(mut self, on_event: impl FnMut(Decoded<'_>)) -> Result<(), DecodeError> {
        // After a CR that ended a line, an LF of it is skipped.
        self.after_cr = false;
        self.push(b"\n\n", on_event)
    }

    /// Whether the stream stopped inside an event or a line: what had arrived of
    /// it is not dispatched, as the standard says.
    pub fn has_partial(&self) -> bool {
        self.in_block || self.in_comment || !self.line.is_empty() || self.bom > Some(0)
    }

    /// The last event id so far.
    pub fn last_event_id(&self) -> &str {
        &self.id
    }

    /// The reconnection time that the stream asked for.
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Bytes held at the moment, the last event id included: never more than the
    /// limit.
    pub fn buffered(&self) -> usize {
        let pending = self.pending_id.as_ref().map_or(0, String::len);
        self.line.len() + self.data.len() + self.event.len() + pending + self.id.len()
    }

    fn scan(
        &mut self,
        chunk: &[u8],
        on_event: &mut impl FnMut(Decoded<'_>),
    ) -> Result<(), DecodeError> {
        let mut rest = self.skip_bom(chunk)?;
        if let (true, [first, after @ ..]) = (self.after_cr, rest) {
            self.after_cr = false;
            if *first == b'\n' {
                rest = after;
            }
        }
        while let Some(end) = memchr2(b'\r', b'\n', rest) {
            self.count(end + 1);
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if std::mem::take(&mut self.in_comment) {
                // Its end.
            } else if self.line.is_empty() {
                self.whole_line(line, on_event)?;
            } else {
                self.extend_line(line)?;
                let mut whole = std::mem::take(&mut self.line);
                self.whole_line(&whole, on_event)?;
                #[cfg(test)]
                {
                    self.peak = self.peak.max(whole.len() + self.buffered());
                }
                // The allocation serves the next line.
                whole.clear();
                self.line = whole;
            }
            rest = match (rest[end], after) {
                (b'\r', [b'\n', after @ ..]) => after,
                (b'\r', []) => {
                    self.after_cr = true;
                    after
                }
                _ => after,
            };
        }
        self.count(rest.len());
        self.extend_line(rest)
    }

    /// What follows a byte order mark, which may come in pieces.
    fn skip_bom<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        let Some(before) = self.bom else {
            return Ok(chunk);
        };
        let missing = BOM.iter().skip(before);
        let more = missing.zip(chunk).take_while(|(a, b)| a == b).count();
        if before + more < BOM.len() && more == chunk.len() {
            self.bom = Some(before + more);
            return Ok(&[]);
        }
        self.bom = None;
        if before + more == BOM.len() {
            return Ok(&chunk[more..]);
        }
        // It was none: its beginning is that of the first line.
        self.extend_line(&BOM[..before])?;
        Ok(chunk)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.in_comment |= self.line.is_empty() && bytes.first() == Some(&b':');
        if self.in_comment {
            return Ok(());
        }
        self.check(bytes.len())?;
        let room = self.line.capacity();
        self.line.extend_from_slice(bytes);
        // A buffer that grows moves.
        self.count(match self.line.capacity() == room {
            true => bytes.len(),
            false => self.line.len(),
        });
        Ok(())
    }

    #[cfg(test)]
    const fn count(&mut self, bytes: usize) {
        self.work += bytes;
    }

    #[cfg(not(test))]
    const fn count(&mut self, _: usize) {}

    fn check(&self, more: usize) -> Result<(), DecodeError> {
        if self.buffered() + more > self.limit {
            return Err(DecodeError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    fn whole_line(
        &mut self,
        line: &[u8],
        on_event: &mut impl FnMut(Decoded<'_>),
    ) -> Result<(), DecodeError> {
        if line.is_empty() {
            self.dispatch(on_event);
            return Ok(());
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return Ok(()),
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        // What a field adds to its event is never more than its line, but for
        // an id that is no UTF-8.
        self.check(line.len())?;
        // Its colon is looked for, and its value copied.
        self.count(2 * line.len());
        self.in_block = true;
        self.field(name, value)
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => {
                self.event.clear();
                self.event.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => {
                let id = String::from_utf8_lossy(value);
                self.pending_id = None;
                self.check(id.len())?;
                self.pending_id = Some(id.into_owned());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digits = std::str::from_utf8(value).ok();
                let millis = digits.and_then(|digits| digits.parse().ok());
                // More milliseconds than 64 bits hold is no time at all.
                self.retry = millis.map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(Decoded<'_>)) {
        self.in_block = false;
        if let Some(id) = self.pending_id.take() {
            self.id = id;
        }
        if let Some((_, data)) = self.data.split_last() {
            let event = match self.event.as_slice() {
                [] => Cow::Borrowed("message"),
                name => String::from_utf8_lossy(name),
            };
            on_event(Decoded {
                event,
                data: String::from_utf8_lossy(data),
                id: &self.id,
            });
        }
        self.data.clear();
        self.event.clear();
    }
}

#[cfg(test)]
mod tests;
