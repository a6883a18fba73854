//! JSON bodies, in and out.

mod read;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request};
use axum::response::{IntoResponse, Response};
use garde::Validate;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arrive;
use crate::problem::{FieldError, Problem};
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::media_type::essence;
use spinlane_core::ports::Clock;

/// The largest body that a route reads, in bytes.
pub const MAX_BODY: usize = 512 * 1024;

/// A JSON answer.
///
/// ```
/// use axum::response::IntoResponse;
/// use spinlane_http::json::Json;
///
/// let response = Json(["rain", "sun"]).into_response();
/// assert_eq!(response.headers()["content-type"], "application/json");
/// assert_eq!(response.headers()["content-length"], "14");
/// assert_eq!(response.headers()["cache-control"], "no-store");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// A JSON body, read into `T` and checked against its rules.
///
/// Anything else is answered with 415 (media type, encoding), 413 (size), 408 (too slow),
/// 400 (not JSON) or 422 (wrong type or range, every bad field named). The
/// application's state gives the clock that "too slow" goes by.
///
/// ```
/// use axum::Router;
/// use axum::body::Body;
/// use axum::routing::post;
/// use garde::Validate;
/// use http::Request;
/// use serde::Deserialize;
/// use spinlane_core::testing::World;
/// use spinlane_http::json::Valid;
/// use tower::ServiceExt;
///
/// #[derive(Deserialize, Validate)]
/// struct Ask {
///     #[garde(length(min = 1))]
///     words: String,
/// }
///
/// async fn shout(Valid(ask): Valid<Ask>) -> String {
///     ask.words.to_uppercase()
/// }
///
/// let world = World::new();
/// let status = |body: &'static str| {
///     let routes: Router = Router::new().route("/", post(shout)).with_state(world.ports().clock);
///     let request = Request::post("/").header("content-type", "application/json");
///     let answer = world.run(routes.oneshot(request.body(Body::from(body)).unwrap()));
///     answer.unwrap().status()
/// };
/// assert_eq!(status(r#"{"words":"hello"}"#), 200);
/// assert_eq!(status(r#"{"words":""}"#), 422);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Valid<T>(pub T);

impl<S, T> FromRequest<S> for Valid<T>
where
    S: Send + Sync,
    Arc<dyn Clock>: FromRef<S>,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_media_type(&parts.headers)?;
        check_encoding(&parts.headers)?;
        arrive::check_announced_length(&parts.headers, MAX_BODY)?;
        let body = arrive::read_all(body, MAX_BODY, &*Arc::<dyn Clock>::from_ref(state)).await?;
        parse(&body).map(Self)
    }
}

/// `application/json` or `application/*+json`, with any parameters.
fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let value = match (values.next(), values.next()) {
        // Two of them may be read differently by something in between.
        (value, None) => value,
        _ => None,
    };
    let essence = essence(value).to_ascii_lowercase();
    let is_json = essence.strip_prefix("application/").is_some_and(|subtype| {
        subtype == "json"
            || subtype
                .strip_suffix("+json")
                .is_some_and(|name| !name.is_empty())
    });
    if is_json {
        return Ok(());
    }
    let message = "send the body as JSON, with the header `Content-Type: application/json`";
    let error = ErrorObject::new(code::UNSUPPORTED_MEDIA_TYPE, message);
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
}

/// The longest name of an encoding that is repeated, in characters.
const MAX_ENCODING: usize = 40;

/// Nothing is unpacked here: a small body could become a large one.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let fields = headers.get_all(CONTENT_ENCODING).into_iter();
    let fields = fields.map(|field| String::from_utf8_lossy(field.as_bytes()).into_owned());
    let fields = fields.collect::<Vec<_>>().join(",");
    let mut encodings = fields.split(',').map(str::trim);
    let other = |name: &&str| !name.is_empty() && !name.eq_ignore_ascii_case("identity");
    let Some(encoding) = encodings.find(other) else {
        return Ok(());
    };
    let encoding: String = encoding.chars().take(MAX_ENCODING).collect();
    let message = format!(
        "the body is encoded as `{encoding}`, which is not read here: send it as it is, without \
         `Content-Encoding`"
    );
    let error = ErrorObject::new(code::UNSUPPORTED_MEDIA_TYPE, message);
    let taken = (ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let error = error.with("contentEncoding", encoding);
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error).with_headers([taken]))
}

fn not_json(reason: impl std::fmt::Display) -> Problem {
    let message = format!("the body is not JSON: {reason}");
    Problem::new(
        StatusCode::BAD_REQUEST,
        ErrorObject::new(code::INVALID_JSON, message),
    )
}

