//! `cargo xtask …`: everything that is done with this repository.
//!
//! Each command installs what it needs where it may, says what it does while it
//! does it, and names at the end what it could not do.

mod bench;
mod browser;
mod build;
mod lint;
mod proof;
mod steps;
mod supply;
mod test;
mod tools;
mod up;

use std::process::ExitCode;

use clap::Parser;
use spinlane_options::{BenchOptions, UpOptions};

/// Everything that is done with this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Run the DJ: component, simulated upstreams, host.
    Up(UpOptions),
    /// Build every component: Spin, Spin without counters, plain WASI, fixture.
    Build,
    /// Pass every test.
    Test {
        /// Only Rust tests whose name contains this.
        #[arg(long, value_name = "NAME")]
        filter: Option<String>,
    },
    /// Keep it under load for a while, with upstreams that fail and clients that go: at the end
    /// nothing is left.
    Soak(proof::SoakOptions),
    /// The long forms of what the tests run in short: faults, soak, crashes, fuzzing,
    /// threads. Takes about an hour.
    Proof(proof::ProofOptions),
    /// Measure what limits, and an application on each of its hosts, cost.
    Bench(BenchOptions),
    /// Formatting and lints, native and wasm, where warnings are errors; sources,
    /// licences and notices of what this is built of.
    Lint,
    /// Write THIRD-PARTY-NOTICES.txt anew, after a change of Cargo.lock.
    Notices,
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Up(options) => up::run(&options),
        Command::Build => build::all(),
        Command::Test { filter } => test::run(filter.as_deref()),
        Command::Soak(options) => proof::soak(&options),
        Command::Proof(options) => proof::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Lint => lint::run(),
        Command::Notices => supply::write_notices(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    #[test]
    fn every_command_has_its_help() {
        Command::command().debug_assert();
        for command in ["up", "build", "test", "soak", "proof", "bench", "lint"] {
            let help = Command::try_parse_from(["xtask", command, "--help"]).unwrap_err();
            assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
            let usage = format!("cargo xtask {command}");
            assert!(help.to_string().contains(&usage), "{help}");
        }
    }
}
