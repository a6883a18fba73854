//! The ports on WASI 0.2 and Spin: the only code that exists on wasm alone.
//!
//! [`serve`] is the way in. It runs one request on a reactor of its own (the Spin SDK's
//! executor leaves tasks asleep that were woken from inside the guest, and wstd's asks
//! the host between all turns), sends the response head as soon as the handler has returned, with what the body
//! has ready, pumps the rest onto `outgoing-body`, and returns when every spawned
//! task has ended.
//!
//! An application exports itself with [`export!`](crate::export).

mod body_pump;
mod clock;
mod entropy;
mod fields;
mod head;
mod incoming;
#[cfg(any(feature = "counters", feature = "wasi"))]
mod interfaces;
mod log;
mod outgoing;
mod panic_hook;
mod problem;
mod reactor;
mod spawner;
mod store;
mod timers;

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

use head::Head;
pub use incoming::IncomingBody;
pub use platform::variable;

use spinlane_core::ports::{PanicSlot, Ports};

/// For [`export!`](crate::export) only.
#[doc(hidden)]
pub use wasip2;

/// The ports of this instance.
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
/// The response head leaves when `handler` resolves, with what the body has by
/// then; before a stream's, the tasks that the handler spawned have one turn.
/// Body and tasks go on afterwards. The request's extensions have a
/// [`PanicSlot`] for the handler to fill. The response's may carry
/// [`PanicTail`](spinlane_core::ports::PanicTail), for the panic hook, and
/// [`ClientTimeouts`](spinlane_core::ports::ClientTimeouts) with a client that takes nothing.
pub fn serve<H, F, B>(request: IncomingRequest, outparam: ResponseOutparam, handler: H)
where
    H: FnOnce(http::Request<IncomingBody>, Ports) -> F,
    F: Future<Output = http::Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    let slot = PanicSlot::default();
    panic_hook::install(outparam, slot.clone());
    log::install();
    spawner::response_begins();
    reactor::run(async move {
        match incoming::convert(request) {
            Ok(mut request) => {
                request.extensions_mut().insert(slot);
                respond(handler(request, ports()).await).await;
            }
            Err(problem) => respond(problem).await,
        }
        spawner::response_ended();
    });
}

/// Sends the head and the body.
async fn respond<B>(response: http::Response<B>)
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut parts, body) = response.into_parts();
    let timeouts = parts.extensions.remove().unwrap_or_default();
    if let Some((head, outgoing)) = Head::new(parts) {
        body_pump::pump(head, body, outgoing, timeouts).await;
    }
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
