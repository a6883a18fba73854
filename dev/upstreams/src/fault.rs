//! How a stand-in of the catalogue's services is to misbehave.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::answer::{Piece, millis};

/// What goes wrong with a call. Made by its methods, or from JSON with the
/// fields' names (times in milliseconds).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Only calls whose path begins so.
    pub(crate) path: Option<String>,
    /// Only calls with that method.
    pub(crate) method: Option<String>,
    /// Only calls of that trace.
    pub(crate) trace: Option<String>,
    /// The service's own answer for that status.
    pub(crate) status: Option<u16>,
    /// The service's own answer for that code, inside a 200: Deezer and
    /// Last.fm do so.
    pub(crate) code: Option<u32>,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
    pub(crate) head_delay_ms: u64,
    pub(crate) silent: bool,
    /// The connection breaks off in place of an answer.
    pub(crate) reset: bool,
    /// A media type and a body instead of the answer, with a status of 200 or
    /// the given one.
    pub(crate) raw: Option<(String, String)>,
    /// The connection breaks off after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Nothing more after so many bytes of the body.
    pub(crate) hang: Option<usize>,
    /// So many bytes each so many milliseconds.
    pub(crate) drip: Option<(usize, u64)>,
}

impl Fault {
    /// The service's error answer for `status`.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// The service's error answer for its own `code`: 4 (quota) and 800 (no
    /// data) at Deezer; 6 (not found), 10 (key) and 29 (rate) at Last.fm.
    #[must_use]
    pub fn code(code: u32) -> Self {
        Self {
            code: Some(code),
            ..Self::default()
        }
    }

    /// Takes the request and never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self {
            silent: true,
            ..Self::default()
        }
    }

    /// Takes the request and closes the connection.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            reset: true,
            ..Self::default()
        }
    }

    /// A 200 whose body is neither JSON nor UTF-8.
    #[must_use]
    pub fn garbage() -> Self {
        Self::raw("application/json", "{\"tracks\": [\u{0}<html>")
    }

    /// A 200 with `body` as it is.
    #[must_use]
    pub fn raw(media_type: &str, body: &str) -> Self {
        Self {
            raw: Some((media_type.into(), body.into())),
            ..Self::default()
        }
    }

    /// With `body` as it is, whatever the service would say.
    #[must_use]
    pub fn saying(mut self, media_type: &str, body: &str) -> Self {
        self.raw = Some((media_type.into(), body.into()));
        self
    }

    /// Breaks the connection after so many bytes of the body.
    #[must_use]
    pub fn cut_after(bytes: usize) -> Self {
        Self {
            cut: Some(bytes),
            ..Self::default()
        }
    }

    /// Says nothing more after so many bytes of the body, until the client
    /// goes.
    #[must_use]
    pub fn hang_after(bytes: usize) -> Self {
        Self {
            hang: Some(bytes),
            ..Self::default()
        }
    }

    /// So many bytes of the body at a time, with a wait before each.
    #[must_use]
    pub fn drip(bytes: usize, wait: Duration) -> Self {
        Self {
            drip: Some((bytes, millis(wait))),
            ..Self::default()
        }
    }

    /// A good answer, but late.
    #[must_use]
    pub fn delay(time: Duration) -> Self {
        Self {
            head_delay_ms: millis(time),
            ..Self::default()
        }
    }

    /// Only for calls whose path begins with `path`.
    #[must_use]
    pub fn on(mut self, path: &str) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Only for calls with that method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Only for calls of that trace (32 hexadecimal digits), as their `traceparent` says:
    /// so for those that one request leads to.
    #[must_use]
    pub fn of_trace(mut self, trace: &str) -> Self {
        self.trace = Some(trace.into());
        self
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Waits before the head.
    #[must_use]
    pub fn head_delay(mut self, time: Duration) -> Self {
        self.head_delay_ms = millis(time);
        self
    }

    fn is_for(&self, method: &str, path: &str, trace: Option<&str>) -> bool {
        self.path
            .as_deref()
            .is_none_or(|start| path.starts_with(start))
            && self.method.as_deref().is_none_or(|name| name == method)
            && (self.trace.is_none() || self.trace.as_deref() == trace)
    }

    /// The answer's body, with what is wrong with it.
    pub(crate) fn pieces(&self, body: &Bytes) -> VecDeque<Piece> {
        if self.reset {
            return VecDeque::from([Piece::Reset]);
        }
        let end = self.cut.or(self.hang).unwrap_or(body.len()).min(body.len());
        let body = body.slice(..end);
        let mut pieces = VecDeque::new();
        let (step, wait) = self.drip.unwrap_or((body.len(), 0));
        let step = step.max(1);
        for at in (0..body.len()).step_by(step) {
            if wait > 0 {
                pieces.push_back(Piece::Wait(Duration::from_millis(wait)));
            }
            pieces.push_back(Piece::Write(body.slice(at..body.len().min(at + step))));
        }
        if self.cut.is_some() {
            pieces.push_back(Piece::Cut);
        } else if self.hang.is_some() {
            pieces.push_back(Piece::Hang);
        }
        pieces
    }
}

