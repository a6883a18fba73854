//! It keeps working, loses nothing, and leaves nothing behind: the real component under
//! load, with upstreams and stores that fail and clients that go.
//!
//! Short in the test command; `cargo xtask proof` runs the long forms. What is random
//! follows from `SPINLANE_PROOF_SEED`, which a failure names.

#[path = "proof/crash.rs"]
mod crash;
#[path = "proof/faults.rs"]
mod faults;
#[path = "proof/outage.rs"]
mod outage;
#[path = "proof/soak.rs"]
mod soak;
#[path = "proof/survivor.rs"]
mod survivor;

use spinlane_component_tests::load::Load;
use spinlane_component_tests::load::judge::{Broken, Judged};

/// A number that the environment gives, or `default`.
fn given(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The seed of what is random.
fn seed() -> u64 {
    given("SPINLANE_PROOF_SEED", 1)
}

/// Panics with all that was not as it must be.
fn passed(load: &Load<'_>, judged: Result<(), Vec<Broken>>) {
    if let Err(broken) = judged {
        let broken: Vec<_> = broken.iter().map(ToString::to_string).collect();
        panic!(
            "{}\n{}\n{} broken",
            load.tally,
            broken.join("\n\n"),
            broken.len()
        );
    }
}

/// The same of what is left behind.
fn rested(load: &Load<'_>, judged: Judged) {
    passed(
        load,
        judged.map_err(|Broken(what)| vec![Broken(format!("seed {}: {what}", seed()))]),
    );
}
