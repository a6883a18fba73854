//! `/api/auth/…`: connecting Spotify, and ending it.
//!
//! Cookies authenticate requests that change something only when those come
//! from our own page: see [`same_site`](crate::auth::same_site).

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use garde::Validate;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;

use super::caller;
use super::docs::answers::{
    BadBody, BadCode, BadParameter, NoLogin, NoSession, NoStore, OtherSite, OverQuota,
    TooManyCredentials,
};
use super::query::Query;
use crate::AppState;
use crate::auth;
use crate::auth::cookie;
use crate::auth::login::{self, Login};
use crate::auth::{
    Credentials, Granted, MaybeSession, UserSession, cross_site, page, same_site, silent,
    store_unavailable,
};
use crate::clients::spotify::accounts::Accounts;
use crate::clients::spotify::{self, Access, Grant, Spotify};
use crate::config::{Config, Secret};
use crate::error::{ErrorObject, code};
use spinlane_client::{Failure, UpstreamError, host};
use spinlane_core::cache::session::SessionError;
use spinlane_http::json::{Json, Valid};
use spinlane_http::problem::Problem;

/// Marks a login that was sent to `public_url` already. A proxy may rewrite the
/// host name, and then it would be sent there for ever.
const MOVED: &str = "moved";

/// Connects Spotify.
///
/// To be opened in a browser: sends the user to Spotify's consent page, which
/// sends them back to the callback. Whoever came by another host name than that
/// of `public_url` is sent there first. Errors are pages for those who accept
/// HTML.
#[utoipa::path(
    get,
    path = "/api/auth/login",
    operation_id = "login",
    tag = "login",
    params(
        ("return_to" = Option<String>, Query, description = "The path of the page to go on \
            at. Where there is a `frontend_url`, a login without it goes on there.",
            max_length = 512, pattern = r"^/(?!/|api/)[!-\[\]-~]*$"),
        ("state" = Option<String>, Query, description = "What the page at `frontend_url` \
            wants to see again, to know its own login.", pattern = "^[A-Za-z0-9_.~-]{1,128}$")
    ),
    responses(
        (
            status = 303,
            description = "On to the consent page.",
            headers(
                ("location" = String, description = "Where."),
                ("set-cookie" = String, description = "The login, for ten minutes.")
            )
        ),
        BadParameter,
        NoStore,
    )
)]
pub(super) async fn login(State(app): State<AppState>, request: Parts) -> Response {
    let answer = begin(&app, &request);
    answer.unwrap_or_else(|problem| page::tell(&request.headers, problem, "/"))
}

fn begin(app: &AppState, request: &Parts) -> Result<Response, Problem> {
    let (id, secret) = keys(&app.config)?;
    if app.ports.key_value.is_none() {
        return Err(store_unavailable());
    }
    let query = Query::parse(&request.uri);
    let return_to = query.checked("return_to", login::may_return_to, "a path of this site")?;
    let state = "up to 128 letters, digits and any of `-_.~`";
    let state = query.checked("state", login::may_come_back, state)?;
    if let Some(public) = elsewhere(&app.config, request, &query) {
        return Ok(see_other(&public));
    }
    let login = Login::begin(&app.ports, return_to, state);
    let sealed = login.sealed(&app.ports, secret).ok_or_else(not_sealed)?;
    let mut response = see_other(&login.consent_url(&app.config, id));
    let cookie = cookie::LOGIN.set(&sealed, login::LASTS);
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

/// The same login under `public_url`, for a user who came by another host name:
/// the callback comes there, and the cookie would not.
fn elsewhere(config: &Config, request: &Parts, query: &Query<'_>) -> Option<String> {
    let here = host(same_site::authority(request)?);
    if here.eq_ignore_ascii_case(config.edge().public_url.host()) || query.has(MOVED) {
        return None;
    }
    let rest = query.encoded_with(MOVED, "1");
    Some(
        config
            .edge()
            .public_url
            .url(&format!("/api/auth/login?{rest}")),
    )
}

/// Where Spotify sends the user back to.
///
/// Ends the login that this browser has begun, and the session that it had. The
/// new one is in a cookie; for a page at `frontend_url` there is a one-time code
/// in the fragment instead (`#auth_code=…&state=…`, or `#auth_error=…`).
#[utoipa::path(
    get,
    path = "/api/auth/callback",
    operation_id = "endLogin",
    tag = "login",
    params(
        ("state" = Option<String>, Query, description = "As the login has made it."),
        ("code" = Option<String>, Query, description = "Spotify's, for the user's tokens."),
        ("error" = Option<String>, Query, description = "Instead of a code.")
    ),
    responses(
        (
            status = 303,
            description = "Connected: on to the page.",
            headers(
                ("location" = String, description = "Where."),
                ("set-cookie" = String, description = "The session.")
            )
        ),
        NoLogin,
        OverQuota,
        NoStore,
    )
)]
pub(super) async fn callback(State(app): State<AppState>, request: Parts) -> Response {
    let mut response = match finish(&app, &request).await {
        Ok(response) => response,
        Err(Refused { problem, tell_page }) => match tell_page {
            Some(fragment) => see_other(&fragment),
            None => page::tell(&request.headers, problem, "/"),
        },
    };
    // Whatever came of it, this login is over.
    let over = cookie::LOGIN.clear();
    response.headers_mut().append(SET_COOKIE, over);
    private(response)
}

