//! The components on hosts that are programs of their own, and what they
//! import.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use spinlane_component_tests::hosts::Process;
use spinlane_component_tests::wire::Connection;
use spinlane_component_tests::{KEY, built, hosts, panics, start_upstreams, suite};
use tokio::process::Command;
use wasmparser::{Parser, Payload};

/// `wasmtime serve` with `component`, where there is a wasmtime.
async fn wasmtime(component: &str, variables: &[(&str, &str)]) -> Option<Process> {
    let port = hosts::free_port();
    let mut command = Command::new(hosts::program("SPINLANE_WASMTIME")?);
    command
        .args(["serve", "-S", "cli", "-S", "keyvalue"])
        .arg("--addr")
        .arg(format!("127.0.0.1:{port}"));
    for (name, value) in variables {
        let name = name.to_ascii_uppercase();
        command.args(["--env", &format!("SPINLANE_{name}={value}")]);
    }
    command.arg(built(component));
    Some(hosts::start(&mut command, port).await)
}

/// The plain-WASI build, under `wasmtime serve`.
#[tokio::test]
async fn wasmtime_serve() {
    let upstreams = start_upstreams().await;
    let anthropic = upstreams.anthropic();
    let variables = [
        ("anthropic_api_key", KEY),
        ("anthropic_base_url", &anthropic.origin()),
        suite::HEARTBEAT,
    ];
    let Some(process) = wasmtime("SPINLANE_WASI_COMPONENT", &variables).await else {
        return;
    };
    suite::all(&process.origin, anthropic).await;
    // This host lets it through, and the application cannot be asked: it is
    // refused as the application would.
    let mut connection = Connection::open(&process.origin).await;
    let head = connection.ask("GET", "/health", "no host").await;
    assert_eq!(head.status, 400);
    for (name, value) in [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(head.field(name), Some(value));
    }
    let problem: Value = serde_json::from_str(&connection.body(&head).await).expect("JSON");
    assert_eq!(problem["code"], "bad_request");
    let id = problem["context"]["requestId"].as_str();
    assert_eq!(head.field("x-request-id"), id);
}

#[tokio::test]
async fn panics_under_wasmtime_serve() {
    if let Some(process) = wasmtime("SPINLANE_WASI_FIXTURE", &[]).await {
        panics::all(&process.origin).await;
    }
}

/// The Spin build, under Spin: the very file that the embedded host runs.
#[tokio::test]
async fn spin_up() {
    let upstreams = start_upstreams().await;
    let anthropic = upstreams.anthropic();
    let variables = [
        ("anthropic_api_key", KEY),
        ("anthropic_base_url", &anthropic.origin()),
        ("caller_limit", "off"),
        suite::HEARTBEAT,
    ];
    if let Some((process, _state)) = hosts::spin("spin.toml", &variables).await {
        suite::all(&process.origin, anthropic).await;
    }
}

#[tokio::test]
async fn panics_under_spin() {
    if let Some((process, _state)) = hosts::spin("tests/fixture/spin.toml", &[]).await {
        panics::all(&process.origin).await;
    }
}

/// The interfaces that a component imports.
fn imports(component: &Path) -> BTreeSet<String> {
    let bytes = std::fs::read(component).expect("the component");
    let mut imports = BTreeSet::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.expect("a valid component") {
            // Modules and components inside it.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                let names = section
                    .into_iter()
                    .map(|import| import.expect("an import").name);
                imports.extend(names.map(|name| name.name.to_owned()));
            }
            _ => {}
        }
    }
    imports
}

/// What every host of WASI 0.2 gives to `wasi:http/proxy` and to Rust's
/// standard library.
fn is_wasi(import: &str) -> bool {
    let packages = [
        "wasi:cli/",
        "wasi:clocks/",
        "wasi:http/",
        "wasi:io/",
        "wasi:random/",
    ];
    packages.iter().any(|package| import.starts_with(package)) && import.contains("@0.2.")
}

fn beyond_wasi(component: &str) -> Vec<String> {
    let imports = imports(&built(component));
    assert!(
        imports
            .iter()
            .any(|import| import.starts_with("wasi:http/types@")),
        "{imports:?}"
    );
    imports
        .into_iter()
        .filter(|import| !is_wasi(import))
        .collect()
}

#[test]
fn each_build_imports_what_its_hosts_have_and_nothing_else() {
    let spin = [
        "fermyon:spin/key-value@2.0.0",
        "fermyon:spin/variables@2.0.0",
        "wasi:keyvalue/atomics@0.2.0-draft2",
        "wasi:keyvalue/store@0.2.0-draft2",
    ];
    assert_eq!(beyond_wasi("SPINLANE_COMPONENT"), spin);
    assert_eq!(beyond_wasi("SPINLANE_FIXTURE"), spin);
    // Without the atomics that managed clouds lack, and all else the same.
    let plain = [
        "fermyon:spin/key-value@2.0.0",
        "fermyon:spin/variables@2.0.0",
    ];
    assert_eq!(beyond_wasi("SPINLANE_PLAIN_COMPONENT"), plain);
    assert_eq!(
        beyond_wasi("SPINLANE_WASI_COMPONENT"),
        ["wasi:keyvalue/store@0.2.0-draft"]
    );
}
