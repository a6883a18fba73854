//! What the outside world must implement: few, small, object-safe traits.
//!
//! All are `Send + Sync` and their futures are `Send`, so that what stands on
//! them serves multi-threaded native servers as well as a single-threaded
//! component. In-memory implementations with a virtual clock are in
//! [`crate::testing`].

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
pub use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::{redact, turn};

/// A point on a [`Clock`]'s monotonic axis, in nanoseconds from a start that
/// only that clock knows. Points of different clocks (and of different
/// component instances) must not be compared.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::ports::Instant;
///
/// let begin = Instant::from_nanos(0);
/// let later = begin + Duration::from_secs(1);
/// assert_eq!(later - begin, Duration::from_secs(1));
/// assert_eq!(begin - later, Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The point `nanos` nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of the axis (584 years), so that "never" can be
    /// written as a very long duration.
    fn add(self, rhs: Duration) -> Self {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.saturating_since(rhs)
    }
}

/// Time: what it is, and waiting for it.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::ports::Clock;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let clock: &dyn Clock = &world.clock;
/// let begin = clock.now();
/// world.run(clock.sleep(Duration::from_secs(60)));
/// assert_eq!(clock.now() - begin, Duration::from_secs(60), "in virtual time");
/// ```
pub trait Clock: Send + Sync {
    /// Monotonic now.
    fn now(&self) -> Instant;

    /// Wall-clock time since the Unix epoch. May jump, and may differ between
    /// machines.
    fn unix(&self) -> Duration;

    /// Resolves at `deadline`, at once when that has passed. Dropping the
    /// future cancels the timer.
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;

    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + duration)
    }
}

/// For how long a store that has failed is left alone, and one that is slow is
/// not used for the cache: when to try again what
/// was refused for it.
pub const LEFT_ALONE: Duration = Duration::from_secs(5);

/// Why a store did not do what it was asked.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::ports::StoreError;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let gone = StoreError::unavailable("no answer from redis://user:secret@store.example");
/// assert!(!gone.to_string().contains("secret"));
/// world.store.fail_with(Some(gone.clone()));
/// let store = Store::open(&world.ports());
/// assert_eq!(world.run(store.get("name")), Err(gone));
/// // For some seconds nobody asks it again.
/// let error = world.run(store.get("name")).unwrap_err();
/// assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store is missing, refuses access, or did not answer.
    #[error("the key-value store is unavailable: {0}")]
    Unavailable(String),
    /// The store answered, but not with what the call needs (no room, a value
    /// that is too large, a reserved key).
    #[error("the key-value store refused: {0}")]
    Refused(String),
    /// It was not asked, because it has failed a moment ago.
    #[error("the key-value store has failed: it is asked again in {} ms", .wait.as_millis())]
    LeftAlone {
        /// For how long it is not asked.
        wait: Duration,
    },
}

impl StoreError {
    /// [`Unavailable`](Self::Unavailable), with what the host says of it. A
    /// host's text may name where the store is, and with it the password, which
    /// is left out: errors are logged, and shown to who asks for the log.
    pub fn unavailable(text: &str) -> Self {
        Self::Unavailable(redact::user_info(text))
    }

    /// When asking again may go better; `None` where it will not.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(_) => Some(LEFT_ALONE),
            Self::Refused(_) => None,
            Self::LeftAlone { wait } => Some(*wait),
        }
    }
}

/// A key-value store without expiry: Spin's `default` store, or another host's.
///
/// Calls may block the whole component while they run (they do on Spin). Keys
/// beginning with [`COUNTER_PREFIX`] are refused by every method: they hold
/// counters, which a plain write would break.
///
/// ```
/// use spinlane_core::ports::{COUNTER_PREFIX, KeyValue, StoreError};
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let store: &dyn KeyValue = &world.store;
/// world.run(store.set("name", b"value"))?;
/// assert_eq!(world.run(store.get("name"))?.as_deref(), Some(&b"value"[..]));
/// let counter = format!("{COUNTER_PREFIX}visits");
/// assert!(matches!(world.run(store.set(&counter, b"7")), Err(StoreError::Refused(_))));
/// # Ok::<(), StoreError>(())
/// ```
pub trait KeyValue: Send + Sync {
    /// The value under `key`, or `None`.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// Writes `value` under `key`, over what was there.
    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes `key`; no error when it is absent.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Every key (counters left out). For an operator's sweep only: the answer
    /// has no paging and grows with the store (on Spin it fails for good near
    /// 1.4 million keys). Never called on a request's path.
    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;
}

/// The prefix under which [`Counters`] live in the store, and which
/// [`KeyValue`] refuses.
pub const COUNTER_PREFIX: &str = "~n:";

