//! What components write to standard output and standard error, by lines.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Lines that are kept: the last ones.
const KEPT_LINES: usize = 10_000;

/// Bytes that are kept, of the last lines as well.
const KEPT_BYTES: usize = 16 << 20;

/// A longer line is broken.
const MAX_LINE: usize = 64 * 1024;

#[derive(Debug)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    /// How many lines came before those that are kept.
    gone: usize,
    print: bool,
    news: watch::Sender<()>,
}

impl Kept {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > KEPT_LINES || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            self.gone += 1;
        }
    }
}

/// The log of all instances of one host.
#[derive(Clone, Debug)]
pub(crate) struct Logs(Arc<Mutex<Kept>>);

impl Logs {
    pub(crate) fn new(print: bool) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            lines: VecDeque::new(),
            bytes: 0,
            gone: 0,
            print,
            news: watch::Sender::new(()),
        })))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, line: String) {
        let mut kept = self.kept();
        if kept.print {
            // Not `eprintln`, which panics when nobody reads any more.
            let _ = writeln!(io::stderr(), "{line}");
            // A program that prints it is not asked for it: memory for nobody.
            return;
        }
        kept.push(line);
        kept.news.send_replace(());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.kept().lines.iter().cloned().collect()
    }

    /// The first kept line that holds `needle`, which may still come.
    pub(crate) async fn wait_for(&self, within: Duration, needle: &str) -> Option<String> {
        let mut news = self.kept().news.subscribe();
        let search = async {
            // Lines, from the host's first, that have been looked at.
            let mut seen = 0_usize;
            loop {
                // In a block: the lock may not be held while waiting.
                {
                    let kept = self.kept();
                    let new = kept.lines.iter().skip(seen.saturating_sub(kept.gone));
                    for line in new {
                        if line.contains(needle) {
                            return Some(line.clone());
                        }
                    }
                    seen = kept.gone + kept.lines.len();
                }
                news.changed().await.ok()?;
            }
        };
        tokio::time::timeout(within, search).await.ok().flatten()
    }

    /// A stream for one instance.
    pub(crate) fn stream(&self) -> LogStream {
        LogStream(Arc::new(Mutex::new(Partial {
            logs: self.clone(),
            line: Vec::new(),
        })))
    }
}

/// The line that one instance is writing.
struct Partial {
    logs: Logs,
    line: Vec<u8>,
}

impl Partial {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            self.line.extend_from_slice(text);
            if ended || self.line.len() > MAX_LINE {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.logs.push(String::from_utf8_lossy(&line).into_owned());
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end();
        }
    }
}

/// Standard output or standard error of one instance.
#[derive(Clone)]
pub(crate) struct LogStream(Arc<Mutex<Partial>>);

impl LogStream {
    fn write_all(&self, bytes: &[u8]) {
        let mut partial = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        partial.write(bytes);
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_all(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_put_together() {
        let logs = Logs::new(false);
        let stream = logs.stream();
        stream.write_all(b"one\ntw");
        stream.write_all(b"o\n\nrest");
        assert_eq!(logs.lines(), ["one", "two", ""]);
        drop(stream);
        let second = Duration::from_secs(1);
        assert_eq!(logs.wait_for(second, "res").await.as_deref(), Some("rest"));
        assert_eq!(logs.wait_for(Duration::ZERO, "none").await, None);
    }

    #[tokio::test]
    async fn the_last_lines_are_kept() {
        let logs = Logs::new(false);
        let waiting = logs.wait_for(Duration::from_secs(1), "late");
        let writing = async {
            for n in 0..=KEPT_LINES {
                logs.push(format!("line {n}"));
            }
            tokio::task::yield_now().await;
            logs.push("late".into());
        };
        let (late, ()) = tokio::join!(waiting, writing);
        assert_eq!(late.as_deref(), Some("late"));
        assert_eq!(logs.lines()[0], "line 2");
        logs.push("x".repeat(KEPT_BYTES));
        assert_eq!(logs.lines().len(), 1);
    }
}
