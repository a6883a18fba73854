//! `POST /` takes a prompt and streams a model's answer as events. The model is told of
//! songs that fit, for which a catalogue is asked. Both are called within limits that
//! hold over all instances; what they have said is kept for an hour; and a client that
//! goes, or stops the run, ends its calls. A run that was asked for with an
//! `Idempotency-Key` goes on without its client, and `GET /{run}` reads it again.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;
use spinlane::client::anthropic::{Client, Message};
use spinlane::prelude::*;

/// The longest prompt, in bytes, and what of it songs are looked for by, in characters.
const MAX_PROMPT: usize = 16 * 1024;
const MAX_WORDS: usize = 100;

/// The longest answer, in tokens.
const MAX_TOKENS: u32 = 2_048;

/// Where a run is read again.
const READ: &str = "/{run}";

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

/// Answers a request; `variable` knows the application's variables.
pub async fn answer(
    request: Request<Body>,
    ports: Ports,
    variable: impl Fn(&str) -> Option<String>,
) -> Response {
    let common = Resources::open(&ports, limits());
    let transport = Transport::new(&ports, &common.upstreams);
    let model = Client::from_variables(&transport, &variable);
    let catalogue = Api::from_variables(&transport, &CATALOGUE, DEEZER_URL, &variable);
    let routes = stack::routes()
        .route("/", post(ask))
        .route(READ, get(again))
        .route("/{run}/stop", post(end))
        .with_state(App {
            upstreams: model.and_then(|model| Ok((model, catalogue?))),
            model: variable("anthropic_model").unwrap_or_default(),
            runs: Runs::new(&ports.clock, &ports.spawner)
                .stopped_in(&common.store)
                .resumed_in(&common.store),
            answers: common.cache.typed(&ANSWERS),
            songs: common.cache.typed(&SONGS),
            ports: ports.clone(),
        });
    let template = |path: &str| match path {
        "/" => Some("/"),
        path if path.ends_with("/stop") => Some("/{run}/stop"),
        path => {
            let run = path.strip_prefix('/');
            run.is_some_and(stop::is_run_id).then_some(READ)
        }
    };
    Stack::new(&ports, BUDGET, template)
        .answer(routes, request)
        .await
}

spinlane::application!(answer);

/// Answers at once, and goes on writing.
async fn ask(
    attempt: Attempt,
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    Text(prompt): Text<MAX_PROMPT>,
) -> Result<Response, Problem> {
    if prompt.trim().is_empty() {
        let error = ErrorObject::new(code::INVALID_REQUEST, "the prompt is empty");
        return Err(Problem::new(StatusCode::BAD_REQUEST, error));
    }
    let (model, catalogue) = app.upstreams.clone().map_err(Problem::unavailable)?;
    let (runs, mut run) = (app.runs.clone(), Run::new(&*app.ports.entropy));
    let (caller, keyed) = (caller_of(&headers, &SPIN_CLIENT_ADDR), attempt.has_key());
    match attempt
        .claim(&runs, &caller, prompt.as_bytes(), READ)
        .await?
    {
        Attempted::Again(known) => return known.read::<Plain>(&runs, &context, None).await,
        Attempted::New(begin) if keyed => run = begin.resumable(&runs, run, None).await?,
        Attempted::New(_) => {}
    }
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
) -> Result<(), RunEnd<Plain>> {
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
        return Err(RunEnd::Incomplete(Reason::new(reason)));
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
    let ask = ApiRequest::get("search songs", "/search").query(&[("q", &words), ("limit", "5")]);
    let titles = |found: Found| Some(found.data.into_iter().map(|song| song.title).collect());
    let found = catalogue.get_or_fetch(known, Key::new([&words]), ask, titles);
    let found = found.await;
    let found = found.inspect_err(|error| spinlane::tracing::warn!(%error, "there are no songs"));
    found.ok().flatten().unwrap_or_default()
}

/// Reads a run again: what its client has missed, and then what comes.
async fn again(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    Path(run): Path<String>,
    after: After,
) -> Result<Response, Problem> {
    run::read::<Plain>(&app.runs, &context, &run, None, after, None).await
}

/// Ends a run from another request.
async fn end(State(app): State<App>, Path(run): Path<String>) -> Result<StatusCode, Problem> {
    stop::ask(app.runs.stops.as_ref(), &run).await
}