fn parse<T>(body: &[u8]) -> Result<T, Problem>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    // Editors and some platforms begin a text with a byte order mark.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body)
        .map_err(|error| not_json(format_args!("no UTF-8 after byte {}", error.valid_up_to())))?;
    let document: Value = serde_json::from_str(text).map_err(not_json)?;
    fit(&document).map_err(Problem::invalid)
}

/// Reads `document` into a `T` and checks it against its rules. A member that is
/// `null` is as one that is left out.
///
/// # Errors
/// Each fault by the field that has it, 50 at most.
pub fn fit<T>(document: &Value) -> Result<T, Vec<FieldError>>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let read::Read { value, mut faults } = read::read::<T>(document);
    if let Some(value) = &value {
        check(value, &mut faults);
    }
    match value {
        Some(value) if faults.is_empty() => Ok(value),
        _ => Err(faults),
    }
}

/// Adds to the `faults` of reading what breaks the rules of `value`, up to as many
/// as are told.
fn check(value: &impl Validate<Context = ()>, faults: &mut Vec<FieldError>) {
    let Err(report) = value.validate() else {
        return;
    };
    let read = faults.len();
    let found = report.iter();
    let mut found: Vec<_> = found
        .map(|(path, error)| (pointer(&path.to_string()), error))
        .collect();
    // What is wrong with a list as a whole is told before its many parts.
    found.sort_by_cached_key(|(pointer, _)| pointer.matches('/').count());
    for (pointer, error) in found {
        if faults.len() >= read::MAX_FAULTS {
            return;
        }
        // Where a stand-in was checked, the true fault is already named.
        let known = faults[..read]
            .iter()
            .any(|fault| covers(&fault.pointer, &pointer));
        if !known {
            let message = error.to_string();
            faults.push(FieldError { pointer, message });
        }
    }
}

/// Whether `pointer` is at or below `outer`.
fn covers(outer: &str, pointer: &str) -> bool {
    let rest = pointer.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The JSON pointer for a path of the validator, which writes Rust's names:
/// `conversation_history[3].content` is `/conversationHistory/3/content`.
fn pointer(path: &str) -> String {
    let mut pointer = String::with_capacity(path.len() + 1);
    let mut upper = false;
    if !path.is_empty() && !path.starts_with('[') {
        pointer.push('/');
    }
    for char in path.chars() {
        match char {
            '.' | '[' => pointer.push('/'),
            ']' => {}
            '_' => upper = true,
            char if std::mem::take(&mut upper) => pointer.push(char.to_ascii_uppercase()),
            char => pointer.push(char),
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn paths_of_the_validator_become_pointers() {
        for (path, expected) in [
            ("", ""),
            ("message", "/message"),
            (
                "conversation_history[3].content",
                "/conversationHistory/3/content",
            ),
            ("[0]", "/0"),
        ] {
            assert_eq!(pointer(path), expected);
        }
    }

    /// What the validator finds has the same bound as what the reader finds: an
    /// answer is no larger than a person would read.
    #[test]
    fn faults_of_the_validator_are_bounded() {
        #[derive(Debug, serde::Deserialize, Validate)]
        struct Words {
            #[garde(length(max = 5), inner(length(min = 1)))]
            words: Vec<String>,
        }
        let pointers = |words: usize| -> Vec<String> {
            let body = serde_json::json!({"words": vec![""; words]});
            let problem = parse::<Words>(body.to_string().as_bytes()).unwrap_err();
            let response = http::Response::<Bytes>::from(&problem);
            let document: Value = serde_json::from_slice(response.body()).unwrap();
            let errors = document["errors"].as_array().unwrap();
            let pointers = errors
                .iter()
                .map(|error| error["pointer"].as_str().unwrap());
            pointers.map(str::to_owned).collect()
        };
        assert_eq!(pointers(2), ["/words/0", "/words/1"]);
        let many = pointers(20_000);
        assert_eq!(many.len(), read::MAX_FAULTS);
        assert_eq!(many[..2], ["/words", "/words/0"]);
    }

    #[test]
    fn media_types() {
        let check = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            check_media_type(&headers).is_ok()
        };
        for value in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.dj+json",
        ] {
            assert!(check(value), "{value}");
        }
        for value in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/+json",
            "",
        ] {
            assert!(!check(value), "{value}");
        }
        assert!(check_media_type(&HeaderMap::new()).is_err());
        let mut twice = HeaderMap::new();
        for value in ["application/json", "text/plain"] {
            twice.append(CONTENT_TYPE, HeaderValue::from_static(value));
        }
        assert!(check_media_type(&twice).is_err());
    }
}