/// The faults that are to come, and those that stand.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Each for one call, the first that matches.
    next: Vec<Fault>,
    /// For every other call, the first that matches.
    standing: Vec<Fault>,
}

impl Faults {
    pub(crate) fn stand(&mut self, fault: Fault) {
        self.standing.push(fault);
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        self.next.push(fault);
    }

    /// What is wrong with a call that has come.
    pub(crate) fn take(&mut self, method: &str, path: &str, trace: Option<&str>) -> Option<Fault> {
        let is_for = |fault: &Fault| fault.is_for(method, path, trace);
        if let Some(at) = self.next.iter().position(is_for) {
            return Some(self.next.remove(at));
        }
        self.standing.iter().find(|fault| is_for(fault)).cloned()
    }

    /// Ends those that were for one trace alone.
    pub(crate) fn forget(&mut self, trace: &str) {
        for faults in [&mut self.next, &mut self.standing] {
            faults.retain(|fault| fault.trace.as_deref() != Some(trace));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_call_comes_before_every_call() {
        let mut faults = Faults::default();
        faults.stand(Fault::status(500).on("/v1/search"));
        faults.push(Fault::status(429).method("GET"));
        let mut status = |method: &str, path: &str| faults.take(method, path, None)?.status;
        assert_eq!(status("POST", "/v1/me"), None);
        assert_eq!(status("GET", "/v1/search"), Some(429));
        assert_eq!(status("GET", "/v1/search"), Some(500));
        assert_eq!(status("GET", "/v1/me"), None);
    }

    #[test]
    fn a_fault_of_one_trace_is_no_others() {
        let mut faults = Faults::default();
        faults.stand(Fault::status(500).of_trace("a"));
        faults.push(Fault::status(429).of_trace("b"));
        let status = |faults: &mut Faults, trace| faults.take("GET", "/", trace)?.status;
        assert_eq!(status(&mut faults, None), None);
        assert_eq!(status(&mut faults, Some("b")), Some(429));
        assert_eq!(status(&mut faults, Some("b")), None);
        assert_eq!(status(&mut faults, Some("a")), Some(500));
        faults.forget("a");
        assert_eq!(status(&mut faults, Some("a")), None);
    }

    #[test]
    fn a_body_is_cut_and_dripped() {
        let body = Bytes::from_static(b"0123456789");
        let count = |fault: Fault| fault.pieces(&body).len();
        assert_eq!(count(Fault::default()), 1);
        assert_eq!(count(Fault::cut_after(4)), 2);
        assert_eq!(count(Fault::hang_after(0)), 1);
        assert_eq!(count(Fault::cut_after(99)), 2);
        assert_eq!(count(Fault::drip(4, Duration::from_millis(1))), 6);
    }
}
