//! `POST /` takes a prompt and streams a model's answer as events. At most four
//! calls of the model run at a time, over all instances; the same prompt makes
//! none for an hour; and a client that goes, or stops the run, ends its call.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use spinlane::client::Transport;
use spinlane::client::anthropic::{self, Client, Message};
use spinlane::core::cache::{Cache, Cached, Key, Kind, Policy, Typed};
use spinlane::core::error::{ErrorObject, code};
use spinlane::core::limit::{LaneConfig, Limits};
use spinlane::core::ports::{Clock, Ports};
use spinlane::core::store::Store;
use spinlane::http::axum::body::{Bytes, HttpBody};
use spinlane::http::axum::extract::{FromRef, Path, State};
use spinlane::http::axum::http::{Request, StatusCode};
use spinlane::http::axum::{BoxError, Extension, response::Response, routing::post};
use spinlane::http::context::RequestContext;
use spinlane::http::problem::Problem;
use spinlane::http::run::plain::{Plain, Reason};
use spinlane::http::run::{self, Ending, NewRun, Output, Run, Runs, stop};
use spinlane::http::stack::{self, Stack};
use spinlane::http::text::Text;

/// The longest prompt, in bytes.
const MAX_PROMPT: usize = 16 * 1024;

/// The longest answer, in tokens.
const MAX_TOKENS: u32 = 2_048;

/// Upstream calls that one request may make: the model's, and two to try again.
const BUDGET: u32 = 3;

/// What the model has said is kept for an hour.
static ANSWERS: Kind =
    Kind::new("answers", 1).with_policy(Policy::keep(Duration::from_secs(3_600)));

/// What exists on wasm only. The rest compiles natively as well, for `cargo
/// test` and rust-analyzer.
#[cfg(target_family = "wasm")]
mod component {
    use spinlane::core::ports::Ports;
    use spinlane::host::{IncomingBody, variable};
    use spinlane::http::axum::{http::Request, response::Response};

    async fn handle(request: Request<IncomingBody>, ports: Ports) -> Response {
        super::answer(request, ports, variable).await
    }

    spinlane::export!(handle);
}

/// What the handlers share.
#[derive(Clone)]
struct App {
    ports: Ports,
    /// Or which variable is missing.
    client: Result<Client, ErrorObject>,
    model: String,
    runs: Runs,
    answers: Typed<String>,
}

/// The body of a request takes its time from here.
impl FromRef<App> for Arc<dyn Clock> {
    fn from_ref(app: &App) -> Self {
        app.ports.clock.clone()
    }
}

/// Answers a request; `variable` knows the application's variables.
pub async fn answer<B>(
    request: Request<B>,
    ports: Ports,
    variable: impl Fn(&str) -> Option<String>,
) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    // One for all who use it: each learns of its trouble from the others.
    let store = Store::open(&ports);
    // Of all instances, since a component is a new one for every request.
    let limits = Limits::default().with_lane("anthropic", LaneConfig::new(4));
    let routes = stack::routes()
        .route("/", post(ask))
        .route("/{run}/stop", post(end))
        .with_state(App {
            client: Client::from_variables(&Transport::limited(&ports, &store, limits), &variable),
            model: variable("anthropic_model").unwrap_or_default(),
            runs: Runs::new(&ports.clock, &ports.spawner).stopped_in(&store),
            answers: Cache::new(&store).typed(&ANSWERS),
            ports: ports.clone(),
        });
    let template = |path: &str| match path {
        "/" => Some("/"),
        path => path.ends_with("/stop").then_some("/{run}/stop"),
    };
    Stack::new(&ports, BUDGET, template)
        .answer(routes, request)
        .await
}

/// Answers at once, and goes on writing.
async fn ask(
    _: NewRun,
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    Text(prompt): Text<MAX_PROMPT>,
) -> Result<Response, Problem> {
    if prompt.trim().is_empty() {
        let error = ErrorObject::new(code::INVALID_REQUEST, "the prompt is empty");
        return Err(Problem::new(StatusCode::BAD_REQUEST, error));
    }
    let client = app.client.clone();
    let client = client.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error))?;
    let (runs, run) = (app.runs.clone(), Run::new(&*app.ports.entropy));
    Ok(run::serve(&runs, &context, run, |output, waits| {
        relay(app, client.observed(waits), prompt, output)
    }))
}

/// Says what is known of the prompt, else what the model says. Should the client go,
/// it is dropped, and with it the call of the model and its slot.
async fn relay(
    app: App,
    client: Client,
    prompt: String,
    output: Output<Plain>,
) -> Result<(), Ending<Plain>> {
    let key = Key::exact([&app.model, &prompt]);
    if let Cached::Hit(known) = app.answers.get(&key).await {
        return Ok(output.say(&known).await?);
    }
    let messages = [Message::user(prompt)];
    let request = anthropic::Request::new(&app.model, MAX_TOKENS, &messages);
    let mut answer = client.text(&request).await.map_err(ErrorObject::from)?;
    let mut text = String::new();
    while let Some(piece) = answer.next().await.map_err(ErrorObject::from)? {
        output.say(&piece).await?;
        text += &piece;
    }
    if let Some(reason) = answer.cut_short() {
        return Err(Ending::Incomplete(Reason::new(reason)));
    }
    app.answers.put(&key, Some(&text)).await;
    Ok(())
}

/// Ends a run from another request.
async fn end(State(app): State<App>, Path(run): Path<String>) -> Result<StatusCode, Problem> {
    stop::ask(app.runs.stops.as_ref(), &run).await
}
