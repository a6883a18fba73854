//! [`HttpClient`] on `wasi:http/outgoing-handler`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use futures::{Stream, StreamExt, pin_mut};
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use wasip2::io::error::Error as IoError;
use wasip2::io::streams::{InputStream, StreamError};

use super::body_pump::write_all;
use super::reactor::Registration;
use spinlane_core::ports::{BodyStream, BoxFuture, HttpClient, HttpError, TimeoutPhase, Timeouts};

/// One read takes what the host has, up to this much.
const READ_BYTES: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct WasiHttp;

impl HttpClient for WasiHttp {
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeouts: Timeouts,
    ) -> BoxFuture<'static, Result<http::Response<BodyStream>, HttpError>> {
        Box::pin(send(request, timeouts))
    }
}

async fn send(
    request: http::Request<Bytes>,
    timeouts: Timeouts,
) -> Result<http::Response<BodyStream>, HttpError> {
    let (parts, body) = request.into_parts();
    let outgoing = outgoing_request(&parts)?;
    let outgoing_body = outgoing
        .body()
        .map_err(|()| HttpError::Invalid("the body is already taken".into()))?;
    let pending = outgoing_handler::handle(outgoing, Some(options(timeouts)?))
        .map_err(|code| from_error_code(code, TimeoutPhase::Connect))?;
    let response = {
        let upload = send_body(body, outgoing_body);
        let head = response_head(pending);
        pin_mut!(upload, head);
        // An upstream may answer, or fail, before it has read the whole
        // request: its answer counts, not how the upload went.
        match select(head, upload).await {
            Either::Left((response, _)) => response?,
            Either::Right(((), head)) => head.await?,
        }
    };
    convert(&response, timeouts.idle)
}

fn outgoing_request(parts: &http::request::Parts) -> Result<OutgoingRequest, HttpError> {
    let invalid = |what: &str| HttpError::Invalid(what.into());
    let authority = parts.uri.authority().ok_or_else(|| invalid("no host"))?;
    let request = OutgoingRequest::new(super::fields::fields(&parts.headers));
    request
        .set_method(&method_to_wasi(&parts.method))
        .map_err(|()| invalid("the method"))?;
    // Nothing is guessed: a request with keys would go out in the clear.
    let scheme = match parts.uri.scheme_str() {
        Some("https") => Scheme::Https,
        Some("http") => Scheme::Http,
        _ => return Err(invalid("the URL begins with neither https:// nor http://")),
    };
    request
        .set_scheme(Some(&scheme))
        .map_err(|()| invalid("the scheme"))?;
    request
        .set_authority(Some(authority.as_str()))
        .map_err(|()| invalid("the host"))?;
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    request
        .set_path_with_query(Some(target))
        .map_err(|()| invalid("the path"))?;
    Ok(request)
}

fn options(timeouts: Timeouts) -> Result<RequestOptions, HttpError> {
    let options = RequestOptions::new();
    let nanos = |time: Duration| Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    options
        .set_connect_timeout(nanos(timeouts.connect))
        .and_then(|()| options.set_first_byte_timeout(nanos(timeouts.first_byte)))
        .and_then(|()| options.set_between_bytes_timeout(nanos(timeouts.idle)))
        .map_err(|()| HttpError::Invalid("the host has no timeouts".into()))?;
    Ok(options)
}

