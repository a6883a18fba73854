//! What clients do: read to the end, read slowly, press stop, or go at some moment.

use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use reqwest::{RequestBuilder, Response};

use super::chance::Chance;
use super::judge::{Broken, Judged, ensure};

/// Longer than a call may wait for its turn, and a stream may be silent.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Reads to the end.
    Stays,
    /// Reads nothing for so long after each read.
    Slow(Duration),
    /// Presses stop after so long, and reads on.
    Stops(Duration),
    /// Goes so long after it has asked, or as soon as there is a head.
    BeforeTheHead(Duration),
    /// Goes after so many frames.
    AfterFrames(usize),
    /// Goes after so many bytes: mostly in the middle of a frame.
    InAFrame(usize),
}

impl Client {
    /// More than one in five go, so that of all requests one in five loses its client: not
    /// every kind does. Some are slow, or press stop.
    pub fn new(chance: &Chance) -> Self {
        match chance.below(100) {
            0..=7 => Self::BeforeTheHead(chance.millis(0, 40)),
            8..=15 => Self::AfterFrames(1 + chance.below(12)),
            16..=23 => Self::InAFrame(1 + chance.below(1_500)),
            24..=30 => Self::Slow(chance.millis(20, 200)),
            31..=34 => Self::Stops(chance.millis(0, 300)),
            _ => Self::Stays,
        }
    }

    /// Whether it goes before it has all.
    pub fn is_killed(self) -> bool {
        matches!(
            self,
            Self::BeforeTheHead(_) | Self::AfterFrames(_) | Self::InAFrame(_)
        )
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stays => "stays",
            Self::Slow(_) => "is slow",
            Self::Stops(_) => "presses stop",
            Self::BeforeTheHead(_) => "is killed before the head",
            Self::AfterFrames(_) => "is killed after a frame",
            Self::InAFrame(_) => "is killed within a frame",
        })
    }
}

/// The answer's head, or `None` where the client has gone before it.
///
/// # Errors
/// When there is none.
pub async fn head(request: RequestBuilder, client: Client) -> Judged<Option<Response>> {
    let wait = match client {
        Client::BeforeTheHead(after) => after,
        _ => PATIENCE,
    };
    match tokio::time::timeout(wait, request.send()).await {
        // It had been about to go.
        Ok(Ok(_)) if matches!(client, Client::BeforeTheHead(_)) => Ok(None),
        Ok(Ok(response)) => Ok(Some(response)),
        Ok(Err(error)) => Err(Broken(format!("no head: {error:?}"))),
        Err(_) if client.is_killed() => Ok(None),
        Err(_) => Err(Broken("no head in time".into())),
    }
}

/// What a client has of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Byte for byte.
    pub text: String,
    /// Whether the stream has ended.
    pub is_all: bool,
}

impl Heard {
    /// The frames that are whole, without heartbeats.
    pub fn frames(&self) -> String {
        let text = self.text.replace(": heartbeat\n\n", "");
        let end = text.rfind("\n\n").map_or(0, |at| at + 2);
        text[..end].to_owned()
    }
}

/// Reads a stream as the client does.
///
/// # Errors
/// When it breaks, or says nothing for long.
pub async fn hear(response: Response, client: Client) -> Judged<Heard> {
    let mut chunks = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = tokio::time::timeout(PATIENCE, chunks.next())
        .await
        .map_err(|_| Broken(format!("silence after {}", lossy(&bytes))))?
    {
        let chunk = chunk.map_err(|error| Broken(format!("{error:?} after {}", lossy(&bytes))))?;
        bytes.extend_from_slice(&chunk);
        let has_left = match client {
            Client::AfterFrames(most) => {
                let frames = bytes.windows(2).filter(|pair| pair == b"\n\n").count();
                frames >= most
            }
            Client::InAFrame(most) => {
                let enough = bytes.len() >= most;
                bytes.truncate(most);
                enough
            }
            // It is what the client does, not a wait for something.
            Client::Slow(wait) => {
                tokio::time::sleep(wait).await;
                false
            }
            _ => false,
        };
        if has_left {
            // What it has may end within a character.
            let text = lossy(&bytes);
            return Ok(Heard {
                text,
                is_all: false,
            });
        }
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|error| Broken(format!("no UTF-8: {error}")))?;
    ensure!(text.ends_with("\n\n"), "half a frame at the end: {text}");
    Ok(Heard { text, is_all: true })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
