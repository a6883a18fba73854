//! What pages of other origins may ask for.

use http::header::{ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{is_beneath, routes};
use crate::config::{Config, Frontend};
use spinlane_core::request_id::X_REQUEST_ID;
use spinlane_core::trace::TRACEPARENT;
use spinlane_http::access_log::SERVER_TIMING;
use spinlane_http::cors::{Cors, Pages};
use spinlane_http::quota::{RATE_LIMIT, RATE_LIMIT_POLICY};
use spinlane_http::run::X_RUN_ID;

/// What a page may read beyond what every page may.
pub(super) static READ: [HeaderName; 7] = [
    RATE_LIMIT,
    RATE_LIMIT_POLICY,
    RETRY_AFTER,
    SERVER_TIMING,
    TRACEPARENT,
    X_REQUEST_ID,
    X_RUN_ID,
];

/// Whether pages of other origins may ask for `path` at all: the page and its
/// assets are for their own.
fn concerns(path: &str) -> bool {
    is_beneath(path, "/api")
        || matches!(
            routes::template(path),
            Some("/health" | "/ready" | "/problems/{code}")
        )
}

/// Whose pages may read the answer to a request with `headers`: as configured. Where that
/// is malformed anybody's, as by default, so that the page can say what is wrong. Where
/// no other origin asks the configuration is not read for it.
pub(super) fn rules(config: &Config, headers: &HeaderMap) -> Cors {
    let pages = headers.contains_key(ORIGIN).then(|| config.pages());
    let pages = match pages.map(|pages| &pages.frontend_url) {
        Some(Frontend::Any) => Pages::Any,
        // An origin of the configuration is always a valid header.
        Some(Frontend::Only(origin)) => {
            HeaderValue::from_str(origin.as_str()).map_or(Pages::Own, Pages::Of)
        }
        Some(Frontend::SameOrigin) | None => Pages::Own,
    };
    Cors::new(pages, concerns).read(&READ)
}
