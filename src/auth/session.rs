//! The session of a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::{AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{UserSession, cookie, same_site};
use crate::AppState;
use crate::clients::spotify::Access;
use crate::config::Secret;
use crate::error::{Code, ErrorObject, code};
use spinlane_core::cache::session::SessionError;
use spinlane_http::context::RequestContext;
use spinlane_http::problem::Problem;

/// What a request brings to show whose it is.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// A token that was sent on purpose.
    Bearer(Secret),
    /// One that the browser has sent by itself.
    Cookie(Secret),
}

impl Credentials {
    /// The one that counts: a Bearer token before a cookie.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        Self::all(headers).next()
    }

    /// Every one that a request brings, Bearer tokens before cookies. Other schemes
    /// are not for us.
    pub(crate) fn all(headers: &HeaderMap) -> impl Iterator<Item = Self> {
        let bearer = |value: &HeaderValue| {
            // What is no text is no token either, but was meant to be one.
            let value = String::from_utf8_lossy(value.as_bytes());
            let (scheme, token) = value.split_once(' ').unwrap_or((&value, ""));
            let bearer = scheme.eq_ignore_ascii_case("bearer");
            bearer.then(|| Self::Bearer(Secret::new(token.trim())))
        };
        let bearers = headers.get_all(AUTHORIZATION).into_iter();
        let cookies = cookie::SESSION.values(headers);
        let cookies = cookies.map(|token| Self::Cookie(Secret::new(token)));
        bearers.filter_map(bearer).chain(cookies)
    }

    /// What opens the session.
    pub(crate) fn token(&self) -> &Secret {
        match self {
            Self::Bearer(token) | Self::Cookie(token) => token,
        }
    }
}

/// The session of a request, if it has one.
///
/// As an extractor it answers 401 for a Bearer token that is expired or was
/// never good. A cookie like that is as good as none, and is cleared. It reads
/// the store at most once, and not at all for requests without credentials.
#[derive(Clone, Debug)]
pub(crate) enum MaybeSession {
    /// There is none; `Some` says why the one that the cookie named is none.
    Absent(Option<Code>),
    /// There is one.
    Open(UserSession),
    /// The cookie names one, and the store does not say whether it is good.
    Unknown,
}

impl MaybeSession {
    /// Who asks, where that is known.
    pub(crate) fn user(&self) -> Option<&UserSession> {
        match self {
            Self::Open(user) => Some(user),
            Self::Absent(_) | Self::Unknown => None,
        }
    }

    /// The catalogue as the user sees it, or as everybody does.
    pub(crate) fn access(&self) -> Access {
        match self {
            Self::Open(user) => Access::User(Arc::new(user.clone())),
            Self::Absent(_) | Self::Unknown => Access::App,
        }
    }

    /// Who asks, for routes that need to know.
    ///
    /// # Errors
    /// 401 when there is no session, 503 when nobody can say.
    pub(crate) fn required(&self) -> Result<&UserSession, Problem> {
        match self {
            Self::Open(user) => Ok(user),
            Self::Absent(None) => Err(refused(code::SESSION_REQUIRED)),
            Self::Absent(Some(why)) => Err(refused(*why)),
            Self::Unknown => Err(store_unavailable()),
        }
    }
}

impl FromRequestParts<AppState> for MaybeSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        match Credentials::from_headers(&parts.headers) {
            None => Ok(Self::Absent(None)),
            Some(Credentials::Bearer(token)) => match UserSession::open(app, token).await {
                Ok(user) => Ok(Self::Open(user)),
                Err(SessionError::Store(_)) => Err(store_unavailable()),
                Err(error) => Err(refused(code(&error))),
            },
            Some(Credentials::Cookie(token)) => {
                if !same_site::may_act(parts, &app.config) {
                    return Err(cross_site());
                }
                match UserSession::open(app, token).await {
                    Ok(user) => Ok(Self::Open(user)),
                    Err(SessionError::Store(_)) => Ok(Self::Unknown),
                    Err(error) => {
                        if let Some(context) = parts.extensions.get::<RequestContext>() {
                            context.answer.append(SET_COOKIE, cookie::SESSION.clear());
                        }
                        Ok(Self::Absent(Some(code(&error))))
                    }
                }
            }
        }
    }
}

fn code(error: &SessionError) -> Code {
    match error {
        SessionError::Expired => code::SESSION_EXPIRED,
        _ => code::SESSION_INVALID,
    }
}

/// 401, in words that tell what to do.
fn refused(code: Code) -> Problem {
    let (message, challenge) = match code {
        code::SESSION_EXPIRED => (
            "your session has ended: connect Spotify again",
            "Bearer realm=\"spinlane\", error=\"invalid_token\", error_description=\"expired\"",
        ),
        code::SESSION_INVALID => (
            "there is no such session: connect Spotify again",
            "Bearer realm=\"spinlane\", error=\"invalid_token\"",
        ),
        _ => (
            "this needs your Spotify account: connect it at /api/auth/login",
            "Bearer realm=\"spinlane\"",
        ),
    };
    let error = ErrorObject::new(code, message).with("login", "/api/auth/login");
    let challenge = (WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    Problem::new(StatusCode::UNAUTHORIZED, error).with_headers([challenge])
}

/// 403: a browser has sent our cookie along with somebody else's request.
pub(crate) fn cross_site() -> Problem {
    let message = "this request comes from another site: send the session as `Authorization: \
         Bearer` instead of the cookie";
    Problem::new(
        StatusCode::FORBIDDEN,
        ErrorObject::new(code::CROSS_SITE, message),
    )
}

/// 503: without the store nobody can say whether a session is good.
pub(crate) fn store_unavailable() -> Problem {
    Problem::store_unavailable(
        "the key-value store does not answer, and sessions are kept there: try again in a moment",
    )
}
