//! `GET /api/chat-stream/{run}`.

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;

use super::caller;
use super::docs::StreamEvent;
use super::docs::answers::{BadParameter, NoSession, NoStore, NotFound, RunGone, TooManyReaders};
use super::docs::parameters::{AfterQuery, LastEventId};
use crate::AppState;
use crate::auth::{MaybeSession, UserSession};
use crate::frames::{self, Dj};
use spinlane_http::context::RequestContext;
use spinlane_http::problem::Problem;
use spinlane_http::run::{self, After};

/// Reads a run again.
///
/// What it has said after the event that the client has, byte for byte, and then what it
/// says. Knowing the run's id is all that it takes, unless the run was begun with a
/// session: then it takes one of the same user. The run has to be one that is
/// `resumable`; what it says is kept for 10 minutes after its end, and for an hour at
/// most.
#[utoipa::path(
    get,
    path = "/api/chat-stream/{run}",
    operation_id = "readRun",
    tag = "chat",
    params(
        (
            "run" = String,
            Path,
            description = "The run's id, from its first frame or `x-run-id`.",
            pattern = "^[0-9a-f]{32}$",
            example = "5f0c0e6a5d0b4c1f8c5d1e2f3a4b5c6d",
        ),
        LastEventId,
        AfterQuery,
    ),
    responses(
        (
            status = 200,
            description = "The stream, from there on. Should the run have died, it ends in an \
                `error` with the code `run_lost`, which has no `id`.",
            headers(("x-run-id" = String, description = "The run.")),
            content((StreamEvent = "text/event-stream"))
        ),
        (status = 204, description = "The run has ended, and the client has all of it."),
        BadParameter,
        NoSession,
        NotFound,
        RunGone,
        TooManyReaders,
        NoStore,
    ),
    security((), ("bearer" = []), ("cookie" = []))
)]
pub(super) async fn read(
    State(app): State<AppState>,
    Extension(context): Extension<RequestContext>,
    run: Result<Path<String>, PathRejection>,
    after: After,
    session: MaybeSession,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // What is no text is no id either.
    let run = run.map(|Path(run)| run).unwrap_or_default();
    let reader = session.user().map(UserSession::caller);
    let reading = caller::begin_reading(&app, &headers, &session).await?;
    let runs = frames::runs(&app);
    run::read::<Dj>(&runs, &context, &run, reader.as_deref(), after, reading).await
}
