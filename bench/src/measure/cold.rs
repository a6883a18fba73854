//! From the start of a host's process to its first answer.

use anyhow::Result;
use tempfile::TempDir;

use crate::host::{Application, Host, Setup, Stage};
use crate::table::{Column, Figures};

pub(super) const COLUMNS: &[Column] = &[
    Column::new("compiled before, ms", 0),
    Column::new("compiled now, ms", 0),
];

pub(super) async fn run(host: Host, stage: &Stage) -> Result<Figures> {
    let cache = TempDir::new()?;
    let setup = Setup::default();
    let mut times = Vec::new();
    for _ in 0..2 {
        let server = host.start(stage, setup, cache.path()).await?;
        times.push(Some(server.start.as_secs_f64() * 1e3));
        server.end().await?;
    }
    let (first, second) = (times[0], times[1]);
    // What is no component is compiled by its authors.
    let compiles = host.application != Application::Peer;
    Ok(vec![second, first.filter(|_| compiles)])
}
