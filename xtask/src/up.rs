//! `cargo xtask up`: the DJ on this machine, in one command.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};
use spinlane_options::UpOptions;

use crate::build;
use crate::steps::{beside, locked, program, step};

pub(crate) fn run(options: &UpOptions) -> Result<()> {
    build::ensure_target()?;
    beside(build::spin, || {
        step(
            "build the host and the simulated upstreams (the first time takes minutes)",
            locked("build").args(["--package", "spinlane-up"]),
        )
    })?;
    let binary = build::target_dir().join("debug/spinlane-up");
    // Replaces this process, so that Ctrl-C and signals reach the host alone.
    let error = program(&binary)
        .arg("--component")
        .arg(build::spin_component())
        .arg("--state")
        .arg(build::target_dir().join("up"))
        .args(options.arguments())
        .exec();
    Err(error).with_context(|| format!("cannot run {}", binary.display()))
}
