//! What a short chat costs: most of it is its beginning and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Run, WORD};
use crate::client::Connection;
use crate::frames::Frames;
use crate::load::Load;
use crate::said::Said;
use crate::table::{Column, Figures};

pub(super) const COLUMNS: &[Column] = &[
    Column::new("CPU a chat, µs", 0),
    Column::new("p50, ms", 2),
    Column::new("p99, ms", 2),
    Column::new("chats/s", 0),
];

/// Frames of an answer, all at once.
const FRAMES: usize = 20;

const CLIENTS: usize = 4;

const WARM_UP: Duration = Duration::from_millis(500);
const LENGTH: Duration = Duration::from_secs(3);

pub(super) async fn run(run: &Run<'_>) -> Result<Figures> {
    let said = Arc::new(Said::new(FRAMES, WORD));
    run.model.script(said.at_once());
    let mut load = Load::default();
    for _ in 0..CLIENTS {
        let (said, tally) = (Arc::clone(&said), load.tally());
        let (address, chat) = (run.server.address, run.server.chat.clone());
        load.add(async move {
            let mut connection = Connection::open(address).await?;
            loop {
                let begin = Instant::now();
                let mut stream = connection.chat(&chat, "hello").await?;
                let mut frames = Frames::of(&said);
                while let Some(bytes) = stream.next().await? {
                    frames.push(&bytes)?;
                }
                frames.end()?;
                tally.time(begin.elapsed());
            }
        });
    }
    let sample = load.sample(run.server, run.time(WARM_UP), run.time(LENGTH));
    let mut sample = sample.await?;
    Ok(vec![
        Some(sample.cpu_micros()),
        sample.percentile(50),
        sample.percentile(99),
        Some(sample.rate()),
    ])
}
