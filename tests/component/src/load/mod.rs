//! Load: requests of every kind, many at once, of which some meet faults and some lose
//! their clients; each answer is judged, and what is left behind is looked for.
//!
//! What request number n asks for, what goes wrong with it, and what its client does follow
//! from the seed and n. How they meet is up to the machine.

pub mod chance;
mod chats;
pub mod client;
mod enrichments;
pub mod judge;
mod logins;
mod plain;
pub mod rest;
mod runs;
pub mod secrets;
mod services;
pub mod tally;
mod words;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join;
use futures::{StreamExt, stream};
use reqwest::{Method, RequestBuilder, Response, redirect};
use spinlane_upstreams::Upstreams;

use chance::Chance;
use client::{Client, Heard};
use judge::{Broken, Ended, Frame, Judged, Refused, ensure};
use secrets::Secrets;
use services::Upstream;
use tally::Tally;
use words::Tool;

/// What the DJ is started with: upstreams that are given up soon, runs that are abandoned
/// soon, lanes that a crowd fits into, and callers that are counted but not refused.
pub const VARIABLES: [(&str, &str); 9] = [
    ("upstream_timeouts_ms", "1000,2000,2000"),
    ("upstream_progress_ms", "3000"),
    ("abandon_ms", "6000"),
    ("global_rps", "1000"),
    ("lane_limits", "anthropic=24,spotify=12,deezer=12,lastfm=12"),
    ("caller_limit", "100000/10m"),
    ("caller_runs", "1000"),
    ("client_ip_header", "x-client"),
    ("admin_token", crate::OPERATOR),
];

/// Within this no call is left of a client that has gone. It is noticed within a second,
/// when nothing moves; the rest is for a machine that is busy.
const GONE: Duration = Duration::from_secs(5);

/// Within this none is left of a run that nobody has read since: `abandon_ms`, as it is
/// above, after the last note of a reader, which holds for 5 s.
const ABANDONED: Duration = Duration::from_secs(16);

/// Addresses that requests come from.
const CALLERS: u64 = 64;

/// A client that has gone, and when.
#[derive(Clone, Debug)]
struct Departure {
    number: u64,
    client: Client,
    trace: String,
    at: Instant,
    within: Duration,
}

/// The DJ under load, its upstreams, and what has been seen so far.
#[derive(Debug)]
pub struct Load<'a> {
    origin: String,
    upstreams: &'a Upstreams,
    seed: u64,
    client: reqwest::Client,
    /// What no output may hold.
    pub secrets: Secrets,
    /// What has happened.
    pub tally: Tally,
    sessions: Mutex<Vec<String>>,
    gone: Mutex<Vec<Departure>>,
    /// Traces that have scripts and faults of their own.
    traces: Mutex<Vec<String>>,
    /// Traces that may have no call.
    silent: Mutex<Vec<String>>,
    store_in_trouble: AtomicBool,
    unreachable: AtomicBool,
}

/// What one client does: a request, and where it comes to that, those after it.
#[derive(Debug)]
struct Visit<'a> {
    load: &'a Load<'a>,
    number: u64,
    chance: Chance,
    client: Client,
    goes_wrong: bool,
    trace: String,
}

/// The kinds of requests, each so many times of a hundred.
const KINDS: [(Kind, usize); 10] = [
    (Kind::Chat, 26),
    (Kind::ToolChat, 16),
    (Kind::Create, 6),
    (Kind::Edit, 4),
    (Kind::Resumed, 14),
    (Kind::Replayed, 6),
    (Kind::Enrichment, 16),
    (Kind::Login, 4),
    (Kind::Look, 4),
    (Kind::Bad, 4),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Chat,
    ToolChat,
    Create,
    Edit,
    Resumed,
    Replayed,
    Enrichment,
    Login,
    Look,
    Bad,
}

