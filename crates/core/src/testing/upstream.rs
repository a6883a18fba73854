//! Upstreams that are written as closures.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::ready;
use futures::{FutureExt, StreamExt, stream};

use crate::ports::{BodyStream, BoxFuture, HttpClient, HttpError, Timeouts};

type Answer = Result<http::Response<BodyStream>, HttpError>;
type Handler = dyn Fn(http::Request<Bytes>) -> BoxFuture<'static, Answer> + Send + Sync;

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
        Fut: Future<Output = Answer> + Send + 'static,
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
    fn send(&self, request: http::Request<Bytes>, _: Timeouts) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        async move {
            this.calls.fetch_add(1, Ordering::SeqCst);
            (this.handler)(request).await
        }
        .boxed()
    }
}
