//! An upstream that says nothing of interest: for tests of what is done to its
//! calls rather than with their answers.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::answer::{Piece, body};
use crate::calls::{Call, Calls, Counts, Request};

/// How a [`Sink`] answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Before the head.
    pub head_delay: Duration,
    /// Between the head and the body.
    pub body_delay: Duration,
    /// `Retry-After`, as it is written.
    pub retry_after: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

impl Default for Reply {
    /// 200 `ok`, at once.
    fn default() -> Self {
        Self {
            status: 200,
            head_delay: Duration::ZERO,
            body_delay: Duration::ZERO,
            retry_after: None,
            location: None,
            body: "ok".into(),
        }
    }
}

#[derive(Debug, Default)]
struct Replies {
    next: VecDeque<Reply>,
    standing: Reply,
}

/// A running upstream that takes every request. Dropping it stops it.
#[derive(Debug)]
pub struct Sink {
    addr: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Shared {
    calls: Calls,
    replies: Arc<Mutex<Replies>>,
}

impl Shared {
    fn replies(&self) -> MutexGuard<'_, Replies> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Shared {
            calls: Calls::new(),
            replies: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = crate::serve(listener, router);
        Ok(Self {
            addr,
            shared,
            server,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers every later call with `reply`.
    pub fn reply(&self, reply: Reply) {
        self.shared.replies().standing = reply;
    }

    /// Answers the next call with `reply`, and only that one.
    pub fn push(&self, reply: Reply) {
        self.shared.replies().next.push_back(reply);
    }

    /// Back to the beginning.
    pub fn reset(&self) {
        *self.shared.replies() = Replies::default();
        self.shared.calls.reset();
    }

    /// How many calls there are and have been.
    pub fn counts(&self) -> Counts {
        self.shared.calls.counts()
    }

    /// The calls so far, with their times.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.log()
    }

    /// Waits until the counts are as `condition` says.
    ///
    /// # Errors
    /// The counts when that took too long.
    pub async fn wait_for(
        &self,
        within: Duration,
        condition: impl FnMut(&Counts) -> bool,
    ) -> Result<Counts, Counts> {
        self.shared.calls.wait_for(within, condition).await
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(this): State<Shared>, method: Method, uri: Uri) -> Response {
    let guard = this.calls.begin(Request {
        method: method.to_string(),
        path: uri.path().to_owned(),
        ..Request::default()
    });
    let reply = {
        let mut replies = this.replies();
        let next = replies.next.pop_front();
        next.unwrap_or_else(|| replies.standing.clone())
    };
    tokio::time::sleep(reply.head_delay).await;
    let mut pieces = VecDeque::new();
    if !reply.body_delay.is_zero() {
        pieces.push_back(Piece::Wait(reply.body_delay));
    }
    pieces.push_back(Piece::Write(reply.body.into()));
    let mut response = Response::new(body(pieces, guard));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fields = [
        ("retry-after", reply.retry_after),
        ("location", reply.location),
    ];
    for (name, value) in fields {
        if let Some(Ok(value)) = value.as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