/// Refuses what [`KeyValue`] must refuse.
///
/// # Errors
/// [`StoreError::Refused`] for a key that begins with [`COUNTER_PREFIX`].
pub fn check_key(key: &str) -> Result<(), StoreError> {
    if key.starts_with(COUNTER_PREFIX) {
        return Err(StoreError::Refused(format!(
            "keys beginning with {COUNTER_PREFIX:?} hold counters"
        )));
    }
    Ok(())
}

/// Atomic counters: the one operation that is atomic on every Spin backend.
///
/// `name` is given without [`COUNTER_PREFIX`]; implementations add it.
///
/// ```
/// use spinlane_core::ports::Counters;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let counters: &dyn Counters = &world.store;
/// assert_eq!(world.run(counters.increment("visits", 2))?, 2);
/// assert_eq!(world.run(counters.increment("visits", 0))?, 2, "it is read");
/// world.run(counters.remove("visits"))?;
/// assert_eq!(world.run(counters.increment("visits", 1))?, 1);
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
pub trait Counters: Send + Sync {
    /// Adds `delta` to the counter `name` (absent counts as 0) and returns the
    /// new value. `delta` 0 reads. May count twice when the store's reply was
    /// lost on the way (Redis).
    fn increment<'a>(&'a self, name: &'a str, delta: i64)
    -> BoxFuture<'a, Result<i64, StoreError>>;

    /// Whether there is a counter `name`: in a store where that costs less than to read
    /// it, and makes none. By default there may be one.
    fn exists<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        let _ = name;
        Box::pin(std::future::ready(Ok(true)))
    }

    /// Removes a counter that nobody will use any more.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Every counter's name (without the prefix), for the operator's sweep.
    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;
}

/// The three limits of an outbound call.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::ports::Timeouts;
///
/// let quick = Timeouts::default().first_byte(Duration::from_secs(3));
/// assert_eq!(quick.connect, Timeouts::DEFAULT.connect);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until the connection is made.
    pub connect: Duration,
    /// From then until the response head.
    pub first_byte: Duration,
    /// Between two reads of the body.
    pub idle: Duration,
}

impl Timeouts {
    /// 5 s to connect, 30 s to the head, 60 s between bytes.
    pub const DEFAULT: Self = Self {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(30),
        idle: Duration::from_secs(60),
    };

    /// The same, with so long to connect.
    #[must_use]
    pub const fn connect(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// The same, with so long from then to the response head.
    #[must_use]
    pub const fn first_byte(mut self, limit: Duration) -> Self {
        self.first_byte = limit;
        self
    }

    /// The same, with so long between two reads of the body.
    #[must_use]
    pub const fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }
}

impl Default for Timeouts {
    /// [`Timeouts::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Which of the three [`Timeouts`] ran out.
///
/// ```
/// use spinlane_core::limit::is_retryable;
/// use spinlane_core::ports::{HttpError, TimeoutPhase};
///
/// let silent = HttpError::Timeout(TimeoutPhase::FirstByte);
/// assert_eq!(silent.to_string(), "timed out while waiting for the response head");
/// assert!(is_retryable(&silent));
/// // A part of it has been handed on.
/// assert!(!is_retryable(&HttpError::Timeout(TimeoutPhase::Idle)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutPhase {
    /// While connecting.
    Connect,
    /// Waiting for the response head.
    FirstByte,
    /// Waiting for more of the body.
    Idle,
}

impl fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::FirstByte => "waiting for the response head",
            Self::Idle => "waiting for more of the response",
        })
    }
}

/// Why an outbound call has no answer, or no more of it.
///
/// ```
/// use spinlane_core::limit::{Budget, Call, CallError, LaneConfig, Limits};
/// use spinlane_core::ports::HttpError;
/// use spinlane_core::resources::Resources;
/// use spinlane_core::testing::World;
///
/// // Its upstreams refuse every connection.
/// let world = World::new();
/// let limits = Limits::default().with_lane("search", LaneConfig::new(2));
/// let upstreams = Resources::open(&world.ports(), limits).upstreams;
/// let call = Call::get("search", "https://search.example/", Budget::new(50))?;
/// match world.run(upstreams.run(call)) {
///     Err(CallError::Http { error: HttpError::Connect(_), .. }) => {}
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), HttpError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection (refused, unreachable, name not found, TLS).
    #[error("could not connect: {0}")]
    Connect(String),
    /// One of the [`Timeouts`] ran out.
    #[error("timed out while {0}")]
    Timeout(TimeoutPhase),
    /// The host forbids this destination (`allowed_outbound_hosts`).
    #[error("the host does not allow this destination: add it to allowed_outbound_hosts")]
    Denied,
    /// The connection broke after it was made: a cut body, a protocol error.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The request cannot be sent as it is.
    #[error("the request is not valid: {0}")]
    Invalid(String),
}

