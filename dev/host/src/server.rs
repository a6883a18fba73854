//! One TCP listener; a new instance for every request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::guest::{Guest, World};
use crate::headers;

/// How long a client may take to send its request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long running requests may take to end by themselves at a stop.
const GRACE: Duration = Duration::from_secs(5);

/// How many instances there are and have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instances {
    /// Running now. An instance may outlive its response.
    pub live: u64,
    /// Since the host has started.
    pub total: u64,
    /// Of these, how many ended in a trap.
    pub trapped: u64,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// No new connection; what runs may end.
    Graceful,
    /// What still runs is dropped.
    Now,
}

pub(crate) struct Server {
    pre: ProxyPre<Guest>,
    world: World,
    instances: watch::Sender<Instances>,
    room: Arc<Semaphore>,
    nodelay: bool,
    stop: watch::Sender<Stop>,
    /// The listener, every connection, every instance.
    tasks: TaskTracker,
}

/// Counts an instance for as long as it lives.
struct Counted {
    instances: watch::Sender<Instances>,
    trapped: bool,
    _room: OwnedSemaphorePermit,
}

impl Counted {
    fn end(mut self, trapped: bool) {
        self.trapped = trapped;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.instances.send_modify(|instances| {
            instances.live -= 1;
            instances.trapped += u64::from(self.trapped);
        });
    }
}

type Answer = Response<HyperOutgoingBody>;

impl Server {
    pub(crate) fn new(
        pre: ProxyPre<Guest>,
        world: World,
        max_instances: u32,
        nodelay: bool,
    ) -> Self {
        Self {
            pre,
            world,
            instances: watch::Sender::new(Instances::default()),
            room: Arc::new(Semaphore::new(max_instances as usize)),
            nodelay,
            stop: watch::Sender::new(Stop::No),
            tasks: TaskTracker::new(),
        }
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    pub(crate) fn instances(&self) -> watch::Receiver<Instances> {
        self.instances.subscribe()
    }

    /// Begins to accept connections, until a stop.
    pub(crate) fn serve(self: &Arc<Self>, listener: TcpListener) {
        let server = Arc::clone(self);
        self.tasks.spawn(server.accept(listener));
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut stop = self.stop.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop != Stop::No) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.tasks.spawn(Arc::clone(&self).connection(stream, peer));
                }
                // Out of file descriptors, most likely: give it time to pass.
                Err(error) => {
                    let logs = &self.world.logs;
                    logs.push(format!("host: cannot accept a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Or the first small frame waits for the peer's delayed ACK.
        let _ = stream.set_nodelay(self.nodelay);
        let server = Arc::clone(&self);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
        });
        let connection = http1::Builder::new()
            // A peer that closes its half has gone: streams end at once.
            .half_close(false)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut stop = self.stop.subscribe();
        // A connection that fails has a client that went, or speaks no HTTP:
        // nothing that its guest does not see as well.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop != Stop::No) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            _ = stop.wait_for(|stop| *stop == Stop::Now) => {}
        }
    }

    async fn answer(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Answer {
        if request.uri().authority().is_none() && !request.headers().contains_key("host") {
            return plain(StatusCode::BAD_REQUEST, "the header `Host` is missing\n");
        }
        headers::append(&mut request, peer);
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "this host holds as many instances as it may\n",
            );
        };
        match self.start(request, room).await {
            Ok(Ok(response)) => response,
            Ok(Err(code)) => {
                let logs = &self.world.logs;
                logs.push(format!("host: the component answered with {code:?}"));
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the component failed\n")
            }
            Err(error) => {
                self.world.logs.push(format!("host: {error:#}"));
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the component failed\n")
            }
        }
    }

    /// Starts an instance and resolves with the head of its response. The
    /// instance goes on by itself, also when this future is dropped: a client
    /// that goes does not end it, as under Spin.
    async fn start(
        &self,
        request: Request<Incoming>,
        room: OwnedSemaphorePermit,
    ) -> anyhow::Result<Result<Answer, ErrorCode>> {
        let mut store = self.world.store(self.pre.engine());
        let request = store.data_mut().http().new_incoming_request(
            Scheme::Http,
            request.map(|body| body.map_err(wasmtime_wasi_http::Error::from)),
        )?;
        let (sender, receiver) = oneshot::channel();
        let outparam = store.data_mut().http().new_response_outparam(sender)?;
        self.instances.send_modify(|instances| {
            instances.live += 1;
            instances.total += 1;
        });
        let counted = Counted {
            instances: self.instances.clone(),
            trapped: false,
            _room: room,
        };
        let (pre, logs) = (self.pre.clone(), self.world.logs.clone());
        let mut stop = self.stop.subscribe();
        self.tasks.spawn(async move {
            let run = async {
                let proxy = pre.instantiate_async(&mut store).await?;
                let handler = proxy.wasi_http_incoming_handler();
                handler.call_handle(&mut store, request, outparam).await
            };
            let ended = tokio::select! {
                ended = run => ended,
                _ = stop.wait_for(|stop| *stop == Stop::Now) => Ok(()),
            };
            // First the instance, then its count.
            drop(store);
            counted.end(ended.is_err());
            if let Err(error) = ended {
                logs.push(format!("host: the component trapped: {error:#}"));
            }
        });
        receiver
            .await
            .map_err(|_| anyhow::anyhow!("the component ended without an answer"))
    }

    /// Ends what runs: gracefully for a while, then at once. Connections count
    /// as well: the end of a response may leave after its instance has ended.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(Stop::Graceful);
        self.tasks.close();
        let _ = tokio::time::timeout(GRACE, self.tasks.wait()).await;
        self.kill();
        self.tasks.wait().await;
    }

    /// Ends what runs, at once.
    pub(crate) fn kill(&self) {
        self.stop.send_replace(Stop::Now);
    }
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let body = Full::new(Bytes::from_static(text.as_bytes()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert("content-type", media_type);
    response
}
