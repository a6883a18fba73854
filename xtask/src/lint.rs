//! Formatting and lints, where warnings are errors; and what this is built of.

use anyhow::Result;

use crate::build::{DJ, ensure_target};
use crate::steps::{cargo, locked, step};
use crate::supply;

pub(crate) fn run() -> Result<()> {
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    eprintln!("==> sources, licences and notices");
    supply::check()?;
    step(
        "lints (native)",
        locked("clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]),
    )?;
    ensure_target()?;
    for (what, arguments) in [
        ("lints (wasm, Spin)", &["--package", DJ][..]),
        (
            "lints (wasm, what applications depend on)",
            &["--package", "spinlane", "--all-features"],
        ),
        (
            "lints (wasm, fixture and example)",
            &["--package", "spinlane-fixture", "--package", "relay"],
        ),
        ("lints (wasm, bare)", &["--package", "spinlane-bench-bare"]),
        (
            "lints (wasm, Spin without counters)",
            &[
                "--package",
                DJ,
                "--no-default-features",
                "--features",
                "spin",
            ],
        ),
        (
            "lints (wasm, plain WASI)",
            &[
                "--package",
                DJ,
                "--no-default-features",
                "--features",
                "wasi",
            ],
        ),
    ] {
        step(
            what,
            locked("clippy")
                .args(["--target", "wasm32-wasip2"])
                .args(arguments)
                .args(["--", "-D", "warnings"]),
        )?;
    }
    Ok(())
}