/// A login that came to nothing.
struct Refused {
    problem: Problem,
    /// The address at which the page on the other origin is told.
    tell_page: Option<String>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            tell_page: None,
        }
    }
}

async fn finish(app: &AppState, request: &Parts) -> Result<Response, Refused> {
    let (_, secret) = keys(&app.config)?;
    let query = Query::parse(&request.uri);
    let login = query
        .single("state")
        .zip(cookie::LOGIN.read(&request.headers))
        .and_then(|(state, cookie)| Login::resume(&app.ports, secret, cookie, state));
    let Some(login) = login else {
        let message = "this login was not begun in this browser, or longer than ten minutes ago";
        let error = ErrorObject::new(code::LOGIN_STATE, message);
        return Err(Problem::new(StatusCode::BAD_REQUEST, error).into());
    };
    let page = frontend(&app.config, &login);
    let ended = match granted(app, request, &query, &login).await {
        Ok(grant) => go_on(app, request, &login, &grant, page.as_deref()).await,
        Err(problem) => Err(problem),
    };
    ended.map_err(|problem| Refused {
        tell_page: page.map(|page| {
            let code = problem.error().code.as_str();
            fragment(&page, "auth_error", code, &login)
        }),
        problem,
    })
}

/// The page on the other origin, for a login that it began: one that is not to
/// go on at a path of ours.
fn frontend(config: &Config, login: &Login) -> Option<String> {
    let page = config.pages().frontend_url.origin()?;
    login.return_to.is_none().then(|| page.url("/"))
}

/// `page`, told `name` in the fragment, which browsers keep to themselves.
fn fragment(page: &str, name: &str, value: &str, login: &Login) -> String {
    let state = login.client_state.as_ref();
    let state = state.map_or_else(String::new, |state| format!("&state={state}"));
    format!("{page}#{name}={value}{state}")
}

/// What Spotify grants for this login.
async fn granted(
    app: &AppState,
    request: &Parts,
    query: &Query<'_>,
    login: &Login,
) -> Result<Grant, Problem> {
    if let Some(error) = query.single("error") {
        return Err(not_granted(error));
    }
    let Some(code) = query.single("code") else {
        return Err(bad_code("Spotify has sent no code"));
    };
    // Anybody may come here, and each time Spotify is called.
    caller::count_address(app, &request.headers).await?;
    let accounts = Accounts::new(app, silent());
    let redirect_uri = login::redirect_uri(&app.config);
    let (code, verifier) = (Secret::new(code), login.verifier());
    let granted = accounts.exchange_code(&code, &verifier, &redirect_uri);
    let granted = granted.await.map_err(|error| upstream(&error))?;
    if !login::allows_something(&granted.scope) {
        return Err(upstream(&spotify::no_scope()));
    }
    let access = Access::User(std::sync::Arc::new(Granted(granted.access_token.clone())));
    let user = match Spotify::new(app, access, silent()).me().await {
        Ok(user) => Some(user),
        // Who may not even see whose account it is may do nothing with it.
        Err(error) if error.object().status == Some(403) => return Err(upstream(&error)),
        Err(error) => {
            // The login is good without a name.
            warn!(%error, "Spotify does not say whose account it is");
            None
        }
    };
    let grant = Grant::of_user(granted, app.ports.clock.unix(), user);
    grant.ok_or_else(|| {
        let message = "Spotify has granted no lasting access: try again";
        let error = ErrorObject::new(code::UPSTREAM_PROTOCOL, message);
        Problem::new(StatusCode::BAD_GATEWAY, error.with("upstream", "spotify"))
    })
}

