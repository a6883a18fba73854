//! Answers that many routes have, for `responses(…)` of `#[utoipa::path]`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Header, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::error::{Code, code};
use spinlane_http::problem::{Document, MEDIA_TYPE};

type Responses = BTreeMap<String, RefOr<Response>>;

/// A problem document with `status`, for each of `codes`.
fn problem(status: u16, description: &str, codes: &[Code]) -> ResponseBuilder {
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Document::name())));
    for code in codes {
        let example = utoipa::openapi::example::ExampleBuilder::new()
            .summary(code.meaning())
            .value(Some(example(status, *code)));
        content = content.examples_from_iter([(code.as_str(), example)]);
    }
    ResponseBuilder::new()
        .description(description)
        .content(MEDIA_TYPE, content.build())
}

fn example(status: u16, code: Code) -> Value {
    let title = http::StatusCode::from_u16(status).ok();
    let title = title.and_then(|status| status.canonical_reason());
    json!({
        "type": format!("/problems/{}", code.as_str()),
        "title": title,
        "status": status,
        "detail": code.meaning(),
        "code": code.as_str(),
        "message": code.meaning(),
    })
}

fn integer(description: &str) -> Header {
    header(Type::Integer, description)
}

fn text(description: &str) -> Header {
    header(Type::String, description)
}

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build()
}

fn responses<const N: usize>(all: [(u16, ResponseBuilder); N]) -> Responses {
    let named = |(status, response): (u16, ResponseBuilder)| {
        (status.to_string(), RefOr::T(response.build()))
    };
    all.into_iter().map(named).collect()
}

/// 304: the client has it already.
pub(in crate::api) struct NotModified;

impl IntoResponses for NotModified {
    fn responses() -> Responses {
        let response = ResponseBuilder::new().description("`If-None-Match` names it already.");
        responses([(304, response)])
    }
}

/// 404.
pub(in crate::api) struct NotFound;

impl IntoResponses for NotFound {
    fn responses() -> Responses {
        let description = "There is nothing of this name.";
        responses([(404, problem(404, description, &[code::NOT_FOUND]))])
    }
}

/// What a JSON body may be refused with.
pub(in crate::api) struct BadBody;

impl IntoResponses for BadBody {
    fn responses() -> Responses {
        let not_json = [code::INVALID_JSON, code::INCOMPLETE_REQUEST];
        responses([
            (400, problem(400, "The body is not JSON.", &not_json)),
            (
                408,
                problem(408, "The body took too long.", &[code::INCOMPLETE_REQUEST]),
            ),
            (
                413,
                problem(413, "The body is too large.", &[code::BODY_TOO_LARGE]),
            ),
            (
                415,
                problem(
                    415,
                    "The body is not sent as JSON, or it is compressed.",
                    &[code::UNSUPPORTED_MEDIA_TYPE],
                ),
            ),
            (
                422,
                problem(
                    422,
                    "The body is JSON, but not what the route takes. `errors` names every bad \
                     field.",
                    &[code::INVALID_REQUEST],
                ),
            ),
        ])
    }
}

/// 409: the request wants to go on with a run.
pub(in crate::api) struct NotResumed;

impl IntoResponses for NotResumed {
    fn responses() -> Responses {
        let description = "The request has a `Last-Event-ID`: a client that connects again by \
             itself would have everything done twice. Nothing was done.";
        responses([(409, problem(409, description, &[code::NOT_RESUMABLE]))])
    }
}

/// 409: the request would begin a run that was begun already.
pub(in crate::api) struct NotBegun;

impl IntoResponses for NotBegun {
    fn responses() -> Responses {
        let description = "The request has a `Last-Event-ID` and no `Idempotency-Key`: a client \
             that connects again by itself would have everything done twice; `GET \
             /api/chat-stream/{run}` goes on reading. Or whoever sent the same key before has \
             not begun its run. Nothing was done.";
        let codes = [code::NOT_RESUMABLE, code::KEY_PENDING];
        let retry = integer("Seconds, where waiting may help.");
        let response = problem(409, description, &codes).header("retry-after", retry);
        let key = problem(
            422,
            "The body is JSON, but not what the route takes: `errors` names every bad field. \
             Or the `Idempotency-Key` is malformed, or was sent before with another body.",
            &[code::INVALID_REQUEST, code::KEY_REUSED],
        );
        responses([(409, response), (422, key)])
    }
}

/// 410: what the run said is not kept any more.
pub(in crate::api) struct RunGone;

impl IntoResponses for RunGone {
    fn responses() -> Responses {
        let description = "There was such a run; what it said is not kept any more.";
        responses([(410, problem(410, description, &[code::RUN_GONE]))])
    }
}

/// 429: the caller has used its quota, or reads as many runs as it may.
pub(in crate::api) struct TooManyReaders;

impl IntoResponses for TooManyReaders {
    fn responses() -> Responses {
        let description = "The address has used its quota, or the caller reads as many runs at \
             a time as it may.";
        let codes = [code::TOO_MANY_REQUESTS, code::TOO_MANY_READERS];
        responses([(429, too_many(description, &codes))])
    }
}

/// 429: the caller has used its quota.
pub(in crate::api) struct OverQuota;

impl IntoResponses for OverQuota {
    fn responses() -> Responses {
        let description = "The caller has used its quota.";
        responses([(429, too_many(description, &[code::TOO_MANY_REQUESTS]))])
    }
}

/// 429: the caller has used its quota, or has as many runs as it may.
pub(in crate::api) struct TooMuchAtOnce;