/// Writes the request body. Errors are left to the response to tell.
async fn send_body(bytes: Bytes, body: OutgoingBody) {
    if !bytes.is_empty() {
        let Ok(stream) = body.write() else { return };
        let written = write_all(&stream, &bytes, None).await;
        drop(stream);
        if written.is_err() {
            return;
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

async fn response_head(pending: FutureIncomingResponse) -> Result<IncomingResponse, HttpError> {
    loop {
        match pending.get() {
            Some(Ok(Ok(response))) => return Ok(response),
            Some(Ok(Err(code))) => return Err(from_error_code(code, TimeoutPhase::FirstByte)),
            Some(Err(())) => {
                return Err(HttpError::Broken("the response is already taken".into()));
            }
            None => Registration::new(pending.subscribe()).ready().await,
        }
    }
}

fn convert(
    response: &IncomingResponse,
    idle: Duration,
) -> Result<http::Response<BodyStream>, HttpError> {
    let broken = |what: &str| HttpError::Broken(what.into());
    let mut builder = http::Response::builder().status(response.status());
    for (name, value) in response.headers().entries() {
        builder = builder.header(name, value);
    }
    let body = response
        .consume()
        .map_err(|()| broken("the body is already taken"))?;
    let reader = BodyReader::new(body, idle)?;
    builder
        .body(reader.boxed())
        .map_err(|_| broken("the response head is not valid"))
}

/// An incoming body, read as it arrives. Dropping it cancels the transfer.
///
/// Fields are in the order in which they must be dropped: a WASI resource may
/// not outlive its parent.
pub(super) struct BodyReader {
    /// Once it has waited.
    registration: Option<Registration>,
    stream: InputStream,
    ended: bool,
    /// The longest silence that the host was asked to allow.
    idle: Duration,
    /// When the present silence began, on the host's monotonic clock; `None`
    /// while there is none.
    silent_since: Option<u64>,
    _body: IncomingBody,
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyReader").finish_non_exhaustive()
    }
}

impl BodyReader {
    /// `idle` is the longest silence that the host allows this body.
    pub(super) fn new(body: IncomingBody, idle: Duration) -> Result<Self, HttpError> {
        let stream = body
            .stream()
            .map_err(|()| HttpError::Broken("the body is already taken".into()))?;
        Ok(Self {
            registration: None,
            stream,
            ended: false,
            idle,
            silent_since: None,
            _body: body,
        })
    }
}

impl Stream for BodyReader {
    type Item = Result<Bytes, HttpError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        // Woken, or asked for another reason: reading tells, in one call.
        let error = match this.stream.read(READ_BYTES) {
            Ok(bytes) if bytes.is_empty() => {
                this.silent_since.get_or_insert_with(monotonic_clock::now);
                let subscribe = || Registration::new(this.stream.subscribe());
                let registration = this.registration.get_or_insert_with(subscribe);
                registration.wake(cx.waker());
                return Poll::Pending;
            }
            Ok(bytes) => {
                this.silent_since = None;
                return Poll::Ready(Some(Ok(bytes.into())));
            }
            Err(error) => error,
        };
        this.ended = true;
        Poll::Ready(match error {
            StreamError::Closed => None,
            StreamError::LastOperationFailed(error) => {
                let silent = this.silent_since.is_some_and(|since| {
                    let silence = monotonic_clock::now().saturating_sub(since);
                    Duration::from_nanos(silence) >= this.idle
                });
                Some(Err(from_io_error(&error, silent)))
            }
        })
    }
}

/// `silent` tells whether the body had been silent for as long as it may be:
/// wasmtime 48 does not say so itself.
fn from_io_error(error: &IoError, silent: bool) -> HttpError {
    match http_error_code(error) {
        Some(code) => from_error_code(code, TimeoutPhase::Idle),
        None if silent => HttpError::Timeout(TimeoutPhase::Idle),
        None => HttpError::Broken(error.to_debug_string()),
    }
}

/// `phase` tells what a read timeout means at this point of the call.
fn from_error_code(code: ErrorCode, phase: TimeoutPhase) -> HttpError {
    match code {
        ErrorCode::DnsTimeout | ErrorCode::ConnectionTimeout => {
            HttpError::Timeout(TimeoutPhase::Connect)
        }
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => HttpError::Timeout(match phase {
            // The host knows connecting by its own code.
            TimeoutPhase::Connect => TimeoutPhase::FirstByte,
            later => later,
        }),
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => HttpError::Denied,
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => HttpError::Connect(code.to_string()),
        ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriTooLong => HttpError::Invalid(code.to_string()),
        other => HttpError::Broken(other.to_string()),
    }
}

pub(super) fn method_from_wasi(method: &Method) -> Option<http::Method> {
    Some(match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Connect => http::Method::CONNECT,
        Method::Options => http::Method::OPTIONS,
        Method::Trace => http::Method::TRACE,
        Method::Patch => http::Method::PATCH,
        Method::Other(name) => http::Method::from_bytes(name.as_bytes()).ok()?,
    })
}

fn method_to_wasi(method: &http::Method) -> Method {
    match *method {
        http::Method::GET => Method::Get,
        http::Method::HEAD => Method::Head,
        http::Method::POST => Method::Post,
        http::Method::PUT => Method::Put,
        http::Method::DELETE => Method::Delete,
        http::Method::CONNECT => Method::Connect,
        http::Method::OPTIONS => Method::Options,
        http::Method::TRACE => Method::Trace,
        http::Method::PATCH => Method::Patch,
        ref other => Method::Other(other.to_string()),
    }
}
