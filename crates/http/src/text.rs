//! Bodies that are text.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use http::StatusCode;

use crate::arrive;
use crate::problem::Problem;
use spinlane_core::error::{ErrorObject, code};
use spinlane_core::ports::Clock;

/// A body of at most `MAX` bytes that is text in UTF-8, whatever media type it names.
///
/// Anything else is answered with 413 (size), 408 (too slow: it has 10 s, and 1 s more
/// for each KiB that has come) or 400 (cut off, or no UTF-8). The clock that "too slow"
/// goes by is that of the [`Stack`](crate::stack::Stack) around the routes; without one
/// it is a 500, and the log says why.
///
/// ```
/// use axum::body::Body;
/// use axum::routing::post;
/// use http::Request;
/// use spinlane_core::testing::World;
/// use spinlane_http::stack::{self, Stack};
/// use spinlane_http::text::Text;
///
/// async fn shout(Text(words): Text<10>) -> String {
///     words.to_uppercase()
/// }
///
/// let world = World::new();
/// let routes = stack::routes().route("/", post(shout));
/// let ask = |words: &'static str| {
///     let request = Request::post("/").body(Body::from(words)).unwrap();
///     let stack = Stack::new(&world.ports(), 50, |_| None);
///     world.run(stack.answer(routes.clone(), request)).status()
/// };
/// assert_eq!(ask("ten bytes!"), 200);
/// assert_eq!(ask("some more bytes"), 413);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<const MAX: usize>(pub String);

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for Text<MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let clock = parts.extensions.get::<BodyClock>().ok_or_else(no_clock)?;
        arrive::check_announced_length(&parts.headers, MAX)?;
        let body = arrive::read_all(body, MAX, &*clock.0).await?;
        String::from_utf8(body.into()).map(Self).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            let message = format!("the body is no UTF-8 after byte {place}");
            let error = ErrorObject::new(code::INVALID_REQUEST, message);
            Problem::new(StatusCode::BAD_REQUEST, error)
        })
    }
}

/// What the time goes by in which a body has to arrive, in the request's extensions.
#[derive(Clone)]
pub(crate) struct BodyClock(pub(crate) Arc<dyn Clock>);

fn no_clock() -> Problem {
    tracing::error!("a route takes a text outside of `Stack::answer`, which has the clock");
    let error = ErrorObject::new(code::INTERNAL, "this route is not set up; the log says why");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use spinlane_core::testing::World;

    fn read(body: &'static [u8]) -> Result<String, (u16, &'static str)> {
        let world = World::new();
        let mut request = Request::new(Body::from(body));
        let clock = BodyClock(world.ports().clock);
        request.extensions_mut().insert(clock);
        let text = world.run(Text::<4>::from_request(request, &()));
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
