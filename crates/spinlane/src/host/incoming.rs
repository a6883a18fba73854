//! The request: from `incoming-request` to `http::Request`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Frame;
use http_body_util::Full;
use wasip2::http::types::{IncomingRequest, Method, Scheme};

use super::entropy::WasiEntropy;
use super::outgoing::{BodyReader, method_from_wasi};
use super::problem::problem;
use spinlane_core::ports::HttpError;
use spinlane_core::request_id;

/// The body of a request, as it arrives. It is opened when it is first read: most
/// requests have none.
///
/// ```no_run
/// use http::{Request, Response};
/// use spinlane::core::ports::Ports;
/// use spinlane::host::IncomingBody;
///
/// /// Sends back what comes, as it comes.
/// async fn answer(request: Request<IncomingBody>, _: Ports) -> Response<IncomingBody> {
///     Response::new(request.into_body())
/// }
///
/// spinlane::export!(answer);
/// ```
#[derive(Debug)]
pub struct IncomingBody(Source);

#[derive(Debug)]
enum Source {
    Unopened(IncomingRequest),
    Open(BodyReader),
    /// It could not be opened.
    Broken,
}

impl Source {
    /// The reader; `None` when that has failed before.
    fn open(&mut self) -> Result<Option<&mut BodyReader>, HttpError> {
        if let Self::Unopened(request) = self {
            let taken = |()| HttpError::Broken("the body is already taken".into());
            let body = request.consume().map_err(taken);
            *self = Self::Broken;
            *self = Self::Open(BodyReader::new(body?, Duration::MAX)?);
        }
        Ok(match self {
            Self::Open(reader) => Some(reader),
            Self::Unopened(_) | Self::Broken => None,
        })
    }
}

impl http_body::Body for IncomingBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let reader = match self.0.open() {
            Ok(Some(reader)) => reader,
            Ok(None) => return Poll::Ready(None),
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        let item = ready!(Pin::new(reader).poll_next(cx));
        Poll::Ready(item.map(|chunk| chunk.map(Frame::data)))
    }
}

/// Converts the head; the body is opened when it is polled.
///
/// # Errors
/// A ready 400 when the head cannot be expressed (an invalid target or header).
pub(super) fn convert(
    request: IncomingRequest,
) -> Result<http::Request<IncomingBody>, http::Response<Full<Bytes>>> {
    let head = head(&request).and_then(|builder| {
        let head = builder.body(());
        head.map_err(|_| "the request target or a header is not valid")
    });
    match head {
        Ok(head) => Ok(head.map(|()| IncomingBody(Source::Unopened(request)))),
        Err(detail) => Err(bad_request(&request, detail)),
    }
}

fn head(request: &IncomingRequest) -> Result<http::request::Builder, &'static str> {
    let method: Method = request.method();
    let mut uri = http::Uri::builder().path_and_query(
        request
            .path_with_query()
            .unwrap_or_else(|| String::from("/")),
    );
    if let Some(authority) = request.authority() {
        let scheme = match request.scheme() {
            Some(Scheme::Https) => "https",
            _ => "http",
        };
        uri = uri.scheme(scheme).authority(authority);
    }
    let mut builder = http::Request::builder()
        .method(method_from_wasi(&method).ok_or("the method is not valid")?)
        .uri(uri.build().map_err(|_| "the request target is not valid")?);
    for (name, value) in request.headers().entries() {
        builder = builder.header(name, value);
    }
    Ok(builder)
}

/// Says so, and logs it as the application would.
fn bad_request(request: &IncomingRequest, detail: &'static str) -> http::Response<Full<Bytes>> {
    let request_id = request_id::of_request(&valid_headers(request), &WasiEntropy);
    let status = StatusCode::BAD_REQUEST;
    let code = "bad_request";
    let response = problem(status, code, detail, &request_id, HeaderMap::new());
    tracing::info_span!("request", request_id).in_scope(|| {
        tracing::info!(
            http.response.status_code = status.as_u16(),
            http.response.body.size = response.body().len(),
            "error.type" = code,
            "answered"
        );
    });
    response.map(Full::new)
}

fn valid_headers(request: &IncomingRequest) -> HeaderMap {
    let fields = request.headers().entries().into_iter();
    let valid = fields.filter_map(|(name, value)| {
        let name = HeaderName::try_from(name).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    });
    valid.collect()
}
