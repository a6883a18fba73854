//! One event, and its encoding.

use std::time::Duration;

use serde::Serialize;

/// Why an event cannot be made.
///
/// ```
/// use spinlane_core::sse::{Event, EventError};
///
/// // As somebody has sent it.
/// let id = "7\ndata: not what the application says";
/// assert!(matches!(Event::data("").id(id), Err(EventError::LineBreak("id"))));
/// assert!(matches!(Event::data("").id("7\0"), Err(EventError::Nul)));
/// // In data it is harmless.
/// assert!(Event::json(id).is_ok());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A line break in an event name or an id would start a new field, and so
    /// let a caller inject frames.
    #[error("the {0} of an event cannot contain a line break")]
    LineBreak(&'static str),
    /// Receivers ignore an id with NUL.
    #[error("the id of an event cannot contain NUL")]
    Nul,
    /// The data has no JSON form.
    #[error("the data of an event cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// One event (or comment), as it goes onto the wire.
///
/// The fields are encoded as they are given, in the order of the calls.
///
/// ```
/// use spinlane_core::sse::Event;
///
/// let mut bytes = Vec::new();
/// Event::json(&["a", "b"])?.event("words")?.id("7")?.encode(&mut bytes);
/// assert!(bytes.ends_with(b"data: [\"a\",\"b\"]\n\n"));
/// assert!(Event::data("").event("a\nb").is_err(), "it would be another field");
/// # Ok::<(), spinlane_core::sse::EventError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Whole lines, without the blank line that ends the event.
    lines: Vec<u8>,
    has_id: bool,
    /// Whether a receiver would dispatch it: comments are not events.
    dispatches: bool,
    coalesce: Option<&'static str>,
}

impl Event {
    /// An event with `text` as its data. Line breaks (CR, LF, CRLF) become
    /// several `data:` lines; receivers join them with LF. An empty text is an
    /// event with empty data.
    pub fn data(text: &str) -> Self {
        let mut event = Self {
            dispatches: true,
            ..Self::default()
        };
        event.push_lines(b"data: ", text);
        event
    }

    /// An event with `value` as JSON in its data, on one line.
    ///
    /// # Errors
    /// [`EventError::Json`] when `value` has no JSON form.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EventError> {
        let mut lines = Vec::with_capacity(128);
        lines.extend_from_slice(b"data: ");
        // Compact JSON escapes every line break.
        serde_json::to_writer(&mut lines, value)?;
        lines.push(b'\n');
        Ok(Self {
            lines,
            dispatches: true,
            ..Self::default()
        })
    }

    /// A comment: receivers ignore it, proxies see traffic.
    pub fn comment(text: &str) -> Self {
        let mut event = Self::default();
        event.push_lines(b": ", text);
        event
    }

    /// Names the event's type.
    ///
    /// # Errors
    /// [`EventError::LineBreak`].
    pub fn event(mut self, name: &str) -> Result<Self, EventError> {
        if name.contains(['\r', '\n']) {
            return Err(EventError::LineBreak("type"));
        }
        self.prepend(&[b"event: ", name.as_bytes(), b"\n"]);
        Ok(self)
    }

    /// Sets the last event id. A writer that numbers its events leaves it, and counts
    /// the event all the same.
    ///
    /// # Errors
    /// [`EventError::LineBreak`], [`EventError::Nul`].
    pub fn id(mut self, id: &str) -> Result<Self, EventError> {
        if id.contains(['\r', '\n']) {
            return Err(EventError::LineBreak("id"));
        }
        if id.contains('\0') {
            return Err(EventError::Nul);
        }
        self.prepend(&[b"id: ", id.as_bytes(), b"\n"]);
        self.has_id = true;
        Ok(self)
    }

    /// Tells receivers how long to wait before they reconnect, in whole
    /// milliseconds.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        let millis = after.as_millis().to_string();
        self.prepend(&[b"retry: ", millis.as_bytes(), b"\n"]);
        self
    }

    /// Lets a newer posted event with the same key take this one's place while
    /// the stream is under back-pressure.
    #[must_use]
    pub const fn coalesce(mut self, key: &'static str) -> Self {
        self.coalesce = Some(key);
        self
    }

    /// Frames as they were written before, each with the blank line that ends it.
    pub(super) fn recorded(frames: &[u8]) -> Self {
        Self {
            lines: frames.strip_suffix(b"\n").unwrap_or(frames).to_vec(),
            has_id: true,
            ..Self::default()
        }
    }

    pub(super) const fn coalesce_key(&self) -> Option<&'static str> {
        self.coalesce
    }

    /// Bytes on the wire, without an id that a writer adds.
    pub const fn size(&self) -> usize {
        self.lines.len() + 1
    }

    /// Whether it has an id of its own, which a writer that numbers leaves.
    pub(super) const fn has_id(&self) -> bool {
        self.has_id
    }

    /// Whether a receiver hands it on.
    pub(super) const fn is_dispatched(&self) -> bool {
        self.dispatches
    }

    /// Appends the event, with the blank line that ends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lines);
        out.push(b'\n');
    }

    pub(super) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Puts a field in front: data lines can be long and come first.
    fn prepend(&mut self, field: &[&[u8]]) {
        self.lines.splice(0..0, field.concat());
    }

    fn push_lines(&mut self, prefix: &[u8], text: &str) {
        let mut rest = text;
        loop {
            let end = rest.find(['\r', '\n']);
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.lines.extend_from_slice(prefix);
            self.lines.extend_from_slice(line.as_bytes());
            self.lines.push(b'\n');
            rest = match after.strip_prefix("\r\n") {
                Some(next) => next,
                None if end.is_some() => &after[1..],
                None => return,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(event: &Event) -> String {
        let mut out = Vec::new();
        event.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_line_break_becomes_a_data_line() {
        assert_eq!(
            encoded(&Event::data("a\rb\nc\r\nd")),
            "data: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!(encoded(&Event::data("")), "data: \n\n");
        assert_eq!(encoded(&Event::data("\n")), "data: \ndata: \n\n");
        assert_eq!(encoded(&Event::comment("a\nb")), ": a\n: b\n\n");
    }

    #[test]
    fn fields_are_written_before_data() {
        let event = Event::data("x").event("note").unwrap().id("7").unwrap();
        let event = event.retry(Duration::from_millis(1500));
        assert_eq!(
            encoded(&event),
            "retry: 1500\nid: 7\nevent: note\ndata: x\n\n"
        );
    }

    #[test]
    fn nothing_can_be_injected() {
        for bad in ["a\nb", "a\rb", "\r\n"] {
            assert!(matches!(
                Event::data("").event(bad),
                Err(EventError::LineBreak("type"))
            ));
            assert!(matches!(
                Event::data("").id(bad),
                Err(EventError::LineBreak("id"))
            ));
        }
        assert!(matches!(Event::data("").id("a\0"), Err(EventError::Nul)));
    }

    #[test]
    fn json_stays_on_one_line() {
        let event = Event::json(&serde_json::json!({"a": "x\ny\r\u{2028}"})).unwrap();
        assert_eq!(encoded(&event).lines().count(), 2);
    }
}
