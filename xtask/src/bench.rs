//! `cargo xtask bench`: numbers, in builds that are optimised for them.

use anyhow::Result;

use crate::build;
use crate::steps::{cargo, program, root, step};
use crate::tools;

pub(crate) fn run() -> Result<()> {
    step(
        "what a limit costs, beside governor's and tower's",
        cargo().args(["bench", "--package", "spinlane-bench-limits"]),
    )?;
    build::spin()?;
    build::fixture()?;
    step(
        "build host, upstreams and bench, optimised (takes minutes)",
        cargo().args([
            "build",
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
        .arg(built("spinlane-host"))
        .arg(built("spinlane-upstreams"))
        .arg(build::spin_component())
        .arg(build::fixture_component())
        .arg(root().join("tests/fixture/spin.toml"));
    match tools::system("redis-server", &["redis-server"]) {
        Ok(redis) => {
            bench.arg(redis);
        }
        Err(error) => eprintln!("no redis-server ({error:#})"),
    }
    step("measure", &mut bench)
}
