//! Logs: `tracing` events as JSON lines on standard error, which Spin and
//! `wasmtime serve` both keep.

use tracing::level_filters::LevelFilter;

/// Installs the subscriber; a second call (a reused instance) does nothing.
pub(super) fn install() {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(LevelFilter::INFO)
        .with_writer(std::io::stderr)
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}
