//! The check of what arrives: every frame, its content and its order.

use anyhow::{Context, Result, bail, ensure};

use crate::said::Said;

/// The frames of one stream so far.
pub(crate) struct Frames<'a> {
    said: &'a Said,
    /// The beginning of a line whose end has not arrived.
    rest: Vec<u8>,
    content: usize,
    id: u64,
    ended: bool,
}

impl<'a> Frames<'a> {
    pub(crate) fn of(said: &'a Said) -> Self {
        Self {
            said,
            rest: Vec::new(),
            content: 0,
            id: 0,
            ended: false,
        }
    }

    /// How many frames with content there were.
    pub(crate) fn content(&self) -> usize {
        self.content
    }

    /// Takes what has arrived. Returns how many frames with content that were.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<usize> {
        let before = self.content;
        let mut line_begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[line_begin..end];
            line_begin = end + 1;
            if self.rest.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole)?;
            }
        }
        self.rest.extend_from_slice(&bytes[line_begin..]);
        Ok(self.content - before)
    }

    /// Checks that the stream was whole.
    pub(crate) fn end(&self) -> Result<()> {
        ensure!(self.rest.is_empty(), "a line was cut");
        ensure!(self.ended, "cut after {} frames", self.content);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        if let Some(data) = line.strip_prefix(b"data: ") {
            self.data(data)
        } else if let Some(id) = line.strip_prefix(b"id: ") {
            let id = str::from_utf8(id)?.parse().context("an id")?;
            ensure!(id > self.id, "id {id} after {}", self.id);
            self.id = id;
            Ok(())
        } else {
            let known = line.is_empty() || line.starts_with(b":") || line.starts_with(b"retry: ");
            ensure!(known, "a line {:?}", String::from_utf8_lossy(line));
            Ok(())
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        ensure!(!self.ended, "a frame after the end");
        if data.starts_with(br#"{"type":"content""#) {
            let due = self.said.frame(self.content);
            if due != Some(data) {
                let number = self.content;
                bail!("frame {number} is {:?}", String::from_utf8_lossy(data));
            }
            self.content += 1;
        } else if data.starts_with(br#"{"type":"done""#) {
            let (count, due) = (self.content, self.said.len());
            ensure!(count == due, "{count} frames of {due}");
            ensure!(data == br#"{"type":"done","data":null}"#, "another end");
            self.ended = true;
        } else if data.starts_with(br#"{"type":"error""#) {
            bail!("{}", String::from_utf8_lossy(data));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "retry: 3000\n\nid: 1\ndata: {\"type\":\"run\",\"data\":{}}\n\n\
        id: 2\ndata: {\"type\":\"content\",\"data\":\"w00000 \"}\n\n: heartbeat\n\n\
        data: {\"type\":\"content\",\"data\":\"w00001 \"}\nid: 3\n\n\
        id: 4\ndata: {\"type\":\"done\",\"data\":null}\n\n";

    fn check(text: &str, step: usize) -> Result<usize> {
        let said = Said::new(2, 7);
        let mut frames = Frames::of(&said);
        for part in text.as_bytes().chunks(step) {
            frames.push(part)?;
        }
        frames.end()?;
        Ok(frames.content())
    }

    #[test]
    fn a_whole_stream_is_taken_however_it_is_cut() {
        for step in [1, 2, 7, 1000] {
            assert_eq!(check(WHOLE, step).unwrap(), 2);
        }
    }

    #[test]
    fn whatever_is_missing_or_misplaced_is_found() {
        for (from, to) in [
            ("w00001", "w00002"),
            ("id: 3", "id: 2"),
            ("\"done\",\"data\":null", "\"done\",\"data\":{}"),
            ("\"done\"", "\"error\""),
            (": heartbeat", "heartbeat"),
            ("id: 4\ndata: {\"type\":\"done\",\"data\":null}\n\n", ""),
        ] {
            assert!(WHOLE.contains(from));
            check(&WHOLE.replace(from, to), 1000).unwrap_err();
        }
        check(&format!("{WHOLE}data: {{\"type\":\"log\"}}\n\n"), 1000).unwrap_err();
    }
}
