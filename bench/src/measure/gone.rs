//! How long the upstream goes on for clients that have gone.

use std::time::{Duration, Instant};

use anyhow::Result;
use spinlane_upstreams::anthropic::Script;

use super::{Run, WORD, open};
use crate::said::Said;
use crate::table::{Column, Figures};

pub(super) const COLUMNS: &[Column] = &[
    Column::new("idle, ms", 0),
    Column::new("a frame each 20 ms, ms", 0),
];

const STREAMS: usize = 20;

/// Longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(15);

const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(run: &Run<'_>) -> Result<Figures> {
    let idle = Said::new(1, WORD);
    let moving = Said::new(2 * PATIENCE.div_duration_f64(PAUSE) as usize, WORD);
    Ok(vec![
        Some(until_closed(run, &idle, idle.without_end()).await?),
        Some(until_closed(run, &moving, moving.paced(PAUSE)).await?),
    ])
}

/// The milliseconds from the clients' leaving to the end of the last upstream
/// call; infinite where that is not waited for.
async fn until_closed(run: &Run<'_>, said: &Said, script: Script) -> Result<f64> {
    // Calls that have not ended do not count any more.
    run.model.reset();
    run.model.script(script);
    let streams = open::streams(run, STREAMS, said).await?;
    drop(streams);
    let left = Instant::now();
    let closed = run.model.wait_for(PATIENCE, |counts| counts.open == 0);
    Ok(match closed.await {
        Ok(_) => left.elapsed().as_secs_f64() * 1e3,
        Err(_) => f64::INFINITY,
    })
}
