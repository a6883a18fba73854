//! `cargo xtask bench`: numbers, in builds that are optimised for them.

use std::path::PathBuf;

use anyhow::Result;

use crate::build;
use crate::steps::{locked, program, root, step};
use crate::tools;

pub(crate) fn run(as_spin: bool) -> Result<()> {
    step(
        "what a limit costs, beside governor's and tower's",
        locked("bench").args(["--package", "spinlane-bench-limits"]),
    )?;
    build::spin()?;
    build::fixture()?;
    step(
        "build host, upstreams and bench, optimised (takes minutes)",
        locked("build").args([
            "--profile",
            "bench",
            "--package",
            "spinlane-host",
            "--package",
            "spinlane-upstreams",
            "--package",
            "spinlane-bench",
        ]),
    )?;
    // The profile `bench` builds into the folder of `release`.
    let built = |name: &str| build::target_dir().join("release").join(name);
    let mut bench = program(built("spinlane-bench"));
    bench
        .env("BENCH_HOST", built("spinlane-host"))
        .env("BENCH_UPSTREAMS", built("spinlane-upstreams"))
        .env("BENCH_AXUM", built("axum-relay"))
        .env("BENCH_COMPONENT", build::spin_component())
        .env("BENCH_FIXTURE", build::fixture_component())
        .env(
            "BENCH_FIXTURE_MANIFEST",
            root().join("tests/fixture/spin.toml"),
        );
    if as_spin {
        bench.env("BENCH_AS_SPIN", "1");
    }
    match peers() {
        Ok(folder) => {
            bench.env("BENCH_PEERS", folder);
        }
        Err(error) => eprintln!("no Hono on workerd ({error:#})"),
    }
    match tools::system("redis-server", &["redis-server"]) {
        Ok(redis) => {
            bench.env("BENCH_REDIS", redis);
        }
        Err(error) => eprintln!("no redis-server ({error:#})"),
    }
    step("measure", &mut bench)
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