/// A response body as it arrives. Each item is one read of what was there.
/// Dropping it cancels the call.
///
/// ```
/// use bytes::Bytes;
/// use futures::executor::block_on;
/// use futures::{StreamExt, stream};
/// use spinlane_core::ports::{BodyStream, HttpError};
///
/// let cut = HttpError::Broken("it was cut off".into());
/// let mut body: BodyStream = stream::iter([Ok(Bytes::from("one ")), Err(cut.clone())]).boxed();
/// assert_eq!(block_on(body.next()), Some(Ok("one ".into())));
/// assert_eq!(block_on(body.next()), Some(Err(cut)));
/// ```
pub type BodyStream = BoxStream<'static, Result<Bytes, HttpError>>;

/// Outbound HTTP.
///
/// ```
/// use std::sync::Arc;
///
/// use bytes::Bytes;
/// use futures::executor::block_on;
/// use spinlane_core::ports::{BodyStream, BoxFuture, HttpClient, HttpError, Ports, Timeouts};
/// use spinlane_core::testing::World;
///
/// /// Lets nothing out.
/// struct Offline;
///
/// impl HttpClient for Offline {
///     fn send(
///         &self,
///         _: http::Request<Bytes>,
///         _: Timeouts,
///     ) -> BoxFuture<'static, Result<http::Response<BodyStream>, HttpError>> {
///         Box::pin(async { Err(HttpError::Denied) })
///     }
/// }
///
/// let ports = Ports { http: Arc::new(Offline), ..World::new().ports() };
/// let sent = block_on(ports.http.send(http::Request::default(), Timeouts::DEFAULT));
/// assert_eq!(sent.err(), Some(HttpError::Denied));
/// ```
pub trait HttpClient: Send + Sync {
    /// Sends `request` and resolves with the response head. Redirects are not
    /// followed. Dropping the future, or later the body, cancels the call at
    /// the host, which closes the connection to the upstream.
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeouts: Timeouts,
    ) -> BoxFuture<'static, Result<http::Response<BodyStream>, HttpError>>;
}

/// Runs work beside the request, also after its response has ended.
///
/// ```
/// use futures::FutureExt;
/// use futures::channel::oneshot;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let (sender, written) = oneshot::channel();
/// let task = async move { drop(sender.send("written")) };
/// world.ports().spawner.after_response(Box::pin(task));
/// // What the request waits for does not wait for it.
/// assert_eq!(world.run(async { "answered" }), "answered");
/// world.drain();
/// assert_eq!(written.now_or_never(), Some(Ok("written")));
/// ```
pub trait Spawner: Send + Sync {
    /// Starts `task`. The instance lives until every spawned task has ended.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Starts `task` when the response has ended, at once when it has already.
    /// By default at once.
    fn after_response(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }

    /// Resolves when nothing else here is ready to go on. By default when
    /// whatever is ready now has had its turn.
    fn idle(&self) -> BoxFuture<'static, ()> {
        Box::pin(turn::for_others())
    }
}

/// Cryptographically secure random bytes.
///
/// ```
/// use spinlane_core::testing::World;
///
/// let entropy = World::new().ports().entropy;
/// let (mut one, mut two) = ([0; 16], [0; 16]);
/// entropy.fill(&mut one);
/// entropy.fill(&mut two);
/// assert_ne!(one, two);
/// ```
pub trait Entropy: Send + Sync {
    /// Fills `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

/// What a response body still says when the component panics: put it into the
/// response's extensions, and the host's panic hook writes it after what it has
/// written so far.
///
/// ```
/// use spinlane_core::ports::PanicTail;
///
/// let tail = PanicTail::new(|request_id| format!("\nbroken off: {request_id}\n").into_bytes());
/// let mut response = http::Response::new("a long text");
/// response.extensions_mut().insert(tail);
/// // What the host does.
/// let tail = response.extensions().get::<PanicTail>().map(|tail| tail.bytes("request-1"));
/// assert_eq!(tail.as_deref(), Some(&b"\nbroken off: request-1\n"[..]));
/// ```
#[derive(Clone)]
pub struct PanicTail(Arc<Say>);

type Say = dyn Fn(&str) -> Vec<u8> + Send + Sync;

impl PanicTail {
    /// `say` is given the request id. It runs inside the panic hook: it must
    /// not panic, nor wait for a lock that the panicking code may hold.
    pub fn new(say: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }

    /// The bytes to write.
    pub fn bytes(&self, request_id: &str) -> Vec<u8> {
        (self.0)(request_id)
    }
}

impl fmt::Debug for PanicTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PanicTail").finish_non_exhaustive()
    }
}

