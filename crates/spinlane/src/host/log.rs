//! Logs: `tracing` events as JSON lines on standard error, which Spin and
//! `wasmtime serve` both keep.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

use spinlane_core::log::ClientLog;

/// The variable that says how much is logged: `error` to `trace`, or `off`.
const LEVEL: &str = "log_level";

/// Installs the subscriber; a second call (a reused instance) does nothing.
pub(super) fn install() {
    let level = super::variable(LEVEL).filter(|level| !level.is_empty());
    let level = level.and_then(|level| level.parse().ok());
    let level = level.unwrap_or(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry()
        .with(lines.with_filter(level))
        .with(ClientLog.with_filter(LevelFilter::DEBUG));
    let _ = tracing::subscriber::set_global_default(subscriber);
}
