//! Formatting and lints; warnings are errors.

use anyhow::Result;

use crate::build::ensure_target;
use crate::steps::{cargo, step};

pub(crate) fn run() -> Result<()> {
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    step(
        "lints (native)",
        cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    ensure_target()?;
    for (what, arguments) in [
        ("lints (wasm, Spin)", &["--package", "spinlane"][..]),
        (
            "lints (wasm, fixture and example)",
            &["--package", "spinlane-fixture", "--package", "relay"],
        ),
        (
            "lints (wasm, Spin without counters)",
            &[
                "--package",
                "spinlane",
                "--no-default-features",
                "--features",
                "app,spin",
            ],
        ),
        (
            "lints (wasm, plain WASI)",
            &[
                "--package",
                "spinlane",
                "--no-default-features",
                "--features",
                "app,wasi",
            ],
        ),
    ] {
        step(
            what,
            cargo()
                .args(["clippy", "--target", "wasm32-wasip2"])
                .args(arguments)
                .args(["--", "-D", "warnings"]),
        )?;
    }
    Ok(())
}
