//! Errors outside a stream: `application/problem+json` (RFC 9457).
//!
//! A document has the members of the RFC, `errors` with one entry per bad
//! field, and the members of the [`ErrorObject`], so that a client reads errors
//! the same way wherever they arrive.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use spinlane_core::error::{Code, ErrorObject, code};

/// The media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// When a store that was left alone is asked again, in milliseconds.
const STORE_PAUSE_MS: u64 = 5_000;

/// One field of a request that is not as it must be.
///
/// ```
/// use garde::Validate;
/// use serde::Deserialize;
/// use serde_json::json;
/// use spinlane_http::json::fit;
/// use spinlane_http::problem::{FieldError, Problem};
///
/// #[derive(Deserialize, Validate)]
/// struct Ask {
///     #[garde(range(max = 10))]
///     limit: u32,
/// }
///
/// let errors: Vec<FieldError> = fit::<Ask>(&json!({"limit": 50})).err().unwrap_or_default();
/// assert_eq!(errors[0].pointer, "/limit");
/// assert_eq!(Problem::invalid(errors).status(), 422);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field; `""` is the whole body.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

/// An answer that says why there is no other.
///
/// ```
/// use axum::response::IntoResponse;
/// use http::StatusCode;
/// use spinlane_core::error::{ErrorObject, code};
/// use spinlane_http::problem::{MEDIA_TYPE, Problem};
///
/// let error = ErrorObject::new(code::NOT_FOUND, "there is no such song");
/// let response = Problem::new(StatusCode::NOT_FOUND, error).into_response();
/// assert_eq!(response.status(), 404);
/// assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
/// ```
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    error: ErrorObject,
    errors: Vec<FieldError>,
    // Boxed: a problem is the error of many results.
    headers: Box<HeaderMap>,
}

impl Problem {
    /// A problem with `status`.
    pub fn new(status: StatusCode, error: ErrorObject) -> Self {
        Self {
            status,
            error: ErrorObject {
                status: Some(status.as_u16()),
                ..error
            },
            errors: Vec::new(),
            headers: Box::default(),
        }
    }

    /// 422: the body is JSON, but `errors` are wrong with it.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let fields = match errors.as_slice() {
            [one] if one.pointer.is_empty() => format!("the body {}", one.message),
            [one] => format!("{} {}", one.pointer, one.message),
            many => format!("{} fields are not valid", many.len()),
        };
        Self {
            errors,
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                ErrorObject::new(code::INVALID_REQUEST, fields),
            )
        }
    }

    /// 503: what `error` is about is missing or malformed, and has to be mended before
    /// the route can be used.
    pub fn unavailable(error: ErrorObject) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// 503: the route needs `variable`, which is not set.
    pub fn not_configured(variable: &str) -> Self {
        let message = format!("set the variable `{variable}`: this route needs it");
        let error = ErrorObject::new(code::NOT_CONFIGURED, message).with("variable", variable);
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// 503: the route cannot do without the key-value store, which fails.
    /// `message` says what that comes to.
    pub fn store_unavailable(message: &str) -> Self {
        let error = ErrorObject {
            retry_after_ms: Some(STORE_PAUSE_MS),
            ..ErrorObject::new(code::STORE_UNAVAILABLE, message)
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// The same, sent with these header fields as well.
    #[must_use]
    pub fn with_headers(
        mut self,
        fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Self {
        self.headers.extend(fields);
        self
    }

    /// The response's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What the document says.
    pub fn error(&self) -> &ErrorObject {
        &self.error
    }

    fn to_json(&self) -> Vec<u8> {
        let document = Document {
            kind: format!("/problems/{}", self.error.code.as_str()),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.error.message,
            errors: &self.errors,
            code: self.error.code,
            message: &self.error.message,
            context: &self.error.context,
            retry_after_ms: self.error.retry_after_ms,
        };
        // Cannot fail: string keys only, and nothing with a fallible Serialize.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

/// Why there is no other answer (RFC 9457), with the members of the error object
/// that streams have.
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, StatusCode};
/// use spinlane_core::error::{ErrorObject, code};
/// use spinlane_http::problem::Problem;
///
/// let error = ErrorObject::new(code::NOT_FOUND, "there is no such song");
/// let response = Response::<Bytes>::from(&Problem::new(StatusCode::NOT_FOUND, error));
/// let document: serde_json::Value = serde_json::from_slice(response.body())?;
/// assert_eq!((&document["code"], &document["status"]), (&"not_found".into(), &404.into()));
/// assert_eq!(document["type"], "/problems/not_found");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "utoipa", schema(as = Problem))]
pub struct Document<'a> {
    /// Leads to the documentation, on the server that answered.
    #[serde(rename = "type")]
    #[cfg_attr(
        feature = "utoipa",
        schema(format = "uri-reference", pattern = "^/problems/[a-z_]+$")
    )]
    kind: String,
    /// The status, in words.
    title: &'a str,
    /// The response's status.
    #[cfg_attr(feature = "utoipa", schema(minimum = 400, maximum = 599))]
    status: u16,
    /// For a person; says what to do where something can be done.
    detail: &'a str,
    /// Every field of the request that is not as it must be.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    code: Code,
    /// The same as `detail`.
    message: &'a str,
    /// What the error is about: the upstream, the variable, the route.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Object))]
    context: &'a Map<String, Value>,
    /// When trying again makes sense, in milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl From<&Problem> for http::Response<Bytes> {
    fn from(problem: &Problem) -> Self {
        let body = Bytes::from(problem.to_json());
        let mut response = http::Response::new(body);
        *response.status_mut() = problem.status;
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.extend(HeaderMap::clone(&problem.headers));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(millis) = problem.error.retry_after_ms {
            headers.insert(RETRY_AFTER, millis.div_ceil(1000).into());
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = http::Response::<Bytes>::from(&self).map(Body::from);
        // For the log.
        response.extensions_mut().insert(self.error.code);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(response: &http::Response<Bytes>) -> Value {
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn has_the_members_of_the_rfc_and_of_the_error_object() {
        let error = ErrorObject {
            retry_after_ms: Some(1_001),
            ..ErrorObject::new(code::BUSY, "all slots are taken")
        };
        let problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error.with("lane", "spotify"),
        );
        let response = http::Response::from(&problem);
        assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let expected = json!({
            "type": "/problems/busy",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "all slots are taken",
            "code": "busy",
            "message": "all slots are taken",
            "context": {"lane": "spotify"},
            "retryAfterMs": 1001,
        });
        assert_eq!(parse(&response), expected);
    }

    #[test]
    fn names_bad_fields() {
        let errors = ["/a", "/b"].map(|pointer| FieldError {
            pointer: pointer.into(),
            message: "is required".into(),
        });
        let body = parse(&(&Problem::invalid(errors.to_vec())).into());
        assert_eq!(
            body["errors"][1],
            json!({"pointer": "/b", "message": "is required"})
        );
        assert_eq!(body["detail"], "2 fields are not valid");
        let body = parse(&(&Problem::invalid(errors[..1].to_vec())).into());
        assert_eq!(body["detail"], "/a is required");
    }
}
