//! The OpenAPI document, in the eyes of others: a validator takes it, and
//! schemathesis finds no answer that it does not describe.
//!
//! Both are Python programs, which `cargo xtask test` installs.

use std::path::Path;
use std::process::Stdio;

use spinlane_component_tests::{Dj, hosts, repository, settled};
use tokio::process::Command;

/// A program of the folder that xtask has installed into.
fn python(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(folder.join("bin").join(program))
        .env("PYTHONPATH", folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn succeeds(mut command: Command) {
    let output = command.output().await.expect("python3");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{errors}");
}

#[tokio::test]
async fn a_validator_takes_it_as_openapi_3_1() {
    let Some(tools) = hosts::program("SPINLANE_OPENAPI_TOOLS") else {
        return;
    };
    let dj = Dj::start(&[]).await;
    let document = reqwest::get(dj.host.url("/api/openapi.json")).await;
    let document = document.expect("an answer").bytes().await.expect("a body");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, &document).expect("a file");
    let mut validator = python(&tools, "openapi-spec-validator");
    validator.args(["--schema", "3.1"]).arg(file);
    succeeds(validator).await;
}

/// Every check that it has. It reads the document, makes requests of it, right
/// and wrong ones, and compares what comes back.
#[tokio::test]
async fn schemathesis_finds_nothing() {
    let Some(tools) = hosts::program("SPINLANE_OPENAPI_TOOLS") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let dj = Dj::start(&[("admin_token", "operator")]).await;
    let mut schemathesis = python(&tools, "schemathesis");
    schemathesis
        .current_dir(folder.path())
        .arg("--config-file")
        .arg(repository("tests/component/schemathesis.toml"))
        .args(["run", &dj.host.url("/api/openapi.json")])
        .args(["--checks", "all", "--continue-on-failure", "--no-color"])
        .args(["--max-examples", "15", "--seed", "1"])
        .args(["--request-timeout", "30"]);
    succeeds(schemathesis).await;
    settled(&dj.host).await;
}