impl Kind {
    fn new(chance: &Chance) -> Self {
        let mut at = chance.below(KINDS.iter().map(|(_, share)| share).sum());
        for (kind, share) in KINDS {
            if at < share {
                return kind;
            }
            at -= share;
        }
        Self::Chat
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::ToolChat => "chat with a tool",
            Self::Create => "chat that creates a playlist",
            Self::Edit => "chat that edits a playlist",
            Self::Resumed => "chat to be resumed",
            Self::Replayed => "chat with an Idempotency-Key",
            Self::Enrichment => "enrichment",
            Self::Login => "login and logout",
            Self::Look => "status, health, page",
            Self::Bad => "bad input",
        }
    }
}

impl<'a> Load<'a> {
    /// Load for the DJ at `origin`, started with [`VARIABLES`].
    ///
    /// # Panics
    /// When there is no client.
    pub fn new(origin: impl Into<String>, upstreams: &'a Upstreams, seed: u64) -> Self {
        let client = reqwest::Client::builder().redirect(redirect::Policy::none());
        Self {
            origin: origin.into(),
            upstreams,
            seed,
            client: client.build().expect("a client"),
            secrets: Secrets::default(),
            tally: Tally::default(),
            sessions: Mutex::default(),
            gone: Mutex::default(),
            traces: Mutex::default(),
            silent: Mutex::default(),
            store_in_trouble: AtomicBool::new(false),
            unreachable: AtomicBool::new(false),
        }
    }

    /// Whether answers may say that the store is not there, and sessions be lost.
    pub fn store_is_in_trouble(&self, trouble: bool) {
        self.store_in_trouble.store(trouble, Ordering::SeqCst);
    }

    /// Says that nobody is where upstreams should be: something goes wrong with every request.
    pub fn upstreams_are_unreachable(&self) {
        self.unreachable.store(true, Ordering::SeqCst);
    }

    fn is_in_trouble(&self) -> bool {
        self.store_in_trouble.load(Ordering::SeqCst)
    }

    /// Opens sessions for requests to use, in the place of those that there were.
    ///
    /// # Errors
    /// When a login fails.
    pub async fn open_sessions(&self, count: u64) -> Judged {
        let mut sessions = Vec::new();
        for number in 0..count {
            let chance = Chance::new(!self.seed, number);
            sessions.push(logins::log_in(self, &chance.trace()).await?);
        }
        *lock(&self.sessions) = sessions;
        Ok(())
    }

    /// Makes these requests, so many at once, and judges what comes back.
    ///
    /// # Errors
    /// The answers that were not as they must be.
    pub async fn requests(
        &self,
        numbers: impl Iterator<Item = u64>,
        at_once: usize,
    ) -> Result<(), Vec<Broken>> {
        let requests = stream::iter(numbers).map(|number| self.request(number));
        let answers = requests.buffer_unordered(at_once);
        let broken: Vec<_> = answers
            .filter_map(async |answer: Judged| answer.err())
            .collect()
            .await;
        match broken.is_empty() {
            true => Ok(()),
            false => Err(broken),
        }
    }

    async fn request(&self, number: u64) -> Judged {
        let chance = Chance::new(self.seed, number);
        let kind = Kind::new(&chance);
        let visit = Visit {
            load: self,
            number,
            client: Client::new(&chance),
            // Of all requests 30 %: some kinds make no call.
            goes_wrong: chance.percent(34) || self.unreachable.load(Ordering::SeqCst),
            trace: chance.trace(),
            chance,
        };
        self.tally.count("requests", kind.name());
        let judged = visit.make(kind).await;
        judged.map_err(|Broken(what)| {
            let Visit { client, trace, .. } = &visit;
            Broken(format!(
                "seed {}, request {number} ({}, {client:?}, trace {trace}): {what}",
                self.seed,
                kind.name()
            ))
        })
    }
}

impl<'a> Visit<'a> {
    async fn make(&self, kind: Kind) -> Judged {
        match kind {
            Kind::Chat => chats::chat(self, Tool::Nothing).await,
            Kind::ToolChat => chats::chat(self, Tool::Reads).await,
            Kind::Create => chats::chat(self, Tool::Creates).await,
            Kind::Edit => chats::chat(self, Tool::Edits).await,
            Kind::Resumed => runs::resumed(self).await,
            Kind::Replayed => runs::replayed(self).await,
            Kind::Enrichment => enrichments::enrichment(self).await,
            Kind::Login => logins::login_and_logout(self).await,
            Kind::Look => plain::look(self).await,
            Kind::Bad => plain::bad(self).await,
        }
    }

