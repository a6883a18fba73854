//! Formatting, spelling and lints, where warnings are errors; what this is built of; and
//! the library by each of its features, with its documentation.

use std::process::Command;

use anyhow::Result;

use crate::build::{DJ, ensure_target};
use crate::steps::{cargo, locked, program, step};
use crate::test::PROFILE;
use crate::{supply, tools};

/// What somebody may build of a crate that applications depend on, beside all of it and
/// what the DJ takes: each feature by itself, and none.
const FEATURES: [(&str, &[&str]); 4] = [
    ("spinlane-core", &["", "testing", "proptest", "utoipa"]),
    ("spinlane-client", &["", "anthropic"]),
    ("spinlane-http", &["", "utoipa"]),
    ("spinlane", &["", "client", "anthropic", "http", "testing"]),
];

/// The same on wasm, where hosts are. A host is chosen, so there is no crate without.
const HOSTS: [&str; 4] = [
    "spin",
    "wasi",
    "spin,counters",
    "spin,counters,anthropic,http",
];

/// The crates that applications depend on.
fn library(command: &mut Command) -> &mut Command {
    let packages = FEATURES.iter().flat_map(|(name, _)| ["--package", *name]);
    command.args(packages)
}

/// `cargo SUBCOMMAND` with the profile of the tests: what both need of build scripts and
/// macros is then compiled once.
fn checked(subcommand: &str) -> Command {
    let mut command = locked(subcommand);
    command.args(["--profile", PROFILE]);
    command
}

pub(crate) fn run() -> Result<()> {
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    step("spelling", &mut program(tools::typos()?))?;
    eprintln!("==> sources, licences and notices");
    supply::check()?;
    step(
        "lints (native)",
        checked("clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]),
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
            checked("clippy")
                .args(["--target", "wasm32-wasip2"])
                .args(arguments)
                .args(["--", "-D", "warnings"]),
        )?;
    }
    features()?;
    documentation()
}

/// Nothing of the library needs a feature that it does not name.
fn features() -> Result<()> {
    for (package, features) in FEATURES {
        for feature in features {
            check(package, feature, &[])?;
        }
    }
    for host in HOSTS {
        check("spinlane", host, &["--target", "wasm32-wasip2"])?;
    }
    Ok(())
}

fn check(package: &str, features: &str, more: &[&str]) -> Result<()> {
    let what = match features {
        "" => format!("{package} without features"),
        features => format!("{package} with {features} alone"),
    };
    let mut check = checked("clippy");
    check.args(["--quiet", "--package", package, "--no-default-features"]);
    check.args(["--features", features]).args(more);
    step(&what, check.args(["--", "-D", "warnings"]))
}

/// The library's documentation, natively and on wasm, where it has its hosts.
fn documentation() -> Result<()> {
    let doc = || {
        let mut doc = checked("doc");
        doc.args(["--no-deps", "--quiet"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        doc
    };
    let mut native = doc();
    step(
        "documentation (native)",
        library(&mut native).arg("--all-features"),
    )?;
    let wasm = [
        "--package",
        "spinlane",
        "--all-features",
        "--target",
        "wasm32-wasip2",
    ];
    step("documentation (wasm)", doc().args(wasm))
}
