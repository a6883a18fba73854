//! Upstreams that are written as closures.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::ready;
use futures::{FutureExt, StreamExt, stream};

use crate::ports::{BodyStream, BoxFuture, HttpClient, HttpError, Timeouts};

type Reply = Result<http::Response<BodyStream>, HttpError>;
type Handler = dyn Fn(http::Request<Bytes>) -> BoxFuture<'static, Reply> + Send + Sync;

/// An upstream written as a closure.
#[derive(Clone)]
pub struct ScriptedHttp {
    handler: Arc<Handler>,
    calls: Arc<AtomicU64>,
}

impl fmt::Debug for ScriptedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedHttp")
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

impl ScriptedHttp {
    /// `handler` answers every request.
    pub fn new<F, Fut>(handler: F) -> Self
    where
        F: Fn(http::Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        Self {
            handler: Arc::new(move |request| handler(request).boxed()),
            calls: Arc::default(),
        }
    }

    /// An upstream that gives these answers in turn, and the last one again and again.
    ///
    /// # Panics
    /// When it is asked and there are none.
    pub fn in_turn(answers: impl IntoIterator<Item = http::Response<Bytes>>) -> Self {
        let answers: Vec<_> = answers.into_iter().collect();
        let turn = AtomicUsize::new(0);
        Self::new(move |_| {
            let turn = turn.fetch_add(1, Ordering::SeqCst);
            let answer = answers.get(turn).or(answers.last());
            let answer = answer.expect("an answer").clone();
            ready(Ok(answer.map(|body| stream::iter([Ok(body)]).boxed())))
        })
    }

    /// Several, each for the host of its name; there is no connection to any other.
    /// Each counts its own calls as well.
    ///
    /// ```
    /// use spinlane_core::testing::{ScriptedHttp, World};
    ///
    /// let songs = ScriptedHttp::in_turn([http::Response::new("[]".into())]);
    /// let world = World::with_http(ScriptedHttp::by_host([("songs.example", songs.clone())]));
    /// assert_eq!((world.http.calls(), songs.calls()), (0, 0));
    /// ```
    pub fn by_host(hosts: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        let hosts: BTreeMap<_, _> = hosts.into_iter().collect();
        let nobody = Self::refusing();
        Self::new(move |request| {
            let host = request.uri().host().unwrap_or_default();
            let upstream = hosts.get(host).unwrap_or(&nobody);
            upstream.send(request, Timeouts::DEFAULT)
        })
    }

    /// An upstream that refuses every connection.
    pub fn refusing() -> Self {
        Self::new(|_| async { Err(HttpError::Connect("connection refused".into())) })
    }

    /// Requests seen so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl HttpClient for ScriptedHttp {
    fn send(&self, request: http::Request<Bytes>, _: Timeouts) -> BoxFuture<'static, Reply> {
        let this = self.clone();
        async move {
            this.calls.fetch_add(1, Ordering::SeqCst);
            (this.handler)(request).await
        }
        .boxed()
    }
}
