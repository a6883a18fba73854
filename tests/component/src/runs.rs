//! A client that loses its connection, and reads its run again.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

use crate::PATIENCE;

/// What was read of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Whole frames, byte for byte, without heartbeats.
    pub frames: String,
    /// Whether the stream had its end.
    pub ended: bool,
}

impl Text {
    /// The number of the newest frame.
    pub fn newest(&self) -> u64 {
        let mut ids = self
            .frames
            .lines()
            .filter_map(|line| line.strip_prefix("id: "));
        ids.next_back()
            .map_or(0, |id| id.parse().expect("a number"))
    }

    /// The data of the last frame.
    ///
    /// # Panics
    /// When there is none.
    pub fn last(&self) -> Value {
        let mut data = self
            .frames
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        serde_json::from_str(data.next_back().expect("a frame")).expect("JSON")
    }
}

/// Reads `response` to its end, or until `life` is over: then the connection is cut.
///
/// # Panics
/// When it is no stream, or breaks, or neither ends nor is cut in time.
pub async fn read(response: Response, life: Option<Duration>) -> Text {
    assert_eq!(response.status(), 200);
    let mut chunks = response.bytes_stream();
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.expect("an unbroken stream"));
        }
    };
    let ended = tokio::time::timeout(life.unwrap_or(4 * PATIENCE), reading).await;
    assert!(ended.is_ok() || life.is_some(), "no end in time");
    let text = String::from_utf8_lossy(&bytes).replace(": heartbeat\n\n", "");
    // The rest of a frame that was cut comes again, whole.
    let whole = text.rfind("\n\n").map_or(0, |at| at + 2);
    Text {
        frames: text[..whole].to_owned(),
        ended: ended.is_ok(),
    }
}

/// A prompt for the DJ at `origin`.
pub fn prompt(origin: &str, body: &Value) -> RequestBuilder {
    Client::new()
        .post(format!("{origin}/api/chat-stream/message"))
        .json(body)
}

/// The run that an answer is of.
///
/// # Panics
/// When it is of none.
pub fn run_of(response: &Response) -> String {
    let run = response.headers().get("x-run-id").expect("a run");
    run.to_str().expect("text").to_owned()
}

/// Asks `origin` for what `run` says after frame number `after`.
pub fn again(origin: &str, run: &str, after: u64) -> RequestBuilder {
    let request = Client::new().get(format!("{origin}/api/chat-stream/{run}"));
    request.header("last-event-id", after)
}

/// The answer.
///
/// # Panics
/// When there is none.
pub async fn sent(request: RequestBuilder) -> Response {
    let answer = tokio::time::timeout(PATIENCE, request.send()).await;
    answer.expect("an answer in time").expect("an answer")
}

/// The status, and the code of the problem.
///
/// # Panics
/// When there is no answer.
pub async fn refused(request: RequestBuilder) -> (u16, String) {
    let response = sent(request).await;
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap_or_default();
    (
        status,
        problem["code"].as_str().unwrap_or_default().to_owned(),
    )
}