fn not_granted(error: &str) -> Problem {
    if error == "access_denied" {
        let message = "you did not allow it, so nothing was connected. You can go on without, \
             or try again";
        let error = ErrorObject::new(code::LOGIN_DENIED, message);
        return Problem::new(StatusCode::FORBIDDEN, error);
    }
    let message = "Spotify did not accept the login: try again in a moment";
    let object = ErrorObject::new(code::UPSTREAM_REJECTED, message).with("upstream", "spotify");
    // Anybody can write a URL: only what looks like a code is repeated.
    let plain = error
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let object = match plain && (1..=40).contains(&error.len()) {
        true => object.with("error", error),
        false => object,
    };
    Problem::new(StatusCode::BAD_GATEWAY, object)
}

fn bad_code(message: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        ErrorObject::new(code::LOGIN_CODE, message),
    )
}

fn upstream(error: &UpstreamError) -> Problem {
    warn!(%error, "a login came to nothing");
    if matches!(error.failure, Failure::Grant) {
        return bad_code("Spotify does not accept this login's code (any more): try again");
    }
    let object = error.object();
    let status = match object.code {
        code::BUSY | code::RATE_LIMITED | code::OVERLOADED | code::NOT_CONFIGURED => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        code::ACCOUNT_NOT_REGISTERED | code::OWNER_NOT_PREMIUM | code::MISSING_SCOPE => {
            StatusCode::FORBIDDEN
        }
        code::UPSTREAM_TIMEOUT => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    Problem::new(status, object)
}

/// Opens a session, or issues a code for one, and sends the user back.
async fn go_on(
    app: &AppState,
    request: &Parts,
    login: &Login,
    grant: &Grant,
    page: Option<&str>,
) -> Result<Response, Problem> {
    // A login makes a new session, and the browser's old one ends with it.
    if let Some(old) = cookie::SESSION.read(&request.headers) {
        let ended = app.sessions.revoke(old).await;
        ended.map_err(|_| store_unavailable())?;
    }
    if let Some(page) = page {
        let code = auth::code::issue(app, grant).await;
        let code = code.map_err(|_| store_unavailable())?;
        info!("Spotify is connected: a code was issued");
        return Ok(see_other(&fragment(
            page,
            "auth_code",
            code.expose(),
            login,
        )));
    }
    let token = app.sessions.create(grant).await;
    let token = token.map_err(|_| store_unavailable())?;
    info!("Spotify is connected: a session was opened");
    let mut response = see_other(login.return_to.as_deref().unwrap_or("/"));
    let cookie = cookie::SESSION.set(token.expose(), app.sessions.limits().absolute);
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

/// What a page on another origin got in its fragment.
#[derive(Debug, Deserialize, Validate, ToSchema)]
pub(super) struct TokenRequest {
    /// The one-time code.
    #[garde(length(chars, min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    code: String,
}

/// A session, for whoever keeps it without cookies.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenAnswer {
    /// The session's token, to be sent as `Authorization: Bearer`.
    token: String,
    token_type: &'static str,
    /// Seconds after which it has ended at the latest.
    expires_in: u64,
}

/// Exchanges a one-time code for a session.
///
/// For pages on another origin and for programs: the token is sent as
/// `Authorization: Bearer`. A code is good once, and for a minute.
#[utoipa::path(
    post,
    path = "/api/auth/token",
    operation_id = "getToken",
    tag = "login",
    request_body = TokenRequest,
    responses(
        (status = 200, description = "The session.", body = TokenAnswer),
        BadBody,
        BadCode,
        OverQuota,
        NoStore,
    )
)]
pub(super) async fn token(
    State(app): State<AppState>,
    Valid(request): Valid<TokenRequest>,
) -> Result<Json<TokenAnswer>, Problem> {
    keys(&app.config)?;
    let grant = match auth::code::redeem(&app, &request.code).await {
        Ok(grant) => grant,
        Err(SessionError::Store(_)) => return Err(store_unavailable()),
        Err(_) => {
            let message = "this code is not good (any more): it can be used once, within a minute";
            return Err(bad_code(message));
        }
    };
    let token = app.sessions.create(&grant).await;
    let token = token.map_err(|_| store_unavailable())?;
    info!("Spotify is connected: a code was exchanged for a session");
    Ok(Json(TokenAnswer {
        token: token.expose().to_owned(),
        token_type: "Bearer",
        expires_in: app.sessions.limits().absolute.as_secs(),
    }))
}

