//! The components on hosts that are programs of their own, and what they
//! import.

use std::collections::BTreeSet;
use std::path::Path;

use spinlane_component_tests::{KEY, built, hosts, repository, start_upstreams, suite};
use tokio::process::Command;
use wasmparser::{Parser, Payload};

/// The plain-WASI build, under `wasmtime serve`.
#[tokio::test]
async fn wasmtime_serve() {
    let Some(wasmtime) = hosts::program("SPINLANE_WASMTIME") else {
        return;
    };
    let upstreams = start_upstreams().await;
    let anthropic = upstreams.anthropic();
    let port = hosts::free_port();
    let mut command = Command::new(wasmtime);
    command
        .args(["serve", "-S", "cli", "-S", "keyvalue"])
        .arg("--addr")
        .arg(format!("127.0.0.1:{port}"))
        .args(["--env", &format!("SPINLANE_ANTHROPIC_API_KEY={KEY}")])
        .args([
            "--env",
            &format!("SPINLANE_ANTHROPIC_BASE_URL={}", anthropic.origin()),
        ])
        .arg(built("SPINLANE_WASI_COMPONENT"));
    let process = hosts::start(&mut command, port).await;
    suite::all(&process.origin, anthropic).await;
}

/// The Spin build, under Spin: the very file that the embedded host runs.
#[tokio::test]
async fn spin_up() {
    let Some(spin) = hosts::program("SPINLANE_SPIN") else {
        return;
    };
    let upstreams = start_upstreams().await;
    let anthropic = upstreams.anthropic();
    let port = hosts::free_port();
    let state = tempfile::tempdir().expect("a folder for its store");
    let mut command = Command::new(spin);
    command
        .current_dir(repository(""))
        .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--from"])
        .arg(repository("spin.toml"))
        .arg("--state-dir")
        .arg(state.path())
        .env("SPIN_VARIABLE_ANTHROPIC_API_KEY", KEY)
        .env("SPIN_VARIABLE_CALLER_LIMIT", "off")
        .env("SPIN_VARIABLE_ANTHROPIC_BASE_URL", anthropic.origin());
    let process = hosts::start(&mut command, port).await;
    suite::all(&process.origin, anthropic).await;
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
