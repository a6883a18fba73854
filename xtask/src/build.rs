//! Building the components and the native programs.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::{cargo, locked, on_path, program, root, step};

pub(crate) const TARGET: &str = "wasm32-wasip2";

/// The folder that cargo builds into.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn wasm(folder: &std::path::Path, name: &str) -> PathBuf {
    folder.join(TARGET).join("release").join(name)
}

/// The component for Spin and the embedded host.
pub(crate) fn spin_component() -> PathBuf {
    wasm(&target_dir(), "spinlane.wasm")
}

/// The component for plain WASI hosts.
pub(crate) fn wasi_component() -> PathBuf {
    wasm(&target_dir().join("wasi"), "spinlane.wasm")
}

/// The component for hosts of Spin's that have no atomic counters.
pub(crate) fn plain_spin_component() -> PathBuf {
    wasm(&target_dir().join("no-counters"), "spinlane.wasm")
}

/// The test fixture's component.
pub(crate) fn fixture_component() -> PathBuf {
    wasm(&target_dir().join("fixture"), "spinlane_fixture.wasm")
}

/// The same for plain WASI hosts.
pub(crate) fn wasi_fixture_component() -> PathBuf {
    wasm(&target_dir().join("wasi-fixture"), "spinlane_fixture.wasm")
}

/// The example's component.
pub(crate) fn relay_component() -> PathBuf {
    wasm(&target_dir().join("fixture"), "relay.wasm")
}

/// The benchmark's component by hand.
pub(crate) fn bare_component() -> PathBuf {
    wasm(&target_dir(), "bare.wasm")
}

/// Adds the wasm target when the toolchain lacks it: cargo does not.
pub(crate) fn ensure_target() -> Result<()> {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    if on_path("rustup").is_none() {
        bail!(
            "the Rust target {TARGET} is missing and there is no rustup to add it: install it with your system's packages"
        );
    }
    step(
        "add the Rust target wasm32-wasip2",
        program("rustup").args(["target", "add", TARGET]),
    )
}

/// `cargo build` for wasm.
fn component(package: &str) -> Command {
    let mut command = locked("build");
    command.args(["--release", "--target", TARGET, "--package", package]);
    command
}

/// What cargo is told for the component that Spin runs: the very command that
/// `spin.toml` names, so that `spin build` and this build the same.
const SPIN: [&str; 5] = ["build", "--locked", "--release", "--target", TARGET];

/// Builds what Spin runs.
pub(crate) fn spin() -> Result<()> {
    ensure_target()?;
    step("build the component (Spin)", cargo().args(SPIN))
}

/// Builds what plain WASI hosts run.
pub(crate) fn wasi() -> Result<()> {
    ensure_target()?;
    // A folder of its own: both files have the same name.
    let folder = target_dir().join("wasi");
    step(
        "build the component (plain WASI)",
        component("spinlane")
            .args(["--no-default-features", "--features", "app,wasi"])
            .env("CARGO_TARGET_DIR", folder),
    )
}

/// Builds what managed clouds run, where Spin's store has no atomics.
pub(crate) fn plain_spin() -> Result<()> {
    ensure_target()?;
    // A folder of its own: both files have the same name.
    let folder = target_dir().join("no-counters");
    step(
        "build the component (Spin without counters)",
        component("spinlane")
            .args(["--no-default-features", "--features", "app,spin"])
            .env("CARGO_TARGET_DIR", folder),
    )
}

/// Builds the test fixture, and the example with it: they share all but their
/// own lines.
pub(crate) fn fixture() -> Result<()> {
    ensure_target()?;
    // A folder of its own: it builds `spinlane` as well, without the DJ, and
    // cargo would put that in the DJ's place.
    step(
        "build the components (fixture, example)",
        component("spinlane-fixture")
            .args(["--package", "relay"])
            .env("CARGO_TARGET_DIR", target_dir().join("fixture")),
    )
}

/// Builds the benchmark's component by hand.
pub(crate) fn bare() -> Result<()> {
    ensure_target()?;
    step(
        "build the component (bare)",
        &mut component("spinlane-bench-bare"),
    )
}

/// Builds the test fixture for plain WASI hosts.
pub(crate) fn wasi_fixture() -> Result<()> {
    ensure_target()?;
    step(
        "build the component (fixture, plain WASI)",
        component("spinlane-fixture")
            .args(["--no-default-features", "--features", "wasi"])
            .env("CARGO_TARGET_DIR", target_dir().join("wasi-fixture")),
    )
}

/// Builds every component.
pub(crate) fn all() -> Result<()> {
    spin()?;
    fixture()?;
    wasi()?;
    plain_spin()?;
    wasi_fixture()?;
    for path in [
        spin_component(),
        fixture_component(),
        relay_component(),
        wasi_component(),
        plain_spin_component(),
        wasi_fixture_component(),
    ] {
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of `name` in the table `table` of `spin.toml`.
    fn named(table: &str, name: &str) -> String {
        let manifest = std::fs::read_to_string(root().join("spin.toml")).expect("spin.toml");
        let mut lines = manifest.lines().skip_while(|line| *line != table).skip(1);
        let lines = lines.by_ref().take_while(|line| !line.starts_with('['));
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        let value = values.next().unwrap_or_else(|| panic!("{table} {name}"));
        value.trim_matches('"').to_owned()
    }

    #[test]
    fn spin_build_builds_the_same() {
        let command = named("[component.spinlane.build]", "command");
        assert_eq!(command, format!("cargo {}", SPIN.join(" ")));
        let source = named("[component.spinlane]", "source");
        assert_eq!(
            PathBuf::from(source),
            wasm("target".as_ref(), "spinlane.wasm")
        );
    }
}
