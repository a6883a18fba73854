//! `cargo xtask test`: every test, and at the end what could not be run.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::steps::{beside, locked, on_path, program, root, step};
use crate::tools;
use crate::{browser, build};

/// The Cargo profile of tests, and of what they run.
pub(crate) const PROFILE: &str = "tests";

pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    let mut not_run = Vec::new();
    prepare()?;
    rust(filter, &mut not_run)?;
    match filter {
        None => {
            npm(&mut not_run)?;
            browser::run(&mut not_run)?;
        }
        Some(name) => not_run.push(format!("all but the Rust tests whose names have {name:?}")),
    }
    report(&not_run);
    Ok(())
}

/// Builds all that tests run.
pub(crate) fn prepare() -> Result<()> {
    build::ensure_target()?;
    beside(build::all, || {
        step("build the Rust tests, and what they run", &mut native())
    })
}

/// Everything native in one go: of a package by itself cargo takes other features, and
/// would compile most of what it depends on anew.
fn native() -> Command {
    let mut build = locked("build");
    build.args(["--profile", PROFILE, "--workspace"]);
    build.args(["--lib", "--bins", "--tests", "--examples"]);
    build
}

/// A program that was built natively.
pub(crate) fn built(name: &str) -> PathBuf {
    build::target_dir().join(PROFILE).join(name)
}

/// Unit tests, and component tests in real hosts.
fn rust(filter: Option<&str>, not_run: &mut Vec<String>) -> Result<()> {
    let mut tests = tests(not_run);
    tests.args(filter);
    step("Rust tests", &mut tests)
}

/// `cargo test` of everything, told where all is that tests run; what was not found is
/// noted.
pub(crate) fn tests(not_run: &mut Vec<String>) -> Command {
    let mut tests = locked("test");
    tests.args(["--profile", PROFILE, "--workspace"]);
    tests.env("SPINLANE_COMPONENT", build::spin_component());
    tests.env("SPINLANE_WASI_COMPONENT", build::wasi_component());
    tests.env("SPINLANE_PLAIN_COMPONENT", build::plain_spin_component());
    tests.env("SPINLANE_FIXTURE", build::fixture_component());
    tests.env("SPINLANE_RELAY", build::relay_component());
    tests.env("SPINLANE_WASI_FIXTURE", build::wasi_fixture_component());
    // Most component tests wait for a simulated upstream, and leave two cores idle.
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        tests.env("RUST_TEST_THREADS", "4");
    }
    let redis = tools::system("redis-server", &["redis-server"]);
    let spin = on_path("spin").context("no `spin` on the PATH");
    for (what, variable, found) in [
        ("`wasmtime serve`", "SPINLANE_WASMTIME", tools::wasmtime()),
        ("on Redis", "SPINLANE_REDIS", redis),
        (
            "schemathesis and the validator",
            "SPINLANE_OPENAPI_TOOLS",
            tools::openapi(),
        ),
        ("under Spin", "SPINLANE_SPIN", spin),
    ] {
        give(&mut tests, variable, found, what, not_run);
    }
    tests
}

/// The npm peers: the official Anthropic SDK, the reference SSE parser.
fn npm(not_run: &mut Vec<String>) -> Result<()> {
    let folder = root().join("tests/npm");
    let (node, npm) = match tools::node() {
        Ok(tools) => tools,
        Err(error) => {
            not_run.push(format!("npm peers: no Node.js ({error:#})"));
            return Ok(());
        }
    };
    tools::npm_ci(&npm, "the npm peers", &folder)?;
    let mut peers = program(node);
    peers
        .current_dir(&folder)
        .arg("--test")
        .env("SSE_VECTORS", printed("sse_vectors")?)
        .env("SSE_RANDOM", printed("sse_random")?)
        .env("SPINLANE_UPSTREAMS", built("spinlane-upstreams"));
    let description = tools::spotify_openapi(&npm);
    let what = "Spotify's OpenAPI description";
    give(&mut peers, "SPOTIFY_OPENAPI", description, what, not_run);
    step("npm peers", &mut peers)
}

/// A file of what an example prints.
fn printed(example: &str) -> Result<PathBuf> {
    let file = build::target_dir().join(format!("{example}.jsonl"));
    let output = program(built(&format!("examples/{example}")))
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the example {example} failed: {}", output.status);
    }
    std::fs::write(&file, output.stdout)?;
    Ok(file)
}

/// Tells `tests` where something is, or notes that what needs it is not run.
fn give(
    tests: &mut Command,
    variable: &str,
    found: Result<PathBuf>,
    what: &str,
    not_run: &mut Vec<String>,
) {
    match found {
        Ok(path) => {
            tests.env(variable, path);
        }
        Err(error) => not_run.push(format!("{what}: {error:#}")),
    }
}

pub(crate) fn report(not_run: &[String]) {
    if not_run.is_empty() {
        eprintln!("==> all tests were run");
        return;
    }
    eprintln!("==> NOT RUN here:");
    for line in not_run {
        eprintln!("    - {line}");
    }
}
