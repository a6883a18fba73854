//! `cargo xtask bench`: numbers, in builds that are optimised for them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use spinlane_options::{BenchOptions, Measure, Place};

use crate::build;
use crate::steps::{locked, on_path, program, root, step};
use crate::tools;

pub(crate) fn run(options: &BenchOptions) -> Result<()> {
    if options.measures(Measure::Limits) {
        step(
            "what a limit costs, beside governor's and tower's",
            locked("bench").args(["--package", "spinlane-bench-limits"]),
        )?;
    }
    if options.only == [Measure::Limits] {
        return Ok(());
    }
    let sized = options.measures(Measure::Size);
    let on = |place| options.needs_hosts() && options.runs_on(place);
    build::spin()?;
    build::bare()?;
    if sized || on(Place::Wasmtime) {
        build::wasi()?;
    }
    if options.measures(Measure::Shared) {
        build::fixture()?;
    }
    native()?;
    // The profile `bench` builds into the folder of `release`.
    let built = |name: &str| build::target_dir().join("release").join(name);
    let mut bench = program(built("spinlane-bench"));
    bench
        .args(options.arguments())
        .env("BENCH_ROOT", root())
        .env("BENCH_HOST", built("spinlane-host"))
        .env("BENCH_AXUM", built("axum-relay"))
        .env("BENCH_COMPONENT", build::spin_component())
        .env("BENCH_WASI_COMPONENT", build::wasi_component())
        .env("BENCH_BARE", build::bare_component())
        .env("BENCH_FIXTURE", build::fixture_component());
    if on(Place::Spin) {
        let spin = on_path("spin").context("no `spin` on the PATH");
        give(&mut bench, "BENCH_SPIN", spin, "Spin");
    }
    if on(Place::Wasmtime) {
        let wasmtime = tools::wasmtime();
        give(&mut bench, "BENCH_WASMTIME", wasmtime, "`wasmtime serve`");
    }
    if on(Place::Workerd) {
        give(&mut bench, "BENCH_PEERS", peers(), "Hono on workerd");
    }
    if options.measures(Measure::Shared) {
        let redis = tools::system("redis-server", &["redis-server"]);
        give(&mut bench, "BENCH_REDIS", redis, "shared limits on Redis");
    }
    step("measure", &mut bench)
}

fn native() -> Result<()> {
    step(
        "build host and bench, optimised (takes minutes)",
        locked("build").args([
            "--profile",
            "bench",
            "--package",
            "spinlane-host",
            "--package",
            "spinlane-bench",
        ]),
    )
}

/// Tells `bench` where something is, or says what is not run without it.
fn give(bench: &mut Command, variable: &str, found: Result<PathBuf>, what: &str) {
    match found {
        Ok(path) => {
            bench.env(variable, path);
        }
        Err(error) => eprintln!("==> NOT RUN here: {what}: {error:#}"),
    }
}

/// Hono and workerd, installed and built.
fn peers() -> Result<PathBuf> {
    let (_, npm) = tools::node()?;
    let folder = root().join("bench/peers");
    tools::npm_ci(&npm, "Hono and workerd", &folder)?;
    step(
        "bundle the Hono relay",
        program(npm)
            .current_dir(&folder)
            .args(["run", "--silent", "build"]),
    )?;
    Ok(folder)
}
