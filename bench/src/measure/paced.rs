//! How late frames are, and what they cost, where the upstream makes them one by
//! one: each leaves alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use spinlane_upstreams::{Anthropic, Call};

use super::{Run, WORD};
use crate::client::Connection;
use crate::frames::Frames;
use crate::load::{Load, Tally, percentile};
use crate::said::Said;
use crate::server::Server;
use crate::table::{Column, Figures};

pub(super) const COLUMNS: &[Column] = &[
    Column::new("p50 late, ms", 2),
    Column::new("p99 late, ms", 2),
    Column::compared("CPU a frame, µs", 1),
];

/// Between two frames of a stream.
const PAUSE: Duration = Duration::from_millis(20);

/// Between the beginnings of two streams. Their frames must not come in step:
/// those of 20 in a row are spread over the pause.
const APART: Duration = Duration::from_millis(3);

const WARM_UP: Duration = Duration::from_millis(700);
const LENGTH: Duration = Duration::from_secs(4);

/// When the frames of each stream arrived.
type Arrivals = Arc<Mutex<HashMap<usize, Vec<Instant>>>>;

pub(super) async fn run(run: &Run<'_>, streams: usize) -> Result<Figures> {
    let warm_up = WARM_UP + APART * u32::try_from(streams)?;
    let length = run.time(LENGTH);
    // More than arrive while they are looked at.
    let frames = 2 * (warm_up + length).div_duration_f64(PAUSE) as usize;
    let said = Arc::new(Said::new(frames, WORD));
    run.model.script(said.paced(PAUSE));
    let arrivals = Arrivals::default();
    let mut load = Load::default();
    for number in 0..streams {
        let (said, tally) = (Arc::clone(&said), load.tally());
        let (arrivals, begin) = (Arc::clone(&arrivals), APART * u32::try_from(number)?);
        let stream = stream(run.server, number, said, tally, arrivals);
        load.add(async move {
            tokio::time::sleep(begin).await;
            stream.await
        });
    }
    let sample = load.sample(run.server, warm_up, length).await?;
    let until = Instant::now();
    // Those that are under way are neither late nor early yet.
    drop(load);
    let looked = until.checked_sub(length).context("no such time")?;
    let mut late = lateness(run.model, &arrivals, looked)?;
    Ok(vec![
        percentile(&mut late, 50),
        percentile(&mut late, 99),
        Some(sample.cpu_micros()),
    ])
}

/// Reads stream `number`, and notes when each frame came.
fn stream(
    server: &Server,
    number: usize,
    said: Arc<Said>,
    tally: Arc<Tally>,
    arrivals: Arrivals,
) -> impl Future<Output = Result<()>> + Send + 'static {
    let (address, chat) = (server.address, server.chat.clone());
    async move {
        let mut connection = Connection::open(address).await?;
        let mut stream = connection.chat(&chat, &message(number)).await?;
        let mut frames = Frames::of(&said);
        while let Some(bytes) = stream.next().await? {
            let count = frames.push(&bytes)?;
            let now = Instant::now();
            tally.add(count);
            let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let times = arrivals.entry(number).or_default();
            times.extend(std::iter::repeat_n(now, count));
        }
        frames.end()
    }
}

/// How much later than they were handed to the upstream's socket the frames
/// arrived that came after `from`.
fn lateness(model: &Anthropic, arrivals: &Arrivals, from: Instant) -> Result<Vec<Duration>> {
    let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    let mut late = Vec::new();
    for call in model.calls() {
        let number = number(&call).context("a call of nobody's")?;
        let arrived = arrivals.get(&number).context("a stream without frames")?;
        // The first write holds no frame.
        let frames = call.sent.iter().skip(1).zip(arrived);
        let frames = frames.filter(|(_, arrived)| **arrived >= from);
        late.extend(frames.map(|(sent, arrived)| arrived.saturating_duration_since(*sent)));
    }
    Ok(late)
}

/// What stream `number` asks: the upstream's call is known by it.
fn message(number: usize) -> String {
    format!("benchmark stream {number}.")
}

fn number(call: &Call) -> Option<usize> {
    let request = call.request.to_string();
    let (_, rest) = request.split_once("benchmark stream ")?;
    rest.split_once('.')?.0.parse().ok()
}
