//! What requests show of the set-up that the operator should know.

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use tracing::Instrument;

use crate::{AppState, stored};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Requests say that they came by way of a proxy, and nobody has said which of its
/// header fields tells the client's address.
const FORWARDED_NOTICE: &str = "forwarded";

/// What is said of it.
const FORWARDED_WORDS: &str = "requests come by way of a proxy (`forwarded` or `x-forwarded-for`), and \
     `client_ip_header` is not set: all clients of the proxy then share one quota. Name the \
     header that it overwrites";

/// Whether `headers` say that they came by way of a proxy which nobody has named.
fn is_forwarded(app: &AppState, headers: &HeaderMap) -> bool {
    let fields = [FORWARDED, X_FORWARDED_FOR];
    fields.iter().any(|name| headers.contains_key(name))
        && app.config.callers().client_ip_header.is_none()
}

/// Looks at a request's `headers`. What is new is said once in the log, and kept for the
/// status, after the response.
pub(super) fn look(app: &AppState, headers: &HeaderMap) {
    if !app.store.is_there() || !is_forwarded(app, headers) {
        return;
    }
    let notices = stored::notices(&app.store);
    let note = async move {
        let is_new = notices.is_raised(FORWARDED_NOTICE).await == Ok(false);
        if is_new && notices.raise(FORWARDED_NOTICE).await.is_ok() {
            tracing::warn!("{FORWARDED_WORDS}");
        }
    };
    let note = note.instrument(tracing::Span::current());
    app.ports.spawner.after_response(Box::pin(note));
}

/// All that is known of late, `headers` included.
pub(super) async fn all(app: &AppState, headers: &HeaderMap) -> Vec<&'static str> {
    let known = is_forwarded(app, headers)
        || stored::notices(&app.store)
            .is_raised(FORWARDED_NOTICE)
            .await
            == Ok(true);
    let known = known && app.config.callers().client_ip_header.is_none();
    known.then_some(FORWARDED_WORDS).into_iter().collect()
}
