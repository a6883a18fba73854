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

/// The DJ's package, and the file that cargo makes of it.
pub(crate) const DJ: &str = "spinlane-dj";
const DJ_FILE: &str = "spinlane_dj.wasm";

const FIXTURE: &str = "spinlane-fixture";
const FIXTURE_FILE: &str = "spinlane_fixture.wasm";

/// Cargo's profiles of components. Those of one package have one name, so each
/// kind of host has a profile, and with it a folder, of its own.
const RELEASE: &str = "release";
const WASI: &str = "wasi";
const NO_COUNTERS: &str = "no-counters";

fn wasm(folder: &std::path::Path, profile: &str, name: &str) -> PathBuf {
    folder.join(TARGET).join(profile).join(name)
}

/// The component for Spin and the embedded host.
pub(crate) fn spin_component() -> PathBuf {
    wasm(&target_dir(), RELEASE, DJ_FILE)
}

/// The component for plain WASI hosts.
pub(crate) fn wasi_component() -> PathBuf {
    wasm(&target_dir(), WASI, DJ_FILE)
}

/// The component for hosts of Spin's that have no atomic counters.
pub(crate) fn plain_spin_component() -> PathBuf {
    wasm(&target_dir(), NO_COUNTERS, DJ_FILE)
}

/// The test fixture's component.
pub(crate) fn fixture_component() -> PathBuf {
    wasm(&target_dir(), RELEASE, FIXTURE_FILE)
}

/// The same for plain WASI hosts.
pub(crate) fn wasi_fixture_component() -> PathBuf {
    wasm(&target_dir(), WASI, FIXTURE_FILE)
}

/// The example's component.
pub(crate) fn relay_component() -> PathBuf {
    wasm(&target_dir(), RELEASE, "relay.wasm")
}

/// The benchmark's component by hand.
pub(crate) fn bare_component() -> PathBuf {
    wasm(&target_dir(), RELEASE, "bare.wasm")
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
fn component(profile: &str, package: &str) -> Command {
    let mut command = locked("build");
    command.args(["--profile", profile, "--target", TARGET]);
    command.args(["--package", package]);
    command
}

/// The same, with the host adapters of `features`.
fn component_for(features: &str, profile: &str, package: &str) -> Command {
    let mut command = component(profile, package);
    command.args(["--no-default-features", "--features", features]);
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
    step(
        "build the component (plain WASI)",
        &mut component_for("wasi", WASI, DJ),
    )
}

/// Builds what managed clouds run, where Spin's store has no atomics.
pub(crate) fn plain_spin() -> Result<()> {
    ensure_target()?;
    step(
        "build the component (Spin without counters)",
        &mut component_for("spin", NO_COUNTERS, DJ),
    )
}

/// Builds the test fixture, and the example with it: they share all but their
/// own lines.
pub(crate) fn fixture() -> Result<()> {
    ensure_target()?;
    step(
        "build the components (fixture, example)",
        component(RELEASE, FIXTURE).args(["--package", "relay"]),
    )
}

/// Builds the benchmark's component by hand.
pub(crate) fn bare() -> Result<()> {
    ensure_target()?;
    step(
        "build the component (bare)",
        &mut component(RELEASE, "spinlane-bench-bare"),
    )
}

/// Builds the test fixture for plain WASI hosts.
pub(crate) fn wasi_fixture() -> Result<()> {
    ensure_target()?;
    step(
        "build the component (fixture, plain WASI)",
        &mut component_for("wasi", WASI, FIXTURE),
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
            wasm("target".as_ref(), RELEASE, DJ_FILE)
        );
    }
}
