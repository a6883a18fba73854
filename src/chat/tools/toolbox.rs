//! Runs the calls of one turn, and answers every one of them.

use futures::future::{join, join_all};
use serde_json::{Map, Value};
use tracing::{info, warn};

use super::report::{LIMIT, SHOWN, Tier, size};
use super::{Spec, Tool, ToolContext, unfit};
use crate::chat::builder::ToolCall;
use crate::config::Variables;
use crate::error::{ErrorObject, code, misconfigured};
use crate::frames::Frame;
use spinlane_client::anthropic::{CacheControl, Part, ToolSpec};
use spinlane_core::log::millis;
use spinlane_core::ports::Clock;
use spinlane_http::run::Closed;

/// How often a call is run with the same input.
const MAX_SAME: u32 = 2;

/// The most calls of one turn that are run.
const MAX_CALLS: usize = 16;

/// Whom tools ask. Most runs use none, and are not to pay for reading about them.
const SERVICES: &[Variables] = &[Variables::Spotify, Variables::Deezer, Variables::Lastfm];

/// The longest message of an error that the model is given, in characters.
const MAX_ERROR: usize = 1_000;

/// The field that is filled in with the request's own playlist.
const PLAYLIST: &str = "playlistId";

/// A field that models fill in as they know the service, and that is not theirs to
/// decide: the request does.
const PUBLIC: &str = "public";

/// The tools of one run, and what was asked of them so far.
pub(in crate::chat) struct Toolbox {
    tools: Vec<Tool>,
    /// The same tools as the service takes them.
    specs: Vec<ToolSpec>,
    seen: Vec<Seen>,
}

/// A call that is run, or was.
struct Seen {
    tool: usize,
    input: Value,
    runs: u32,
    /// Whether the newest run has failed.
    failed: bool,
}

/// A call, and whether it is run.
struct Planned {
    call: ToolCall,
    job: Result<Job, ErrorObject>,
}

/// Which tool is run with what.
#[derive(Clone)]
struct Job {
    tool: usize,
    input: Value,
}

/// How a call ended.
type CallResult = Result<Value, ErrorObject>;

impl Toolbox {
    pub(in crate::chat) fn new(tools: Vec<Tool>) -> Self {
        let spec = |Tool { spec, .. }: &Tool| ToolSpec {
            name: spec.name,
            description: spec.description,
            input_schema: spec.schema.clone(),
            cache_control: None,
        };
        let mut specs: Vec<_> = tools.iter().map(spec).collect();
        if let Some(last) = specs.last_mut() {
            last.cache_control = Some(CacheControl::Ephemeral);
        }
        Self {
            tools,
            specs,
            seen: Vec::new(),
        }
    }

