//! The log of a request, also for its client.
//!
//! [`ClientLog`] is a layer of the program's one subscriber. Events that happen
//! while a future runs inside [`with_sink`] are given to that sink as well: an
//! application can show a request's log to who sent it.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer;

/// One event of the log.
///
/// ```
/// use spinlane_core::log::Record;
///
/// let record = Record {
///     level: "info",
///     message: "an upstream has answered".into(),
///     fields: [("attempts".into(), 2.into())].into_iter().collect(),
/// };
/// // As a client is sent it.
/// let json = serde_json::to_value(&record)?;
/// assert_eq!((&json["level"], &json["fields"]["attempts"]), (&"info".into(), &2.into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// What happened.
    pub message: String,
    /// The event's other fields.
    pub fields: Map<String, Value>,
}

/// A time in milliseconds, as logs, frames and answers have it.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Takes records. Must not wait.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use spinlane_core::log::{Record, Sink};
///
/// let seen: Arc<Mutex<Vec<Record>>> = Arc::default();
/// let sink: Sink = {
///     let seen = Arc::clone(&seen);
///     Arc::new(move |record| seen.lock().unwrap().push(record.clone()))
/// };
/// sink(&Record { level: "warn", message: "it waits".into(), fields: Default::default() });
/// assert_eq!(seen.lock().unwrap()[0].message, "it waits");
/// ```
pub type Sink = Arc<dyn Fn(&Record) + Send + Sync>;

thread_local! {
    static SINK: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

/// The layer to add to the subscriber.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use spinlane_core::log::{ClientLog, Record, with_sink};
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(ClientLog);
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let sink = {
///     let seen = Arc::clone(&seen);
///     Arc::new(move |record: &Record| seen.lock().unwrap().push(record.message.clone()))
/// };
/// tracing::subscriber::with_default(subscriber, || {
///     let work = async { tracing::info!(answer = 42, "found") };
///     futures::executor::block_on(with_sink(Some(sink), work));
/// });
/// assert_eq!(*seen.lock().unwrap(), ["found"]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientLog;

impl<S: Subscriber> Layer<S> for ClientLog {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        // Taken out for the time of the call: what the sink itself logs must
        // not come back to it.
        let Ok(Some(sink)) = SINK.try_with(|sink| sink.take()) else {
            return;
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        sink(&Record {
            level: level(*event.metadata().level()),
            message: fields.message,
            fields: fields.others,
        });
        SINK.set(Some(sink));
    }
}

fn level(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "trace",
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// Runs `future` with `sink` taking the events that happen while it is polled.
pub fn with_sink<F: Future>(sink: Option<Sink>, future: F) -> WithSink<F> {
    WithSink { sink, future }
}

pin_project_lite::pin_project! {
    /// Future of [`with_sink`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    ///
    /// use futures::executor::block_on;
    /// use futures::future::join;
    /// use spinlane_core::log::{ClientLog, Record, with_sink};
    /// use tracing_subscriber::layer::SubscriberExt;
    ///
    /// let seen = Arc::new(AtomicUsize::new(0));
    /// let counting = Arc::clone(&seen);
    /// let sink = Arc::new(move |_: &Record| {
    ///     counting.fetch_add(1, Relaxed);
    /// });
    /// let subscriber = tracing_subscriber::registry().with(ClientLog);
    /// tracing::subscriber::with_default(subscriber, || {
    ///     let ours = with_sink(Some(sink), async { tracing::info!("ours") });
    ///     block_on(join(ours, async { tracing::info!("of another request") }));
    /// });
    /// assert_eq!(seen.load(Relaxed), 1);
    /// ```
    pub struct WithSink<F> {
        sink: Option<Sink>,
        #[pin]
        future: F,
    }
}

impl<F> fmt::Debug for WithSink<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithSink").finish_non_exhaustive()
    }
}

/// Puts the previous sink back, also when the poll panics.
struct Restore(Option<Sink>);

impl Drop for Restore {
    fn drop(&mut self) {
        SINK.set(self.0.take());
    }
}

impl<F: Future> Future for WithSink<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _restore = Restore(SINK.replace(this.sink.clone()));
        this.future.poll(cx)
    }
}

/// Makes [`ClientLog`] part of the subscriber of all tests. One for the whole
/// process: `tracing` caches by place whether anybody listens, and tests run
/// side by side.
#[cfg(any(test, feature = "testing"))]
pub fn install_for_tests() {
    use tracing_subscriber::layer::SubscriberExt;

    let subscriber = tracing_subscriber::registry().with(ClientLog);
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use serde_json::json;
    use std::sync::Mutex;

    #[test]
    fn events_reach_the_sink_of_their_future_only() {
        let seen: Arc<Mutex<Vec<Record>>> = Arc::default();
        let sink: Sink = {
            let seen = Arc::clone(&seen);
            Arc::new(move |record| {
                tracing::info!("from the sink itself");
                seen.lock().unwrap().push(record.clone());
            })
        };
        install_for_tests();
        tracing::info!("before");
        block_on(with_sink(Some(sink), async {
            tracing::warn!(lane = "spotify", ms = 7, ok = true, "waited");
            with_sink(None, async { tracing::info!("another's") }).await;
            tracing::debug!("again");
        }));
        tracing::info!("after");
        let seen = seen.lock().unwrap();
        let messages: Vec<_> = seen.iter().map(|record| record.message.as_str()).collect();
        assert_eq!(messages, ["waited", "again"]);
        assert_eq!(seen[0].level, "warn");
        let fields = json!({"lane": "spotify", "ms": 7, "ok": true});
        assert_eq!(Value::Object(seen[0].fields.clone()), fields);
    }
}
