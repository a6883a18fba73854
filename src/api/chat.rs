//! `POST /api/chat-stream/message`.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use garde::Validate;
use http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;

use super::caller::{self, Admitted};
use super::docs::StreamEvent;
use super::docs::answers::{
    BadBody, NoSession, NoStore, NotBegun, OtherSite, RunGone, TooMuchAtOnce,
};
use super::docs::parameters::IdempotencyKey;
use super::operator;
use super::playlist::{self, PlaylistField};
use super::stream;
use crate::AppState;
use crate::auth::{MaybeSession, UserSession};
use crate::chat::{Chat, HistoryEntry, Mode, Prompt, is_blank};
use crate::frames::{self, Dj};
use spinlane_http::context::RequestContext;
use spinlane_http::json::Received;
use spinlane_http::problem::Problem;
use spinlane_http::run::resume::Attempted;
use spinlane_http::run::{Attempt, Run};

/// A prompt, and what led to it. Unknown fields are ignored, and
/// `null` is as left out.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatRequest {
    /// What the user says; lengths are in Unicode code points.
    #[garde(length(chars, min = 1, max = 2000), custom(says_something))]
    #[schema(
        min_length = 1,
        max_length = 2000,
        pattern = r"\S",
        examples("Something warm for a rainy evening")
    )]
    pub(crate) message: String,
    /// Earlier turns, oldest first.
    #[serde(default)]
    #[garde(length(max = 20), dive)]
    #[schema(nullable, max_items = 20)]
    pub(crate) conversation_history: Vec<HistoryEntry>,
    /// What the user wants done.
    #[serde(default)]
    #[garde(skip)]
    #[schema(nullable)]
    pub(crate) mode: Mode,
    /// The playlist that is talked about: its id, its URI, or a link to it.
    /// Empty is none; then `edit` goes by the link in `message`.
    #[serde(default)]
    #[garde(custom(playlist::can_be_read))]
    #[schema(
        value_type = Option<String>,
        pattern = r"^ *(([0-9A-Za-z]{22}|[Ss]potify:(user:[^:/?#%\s]+:)?playlist:[0-9A-Za-z]{22}|([Hh]ttps?://)?(open|play)\.spotify\.com/(intl-[a-z]+/)?(embed/)?(user/[^/?#%\s]+/)?playlist/[0-9A-Za-z]{22}/?)([?#]\S*)?)? *$",
        examples("37i9dQZF1DXcBWIGoYBM5M")
    )]
    pub(crate) playlist_id: PlaylistField,
    /// Whether a playlist that is made is for everybody to see.
    #[serde(default)]
    #[garde(skip)]
    #[schema(nullable)]
    pub(crate) public: bool,
    /// Go on when the client goes: `GET /api/chat-stream/{run}` then reads the run
    /// again. The `run` frame says whether that can be done.
    #[serde(default)]
    #[garde(skip)]
    #[schema(nullable)]
    pub(crate) resume: bool,
    /// Send the request's log as frames. In production it takes the operator's
    /// token.
    #[serde(default)]
    #[garde(skip)]
    #[schema(nullable)]
    pub(crate) debug: bool,
}

/// The model's service refuses a message of white space alone.
fn says_something(message: &str, (): &()) -> garde::Result {
    // Nothing at all is told by its length.
    match !message.is_empty() && is_blank(message) {
        true => Err(garde::Error::new("must not be white space alone")),
        false => Ok(()),
    }
}

impl ChatRequest {
    /// What the DJ is asked by it.
    ///
    /// # Errors
    /// 422 when nobody can say which playlist is meant.
    fn prompt(self) -> Result<Prompt, Problem> {
        Ok(Prompt {
            playlist: playlist::named(&self.playlist_id, self.mode, &self.message)?,
            message: self.message,
            history: self.conversation_history,
            mode: self.mode,
            public: self.public,
        })
    }
}

/// Asks the DJ.
///
/// Answers with a stream at once, before any upstream is called, and starts the
/// run that feeds it. The first frame is `run`; exactly one of `done` and
/// `error` is the last. With an `Idempotency-Key` the same request, sent again by
/// the same caller, is answered with the same run.
#[utoipa::path(
    post,
    path = "/api/chat-stream/message",
    operation_id = "sendMessage",
    tag = "chat",
    params(
        (
            "x-admin-token" = Option<String>,
            Header,
            description = "The operator's token: with it `debug` holds in production as well."
        ),
        IdempotencyKey,
    ),
    request_body(
        content = ChatRequest,
        examples(
            ("prompt" = (value = json!({"message": "Something warm for a rainy evening"}))),
            ("conversation" = (value = json!({
                "message": "And the second one, who plays that?",
                "conversationHistory": [
                    {"role": "user", "content": "Something warm for a rainy evening"},
                    {"role": "assistant", "content": "Two records come to mind…"}
                ]
            })))
        )
    ),
    responses(
        (
            status = 200,
            description = "The stream. Each event has a numeric `id` and, as `data`, one \
                frame; after 15 s without one there is a `: heartbeat` comment.",
            headers(
                ("x-run-id" = String, description = "The run, as in its first frame."),
                ("ratelimit" = String, description = "What is left of the caller's quota, \
                    where there is one."),
                ("ratelimit-policy" = String, description = "The caller's quota.")
            ),
            content((StreamEvent = "text/event-stream"))
        ),
        BadBody,
        NoSession,
        NotBegun,
        RunGone,
        OtherSite,
        TooMuchAtOnce,
        NoStore,
    ),
    security((), ("bearer" = []), ("cookie" = []))
)]
pub(super) async fn message(
    attempt: Attempt,
    State(app): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Extension(admitted): Extension<Admitted>,
    session: MaybeSession,
    headers: HeaderMap,
    Received {
        value: request,
        body,
    }: Received<ChatRequest>,
) -> Result<Response, Problem> {
    let Some(api_key) = app.config.anthropic().api_key.clone() else {
        return Err(Problem::not_configured("anthropic_api_key"));
    };
    if request.mode.changes_playlists() {
        session.required()?;
    }
    let debug = request.debug && operator::may_look(&app, &headers, admitted).await?;
    let resume = request.resume || attempt.has_key();
    let prompt = request.prompt()?;
    let (runs, owner) = (frames::runs(&app), session.user().map(UserSession::caller));
    let name = caller::name(&app, &headers, &session);
    let begin = match attempt.claim(&runs, &name, &body, caller::READ).await? {
        Attempted::New(begin) => begin,
        Attempted::Again(run) => return run.read::<Dj>(&runs, &context, owner.as_deref()).await,
    };
    let (begin, (allowance, running)) = begin
        .unless(async {
            let allowance = caller::count(&app, &headers, admitted, &session, 1).await?;
            let running = caller::begin_run(&app, &headers, &session).await?;
            Ok((allowance, running))
        })
        .await?;
    let mut run = Run::new(&*app.ports.entropy);
    run.debug = debug;
    if resume {
        run = begin.resumable(&runs, run, owner.as_deref()).await?;
    }
    let work = Chat::new(&app, prompt, api_key, session.access());
    Ok(stream::start(&app, &context, run, work, allowance, running))
}
