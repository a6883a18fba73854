//! How many frames are relayed where the upstream is as fast as it can be.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::Run;
use crate::client::Connection;
use crate::frames::Frames;
use crate::load::Load;
use crate::said::Said;
use crate::table::{Column, Figures};

pub(super) const COLUMNS: &[Column] = &[
    Column::compared("frames/s", 0),
    Column::compared("CPU a frame, µs", 2),
];

const WARM_UP: Duration = Duration::from_secs(1);
const LENGTH: Duration = Duration::from_secs(3);

/// Frames of an answer: so many that its beginning weighs little.
const FRAMES: usize = 10_000;

/// Bytes of an answer's text at most: a run has an end.
const TEXT: usize = 2 << 20;

pub(super) async fn run(run: &Run<'_>, streams: usize, size: usize) -> Result<Figures> {
    let said = Arc::new(Said::new(FRAMES.min(TEXT / size), size));
    run.model.script(said.at_once());
    let mut load = Load::default();
    for _ in 0..streams {
        let (said, tally) = (Arc::clone(&said), load.tally());
        let (address, chat) = (run.server.address, run.server.chat.clone());
        load.add(async move {
            let mut connection = Connection::open(address).await?;
            loop {
                let mut stream = connection.chat(&chat, "hello").await?;
                let mut frames = Frames::of(&said);
                while let Some(bytes) = stream.next().await? {
                    tally.add(frames.push(&bytes)?);
                }
                frames.end()?;
            }
        });
    }
    let sample = load.sample(run.server, run.time(WARM_UP), run.time(LENGTH));
    let sample = sample.await?;
    Ok(vec![Some(sample.rate()), Some(sample.cpu_micros())])
}
