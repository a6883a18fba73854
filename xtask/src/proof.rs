//! `cargo xtask proof` and `cargo xtask soak`: the long forms of what the test command runs
//! in short.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use clap::Args;

use crate::steps::step;
use crate::test;

/// How long, and from which seed.
#[derive(Args, Debug)]
pub(crate) struct SoakOptions {
    /// For so long, 60 at the most.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    minutes: u64,
    /// What is random follows from it; another one each time if left out.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// From which seed.
#[derive(Args, Debug)]
pub(crate) struct ProofOptions {
    /// What is random follows from it; another one each time if left out.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// A test program, or a part of one, and what makes it longer than in the test command.
struct Long {
    what: &'static str,
    /// Which programs, as `cargo test` takes it, and how the tests' names begin.
    programs: &'static [&'static str],
    tests: &'static str,
    longer: (&'static str, u64),
}

const SOAK: Long = Long {
    what: "soak",
    programs: &["--test", "proof"],
    tests: "soak::",
    longer: ("SPINLANE_SOAK_MINUTES", 5),
};

const ALL: [Long; 6] = [
    Long {
        what: "faults, on the real component",
        programs: &["--test", "proof"],
        tests: "faults::",
        longer: ("SPINLANE_PROOF_REQUESTS", 10_000),
    },
    SOAK,
    Long {
        what: "crashes",
        programs: &["--test", "proof"],
        tests: "crash::",
        longer: ("SPINLANE_CRASHES", 50),
    },
    Long {
        what: "faults, in virtual time",
        programs: &["--lib"],
        tests: "chat::tests::faults::",
        longer: ("PROPTEST_CASES", 20_000),
    },
    Long {
        what: "several threads",
        programs: &["--test", "threads"],
        tests: "",
        longer: ("PROPTEST_CASES", 20_000),
    },
    Long {
        what: "bytes of others",
        programs: &["--lib"],
        tests: "seeded::",
        longer: ("SPINLANE_FUZZ_SECONDS", 120),
    },
];

impl Long {
    fn run(&self, seed: u64, not_run: &mut Vec<String>) -> Result<()> {
        let mut tests = test::tests(not_run);
        let (variable, value) = self.longer;
        tests
            .args(self.programs)
            .args(["--", self.tests, "--nocapture"])
            .env(variable, value.to_string());
        seeded(&mut tests, seed);
        step(self.what, &mut tests)
    }
}

/// Tells all that is random where to begin.
fn seeded(tests: &mut Command, seed: u64) {
    for variable in ["SPINLANE_PROOF_SEED", "SPINLANE_FUZZ_SEED"] {
        tests.env(variable, seed.to_string());
    }
}

/// The seed that is asked for, or one of this second.
fn seed(asked: Option<u64>) -> u64 {
    let seed = asked.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| now.as_secs())
    });
    eprintln!("==> seed {seed}");
    seed
}

pub(crate) fn soak(options: &SoakOptions) -> Result<()> {
    let seed = seed(options.seed);
    test::prepare()?;
    let (variable, _) = SOAK.longer;
    let soak = Long {
        longer: (variable, options.minutes),
        ..SOAK
    };
    soak.run(seed, &mut Vec::new())
}

/// All of them, whatever comes of one.
pub(crate) fn run(options: &ProofOptions) -> Result<()> {
    let seed = seed(options.seed);
    test::prepare()?;
    let mut not_run = Vec::new();
    let mut failed = Vec::new();
    for long in &ALL {
        not_run.clear();
        if let Err(error) = long.run(seed, &mut not_run) {
            eprintln!("==> {error:#}");
            failed.push(long.what);
        }
    }
    test::report(&not_run);
    match failed.as_slice() {
        [] => Ok(()),
        failed => bail!("not proven, with seed {seed}: {}", failed.join("; ")),
    }
}