/// Ends the session, here and not only in the browser: that of every credential which
/// the request brings.
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    operation_id = "logout",
    tag = "login",
    responses(
        (
            status = 204,
            description = "There is none (any more).",
            headers(("set-cookie" = String, description = "Removes the cookie."))
        ),
        TooManyCredentials,
        OtherSite,
        OverQuota,
        NoStore,
    ),
    security((), ("bearer" = []), ("cookie" = []))
)]
pub(super) async fn logout(
    State(app): State<AppState>,
    request: Parts,
) -> Result<Response, Problem> {
    let presented: Vec<_> = Credentials::all(&request.headers).collect();
    if presented.len() > MAX_ENDED {
        return Err(too_many_credentials());
    }
    let has_cookie = |all: &[Credentials]| {
        let mut all = all.iter();
        all.any(|one| matches!(one, Credentials::Cookie(_)))
    };
    // All of them or none: a 204 says that nothing that was sent is good any more.
    if has_cookie(&presented) && !same_site::may_act(&request, &app.config) {
        return Err(cross_site());
    }
    for credentials in &presented {
        // While it may still be good the browser keeps it, to try again.
        let ended = app.sessions.revoke(credentials.token().expose()).await;
        ended.map_err(|_| store_unavailable())?;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let gone = cookie::SESSION.clear();
    response.headers_mut().append(SET_COOKIE, gone);
    Ok(private(response))
}

/// What a request may bring to be ended: each costs writes of the store.
const MAX_ENDED: usize = 8;

fn too_many_credentials() -> Problem {
    let message = format!("at most {MAX_ENDED} sessions are ended at once: send fewer of them");
    let error = ErrorObject::new(code::BAD_REQUEST, message).with("max", MAX_ENDED);
    Problem::new(StatusCode::BAD_REQUEST, error)
}

/// Who is connected.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionInfo {
    connected: bool,
    /// Whether somebody could connect: the application has its keys.
    available: bool,
    /// How Spotify calls the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// Whether the caller has connected Spotify.
#[utoipa::path(
    get,
    path = "/api/auth/session",
    operation_id = "getSession",
    tag = "login",
    responses(
        (status = 200, description = "Who is connected.", body = SessionInfo),
        NoSession,
        NoStore,
    ),
    security((), ("bearer" = []), ("cookie" = []))
)]
pub(super) async fn session(
    State(app): State<AppState>,
    session: MaybeSession,
) -> Result<Json<SessionInfo>, Problem> {
    if matches!(session, MaybeSession::Unknown) {
        return Err(store_unavailable());
    }
    let user = session.user().and_then(UserSession::user);
    Ok(Json(SessionInfo {
        connected: session.user().is_some(),
        available: keys(&app.config).is_ok() && app.ports.key_value.is_some(),
        name: user.map(|user| user.name.clone().unwrap_or_else(|| user.id.clone())),
    }))
}

/// What the application needs to log anybody in.
fn keys(config: &Config) -> Result<(&str, &Secret), Problem> {
    let unset = Problem::not_configured;
    let id = config.spotify().client_id.as_deref();
    let secret = config.spotify().client_secret.as_ref();
    Ok((
        id.ok_or_else(|| unset("spotify_client_id"))?,
        secret.ok_or_else(|| unset("spotify_client_secret"))?,
    ))
}

fn not_sealed() -> Problem {
    let error = ErrorObject::new(code::INTERNAL, "the login could not be begun: try again");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

/// 303: go there, with GET.
fn see_other(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    // What goes in is ASCII: encoded, checked, or base64url.
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    private(response)
}

/// Neither kept nor told on.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
