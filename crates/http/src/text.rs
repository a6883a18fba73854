//! Bodies that are text.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequest, Request};
use http::StatusCode;

use crate::arrive;
use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::ports::Clock;

/// A body of at most `MAX` bytes that is text in UTF-8, whatever media type it names.
///
/// Anything else is answered with 413 (size), 408 (too slow: it has 10 s, and 1 s more
/// for each KiB that has come) or 400 (cut off, or no UTF-8). The application's state
/// gives the clock that "too slow" goes by.
///
/// ```
/// use std::sync::Arc;
///
/// use axum::Router;
/// use axum::body::Body;
/// use axum::routing::post;
/// use http::Request;
/// use spinlane_core::ports::Clock;
/// use spinlane_core::testing::World;
/// use spinlane_http::text::Text;
/// use tower::ServiceExt;
///
/// async fn shout(Text(words): Text<10>) -> String {
///     words.to_uppercase()
/// }
///
/// let world = World::new();
/// let clock = Arc::clone(&world.ports().clock);
/// let routes = Router::<Arc<dyn Clock>>::new().route("/", post(shout)).with_state(clock);
/// let ask = |words: &'static str| {
///     let request = Request::post("/").body(Body::from(words)).unwrap();
///     world.run(routes.clone().oneshot(request)).unwrap().status()
/// };
/// assert_eq!(ask("ten bytes!"), 200);
/// assert_eq!(ask("some more bytes"), 413);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<const MAX: usize>(pub String);

impl<S, const MAX: usize> FromRequest<S> for Text<MAX>
where
    S: Send + Sync,
    Arc<dyn Clock>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        arrive::check_announced_length(&parts.headers, MAX)?;
        let body = arrive::read_all(body, MAX, &*Arc::<dyn Clock>::from_ref(state)).await?;
        String::from_utf8(body.into()).map(Self).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            let message = format!("the body is no UTF-8 after byte {place}");
            let error = ErrorObject::new(code::INVALID_REQUEST, message);
            Problem::new(StatusCode::BAD_REQUEST, error)
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use spinlane_core::testing::World;

    fn read(body: &'static [u8]) -> Result<String, (u16, &'static str)> {
        let world = World::new();
        let request = Request::new(Body::from(body));
        let text = world.run(Text::<4>::from_request(request, &world.ports().clock));
        let refused = |problem: Problem| (problem.status().as_u16(), problem.error().code.as_str());
        text.map(|Text(text)| text).map_err(refused)
    }

    #[test]
    fn text_of_moderate_length_is_read() {
        for (body, expected) in [
            (&b""[..], Ok("")),
            ("w\u{f6}r".as_bytes(), Ok("w\u{f6}r")),
            (&b"\xff"[..], Err((400, "invalid_request"))),
            (&b"12345"[..], Err((413, "body_too_large"))),
        ] {
            assert_eq!(read(body), expected.map(str::to_owned));
        }
    }
}
