//! The relay of the benchmark on native axum, as its users write it: a prompt
//! in, the model's deltas out as frames. No limits, no heartbeat.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
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
    let listen = std::env::args().nth(2).context("where to listen")?;
    let client = reqwest::Client::new();
    let router = Router::new()
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/api/status", get(|| async { Json(status()) }))
        .route("/api/chat-stream/message", post(message))
        .with_state(Arc::new(Relay { client, anthropic }));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    // Frames are small and must leave at once.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

/// A document of about the size of Spinlane's.
fn status() -> Value {
    let lane = |limit| json!({"limit": limit, "held": 0});
    let upstream = json!({"kind": "real", "configured": true});
    json!({
        "name": "relay", "version": "0.1.0", "environment": "production",
        "limits": {
            "scope": "instance", "globalRps": 10_000,
            "lanes": {"anthropic": lane(100), "spotify": lane(5), "deezer": lane(10)},
            "launches": {"made": 0, "allowed": 10_000, "windowMs": 1_000},
            "subrequestBudget": 950, "caller": null,
        },
        "store": {"keyValue": false, "counters": false},
        "upstreams": {"anthropic": upstream, "spotify": upstream, "deezer": upstream},
    })
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
