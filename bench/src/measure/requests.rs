//! Short requests on connections that are kept alive, one after the other.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Run;
use crate::client::{Connection, HEALTH};
use crate::load::Load;
use crate::table::{Column, Figures};

pub(super) const COLUMNS: &[Column] = &[
    Column::compared("requests/s", 0),
    Column::new("p50, ms", 2),
    Column::new("p99, ms", 2),
    Column::compared("CPU a request, µs", 0),
];

const WARM_UP: Duration = Duration::from_millis(500);
const LENGTH: Duration = Duration::from_secs(2);

pub(super) async fn run(run: &Run<'_>, path: &'static str, connections: usize) -> Result<Figures> {
    let mut load = Load::default();
    for _ in 0..connections {
        let (tally, address) = (load.tally(), run.server.address);
        load.add(async move {
            let mut connection = Connection::open(address).await?;
            loop {
                let begin = Instant::now();
                let answer = connection.get(path).await?;
                tally.time(begin.elapsed());
                let sound = match path {
                    "/health" => answer == HEALTH,
                    _ => answer.starts_with(b"{") && answer.ends_with(b"}"),
                };
                ensure!(sound, "{path} answers {answer:?}");
            }
        });
    }
    let sample = load.sample(run.server, run.time(WARM_UP), run.time(LENGTH));
    let mut sample = sample.await?;
    Ok(vec![
        Some(sample.rate()),
        sample.percentile(50),
        sample.percentile(99),
        Some(sample.cpu_micros()),
    ])
}