    /// A request of this caller, in this trace.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.load.origin);
        let caller = self.number % CALLERS;
        let request = self.load.client.request(method, url);
        request
            .header("x-client", format!("192.0.2.{caller}"))
            .header("traceparent", traceparent(&self.trace))
    }

    fn tally(&self) -> &'a Tally {
        &self.load.tally
    }

    /// Counts what the client does.
    fn count_client(&self) {
        self.tally().count("clients", self.client.to_string());
    }

    /// Lets something go wrong with one of the services, and says so.
    fn service_goes_wrong(&self, upstream: Upstream) {
        let Self { load, trace, .. } = self;
        lock(&load.traces).push(trace.clone());
        let fault = services::go_wrong(upstream, load.upstreams, trace, &self.chance);
        self.tally().count("faults", fault);
    }

    /// Notes that the client has gone, so that no upstream call may be left `within`.
    fn gone(&self, within: Duration) {
        lock(&self.load.gone).push(Departure {
            number: self.number,
            client: self.client,
            trace: self.trace.clone(),
            at: Instant::now(),
            within,
        });
    }

    /// A session to ask with.
    fn session(&self) -> Judged<String> {
        let sessions = lock(&self.load.sessions);
        ensure!(!sessions.is_empty(), "there is no session");
        Ok(self.chance.pick_of(&sessions).clone())
    }

    /// The head of a 200; `None` where the client has gone before it, after which no call
    /// may be left `within`, or where a store in trouble explains another status.
    async fn answered(
        &self,
        request: RequestBuilder,
        within: Duration,
    ) -> Judged<Option<Response>> {
        self.count_client();
        let Some(response) = client::head(request, self.client).await? else {
            self.gone(within);
            return Ok(None);
        };
        self.status(response.status().as_u16());
        if response.status() != 200 {
            self.is_explained(&judge::refused(response).await?)?;
            return Ok(None);
        }
        Ok(Some(response))
    }

    /// What the client hears of a run, which it may stop: the run's name as well.
    async fn heard(&self, response: Response) -> Judged<(String, Heard)> {
        let run = chats::run_of(&response)?;
        let heard = client::hear(response, self.client);
        let (heard, stopped) = join(heard, self.stop(&run)).await;
        stopped?;
        Ok((run, heard?))
    }

    /// The frames of a stream, and how it has ended.
    fn ended(&self, heard: &Heard) -> Judged<(Vec<Frame>, Ended)> {
        self.load.secrets.are_not_in("a stream", &heard.text)?;
        let frames = judge::frames(&heard.frames(), 1)?;
        let ended = judge::end(&frames, self.load.is_in_trouble())?;
        ensure!(
            !heard.is_all || ended != Ended::Cut,
            "a stream without its last frame: {}",
            heard.text
        );
        if heard.is_all {
            self.tally().count("last frames", ended.to_string());
        }
        Ok((frames, ended))
    }

    /// Counts a status.
    fn status(&self, status: u16) {
        self.tally().count("statuses", status.to_string());
    }

    /// Judges a refusal that nothing but a store in trouble explains.
    fn is_explained(&self, refused: &Refused) -> Judged {
        self.load.secrets.are_not_in("a problem", &refused.text)?;
        let code = refused.code.as_str();
        let of_the_store = [
            "store_unavailable",
            "session_invalid",
            "session_required",
            "run_gone",
            "key_pending",
            "not_found",
            "login_state",
        ];
        let explained = self.load.is_in_trouble() && of_the_store.contains(&code);
        ensure!(explained, "refused without a reason: {}", refused.text);
        self.tally().count("refusals", code);
        Ok(())
    }
}

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-00f067aa0ba902b7-01")
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
