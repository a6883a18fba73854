//! The documentation: an OpenAPI 3.1 document made from the types, and a page
//! that shows it.
//!
//! The document is made in tests, which hold `openapi.json` to it: a component that made
//! it itself would be larger by a fifth.

#[cfg_attr(not(test), allow(dead_code, reason = "the document has them"))]
pub(super) mod answers;
#[cfg(test)]
mod document;
#[cfg_attr(not(test), allow(dead_code, reason = "the document has it"))]
mod event;
#[cfg(test)]
mod kept;
#[cfg_attr(not(test), allow(dead_code, reason = "the document has them"))]
pub(super) mod parameters;

use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode, Uri};

pub(super) use event::StreamEvent;

use super::{assets, not_found};
use crate::error::code;
use spinlane_http::problem::Problem;

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "getOpenApi",
    tag = "documentation",
    responses(
        (
            status = 200,
            description = "OpenAPI 3.1.",
            body = Object,
            content_type = "application/json",
            headers(("etag" = String, description = "Changes with the document."))
        ),
        answers::NotModified,
    )
)]
pub(super) async fn document(headers: HeaderMap) -> Response {
    assets::document(&headers)
}

/// A page that shows the document. It needs nothing but this server.
#[utoipa::path(
    get,
    path = "/api/docs",
    operation_id = "getDocs",
    tag = "documentation",
    responses(
        (
            status = 200,
            description = "The page.",
            body = String,
            content_type = "text/html; charset=utf-8",
            headers(("etag" = String, description = "Changes with the page."))
        ),
        answers::NotModified,
    )
)]
pub(super) async fn page(headers: HeaderMap) -> Response {
    assets::page("/docs.html", &headers)
}

