//! What was not looked up.

use serde::Serialize;
use utoipa::ToSchema;

/// Why something was not found out about a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SkipReason {
    /// The request may not make the calls that it takes. Ask again: what is
    /// known by now costs nothing.
    Budget,
    /// The upstream asks for fewer calls, or its slots are taken.
    RateLimited,
    /// The upstream did not answer, or not with what its interface promises.
    UpstreamFailed,
    /// The request had to end.
    Deadline,
}