    /// What the model is told, the same for every turn.
    pub(in crate::chat) fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// Runs `calls`, beside each other, and gives the result of each, in their
    /// order. Those that change something run in their order among themselves.
    ///
    /// # Errors
    /// [`Closed`] when there is nobody left to tell.
    pub(in crate::chat) async fn run(
        &mut self,
        calls: Vec<ToolCall>,
        context: &ToolContext<'_>,
        clock: &dyn Clock,
    ) -> Result<Vec<Part<'static>>, Closed> {
        let plan = |(at, call)| self.plan(at, call, context);
        let planned: Vec<Planned> = calls.into_iter().enumerate().map(plan).collect();
        let outcomes = {
            let this = &*self;
            let writes = |planned: &&Planned| {
                let job = planned.job.as_ref();
                job.is_ok_and(|job| this.tools[job.tool].spec.writes)
            };
            let run_call = |planned| this.run_call(planned, context, clock);
            let reads = planned
                .iter()
                .filter(|planned| !writes(planned))
                .map(run_call);
            let in_turn = async {
                let mut outcomes = Vec::new();
                for planned in planned.iter().filter(writes) {
                    outcomes.push(this.run_call(planned, context, clock).await);
                }
                outcomes
            };
            let (reads, in_turn) = join(join_all(reads), in_turn).await;
            let (mut reads, mut in_turn) = (reads.into_iter(), in_turn.into_iter());
            let next = |planned: &Planned| match writes(&planned) {
                true => in_turn.next(),
                false => reads.next(),
            };
            planned
                .iter()
                .filter_map(next)
                .collect::<Result<Vec<_>, _>>()?
        };
        let ended = planned.into_iter().zip(outcomes);
        Ok(ended
            .map(|(planned, outcome)| self.note(planned, outcome))
            .collect())
    }

    /// Decides whether `call` is run, and with what.
    fn plan(&mut self, at: usize, call: ToolCall, context: &ToolContext<'_>) -> Planned {
        let job = match at < MAX_CALLS {
            true => self.job(&call, context),
            false => Err(unfit(format!(
                "not run: at most {MAX_CALLS} calls are run in one turn"
            ))),
        };
        Planned { call, job }
    }

    fn job(&mut self, call: &ToolCall, context: &ToolContext<'_>) -> Result<Job, ErrorObject> {
        let checked = context.app.config.check(SERVICES);
        checked.map_err(|errors| misconfigured(&errors))?;
        let known = self
            .tools
            .iter()
            .position(|tool| tool.spec.name == call.name);
        let tool = known.ok_or_else(|| self.unknown(&call.name))?;
        let spec = &self.tools[tool].spec;
        let input = call.input.clone().map_err(unfit)?;
        let input = Value::Object(as_requested(input, spec, context.playlist));
        // Made by the way, and not begun.
        drop(self.tools[tool].call(&input, context)?);
        self.allow(tool, &input)?;
        Ok(Job { tool, input })
    }

    fn unknown(&self, name: &str) -> ErrorObject {
        let name: String = name.chars().take(60).collect();
        let names: Vec<_> = self.tools.iter().map(|tool| tool.spec.name).collect();
        let message = format!(
            "there is no tool `{name}` here; there are: {}",
            names.join(", ")
        );
        ErrorObject::new(code::NOT_FOUND, message)
    }

    /// Counts the call. The model is told when it turns in circles.
    fn allow(&mut self, tool: usize, input: &Value) -> Result<(), ErrorObject> {
        let Spec { name, writes, .. } = self.tools[tool].spec;
        let same = |seen: &&mut Seen| seen.tool == tool && seen.input == *input;
        let Some(seen) = self.seen.iter_mut().find(same) else {
            self.seen.push(Seen {
                tool,
                input: input.clone(),
                runs: 1,
                failed: false,
            });
            return Ok(());
        };
        if writes && !seen.failed {
            return Err(unfit(format!(
                "not run again: {name} was asked for exactly this already"
            )));
        }
        if seen.runs >= MAX_SAME {
            return Err(unfit(format!(
                "not run again: {name} was called with the same input {MAX_SAME} times already, \
                 and a third call would tell nothing new. Use what you have, or call it with \
                 another input"
            )));
        }
        seen.runs += 1;
        seen.failed = false;
        Ok(())
    }

    /// One call, with its two frames.
    async fn run_call(
        &self,
        Planned { call, job }: &Planned,
        context: &ToolContext<'_>,
        clock: &dyn Clock,
    ) -> Result<CallResult, Closed> {
        let (tool, id) = (shown(&call.name), shown(&call.id));
        let args = match job {
            Ok(job) => job.input.clone(),
            Err(_) => Value::Object(call.input.clone().unwrap_or_default()),
        };
        let start = Frame::ToolStart {
            tool: &tool,
            args: &args,
            id: &id,
        };
        context.output.feed(&start).await?;
        let begin = clock.now();
        let found = match job.clone() {
            Ok(Job { tool, input }) => match self.tools[tool].call(&input, context) {
                Ok(call) => call.await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let ms = millis(clock.now() - begin);
        let name = job
            .as_ref()
            .map_or("", |job| self.tools[job.tool].spec.name);
        let shown = match &found {
            Ok(report) => report.fit(SHOWN).0,
            Err(error) => serde_json::to_value(error).unwrap_or_default(),
        };
        let outcome = found.map(|report| report.fit(LIMIT));
        log(name, ms, &outcome);
        let error = outcome.is_err();
        let end = Frame::ToolEnd {
            tool: &tool,
            result: &shown,
            id: &id,
            ms,
            error,
        };
        context.output.feed(&end).await?;
        Ok(outcome.map(|(result, _)| result))
    }

    /// Remembers how the call went, and makes the model's answer.
    fn note(&mut self, planned: Planned, outcome: CallResult) -> Part<'static> {
        if let Ok(job) = &planned.job {
            let same = |seen: &&mut Seen| seen.tool == job.tool && seen.input == job.input;
            if let Some(seen) = self.seen.iter_mut().find(same) {
                seen.failed = outcome.is_err();
            }
        }
        let is_error = outcome.is_err();
        let content = match outcome {
            Ok(result) => result.to_string(),
            Err(error) => error.message.chars().take(MAX_ERROR).collect(),
        };
        Part::ToolResult {
            tool_use_id: planned.call.id,
            content,
            is_error,
            cache_control: None,
        }
    }
}

/// Logs how a call ended. The model's own words stay out of it: `tool` is empty where
/// there is no such tool.
fn log(tool: &str, ms: u64, outcome: &Result<(Value, Tier), ErrorObject>) {
    match outcome {
        Ok((result, tier)) => {
            let bytes = size(result);
            info!(tool, ms, ?tier, bytes, "a tool has ended");
        }
        Err(error) => {
            let code = error.code.as_str();
            warn!(tool, ms, code, "a tool has failed");
        }
    }
}

/// The model's own words, at a length fit to be shown.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// `input` with what the request itself says: its own playlist, where the tool needs
/// one and the model did not name any.
fn as_requested(
    mut input: Map<String, Value>,
    spec: &Spec,
    playlist: Option<&str>,
) -> Map<String, Value> {
    input.remove(PUBLIC);
    let schema = spec.schema();
    let required = schema["required"].as_array().into_iter().flatten();
    let named = match input.get(PLAYLIST) {
        None | Some(Value::Null) => false,
        Some(Value::String(id)) => !id.trim().is_empty(),
        Some(_) => true,
    };
    if let Some(id) = playlist
        && !named
        && required.into_iter().any(|name| name == PLAYLIST)
    {
        input.insert(PLAYLIST.into(), id.into());
    }
    input
}

#[cfg(test)]
mod tests;
