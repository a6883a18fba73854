//! Where a request stands in a trace: W3C Trace Context.
//!
//! A request continues the trace that its `traceparent` names, or begins one.
//! Every upstream call is told the trace, with a span of its own; the log names
//! both. `tracestate` is not passed on: what other vendors note in it is not
//! for the services that are called from here.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::ports::Entropy;

/// Carries a [`TraceContext`].
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// One span of a trace.
///
/// ```
/// use spinlane_core::testing::World;
/// use spinlane_core::trace::TraceContext;
///
/// let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let theirs = TraceContext::parse(given).expect("it is well formed");
/// let ours = theirs.child(&*World::new().ports().entropy);
/// assert_eq!(ours.trace_id(), theirs.trace_id());
/// assert_ne!(ours.span_id(), theirs.span_id());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    /// Whether the caller records the trace.
    sampled: bool,
}

impl TraceContext {
    /// The span of a request with these headers: in its caller's trace where
    /// that is named validly, and exactly once, else in a new one.
    pub fn of_request(headers: &HeaderMap, entropy: &dyn Entropy) -> Self {
        let mut given = headers.get_all(&TRACEPARENT).iter();
        let caller = match (given.next(), given.next()) {
            (Some(one), None) => one.to_str().ok().and_then(Self::parse),
            _ => None,
        };
        match caller {
            Some(caller) => caller.child(entropy),
            None => Self::begin(entropy),
        }
    }

    /// The first span of a new trace.
    pub fn begin(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        let root = Self {
            // Zero stands for "invalid".
            trace_id: u128::from_be_bytes(bytes).max(1),
            span_id: 1,
            sampled: false,
        };
        root.child(entropy)
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self, entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        Self {
            span_id: u64::from_be_bytes(bytes).max(1),
            ..self
        }
    }

    /// Reads a `traceparent`. Of a version later than 00 the part that is known
    /// is read, as the specification asks for.
    pub fn parse(header: &str) -> Option<Self> {
        let mut fields = header.split('-');
        let version = hex(fields.next()?, 2)?;
        let trace_id = hex(fields.next()?, 32)?;
        let span_id = u64::try_from(hex(fields.next()?, 16)?).ok()?;
        let flags = hex(fields.next()?, 2)?;
        let more = fields.next().is_some();
        let valid = version != 0xff && trace_id != 0 && span_id != 0 && !(version == 0 && more);
        valid.then_some(Self {
            trace_id,
            span_id,
            sampled: flags & 1 == 1,
        })
    }

    /// The trace, in 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span, in 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Names this span in `headers`, in the place of any other.
    pub fn insert_into(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.to_string()) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

/// As it is sent.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace_id, span_id) = (self.trace_id, self.span_id);
        let flags = u8::from(self.sampled);
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// Exactly `digits` hexadecimal digits, in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let good = text.len() == digits && text.bytes().all(lower);
    good.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_specification_allows_is_read() {
        for (header, sampled) in [
            (GIVEN, true),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
                false,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03",
                true,
            ),
            (
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later",
                true,
            ),
        ] {
            let context = TraceContext::parse(header).unwrap();
            assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(context.span_id(), "00f067aa0ba902b7");
            assert_eq!(context.sampled, sampled);
        }
        assert_eq!(TraceContext::parse(GIVEN).unwrap().to_string(), GIVEN);
    }

    #[test]
    fn anything_else_is_not() {
        for header in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert_eq!(TraceContext::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_request_continues_its_callers_trace_with_a_span_of_its_own() {
        let world = World::new();
        let entropy = &*world.ports().entropy;
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, GIVEN.parse().unwrap());
        let own = TraceContext::of_request(&headers, entropy);
        assert_eq!(own.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(own.span_id(), "00f067aa0ba902b7");
        assert!(own.sampled);
        // Two of them contradict each other.
        headers.append(TRACEPARENT, GIVEN.parse().unwrap());
        let new = TraceContext::of_request(&headers, entropy);
        assert_ne!(new.trace_id(), own.trace_id());
        let sent = new.to_string();
        assert_eq!(TraceContext::parse(&sent), Some(new), "{sent}");
    }
}
