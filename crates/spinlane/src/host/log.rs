//! Logs: `tracing` events as JSON lines on standard error, which Spin and
//! `wasmtime serve` both keep.

use std::sync::OnceLock;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use spinlane_core::log::ClientLog;

/// The variable that says how much is logged: `error` to `trace`, or `off`.
const LEVEL: &str = "log_level";

/// The level, which is read when something is first to be logged: a variable costs more
/// than a short request does beside it.
fn level() -> LevelFilter {
    static LEVEL_READ: OnceLock<LevelFilter> = OnceLock::new();
    *LEVEL_READ.get_or_init(|| {
        let level = super::variable(LEVEL).filter(|level| !level.is_empty());
        let level = level.and_then(|level| level.parse().ok());
        level.unwrap_or(LevelFilter::INFO)
    })
}

/// Installs the subscriber; a second call (a reused instance) does nothing.
pub(super) fn install() {
    // Of spans all: a line has the name of its request at any level.
    let is_logged = |metadata: &Metadata<'_>| metadata.is_span() || *metadata.level() <= level();
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry()
        .with(lines.with_filter(filter_fn(is_logged)))
        .with(ClientLog.with_filter(LevelFilter::DEBUG));
    let _ = tracing::subscriber::set_global_default(subscriber);
}
