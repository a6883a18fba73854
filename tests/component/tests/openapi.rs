//! The OpenAPI document, in the eyes of others: a validator takes it,
//! schemathesis finds no answer that it does not describe, and what streams and
//! documents really hold is what its schemas say.
//!
//! All of them are Python programs, which `cargo xtask test` installs.

mod fuzz;
mod schemas;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use spinlane_component_tests::{Dj, hosts};
use tokio::process::Command;

/// The folder that xtask has installed into.
fn tools() -> Option<PathBuf> {
    hosts::program("SPINLANE_OPENAPI_TOOLS")
}

/// `python3`, with what is in that folder.
fn python(tools: &Path, script: PathBuf) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(script)
        .env("PYTHONPATH", tools)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What `command` has printed, after it has succeeded.
async fn succeeds(mut command: Command) -> String {
    let output = command.output().await.expect("python3");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    text
}

/// The document, as `dj` gives it.
async fn document(dj: &Dj) -> Value {
    let document = reqwest::get(dj.host.url("/api/openapi.json")).await;
    document.expect("an answer").json().await.expect("JSON")
}

#[tokio::test]
async fn a_validator_takes_it_as_openapi_3_1() {
    let Some(tools) = tools() else {
        return;
    };
    let dj = Dj::start(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document(&dj).await.to_string()).expect("a file");
    let mut validator = python(&tools, tools.join("bin/openapi-spec-validator"));
    validator.args(["--schema", "3.1"]).arg(file);
    succeeds(validator).await;
}
