//! `cargo xtask bench`: what an application costs on each of its hosts, beside
//! native axum and Hono on workerd, and what shared limits add to a call.
//!
//! Upstream and client are this process, the host is another, so that what it
//! takes is of the host and the application alone. The figures are only good as
//! ratios, and for comparing two builds on one machine.

mod client;
mod frames;
mod host;
mod load;
mod machine;
mod measure;
mod proc;
mod programs;
mod report;
mod rounds;
mod said;
mod server;
mod shared;
mod size;
mod table;

use anyhow::{Context, Result, bail};
use clap::Parser;
use spinlane_options::{BenchOptions, Measure};
use tokio::signal::unix::{SignalKind, signal};

use programs::Programs;

/// Measures. `cargo xtask bench` builds what it needs, and says where it is.
#[derive(Debug, Parser)]
#[command(name = "spinlane-bench")]
struct Options {
    #[command(flatten)]
    bench: BenchOptions,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse().bench;
    tokio::select! {
        done = run(&options) => done,
        // Hosts have process groups of their own: they end with what is dropped.
        ended = told_to_end() => {
            ended?;
            bail!("interrupted")
        }
    }
}

async fn told_to_end() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

async fn run(options: &BenchOptions) -> Result<()> {
    let programs = Programs::from_environment()?;
    proc::raise_file_limit()?;
    let mut report = machine::describe(&programs);
    println!("{report}");
    let failures = rounds::all(options, &programs, &mut report).await?;
    if options.measures(Measure::Size) {
        let sizes = size::table(&programs);
        println!("{sizes}");
        report = format!("{report}\n{sizes}");
    }
    if options.write {
        report::write(&programs.root.join("BENCHMARKS.md"), &report)?;
    }
    if options.measures(Measure::Shared) {
        let fixture = programs.fixture.context("no fixture")?;
        let manifest = programs.root.join("tests/fixture/spin.toml");
        shared::run(&fixture, &manifest, programs.redis).await?;
    }
    match failures.as_slice() {
        [] => Ok(()),
        failures => bail!("FAILED:\n{}", failures.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }
}
