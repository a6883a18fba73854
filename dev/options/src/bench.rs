//! What `cargo xtask bench` is told, and passes on.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// What is measured, and where.
#[derive(Args, Clone, Debug, Default)]
pub struct BenchOptions {
    /// Take the embedded host as slow as Spin is, and not as it is by itself.
    #[arg(long)]
    pub as_spin: bool,
    /// Measure this only (repeatable).
    #[arg(long, value_name = "NAME")]
    pub only: Vec<Measure>,
    /// Measure on this host only (repeatable).
    #[arg(long, value_name = "HOST")]
    pub on: Vec<Place>,
    /// One round of everything, and a short one: whether it works, not how fast.
    #[arg(long)]
    pub quick: bool,
    /// Put the tables into BENCHMARKS.md, in the place of those that are there.
    #[arg(long, conflicts_with_all = ["as_spin", "only", "on", "quick"])]
    pub write: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// What a limit costs, beside governor's and tower's.
    Limits,
    /// The first content of an answer.
    First,
    /// Frames that are relayed as fast as they go.
    Relay,
    /// Frames that are relayed as the upstream makes them.
    Paced,
    /// What an idle stream holds.
    Memory,
    /// How soon a call ends whose client has gone.
    Gone,
    /// Short requests.
    Requests,
    /// A short chat.
    Chat,
    /// From the start of a process to its first answer.
    Cold,
    /// How large the components are.
    Size,
    /// What limits over all instances add to a call.
    Shared,
}

/// Where it can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// The embedded host.
    Embedded,
    /// The same, as slow as Spin is.
    AsSpin,
    /// Spin.
    Spin,
    /// `wasmtime serve`.
    Wasmtime,
    /// Native axum.
    Axum,
    /// Hono on workerd.
    Workerd,
}

impl BenchOptions {
    /// Whether to measure this.
    pub fn measures(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }

    /// Whether to measure there.
    pub fn runs_on(&self, place: Place) -> bool {
        match (self.on.as_slice(), place) {
            ([], Place::Embedded) => !self.as_spin,
            ([], _) => true,
            (on, _) => on.contains(&place),
        }
    }

    /// Whether anything is measured that runs on a host.
    pub fn needs_hosts(&self) -> bool {
        use Measure::{Limits, Shared, Size};
        let all = Measure::value_variants().iter();
        let mut on_hosts = all.filter(|measure| !matches!(measure, Limits | Size | Shared));
        on_hosts.any(|measure| self.measures(*measure))
    }

    /// The same as a command line.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        for (name, is_set) in [
            ("--as-spin", self.as_spin),
            ("--quick", self.quick),
            ("--write", self.write),
        ] {
            arguments.extend(is_set.then(|| name.into()));
        }
        for measure in &self.only {
            arguments.extend(["--only".into(), name(measure)]);
        }
        for place in &self.on {
            arguments.extend(["--on".into(), name(place)]);
        }
        arguments
    }
}

fn name(value: &impl ValueEnum) -> OsString {
    let value = value.to_possible_value();
    value.map_or_else(OsString::new, |value| value.get_name().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        bench: BenchOptions,
    }

    fn parse(arguments: &[&str]) -> Result<BenchOptions, clap::Error> {
        let arguments = ["program"].iter().chain(arguments);
        Ok(Program::try_parse_from(arguments)?.bench)
    }

    #[test]
    fn options_are_read_and_passed_on() {
        Program::command().debug_assert();
        let given = ["--as-spin", "--quick", "--only", "relay", "--on", "as-spin"];
        let options = parse(&given).unwrap();
        assert_eq!(options.arguments(), given.map(OsString::from));
        assert!(options.measures(Measure::Relay) && !options.measures(Measure::Cold));
        assert!(options.runs_on(Place::AsSpin) && !options.runs_on(Place::Spin));
        assert_eq!(parse(&[]).unwrap().arguments(), [""; 0]);
    }

    #[test]
    fn everything_is_measured_everywhere_unless_it_is_chosen() {
        let all = parse(&[]).unwrap();
        assert!(all.measures(Measure::Shared) && all.runs_on(Place::Embedded));
        let as_spin = parse(&["--as-spin"]).unwrap();
        assert!(!as_spin.runs_on(Place::Embedded) && as_spin.runs_on(Place::Axum));
        let size = parse(&["--only", "size", "--only", "shared"]).unwrap();
        assert!(all.needs_hosts() && !size.needs_hosts());
    }

    #[test]
    fn tables_of_a_part_are_not_kept() {
        for part in [&["--quick"][..], &["--only", "relay"], &["--on", "spin"]] {
            let error = parse(&[&["--write"], part].concat()).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
        }
    }
}
