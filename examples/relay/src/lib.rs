//! `POST /` takes a prompt and streams a model's answer as events. The model is told of
//! songs that fit, for which a catalogue is asked. Both are called within limits that
//! hold over all instances; what they have said is kept for an hour; and a client that
//! goes, or stops the run, ends its calls.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use spinlane::client::anthropic::{self, Client, Message};
use spinlane::client::{Api, ApiRequest, ApiSpec, Service, Transport, UpstreamError};
use spinlane::core::cache::{Cached, Key, Kind, Policy, Typed};
use spinlane::core::error::{ErrorObject, code};
use spinlane::core::limit::{LaneConfig, Limits, Rate};
use spinlane::core::ports::{Clock, Ports, Timeouts};
use spinlane::core::resources::Resources;
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
use spinlane::tracing;

/// The longest prompt, in bytes, and what of it songs are looked for by, in characters.
const MAX_PROMPT: usize = 16 * 1024;
const MAX_WORDS: usize = 100;

/// The longest answer, in tokens.
const MAX_TOKENS: u32 = 2_048;

/// Upstream calls that one request may make: two, and each twice more.
const BUDGET: u32 = 6;

/// What both have said is kept for an hour.
const KEPT: Policy = Policy::keep(Duration::from_secs(3_600));
static ANSWERS: Kind = Kind::new("answers", 1).with_policy(KEPT);
static SONGS: Kind = Kind::new("songs", 1).with_policy(KEPT);

/// The catalogue, an API that speaks JSON and takes no key.
static DEEZER: Service = Service::new("deezer", "Deezer", "deezer_base_url");
static CATALOGUE: ApiSpec = ApiSpec::new(&DEEZER);
const DEEZER_URL: &str = "https://api.deezer.com";

/// At most four answers at a time. The catalogue takes 10 calls a second, and is not
/// waited for as long as a model is.
fn limits() -> Limits {
    const TEN: Rate = Rate::per_second(NonZeroU32::new(10).unwrap());
    let quick = Timeouts::DEFAULT.first_byte(Duration::from_secs(3));
    Limits::default()
        .with_lane("anthropic", LaneConfig::new(4))
        .with_lane("deezer", LaneConfig::new(5).rate(TEN, 10).timeouts(quick))
}

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
    /// Or which variable is missing or malformed.
    upstreams: Result<(Client, Api), ErrorObject>,
    model: String,
    runs: Runs,
    answers: Typed<String>,
    songs: Typed<Vec<String>>,
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
    let common = Resources::open(&ports, limits());
    let transport = Transport::new(&ports, &common.upstreams);
    let model = Client::from_variables(&transport, &variable);
    let catalogue = Api::from_variables(&transport, &CATALOGUE, DEEZER_URL, &variable);
    let routes = stack::routes()
        .route("/", post(ask))
        .route("/{run}/stop", post(end))
        .with_state(App {
            upstreams: model.and_then(|model| Ok((model, catalogue?))),
            model: variable("anthropic_model").unwrap_or_default(),
            runs: Runs::new(&ports.clock, &ports.spawner).stopped_in(&common.store),
            answers: common.cache.typed(&ANSWERS),
            songs: common.cache.typed(&SONGS),
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
    let (model, catalogue) = app
        .upstreams
        .clone()
        .map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error))?;
    let (runs, run) = (app.runs.clone(), Run::new(&*app.ports.entropy));
    Ok(run::serve(&runs, &context, run, |output, waits| {
        relay(app, model.observed(waits), catalogue, prompt, output)
    }))
}

/// Says what is known of the prompt, else what the model says. Should the client go,
/// it is dropped, and with it the upstream call and its slot.
async fn relay(
    app: App,
    model: Client,
    catalogue: Api,
    prompt: String,
    output: Output<Plain>,
) -> Result<(), Ending<Plain>> {
    let key = Key::exact([&app.model, &prompt]);
    if let Cached::Hit(known) = app.answers.get(&key).await {
        return Ok(output.say(&known).await?);
    }
    let songs = look_up(&app.songs, catalogue, &prompt).await;
    let told = format!("The catalogue has {}.", songs.join(", "));
    let messages = [Message::user(prompt)];
    let mut request = anthropic::Request::new(&app.model, MAX_TOKENS, &messages);
    if !songs.is_empty() {
        request = request.system(&told);
    }
    let mut answer = model.text(&request).await.map_err(ErrorObject::from)?;
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

/// What a search of the catalogue answers, as far as it is read here.
#[derive(Deserialize)]
struct Found {
    data: Vec<Song>,
}

#[derive(Deserialize)]
struct Song {
    title: String,
}

/// Titles that fit the prompt. Without the catalogue there are none, and the model
/// answers all the same.
async fn look_up(known: &Typed<Vec<String>>, catalogue: Api, prompt: &str) -> Vec<String> {
    let words: String = prompt.chars().take(MAX_WORDS).collect();
    let key = Key::new([&words]);
    let found = known.get_or_fetch(&key, move || async move {
        let ask =
            ApiRequest::get("search songs", "/search").query(&[("q", &words), ("limit", "5")]);
        let found: Option<Found> = catalogue.json(&ask).await?;
        let titles = |found: Found| found.data.into_iter().map(|song| song.title).collect();
        Ok::<_, UpstreamError>(found.map(titles))
    });
    let found = found.await;
    let found = found.inspect_err(|error| tracing::warn!(%error, "there are no songs"));
    found.ok().flatten().unwrap_or_default()
}

/// Ends a run from another request.
async fn end(State(app): State<App>, Path(run): Path<String>) -> Result<StatusCode, Problem> {
    stop::ask(app.runs.stops.as_ref(), &run).await
}
