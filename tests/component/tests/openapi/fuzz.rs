//! schemathesis reads the document, makes requests of it, right and wrong ones,
//! and compares what comes back. Every check that it has is on.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::{Dj, OPERATOR, repository, settled};
use spinlane_upstreams::anthropic::Script;
use tempfile::TempDir;
use tokio::process::Command;

use super::{python, succeeds, tools};

/// schemathesis against `dj`, in a folder of its own.
fn schemathesis(tools: &Path, dj: &Dj, folder: &TempDir) -> Command {
    let mut command = python(tools, tools.join("bin/schemathesis"));
    command
        .current_dir(folder.path())
        .env(
            "SCHEMATHESIS_HOOKS",
            repository("tests/component/schemathesis_hooks.py"),
        )
        .arg("--config-file")
        .arg(repository("tests/component/schemathesis.toml"))
        .args(["run", &dj.host.url("/api/openapi.json")])
        .args(["--checks", "all", "--continue-on-failure", "--no-color"])
        .args(["--max-examples", "15", "--seed", "1"])
        .args(["--request-timeout", "30"]);
    command
}

#[tokio::test]
async fn schemathesis_finds_nothing_as_anybody() {
    let Some(tools) = tools() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let dj = Dj::start(&[("admin_token", OPERATOR)]).await;
    succeeds(schemathesis(&tools, &dj, &folder)).await;
    settled(&dj.host).await;
}

/// Routes with their statuses, as the log has them.
fn answered(dj: &Dj) -> BTreeSet<(String, u64)> {
    let lines = dj.host.logs().into_iter();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let answered = lines.filter_map(|line| {
        let route = line["http.route"].as_str()?.to_owned();
        Some((route, line["http.response.status_code"].as_u64()?))
    });
    answered.collect()
}

/// What only who is known gets to see, and what only they come to who ask too
/// often.
#[tokio::test]
async fn schemathesis_finds_nothing_as_operator_and_user() {
    let Some(tools) = tools() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let dj = Dj::start_public(&[("admin_token", OPERATOR), ("caller_limit", "30/1h")]).await;
    dj.upstreams.anthropic().script(Script::text(["Well."]));
    let session = Browser::new(&dj).log_in().await;
    let mut command = schemathesis(&tools, &dj, &folder);
    for header in [
        format!("x-admin-token: {OPERATOR}"),
        format!("authorization: Bearer {session}"),
        // Events are what the other run has seen.
        "accept: application/json".into(),
    ] {
        command.args(["--header", &header]);
    }
    for operation in ["sweep", "getSession", "enrichTracks", "sendMessage"] {
        command.args(["--include-operation-id", operation]);
    }
    succeeds(command).await;
    settled(&dj.host).await;
    let seen = answered(&dj);
    for (route, status) in [
        ("/api/admin/sweep", 200),
        ("/api/auth/session", 200),
        ("/api/enrich", 200),
        ("/api/enrich", 422),
        ("/api/enrich", 429),
        ("/api/chat-stream/message", 200),
    ] {
        assert!(
            seen.contains(&(route.into(), status)),
            "{route} {status}: {seen:?}"
        );
    }
}