/// What a problem's `type` leads to: its place in the documentation.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "getProblemType",
    tag = "documentation",
    params(("code" = String, Path, description = "The `code` of an error.", example = "busy")),
    responses(
        (
            status = 303,
            description = "The place is in `Location`.",
            headers(("location" = String, description = "`/api/docs#problem-CODE`"))
        ),
        answers::NotFound,
    )
)]
pub(super) async fn problem(uri: Uri) -> Result<Response, Problem> {
    // Codes are plain: nothing that has to be decoded is one.
    let code = uri.path().rsplit('/').next().unwrap_or_default();
    let known = code::all().find(|known| known.as_str() == code);
    let Some(known) = known else {
        return Err(not_found(uri).await);
    };
    let location = format!("/api/docs#problem-{}", known.as_str());
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use http::Request;
    use serde_json::Value;

    use super::*;
    use crate::api::operator::X_ADMIN_TOKEN;
    use crate::api::tests::{ask, ask_with, get};

    fn published() -> Value {
        let answer = ask(get("/api/openapi.json"));
        assert_eq!(answer.header("content-type"), "application/json");
        answer.json()
    }

    /// Every `$ref` in `value`.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_is_whole() {
        let document = published();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.contains("#/components/schemas/Problem"), "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn operations_are_named_once_and_say_what_they_answer() {
        let document = published();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name}");
                assert!(operation["summary"].is_string(), "{method} {path}");
                let responses = operation["responses"].as_object().unwrap();
                for (status, response) in responses {
                    let what = format!("{method} {path}: {status}");
                    assert!(response["description"].is_string(), "{what}");
                    let problem = &response["content"]["application/problem+json"];
                    assert_eq!(problem.is_object(), status.as_str() >= "400", "{what}");
                }
            }
        }
    }

    /// Every operation: its method, its path with something for each parameter,
    /// and what the document says of it.
    fn operations(document: &Value) -> Vec<(&str, String, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, item)| {
            let path = path.replace("{code}", "busy").replace(['{', '}'], "");
            let operations = item.as_object().unwrap().iter();
            operations
                .map(move |(method, operation)| (method.as_str(), path.clone(), operation))
                .collect::<Vec<_>>()
        });
        operations.collect()
    }

    fn asked(method: &str, path: &str) -> Request<Body> {
        let request = Request::builder().method(method.to_uppercase().as_str());
        request.uri(path).body(Body::empty()).unwrap()
    }

    #[test]
    fn what_is_refused_before_the_route_is_said_of_every_route() {
        let document = published();
        let operations = operations(&document);
        assert!(operations.len() > 10);
        let malformed = |name: &str| (name == "frontend_url").then(|| "soon".into());
        for (method, path, operation) in operations {
            let documented = |status: StatusCode| {
                let responses = operation["responses"].as_object().unwrap();
                responses.contains_key(status.as_str())
            };
            let long = format!("{path}?{}", "x".repeat(9_000));
            let status = ask(asked(method, &long)).status;
            assert_eq!(status, StatusCode::URI_TOO_LONG, "{path}");
            assert!(documented(status), "{method} {path}: {status}");
            let status = ask_with(malformed, asked(method, &path)).status;
            assert!(documented(status), "{method} {path}: {status}");
            let unavailable = StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(
                documented(unavailable),
                status == unavailable,
                "{method} {path}: {status}"
            );
        }
    }

    #[test]
    fn what_opens_debug_is_said_where_there_is_debug() {
        let document = published();
        let mut seen = 0;
        for (_, path, operation) in operations(&document) {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let body = body.as_str().and_then(|body| document.pointer(&body[1..]));
            let debug = body.is_some_and(|body| body["properties"]["debug"].is_object());
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let token: Vec<_> = parameters
                .filter(|parameter| parameter["name"] == X_ADMIN_TOKEN.as_str())
                .collect();
            assert_eq!(token.len(), usize::from(debug), "{path}");
            for token in token {
                let (place, required) = (&token["in"], &token["required"]);
                assert_eq!((place, required), (&"header".into(), &false.into()));
            }
            seen += usize::from(debug);
        }
        assert_eq!(seen, 2, "the chat and the enrichment have it");
    }

    #[test]
    fn streams_are_described_frame_by_frame() {
        let document = published();
        let chat = &document["paths"]["/api/chat-stream/message"]["post"];
        let stream = &chat["responses"]["200"]["content"]["text/event-stream"];
        let event = stream["schema"]["$ref"].as_str().unwrap();
        let data = &document.pointer(&event[1..]).unwrap()["properties"]["data"];
        let items = data["contentSchema"]["$ref"].as_str().unwrap();
        let frames = document.pointer(&items[1..]).unwrap()["oneOf"].as_array();
        let kinds = frames.unwrap().iter().map(|frame| {
            let kind = &frame["properties"]["type"]["enum"][0];
            assert!(frame["description"].is_string(), "{frame}");
            assert!(frame["properties"]["data"].is_object(), "{frame}");
            kind.as_str().unwrap()
        });
        let kinds: BTreeSet<_> = kinds.collect();
        for kind in [
            "run", "content", "thinking", "usage", "log", "done", "error",
        ] {
            assert!(kinds.contains(kind), "{kinds:?}");
        }
    }

    #[test]
    fn every_problem_type_leads_to_its_place() {
        let document = published();
        let codes = &document["components"]["schemas"]["ErrorCode"]["oneOf"];
        let documented = codes.as_array().unwrap().iter();
        let documented = documented.map(|code| code["enum"][0].as_str().unwrap());
        let known = code::all().map(|code| code.as_str());
        assert!(documented.eq(known));
        let answer = ask(get("/problems/busy"));
        let location = answer.header("location");
        assert_eq!(
            (answer.status.as_u16(), location),
            (303, "/api/docs#problem-busy")
        );
        assert_eq!(ask(get("/problems/none")).problem(), "not_found");
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        for path in ["/api/openapi.json", "/api/docs"] {
            let etag = ask(get(path)).header("etag").to_owned();
            let request = Request::get(path).header("if-none-match", etag);
            let answer = ask(request.body(Body::empty()).unwrap());
            assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{path}");
        }
    }
}
