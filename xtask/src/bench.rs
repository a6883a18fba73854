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
            locked("bench")
                .args(["--package", "spinlane-bench-limits", "--"])
                .args(options.quick.then_some("--quick")),
        )?;
    }
    if options.only == [Measure::Limits] {
        return Ok(());
    }
    components(options)?;
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
    tools(options, &mut bench);
    step("measure", &mut bench)
}

/// Whether anything is measured there.
fn is_used(options: &BenchOptions, place: Place) -> bool {
    options.needs_hosts() && options.runs_on(place)
}

fn components(options: &BenchOptions) -> Result<()> {
    build::spin()?;
    build::bare()?;
    if options.measures(Measure::Size) || is_used(options, Place::Wasmtime) {
        build::wasi()?;
    }
    if options.measures(Measure::Shared) {
        build::fixture()?;
    }
    Ok(())
}

/// Tells `bench` where what others have made is, as far as it is needed.
fn tools(options: &BenchOptions, bench: &mut Command) {
    if is_used(options, Place::Spin) {
        let spin = on_path("spin").context("no `spin` on the PATH");
        give(bench, "BENCH_SPIN", spin, "Spin");
    }
    if is_used(options, Place::Wasmtime) {
        let wasmtime = tools::wasmtime();
        give(bench, "BENCH_WASMTIME", wasmtime, "`wasmtime serve`");
    }
    if is_used(options, Place::Workerd) {
        give(bench, "BENCH_PEERS", peers(), "Hono on workerd");
    }
    if options.measures(Measure::Shared) {
        let redis = tools::system("redis-server", &["redis-server"]);
        give(bench, "BENCH_REDIS", redis, "shared limits on Redis");
    }
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
