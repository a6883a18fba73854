//! How soon the first content is there, on a connection that is kept alive.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Run, WORD};
use crate::client::Connection;
use crate::frames::Frames;
use crate::load::percentile;
use crate::said::Said;
use crate::table::{Column, Figures};

pub(super) const COLUMNS: &[Column] = &[Column::new("p50, ms", 1), Column::new("p90, ms", 1)];

/// What the model takes to begin.
const UPSTREAM: Duration = Duration::from_millis(100);

const CHATS: usize = 30;

/// Chats that are not counted.
const WARM_UP: usize = 3;

pub(super) async fn run(run: &Run<'_>) -> Result<Figures> {
    let said = Said::new(3, WORD);
    run.model.script(said.at_once().head_delay(UPSTREAM));
    let mut connection = Connection::open(run.server.address).await?;
    let mut times = Vec::new();
    for chat in 0..WARM_UP + run.count(CHATS) {
        let begin = Instant::now();
        let mut stream = connection.chat(&run.server.chat, "hello").await?;
        let (mut frames, mut first) = (Frames::of(&said), None);
        while let Some(bytes) = stream.next().await? {
            if frames.push(&bytes)? > 0 {
                first.get_or_insert_with(|| begin.elapsed());
            }
        }
        frames.end()?;
        let first = first.context("no content")?;
        times.extend((chat >= WARM_UP).then_some(first));
    }
    Ok(vec![percentile(&mut times, 50), percentile(&mut times, 90)])
}
