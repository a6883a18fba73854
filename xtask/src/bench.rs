//! `cargo xtask bench`: numbers, in builds that are optimised for them.

use anyhow::Result;

use crate::build;
use crate::steps::{cargo, program, step};

pub(crate) fn run() -> Result<()> {
    build::spin()?;
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
    step(
        "relay",
        program(built("spinlane-bench"))
            .arg(built("spinlane-host"))
            .arg(built("spinlane-upstreams"))
            .arg(build::spin_component()),
    )
}
