//! Every measure on every host, round by round: what disturbs the machine for a
//! while then disturbs one round of several hosts, and not all of one.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use spinlane_options::BenchOptions;
use spinlane_upstreams::Upstreams;
use tempfile::TempDir;

use crate::host::{self, Host, Stage};
use crate::measure::{self, Case};
use crate::programs::Programs;
use crate::table::{Figures, Row, Table};

/// Rounds, of which the median counts.
const ROUNDS: usize = 3;

/// One round of one measure on one host ends in this time.
const PATIENCE: Duration = Duration::from_secs(180);

/// What all of them have in common.
struct Bench<'a> {
    stage: Stage,
    upstreams: Upstreams,
    hosts: Vec<Host>,
    /// Compiled code.
    cache: TempDir,
    options: &'a BenchOptions,
    failures: Vec<String>,
}

/// Measures, prints each table, and appends it to `report`. Returns what failed.
pub(crate) async fn all(
    options: &BenchOptions,
    programs: &Programs,
    report: &mut String,
) -> Result<Vec<String>> {
    let upstreams = Upstreams::start(spinlane_upstreams::Options::default()).await?;
    let origin = upstreams.anthropic().origin();
    let upstream = origin.strip_prefix("http://").context("an origin")?;
    let mut bench = Bench {
        stage: Stage {
            programs: programs.clone(),
            upstream: upstream.parse()?,
        },
        upstreams,
        hosts: host::chosen(options),
        cache: TempDir::new()?,
        options,
        failures: Vec::new(),
    };
    bench.say_what_is_not_run();
    for case in measure::chosen(options) {
        let table = bench.table(case).await;
        println!("{table}");
        write!(report, "\n{table}")?;
    }
    // Again, since what was said before the tables is far up by now.
    bench.say_what_is_not_run();
    Ok(bench.failures)
}

impl Bench<'_> {
    fn say_what_is_not_run(&self) {
        for host in &self.hosts {
            if let Some(reason) = host.missing(&self.stage.programs) {
                eprintln!("==> NOT RUN here: {}: {reason}", host.name());
            }
        }
    }

    async fn table(&mut self, case: Case) -> Table {
        let rows = self
            .hosts
            .iter()
            .map(|host| (*host, self.before(case, *host)));
        let mut rows: Vec<(Host, Row)> = rows.collect();
        let rounds = if self.options.quick { 1 } else { ROUNDS };
        for round in 1..=rounds {
            for (host, row) in &mut rows {
                if let Row::Rounds(results) = row {
                    eprintln!("{}: {}: round {round}", case.title(), host.name());
                    match self.once(case, *host).await {
                        Ok(figures) => results.push(figures),
                        Err(error) => *row = Row::Words(self.failed(case, *host, &error)),
                    }
                }
            }
        }
        Table {
            title: case.title(),
            columns: case.columns(),
            rival: case.rival(),
            rows,
        }
    }

    /// What there is to say before anything was measured.
    fn before(&self, case: Case, host: Host) -> Row {
        if let Some(reason) = host.missing(&self.stage.programs) {
            return Row::Words(format!("NOT RUN: {reason}"));
        }
        match case.not_for(host) {
            Some(reason) => Row::Words(format!("n/a: {reason}")),
            None => Row::Rounds(Vec::new()),
        }
    }

    async fn once(&self, case: Case, host: Host) -> Result<Figures> {
        let model = self.upstreams.anthropic();
        let (cache, quick) = (self.cache.path(), self.options.quick);
        let measure = case.measure_on(host, &self.stage, model, cache, quick);
        tokio::time::timeout(PATIENCE, measure).await?
    }

    /// Notes it, and gives what stands in the table.
    fn failed(&mut self, case: Case, host: Host, error: &anyhow::Error) -> String {
        let failure = format!("- {}: {}: {error:#}", case.title(), host.name());
        eprintln!("FAILED: {failure}");
        self.failures.push(failure);
        "FAILED".into()
    }
}
