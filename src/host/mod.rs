//! The ports on WASI 0.2 and Spin: the only code that exists on wasm alone.
//!
//! [`serve`] is the way in. It runs one request on wstd's reactor (which,
//! unlike the Spin SDK's executor, honours wake-ups from inside the guest),
//! sets the response head as soon as the handler has returned, pumps the body
//! onto `outgoing-body`, and returns when every spawned task has ended.
//!
//! An application exports itself with [`export!`](crate::export).

mod body_pump;
mod clock;
mod entropy;
mod incoming;
mod log;
mod outgoing;
mod panic_hook;
mod problem;
mod spawner;

#[cfg(feature = "spin")]
#[path = "spin.rs"]
mod platform;
#[cfg(all(feature = "wasi", not(feature = "spin")))]
#[path = "wasi.rs"]
mod platform;
#[cfg(not(any(feature = "spin", feature = "wasi")))]
compile_error!("choose the host adapters: enable the feature `spin` or `wasi`");

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use wasip2::exports::http::incoming_handler::{IncomingRequest, ResponseOutparam};
use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse};

pub use incoming::IncomingBody;
use panic_hook::Says;
pub use platform::variable;

use crate::core::ports::{Fallback, Ports};

/// For [`export!`](crate::export) only.
#[doc(hidden)]
pub use wasip2;

/// The ports of this instance. The store is opened here, once: at most 256 may
/// be open in an instance at a time.
fn ports() -> Ports {
    let (key_value, counters) = platform::stores();
    Ports {
        clock: Arc::new(clock::WasiClock),
        http: Arc::new(outgoing::WasiHttp),
        spawner: Arc::new(spawner::ReactorSpawner),
        entropy: Arc::new(entropy::WasiEntropy),
        key_value,
        counters,
    }
}

/// Answers one request.
///
/// The response head leaves when `handler` resolves; the body, and tasks that
/// the handler spawned, go on afterwards. The request's extensions have a
/// [`Fallback`] for the handler to fill. The response's may carry
/// [`LastWords`](crate::core::ports::LastWords), for the panic hook, and
/// [`Patience`](crate::core::ports::Patience) with a client that takes nothing.
pub fn serve<H, F, B>(request: IncomingRequest, outparam: ResponseOutparam, handler: H)
where
    H: FnOnce(http::Request<IncomingBody>, Ports) -> F,
    F: Future<Output = http::Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    let fallback = Fallback::default();
    panic_hook::install(outparam, fallback.clone());
    log::install();
    spawner::response_begins();
    wstd::runtime::block_on(spawner::counted(async move {
        match incoming::convert(&request) {
            Ok(mut request) => {
                request.extensions_mut().insert(fallback);
                respond(handler(request, ports()).await).await;
            }
            Err(problem) => respond(problem).await,
        }
        spawner::response_ended();
    }));
}

/// Sends the head, then pumps the body.
async fn respond<B>(response: http::Response<B>)
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut parts, body) = response.into_parts();
    let Some(outparam) = panic_hook::take_outparam() else {
        return;
    };
    let outgoing = OutgoingResponse::new(fields(&parts.headers));
    // Cannot fail: `StatusCode` has checked the range.
    let _ = outgoing.set_status_code(parts.status.as_u16());
    // Cannot fail: it is asked for once.
    let Ok(outgoing_body) = outgoing.body() else {
        return;
    };
    ResponseOutparam::set(outparam, Ok(outgoing));
    let patience = parts.extensions.remove().unwrap_or_default();
    let says = Says {
        status: parts.status,
        last_words: parts.extensions.remove(),
    };
    let ended = body_pump::pump(body, &outgoing_body, says, patience).await;
    if ended.is_ok() {
        let _ = OutgoingBody::finish(outgoing_body, None);
    }
    // Otherwise dropping it unfinished tells the host that the body is not
    // whole, and the peer sees a cut instead of a short answer.
}

/// Header fields that the host owns: a component may not set them, and one of
/// them makes the host refuse all.
const HOST_OWNED: [http::HeaderName; 3] = [
    http::header::CONNECTION,
    http::header::TRANSFER_ENCODING,
    http::header::HOST,
];

fn fields(headers: &http::HeaderMap) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers {
        if HOST_OWNED.contains(name) || name.as_str() == "keep-alive" {
            continue;
        }
        if fields.append(name.as_str(), value.as_bytes()).is_err() {
            tracing::warn!(header = name.as_str(), "the host refused a header");
        }
    }
    fields
}

/// Exports `$handler`, an `async fn(http::Request<IncomingBody>, Ports) ->
/// http::Response<impl http_body::Body>`, as the component's
/// `wasi:http/incoming-handler`.
#[macro_export]
macro_rules! export {
    ($handler:path) => {
        const _: () = {
            #[derive(Debug)]
            struct Component;

            impl $crate::host::wasip2::exports::http::incoming_handler::Guest for Component {
                fn handle(
                    request: $crate::host::wasip2::exports::http::incoming_handler::IncomingRequest,
                    outparam: $crate::host::wasip2::exports::http::incoming_handler::ResponseOutparam,
                ) {
                    $crate::host::serve(request, outparam, $handler);
                }
            }

            $crate::host::wasip2::_export_proxy!(Component with_types_in $crate::host::wasip2);
        };
    };
}
