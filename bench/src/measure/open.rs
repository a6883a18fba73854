//! Streams that are open, and have had their first content.

use anyhow::{Result, bail};
use futures::StreamExt;
use futures::stream;

use super::Run;
use crate::client::{Connection, Stream};
use crate::frames::Frames;
use crate::said::Said;

/// How many begin at a time.
const AT_ONCE: usize = 20;

/// A stream under way, with its connection.
pub(super) struct Open {
    _connection: Connection,
    _stream: Stream,
}

/// Opens `count` streams, and waits for what each says first.
pub(super) async fn streams(run: &Run<'_>, count: usize, said: &Said) -> Result<Vec<Open>> {
    let opening = (0..count).map(|_| open(run, said));
    let mut opening = stream::iter(opening).buffer_unordered(AT_ONCE);
    let mut all = Vec::new();
    while let Some(open) = opening.next().await {
        all.push(open?);
    }
    Ok(all)
}

async fn open(run: &Run<'_>, said: &Said) -> Result<Open> {
    let mut connection = Connection::open(run.server.address).await?;
    let mut stream = connection.chat(&run.server.chat, "hello").await?;
    let mut frames = Frames::of(said);
    while frames.content() == 0 {
        match stream.next().await? {
            Some(bytes) => frames.push(&bytes)?,
            None => bail!("a stream ended before it was full"),
        };
    }
    Ok(Open {
        _connection: connection,
        _stream: stream,
    })
}
