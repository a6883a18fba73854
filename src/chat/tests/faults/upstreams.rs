//! Upstreams that fail as they are told to, and a host that keeps its timeouts.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use futures::future::{Either, select};
use spinlane_core::ports::{BoxFuture, HttpClient, Timeouts};

use super::*;
use crate::chat::tests::agent;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Refused,
    /// No head.
    Silent,
    /// A head, and nothing more.
    Stalled,
    Status(u16),
    RetryAfter(u64),
    /// A 200 that is no answer.
    Garbage,
    /// The connection breaks after a part of the answer.
    Cut,
    /// Nothing more comes after a part of the answer.
    Hangs,
    /// The service says, after a part of the answer, that it fails.
    Reported,
    /// All of it, so many seconds apart.
    Slow(u64),
}

/// How many upstream calls are under way, and when each began.
#[derive(Clone, Default)]
pub(super) struct Seen {
    open: Arc<AtomicUsize>,
    begun: Arc<Mutex<Vec<(String, spinlane_core::ports::Instant)>>>,
}

impl Seen {
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The hosts that were called, each with the time.
    pub(super) fn begun(&self) -> Vec<(String, spinlane_core::ports::Instant)> {
        self.begun.lock().unwrap().clone()
    }
}

/// A call that is under way until its body is dropped.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All upstreams: the calls of these numbers, from 0, fail.
pub(super) struct Failing {
    pub(super) clock: VirtualClock,
    pub(super) faults: BTreeMap<usize, Fault>,
    pub(super) seen: Seen,
    pub(super) turns: AtomicUsize,
}

impl HttpClient for Failing {
    fn send(
        &self,
        request: Request<Bytes>,
        timeouts: Timeouts,
    ) -> BoxFuture<'static, Result<Response<BodyStream>, HttpError>> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let number = {
            let mut begun = self.seen.begun.lock().unwrap();
            begun.push((host.clone(), self.clock.now()));
            begun.len() - 1
        };
        self.seen.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.seen.open));
        let fault = self.faults.get(&number).copied();
        let good = match host.as_str() {
            "api.anthropic.com" => turn(self.turns.fetch_add(1, Ordering::SeqCst)),
            host => vec![document(host)],
        };
        let clock = self.clock.clone();
        async move {
            let head = match fault {
                Some(Fault::Refused) => return Err(HttpError::Connect("refused".into())),
                Some(Fault::Silent) => {
                    clock.sleep(timeouts.first_byte).await;
                    return Err(HttpError::Timeout(TimeoutPhase::FirstByte));
                }
                Some(Fault::Status(status)) => Response::builder().status(status),
                Some(Fault::RetryAfter(seconds)) => Response::builder()
                    .status(429)
                    .header("retry-after", seconds),
                _ => Response::builder(),
            };
            let model = host == "api.anthropic.com";
            let kind = if model {
                "text/event-stream"
            } else {
                "application/json"
            };
            let body = body(clock.clone(), steps(fault, good));
            let body = stream::unfold((body, open), move |(mut body, open)| {
                let idle = clock.sleep(timeouts.idle);
                async move {
                    let read = match select(body.next(), idle).await {
                        Either::Left((read, _)) => read?,
                        Either::Right(_) => Err(HttpError::Timeout(TimeoutPhase::Idle)),
                    };
                    Some((read, (body, open)))
                }
            });
            Ok(head
                .header("content-type", kind)
                .body(body.boxed())
                .unwrap())
        }
        .boxed()
    }
}

/// A good answer with what is wrong with it.
fn steps(fault: Option<Fault>, good: Vec<String>) -> Vec<Step> {
    let part = || good[..good.len() / 2].iter().cloned().map(Step::Write);
    let overloaded = r#"{"error":{"type":"overloaded_error","message":"m"}}"#;
    match fault {
        Some(Fault::Stalled) => vec![Step::Hang],
        Some(Fault::Garbage) => vec![Step::Write("{\u{1}<html>".into())],
        Some(Fault::Status(_) | Fault::RetryAfter(_)) => vec![Step::Write("no".into())],
        Some(Fault::Cut) => part()
            .chain([Step::Fail(HttpError::Broken("cut".into()))])
            .collect(),
        Some(Fault::Hangs) => part().chain([Step::Hang]).collect(),
        Some(Fault::Reported) => part()
            .chain([Step::Write(sse("error", overloaded))])
            .collect(),
        Some(Fault::Slow(seconds)) => {
            let slowly = |text| [Step::Wait(Duration::from_secs(seconds)), Step::Write(text)];
            good.into_iter().flat_map(slowly).collect()
        }
        _ => good.into_iter().map(Step::Write).collect(),
    }
}

/// The model's turns: two with tools, then an answer.
fn turn(number: usize) -> Vec<String> {
    let start = sse("message_start", START);
    if number % 3 < 2 {
        let tool = |index: usize| {
            let (id, query) = (
                format!("t{number}-{index}"),
                format!("song {number} {index}"),
            );
            let input = json!({"query": query, "limit": 3});
            agent::tool(index, &id, "search_tracks", &input.to_string())
        };
        return vec![start, tool(0), tool(1), end("tool_use")];
    }
    vec![
        start,
        delta("Here "),
        delta("it "),
        delta("is."),
        end("end_turn"),
    ]
}

fn document(host: &str) -> String {
    let document = match host {
        "api.spotify.com" => json!({"tracks": {"items": [], "total": 0}}),
        "accounts.spotify.com" => json!({"access_token": TOKEN, "token_type": "Bearer",
            "expires_in": 3600}),
        "api.deezer.com" => json!({"data": [], "total": 0}),
        _ => json!({"error": 6, "message": "Track not found"}),
    };
    document.to_string()
}
