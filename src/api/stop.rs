//! `POST /api/chat-stream/{run}/stop`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::StatusCode;

use super::docs::answers::{NoStore, NotFound, OverQuota};
use crate::{AppState, stored};
use spinlane_http::problem::Problem;
use spinlane_http::run::stop;

/// Ends a run.
///
/// From anywhere: the run learns of it within a second, and its stream then
/// ends with what was said and the reason `stopped`. Knowing the run's id is
/// all that it takes. The answer is the same when the run has ended already,
/// or never was.
#[utoipa::path(
    post,
    path = "/api/chat-stream/{run}/stop",
    operation_id = "stopRun",
    tag = "chat",
    params((
        "run" = String,
        Path,
        description = "The run's id, from its first frame or `x-run-id`.",
        pattern = "^[0-9a-f]{32}$",
        example = "5f0c0e6a5d0b4c1f8c5d1e2f3a4b5c6d",
    )),
    responses(
        (status = 204, description = "It ends, or has ended."),
        NotFound,
        OverQuota,
        NoStore,
    )
)]
pub(super) async fn stop(
    State(app): State<AppState>,
    run: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    // What is no text is no id either.
    let run = run.map(|Path(run)| run).unwrap_or_default();
    stop::ask(Some(&stored::stops(&app.store)), &run).await
}
