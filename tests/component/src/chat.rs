//! A client of the chat: sends prompts, reads frames.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use spinlane_core::sse::Decoder;

use crate::{KEY, PATIENCE};

/// One frame, as it arrived.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When its last byte was read.
    pub at: Instant,
    /// The number of the network read that completed it.
    pub read: usize,
    /// Its `type`.
    pub kind: String,
    /// Its `data`.
    pub data: Value,
}

type Chunks = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// An event stream that is being read.
pub struct Chat {
    /// The response's head.
    pub headers: reqwest::header::HeaderMap,
    chunks: Chunks,
    decoder: Decoder,
    frames: VecDeque<Frame>,
    ids: u64,
    reads: usize,
    /// Every byte so far.
    pub raw: Vec<u8>,
}

impl std::fmt::Debug for Chat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chat")
            .field("reads", &self.reads)
            .finish_non_exhaustive()
    }
}

/// Sends `body` to the chat's route.
///
/// # Panics
/// When there is no answer.
pub async fn send(origin: &str, body: &Value) -> reqwest::Response {
    let request = reqwest::Client::new()
        .post(format!("{origin}/api/chat-stream/message"))
        .json(body);
    let response = tokio::time::timeout(PATIENCE, request.send()).await;
    response.expect("an answer in time").expect("an answer")
}

/// Sends a prompt and resolves with the head of its stream.
///
/// # Panics
/// When the answer is not a stream.
pub async fn prompt(origin: &str) -> Chat {
    Chat::read(send(origin, &json!({"message": "hello"})).await)
}

impl Chat {
    /// Reads the stream of `response`.
    ///
    /// # Panics
    /// When it is not a stream.
    pub fn read(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            headers: response.headers().clone(),
            chunks: Box::pin(response.bytes_stream()),
            decoder: Decoder::new(1 << 20),
            frames: VecDeque::new(),
            ids: 0,
            reads: 0,
            raw: Vec::new(),
        }
    }

    /// The next frame, or `None` at the end of the stream.
    ///
    /// # Panics
    /// When none comes, when the stream breaks, and when a frame is not what
    /// every frame must be: numbered, with a type and data.
    pub async fn next(&mut self) -> Option<Frame> {
        while self.frames.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.chunks.next()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("no frame in time: {}", self.text()));
            let chunk = chunk?.expect("an unbroken stream");
            self.reads += 1;
            self.raw.extend_from_slice(&chunk);
            let (at, read) = (Instant::now(), self.reads);
            let (frames, ids) = (&mut self.frames, &mut self.ids);
            let decoded = self.decoder.push(&chunk, |event| {
                *ids += 1;
                assert_eq!(event.id, ids.to_string());
                let mut frame: Value = serde_json::from_str(&event.data).expect("JSON");
                let data = frame["data"].take();
                let kind = frame["type"].as_str().expect("a type").to_owned();
                frames.push_back(Frame {
                    at,
                    read,
                    kind,
                    data,
                });
            });
            decoded.expect("events of moderate size");
        }
        self.frames.pop_front()
    }

    /// The next frame of this kind.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn next_of(&mut self, kind: &str) -> Frame {
        while let Some(frame) = self.next().await {
            if frame.kind == kind {
                return frame;
            }
        }
        panic!("no {kind} frame: {}", self.text());
    }

    /// All frames up to the end, after a look at what every stream must be:
    /// `run` first, exactly one terminal frame, at the end, and no key.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let frames = self.remaining().await;
        let text = self.text();
        let terminal = |frame: &Frame| matches!(frame.kind.as_str(), "done" | "error");
        let terminals = frames.iter().filter(|frame| terminal(frame)).count();
        assert_eq!(terminals, 1, "{text}");
        assert!(frames.last().is_some_and(terminal), "{text}");
        assert!(text.starts_with("id: 1\ndata: {\"type\":\"run\""), "{text}");
        assert!(!text.contains(KEY), "the key is in the stream");
        frames
    }

    /// The remaining frames.
    pub async fn remaining(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Reads to the end without keeping it, and counts the `content` frames.
    pub async fn count_content(&mut self) -> usize {
        let mut content = 0;
        while let Some(frame) = self.next().await {
            content += usize::from(frame.kind == "content");
            self.raw.clear();
        }
        content
    }

    /// Every byte so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}

/// What was said, piece by piece.
pub fn said(frames: &[Frame]) -> Vec<&str> {
    let content = frames.iter().filter(|frame| frame.kind == "content");
    content.filter_map(|frame| frame.data.as_str()).collect()
}

/// The last frame's kind and data.
pub fn last(frames: &[Frame]) -> (&str, &Value) {
    let last = frames.last().expect("frames");
    (&last.kind, &last.data)
}
