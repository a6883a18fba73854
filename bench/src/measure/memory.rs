//! What a stream holds that has nothing to say. Pages that all instances share
//! must not count for each: so it is the proportional set size.

use std::time::Duration;

use anyhow::Result;

use super::{Run, WORD, open};
use crate::said::Said;
use crate::table::{Column, Figures};

pub(super) const COLUMNS: &[Column] = &[
    Column::new("PSS a stream, KiB", 0),
    Column::new("PSS without streams, MiB", 0),
];

const STREAMS: usize = 500;

/// What a host gives back by itself, it gives back in this time.
const SETTLING: Duration = Duration::from_secs(2);

pub(super) async fn run(run: &Run<'_>) -> Result<Figures> {
    let said = Said::new(1, WORD);
    run.model.script(said.without_end());
    tokio::time::sleep(run.time(SETTLING)).await;
    let before = run.server.memory_kib()?;
    let streams = open::streams(run, run.count(STREAMS), &said).await?;
    tokio::time::sleep(run.time(SETTLING)).await;
    let held = run.server.memory_kib()?.saturating_sub(before);
    let each = held as f64 / streams.len() as f64;
    Ok(vec![Some(each), Some(before as f64 / 1024.0)])
}
