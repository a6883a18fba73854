//! `cargo xtask bench`: what relaying an Anthropic stream costs, beside native
//! axum and Hono on workerd, and what shared limits add to a call.
//!
//! Upstream, host and client are three processes, so that the CPU time of the
//! host's process is that of the host and the component alone. The figures are
//! only good as ratios, and for comparing two builds on one machine.

mod relay;
mod shared;

use std::path::PathBuf;

use anyhow::{Context, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let file = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let built = |name: &str| file(name).with_context(|| format!("{name}: run `cargo xtask bench`"));
    let programs = relay::Programs {
        host: built("BENCH_HOST")?,
        upstreams: built("BENCH_UPSTREAMS")?,
        component: built("BENCH_COMPONENT")?,
        axum: built("BENCH_AXUM")?,
        peers: file("BENCH_PEERS"),
        as_spin: std::env::var_os("BENCH_AS_SPIN").is_some(),
    };
    relay::run(&programs).await?;
    let (fixture, manifest) = (built("BENCH_FIXTURE")?, built("BENCH_FIXTURE_MANIFEST")?);
    shared::run(&fixture, &manifest, file("BENCH_REDIS")).await
}
