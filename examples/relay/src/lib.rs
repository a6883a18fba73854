//! `POST /` takes a prompt and streams a model's answer as events. At most four
//! calls of the model run at a time, over all instances; the same prompt makes
//! none for an hour; and a client that goes ends its call.

mod anthropic;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, LengthLimitError, Limited};
use serde::Serialize;
use spinlane::core::abort::AbortHandle;
use spinlane::core::cache::{Cache, Cached, Key, Kind, Policy};
use spinlane::core::limit::{LaneConfig, Limits, Orchestrator};
use spinlane::core::ports::Ports;
use spinlane::core::sse::{self, Event, Writer, WriterConfig};
use spinlane::core::store::Store;

use anthropic::{Answer, Failure, Model};

/// The longest prompt, in bytes.
const MAX_PROMPT: usize = 16 * 1024;

/// What the model has said is kept for an hour.
static ANSWERS: Kind =
    Kind::new("answers", 1).with_policy(Policy::keep(Duration::from_secs(3_600)));

/// An event's data. `Done` or `Error` is the last one.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame<'a> {
    Text { text: &'a str },
    Done { stop_reason: &'a str },
    Error { code: &'a str, message: &'a str },
}

/// What exists on wasm only. The rest compiles natively as well, for `cargo
/// test` and rust-analyzer.
#[cfg(target_family = "wasm")]
mod component {
    use http::{Request, Response};
    use spinlane::core::ports::Ports;
    use spinlane::host::{IncomingBody, variable};

    async fn handle(request: Request<IncomingBody>, ports: Ports) -> Response<super::Body> {
        super::answer(request, ports, variable).await
    }

    spinlane::export!(handle);
}

/// A stream, or a word on why there is none.
pub type Body = Either<sse::Body, String>;

/// Answers a request; `variable` knows the application's variables.
pub async fn answer<B>(
    request: Request<B>,
    ports: Ports,
    variable: impl Fn(&str) -> Option<String>,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    if (request.method(), request.uri().path()) != (&Method::POST, "/") {
        return refuse(StatusCode::NOT_FOUND, "POST a prompt to /");
    }
    let Some(model) = Model::from_variables(variable) else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "set anthropic_api_key");
    };
    let body = Limited::new(request.into_body(), MAX_PROMPT);
    let prompt = match body.collect().await {
        Ok(body) => String::from_utf8(body.to_bytes().into()).unwrap_or_default(),
        Err(error) if error.is::<LengthLimitError>() => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the prompt is too long");
        }
        Err(_) => return refuse(StatusCode::BAD_REQUEST, "the prompt was cut"),
    };
    if prompt.trim().is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "the prompt is empty or not UTF-8");
    }
    stream(ports, model, prompt)
}

fn refuse(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(Either::Right(format!("{why}\n")));
    *response.status_mut() = status;
    response
}

/// Answers at once, and goes on writing.
fn stream(ports: Ports, model: Model, prompt: String) -> Response<Body> {
    let abort = AbortHandle::new();
    let client = abort.signal();
    let (writer, body) = sse::channel(ports.clock.clone(), WriterConfig::default(), Some(abort));
    let spawner = ports.spawner.clone();
    spawner.spawn(Box::pin(async move {
        // Should the client go, the work is dropped, and with it the call of the
        // model and its slot.
        let work = feed(&ports, &model, &prompt, &writer);
        let _ = client.guard(work).await;
    }));
    sse::response(body).map(Either::Left)
}

/// Feeds the stream, and ends it with one `done` or `error`.
async fn feed(ports: &Ports, model: &Model, prompt: &str, writer: &Writer) {
    let end = match relay(ports, model, prompt, writer).await {
        Ok(answer) => Event::json(&Frame::Done {
            stop_reason: &answer.stop_reason,
        }),
        Err(failure) => Event::json(&Frame::Error {
            code: failure.code(),
            message: &failure.to_string(),
        }),
    };
    if let Ok(end) = end {
        // An error: the client has gone, and nobody is left to tell.
        let _ = writer.end(end).await;
    }
}

/// Streams what is known of the prompt, else what the model says.
async fn relay(
    ports: &Ports,
    model: &Model,
    prompt: &str,
    writer: &Writer,
) -> Result<Answer, Failure> {
    // One for all who use it: each learns of its trouble from the others.
    let store = Store::open(ports);
    let answers = Cache::new(&store).of::<Answer>(&ANSWERS);
    let key = Key::exact([&model.name, prompt]);
    if let Cached::Hit(known) = answers.get(&key).await {
        let text = &known.text;
        writer.feed_json(&Frame::Text { text }).await?;
        return Ok(known);
    }
    // Of all instances, since a component is a new one for every request.
    let mut limits = Limits::default();
    limits.lanes.insert("anthropic".into(), LaneConfig::new(4));
    let upstreams = Orchestrator::new(limits, ports, &store);
    // How long the call may wait for its turn. Timeouts of its lane bound the rest.
    let deadline = ports.clock.now() + Duration::from_secs(30);
    let answer = model.ask(&upstreams, prompt, deadline, writer).await?;
    answers.put(&key, Some(&answer)).await;
    Ok(answer)
}