/// What an application gives to an answer that the host makes in its place. All
/// of it runs inside the panic hook: it must not panic, nor wait for a lock that
/// the panicking code may hold.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use spinlane_core::ports::{OnPanic, PanicSlot};
///
/// struct Request(String);
///
/// impl OnPanic for Request {
///     fn request_id(&self) -> &str {
///         &self.0
///     }
///
///     fn headers(&self) -> HeaderMap {
///         HeaderMap::new()
///     }
///
///     fn panicked(&self, status: StatusCode, _: Option<u64>) {
///         eprintln!("{}: {status}", self.0);
///     }
/// }
///
/// let slot = PanicSlot::default();
/// slot.fill(Request("request-1".into()));
/// assert_eq!(slot.get().map(|answer| answer.request_id()), Some("request-1"));
/// ```
pub trait OnPanic: Send + Sync {
    /// Names the request in the answer and in the log.
    fn request_id(&self) -> &str;

    /// Header fields that every answer to the request has, whatever it is.
    fn headers(&self) -> http::HeaderMap;

    /// The client was answered with `status`, and a body of that size where it
    /// is known: for the log. Comes last, so that the log itself may be what
    /// panics.
    fn panicked(&self, status: http::StatusCode, body_size: Option<u64>);
}

/// Where the host finds the application's [`OnPanic`]: the host puts it, empty,
/// into the request's extensions, and the application may fill it.
///
/// ```
/// use spinlane_core::ports::PanicSlot;
/// # use http::{HeaderMap, StatusCode};
/// # struct Named;
/// # impl spinlane_core::ports::OnPanic for Named {
/// #     fn request_id(&self) -> &str { "request-1" }
/// #     fn headers(&self) -> HeaderMap { HeaderMap::new() }
/// #     fn panicked(&self, _: StatusCode, _: Option<u64>) {}
/// # }
/// # let on_panic = Named;
///
/// let (of_host, mut request) = (PanicSlot::default(), http::Request::new(()));
/// request.extensions_mut().insert(of_host.clone());
/// // What the application does, where there is a host that has one.
/// if let Some(slot) = request.extensions().get::<PanicSlot>() {
///     slot.fill(on_panic);
/// }
/// assert!(of_host.get().is_some());
/// ```
#[derive(Clone, Default)]
pub struct PanicSlot(Arc<OnceLock<Box<dyn OnPanic>>>);

impl PanicSlot {
    /// Fills it; what is there already stays.
    pub fn fill(&self, answer: impl OnPanic + 'static) {
        let _ = self.0.set(Box::new(answer));
    }

    /// What it was filled with.
    pub fn get(&self) -> Option<&dyn OnPanic> {
        self.0.get().map(|answer| &**answer)
    }
}

impl fmt::Debug for PanicSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = self.0.get().is_some();
        f.debug_tuple("PanicSlot").field(&filled).finish()
    }
}

/// How long a host waits for the client of a response: put it into the
/// response's extensions, or leave it out for the default.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::ports::ClientTimeouts;
///
/// let mut response = http::Response::new("a stream");
/// let timeouts = ClientTimeouts::default().stall(Duration::from_secs(120));
/// response.extensions_mut().insert(timeouts);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientTimeouts {
    /// While there is nothing to write, how often to ask whether the client is
    /// still there.
    pub probe: Duration,
    /// A client that takes no byte of what is there for this long is treated as
    /// gone.
    pub stall: Duration,
}

impl ClientTimeouts {
    /// The same, asking so often whether the client is still there.
    #[must_use]
    pub const fn probe(mut self, every: Duration) -> Self {
        self.probe = every;
        self
    }

    /// The same, with a client treated as gone that takes no byte for so long.
    #[must_use]
    pub const fn stall(mut self, limit: Duration) -> Self {
        self.stall = limit;
        self
    }
}

impl Default for ClientTimeouts {
    /// 1 s and 30 s.
    fn default() -> Self {
        Self {
            probe: Duration::from_secs(1),
            stall: Duration::from_secs(30),
        }
    }
}

/// The world that an application is given.
///
/// ```
/// use std::sync::Arc;
///
/// use spinlane_core::ports::{Counters, Ports};
/// use spinlane_core::testing::World;
///
/// // In a component they come from the host; tests put their own in their place.
/// let without_counters = Ports { counters: None::<Arc<dyn Counters>>, ..World::new().ports() };
/// assert!(without_counters.key_value.is_some());
/// ```
#[derive(Clone)]
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Outbound HTTP.
    pub http: Arc<dyn HttpClient>,
    /// Work beside and after the response.
    pub spawner: Arc<dyn Spawner>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The store; `None` where the host has none or refuses it.
    pub key_value: Option<Arc<dyn KeyValue>>,
    /// Atomic counters; `None` where the host has none.
    pub counters: Option<Arc<dyn Counters>>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports")
            .field("key_value", &self.key_value.is_some())
            .field("counters", &self.counters.is_some())
            .finish_non_exhaustive()
    }
}
