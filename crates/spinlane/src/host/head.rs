//! The response head, until it leaves.

use bytes::Bytes;
use wasip2::exports::http::incoming_handler::ResponseOutparam;
use wasip2::http::types::{OutgoingBody, OutgoingResponse};
use wasip2::io::streams::OutputStream;

use super::fields::fields;
use super::panic_hook::{self, BodyStream, PanicAnswer};

/// A head that has not left. Should something panic, the hook answers instead.
pub(super) struct Head {
    outgoing: OutgoingResponse,
    in_panic: PanicAnswer,
}

impl Head {
    /// The head of `parts`, and the body that goes with it.
    pub(super) fn new(parts: http::response::Parts) -> Option<(Self, OutgoingBody)> {
        let outgoing = OutgoingResponse::new(fields(&parts.headers));
        // Cannot fail: `StatusCode` has checked the range.
        let _ = outgoing.set_status_code(parts.status.as_u16());
        // Cannot fail: it is asked for once.
        let body = outgoing.body().ok()?;
        let mut extensions = parts.extensions;
        let in_panic = PanicAnswer {
            status: parts.status,
            panic_tail: extensions.remove(),
        };
        Some((Self { outgoing, in_panic }, body))
    }

    /// Leaves, with a body that is finished.
    pub(super) fn leave(self) {
        if let Some(outparam) = panic_hook::take_outparam() {
            ResponseOutparam::set(outparam, Ok(self.outgoing));
        }
    }

    /// Leaves, and what is written on `stream` goes on, first of all
    /// `unwritten`. `None` when there is an answer already.
    pub(super) fn leave_with(self, stream: OutputStream, unwritten: Bytes) -> Option<BodyStream> {
        let outparam = panic_hook::take_outparam()?;
        ResponseOutparam::set(outparam, Ok(self.outgoing));
        Some(panic_hook::body_started(stream, self.in_panic, unwritten))
    }
}
