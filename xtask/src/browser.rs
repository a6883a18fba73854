//! The walks in Chromium: what a person sees.

use anyhow::Result;

use crate::build;
use crate::steps::{program, root, step};
use crate::test::built;
use crate::tools;

/// Runs them against the DJ as `cargo xtask up` runs it. The component and the host
/// must have been built.
pub(crate) fn run(not_run: &mut Vec<String>) -> Result<()> {
    let folder = root().join("tests/browser");
    let tools = tools::node()
        .and_then(|(node, npm)| Ok((node, npm, tools::system("chromium", &["chromium"])?)));
    let (node, npm, chromium) = match tools {
        Ok(tools) => tools,
        Err(error) => {
            not_run.push(format!("in a browser: no Node.js or Chromium ({error:#})"));
            return Ok(());
        }
    };
    tools::npm_ci(&npm, "the browser's driver", &folder)?;
    let target = build::target_dir();
    step(
        "walks in a browser",
        program(node)
            .current_dir(&folder)
            // One at a time: each has a host and a browser of its own.
            .args(["--test", "--test-concurrency=1"])
            .env("SPINLANE_ROOT", root())
            .env("SPINLANE_UP", built("spinlane-up"))
            .env("SPINLANE_COMPONENT", build::spin_component())
            .env("SPINLANE_STATE", target.join("browser"))
            .env("SPINLANE_CHROMIUM", chromium)
            // What each walk has seen, to be looked at.
            .env("SPINLANE_SCREENSHOTS", target.join("screenshots")),
    )
}
