//! What the application has to say when it can say nothing any more: the head of the
//! answer that a host gives in its place.

use http::{HeaderMap, StatusCode};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::access_log::Line;
use crate::context::{AnswerHead, RequestContext};
use crate::cors::{self, Cors};
use spinlane_core::ports::{OnPanic, PanicSlot};

/// A request, for the host to answer should the program panic.
struct Panicked {
    cors: Option<cors::Fields>,
    added: AnswerHead,
    line: Line,
}

/// The layer, beneath [`access_log::write`](crate::access_log::write): it leaves with
/// the host what an answer in this one's place has, its line in the log included.
pub async fn prepare(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(slot), Some(context), Some(line)) = (
        extensions.get::<PanicSlot>(),
        extensions.get::<RequestContext>(),
        extensions.get::<Line>(),
    ) {
        slot.fill(Panicked {
            cors: cors::Fields::for_request(&request, &cors),
            added: context.answer.clone(),
            line: line.clone(),
        });
    }
    next.run(request).await
}

impl OnPanic for Panicked {
    fn request_id(&self) -> &str {
        &self.line.scope().request_id
    }

    fn headers(&self) -> HeaderMap {
        let cors = self.cors.as_ref().map(cors::Fields::headers);
        let mut headers = cors.unwrap_or_default();
        self.added.try_apply(&mut headers);
        if let Some(trace) = self.line.scope().trace {
            trace.insert_into(&mut headers);
        }
        headers
    }

    fn panicked(&self, status: StatusCode, body_size: Option<u64>) {
        self.line.panicked(status, body_size);
    }
}
