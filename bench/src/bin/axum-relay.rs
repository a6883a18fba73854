//! The relay of the benchmark on native axum, as its users write it: a prompt
//! in, the model's deltas out as frames. No limits, no heartbeat.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use spinlane_core::sse::Decoder;

struct Relay {
    client: reqwest::Client,
    anthropic: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let anthropic = std::env::args().nth(1).context("where the model is")?;
    let client = reqwest::Client::new();
    let router = Router::new()
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/api/chat-stream/message", post(message))
        .with_state(Arc::new(Relay { client, anthropic }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

async fn message(
    State(relay): State<Arc<Relay>>,
    Json(prompt): Json<Value>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let request = relay
        .client
        .post(format!("{}/v1/messages", relay.anthropic))
        .header("x-api-key", "bench")
        .header("anthropic-version", "2023-06-01")
        .json(&json!({
            "model": "bench", "max_tokens": 1024, "stream": true,
            "messages": [{"role": "user", "content": prompt["message"]}],
        }));
    // The head leaves before the upstream is called.
    let frames = stream::once(request.send()).flat_map(|answer| match answer {
        Ok(answer) => deltas(answer).left_stream(),
        Err(error) => stream::iter([("error", error.to_string().into())]).right_stream(),
    });
    let frames = frames.chain(stream::iter([("done", Value::Null)]));
    Sse::new(frames.enumerate().map(|(number, (kind, data))| {
        let frame = format!(r#"{{"type":"{kind}","data":{data}}}"#);
        Ok(Event::default().id((number + 1).to_string()).data(frame))
    }))
}

fn deltas(answer: reqwest::Response) -> impl Stream<Item = (&'static str, Value)> {
    let mut decoder = Decoder::new(1 << 20);
    answer.bytes_stream().flat_map(move |chunk| {
        let mut found = Vec::new();
        let chunk = chunk.unwrap_or_default();
        let decoded = decoder.push(&chunk, |event| {
            let mut event: Value = serde_json::from_str(&event.data).unwrap_or_default();
            if event["delta"]["type"] == "text_delta" {
                found.push(("content", event["delta"]["text"].take()));
            }
        });
        if let Err(error) = decoded {
            found.push(("error", error.to_string().into()));
        }
        stream::iter(found)
    })
}