impl IntoResponses for TooMuchAtOnce {
    fn responses() -> Responses {
        let description = "The caller has used its quota, or has as many chats and \
             enrichments at a time as it may.";
        let codes = [code::TOO_MANY_REQUESTS, code::TOO_MANY_RUNS];
        responses([(429, too_many(description, &codes))])
    }
}

fn too_many(description: &str, codes: &[Code]) -> ResponseBuilder {
    problem(429, description, codes)
        .header("retry-after", integer("Seconds."))
        .header("ratelimit", text("What is left: IETF draft `RateLimit`."))
        .header(
            "ratelimit-policy",
            text("What is allowed: IETF draft `RateLimit-Policy`."),
        )
}

/// 503 of the store, where that is all that a route asks.
pub(in crate::api) struct NotReady;

impl IntoResponses for NotReady {
    fn responses() -> Responses {
        let codes = [code::STORE_UNAVAILABLE, code::MISCONFIGURED];
        let description = "The key-value store does not answer, or a variable is malformed.";
        responses([(503, problem(503, description, &codes))])
    }
}

/// 401: the route needs a session, or the one that is named is not good.
pub(in crate::api) struct NoSession;

impl IntoResponses for NoSession {
    fn responses() -> Responses {
        let codes = [
            code::SESSION_REQUIRED,
            code::SESSION_EXPIRED,
            code::SESSION_INVALID,
        ];
        let response = problem(
            401,
            "There is no session: the route needs one, or the `Authorization` that was sent \
             is not good (any more).",
            &codes,
        );
        let challenge = text("`Bearer`, and what is wrong with the one that was sent.");
        responses([(401, response.header("www-authenticate", challenge))])
    }
}

/// 403: the session's cookie came with a page of another site.
pub(in crate::api) struct OtherSite;

impl IntoResponses for OtherSite {
    fn responses() -> Responses {
        let description = "A browser has sent the session's cookie for another site's page.";
        responses([(403, problem(403, description, &[code::CROSS_SITE]))])
    }
}

/// 400: more than a logout ends at once.
pub(in crate::api) struct TooManyCredentials;

impl IntoResponses for TooManyCredentials {
    fn responses() -> Responses {
        let description = "More credentials than are ended at once.";
        responses([(400, problem(400, description, &[code::BAD_REQUEST]))])
    }
}

/// 503 of what cannot do without the store.
pub(in crate::api) struct NoStore;

impl IntoResponses for NoStore {
    fn responses() -> Responses {
        let codes = [
            code::STORE_UNAVAILABLE,
            code::NOT_CONFIGURED,
            code::MISCONFIGURED,
        ];
        let description = "The key-value store does not answer, or a variable is not set or \
             malformed; the problem names it.";
        responses([(503, problem(503, description, &codes))])
    }
}

/// 422 of a query.
pub(in crate::api) struct BadParameter;

impl IntoResponses for BadParameter {
    fn responses() -> Responses {
        let description = "A parameter is not what the route takes; `context` names it.";
        responses([(422, problem(422, description, &[code::INVALID_REQUEST]))])
    }
}

/// What the code of a login may be refused with.
pub(in crate::api) struct BadCode;

impl IntoResponses for BadCode {
    fn responses() -> Responses {
        let codes = [
            code::LOGIN_CODE,
            code::INVALID_JSON,
            code::INCOMPLETE_REQUEST,
        ];
        let description = "The code is not good (any more), or the body is not JSON.";
        responses([(400, problem(400, description, &codes))])
    }
}

/// What a callback may come to instead of a session.
pub(in crate::api) struct NoLogin;

impl IntoResponses for NoLogin {
    fn responses() -> Responses {
        let bad = [code::LOGIN_STATE, code::LOGIN_CODE];
        let denied = [
            code::LOGIN_DENIED,
            code::ACCOUNT_NOT_REGISTERED,
            code::OWNER_NOT_PREMIUM,
            code::MISSING_SCOPE,
        ];
        let refused = [code::UPSTREAM_REJECTED, code::UPSTREAM_ERROR];
        responses([
            (
                400,
                problem(400, "The login was not begun here, or is over.", &bad),
            ),
            (
                403,
                problem(
                    403,
                    "The user did not allow it, or Spotify does not.",
                    &denied,
                ),
            ),
            (
                502,
                problem(502, "Spotify did not accept the login.", &refused),
            ),
            (
                504,
                problem(504, "Spotify took too long.", &[code::UPSTREAM_TIMEOUT]),
            ),
        ])
    }
}

/// 401: the operator's token is missing or another one.
pub(in crate::api) struct NotAdmin;

impl IntoResponses for NotAdmin {
    fn responses() -> Responses {
        let description = "The operator's token is missing, or it is another one.";
        responses([(401, problem(401, description, &[code::ADMIN_REQUIRED]))])
    }
}

/// What every route may answer, whatever it does.
#[cfg(test)]
pub(super) struct OfEveryRoute;

#[cfg(test)]
impl IntoResponses for OfEveryRoute {
    fn responses() -> Responses {
        let unset = [code::NOT_CONFIGURED, code::MISCONFIGURED];
        responses([
            (
                414,
                problem(414, "Path and query are too long.", &[code::URI_TOO_LONG]),
            ),
            (
                500,
                problem(500, "A defect of this program.", &[code::INTERNAL]),
            ),
            (
                503,
                problem(
                    503,
                    "A variable that the route needs is not set, or one is malformed; the \
                     problem names it.",
                    &unset,
                ),
            ),
        ])
    }
}
