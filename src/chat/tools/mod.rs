//! The tools that the model may ask for: one file each.

mod analyze_playlist;
mod create_playlist;
mod get_playlist_tracks;
mod get_recommendations;
mod get_track_details;
mod input;
mod modify_playlist;
mod report;
mod scoring;
mod search_tracks;
mod toolbox;
mod tracks;
mod writes;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::future::try_join;
use serde_json::Value;

use crate::AppState;
use crate::chat::Mode;
use crate::clients::spotify::{Access, Spotify};
use crate::enrich::{self, SkipReason};
use crate::error::{ErrorObject, code};
use crate::frames::{Output, Waits};
use crate::music::{Playlist, Track};
use input::{Input, Schema};
use report::Report;
use spinlane_client::UpstreamError;
use spinlane_core::limit::Observer;
use spinlane_core::ports::BoxFuture;
pub(super) use toolbox::Toolbox;
use writes::Writes;

/// What came of a call. An error goes to the model, which may do better, and not
/// to the user as a broken stream.
type Outcome = Result<Report, ErrorObject>;

/// One tool.
pub(super) struct Tool {
    spec: Spec,
    call: Box<Call>,
}

/// Reads an input by its schema, and does what the tool does with it. Dropping the
/// future cancels that. An error says what is wrong with the input.
type Call = dyn for<'a> Fn(&Value, &Value, &'a ToolContext<'a>) -> Result<BoxFuture<'a, Outcome>, String>
    + Send
    + Sync;

impl Tool {
    /// A tool that changes nothing.
    fn reading<I, F>(name: &'static str, description: &'static str, call: F) -> Self
    where
        I: Input,
        F: for<'a> Fn(I, &'a ToolContext<'a>) -> BoxFuture<'a, Outcome> + Send + Sync + 'static,
    {
        let spec = Spec {
            name,
            description,
            schema: input::schema::<I>(name),
            writes: false,
        };
        Self {
            spec,
            call: Box::new(move |schema, input, context| {
                Ok(call(input::read(schema, input)?, context))
            }),
        }
    }

    /// A tool that changes something.
    fn writing<I, F>(name: &'static str, description: &'static str, call: F) -> Self
    where
        I: Input,
        F: for<'a> Fn(I, &'a ToolContext<'a>) -> BoxFuture<'a, Outcome> + Send + Sync + 'static,
    {
        let mut tool = Self::reading(name, description, call);
        tool.spec.writes = true;
        tool
    }

    /// What it does with `input`, not begun yet.
    ///
    /// # Errors
    /// When `input` does not fit its schema.
    fn call<'a>(
        &self,
        input: &Value,
        context: &'a ToolContext<'a>,
    ) -> Result<BoxFuture<'a, Outcome>, ErrorObject> {
        let Spec { name, .. } = &self.spec;
        let unfit = |faults| {
            unfit(format!(
                "the input of {name} does not fit its schema: {faults}"
            ))
        };
        (self.call)(&self.spec.schema(), input, context).map_err(unfit)
    }
}

/// What the model is told of a tool.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    name: &'static str,
    /// What it does, when to use it, what it gives.
    description: &'static str,
    /// JSON Schema of its input, an object.
    schema: Schema,
    /// Whether it changes something: then calls of one turn run one after the
    /// other, in their order, and never again once they have worked.
    writes: bool,
}

impl Spec {
    /// The schema, to be looked into.
    fn schema(&self) -> Value {
        serde_json::from_str(self.schema.get()).unwrap_or_default()
    }
}

/// What the tools of one run have in common: whose access they have, and what they may
/// change.
pub(super) struct ToolContext<'a> {
    app: &'a AppState,
    /// The account, or the application, as which the catalogue is asked.
    access: Access,
    /// See [`Self::spotify`].
    spotify: OnceLock<Spotify>,
    /// Whether it is a user's own account.
    is_user: bool,
    observer: Arc<dyn Observer>,
    output: &'a Output,
    /// The playlist that the request is about, by its id. No other is changed.
    playlist: Option<&'a str>,
    /// The state in which each playlist was seen last, by its id: the places
    /// that the model speaks of are those.
    snapshots: Mutex<BTreeMap<String, String>>,
    /// Whether what is made is for everybody to see: the request says so, never the
    /// model.
    public: bool,
    writes: Writes,
}

impl<'a> ToolContext<'a> {
    /// Tools that ask the catalogue with `access`.
    pub(super) fn new(
        app: &'a AppState,
        access: Access,
        output: &'a Output,
        waits: &Arc<Waits>,
        playlist: Option<&'a str>,
    ) -> Self {
        let observer: Arc<dyn Observer> = Arc::clone(waits) as _;
        Self {
            app,
            is_user: matches!(access, Access::User(_)),
            access,
            spotify: OnceLock::new(),
            observer,
            output,
            playlist,
            snapshots: Mutex::default(),
            public: false,
            writes: Writes::default(),
        }
    }

    /// The catalogue, made when a tool first asks it.
    fn spotify(&self) -> &Spotify {
        let Self { app, access, .. } = self;
        let spotify = || Spotify::new(app, access.clone(), Arc::clone(&self.observer));
        self.spotify.get_or_init(spotify)
    }

    /// What is made is for everybody to see, or not.
    #[must_use]
    pub(super) fn making_public(self, public: bool) -> Self {
        Self { public, ..self }
    }

    /// Notes the state in which the playlist `id` is now; `None` where the
    /// service does not say.
    fn seen(&self, id: &str, snapshot: Option<String>) {
        let mut snapshots = self
            .snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match snapshot {
            Some(snapshot) => snapshots.insert(id.to_owned(), snapshot),
            None => snapshots.remove(id),
        };
    }

    /// The state in which the model has seen the playlist `id`; the present one
    /// where it has not read it in this run.
    async fn snapshot(&self, id: &str) -> Result<Option<String>, UpstreamError> {
        let known = {
            let snapshots = self.snapshots.lock();
            let snapshots = snapshots.unwrap_or_else(PoisonError::into_inner);
            snapshots.get(id).cloned()
        };
        if known.is_some() {
            return Ok(known);
        }
        let playlist = self.spotify().playlist(id).await?;
        let snapshot = playlist.and_then(|playlist| playlist.snapshot_id);
        self.seen(id, snapshot.clone());
        Ok(snapshot)
    }

    /// What other services know of `tracks`; tells the user how far it is.
    async fn enrich(&self, tracks: &[Track]) -> enrich::Report {
        let progress =
            |done: usize, total: usize, label: &str| self.output.progress(done, total, label);
        enrich::enrich(self.app, &self.observer, tracks, &progress).await
    }

    /// A playlist, and the tracks at these places of it, each with its own: a
    /// place may hold something else.
    async fn read_playlist(
        &self,
        id: &str,
        places: Range<u32>,
    ) -> Result<(Playlist, Vec<(u32, Track)>), ErrorObject> {
        let playlist = self.spotify().playlist(id);
        let entries = self.spotify().playlist_entries(id, places);
        let both = try_join(playlist, entries).await;
        let (playlist, entries) = both.map_err(|error| error.object())?;
        let playlist = playlist.ok_or_else(|| {
            let id = tracks::name(id);
            let message = format!("there is no playlist `{id}`, or it is not public");
            ErrorObject::new(code::NOT_FOUND, message)
        })?;
        self.seen(&playlist.id, playlist.snapshot_id.clone());
        Ok((playlist, entries))
    }

    /// Whether something may be changed.
    fn may_write(&self) -> Result<(), ErrorObject> {
        match self.is_user {
            true => Ok(()),
            false => Err(ErrorObject::new(
                code::INVALID_REQUEST,
                "nothing can be changed without the user's own account: ask them to connect \
                 Spotify",
            )),
        }
    }
}

/// The tools that the model sees in `mode`. Those that change a playlist are
/// there only where the request has `named` the one that they may change.
pub(super) fn for_mode(mode: Mode, named: bool) -> Vec<Tool> {
    let mut tools = vec![
        search_tracks::tool(),
        analyze_playlist::tool(),
        get_playlist_tracks::tool(),
        get_track_details::tool(),
        get_recommendations::tool(),
    ];
    match mode {
        Mode::Analyze => {}
        Mode::Create => tools.push(create_playlist::tool()),
        Mode::Edit if named => tools.push(modify_playlist::tool()),
        Mode::Edit => {}
    }
    tools
}

/// The error of an input that fits the schema and still makes no sense.
fn unfit(message: impl Into<String>) -> ErrorObject {
    ErrorObject::new(code::INVALID_REQUEST, message)
}

/// A change that got no good answer.
struct NotChanged {
    error: ErrorObject,
    /// Whether it may have been carried out all the same.
    perhaps: bool,
}

impl From<&UpstreamError> for NotChanged {
    fn from(error: &UpstreamError) -> Self {
        let mut error = error.object();
        let perhaps = matches!(
            error.code,
            code::UPSTREAM_TIMEOUT
                | code::UPSTREAM_CUT
                | code::UPSTREAM_ERROR
                | code::UPSTREAM_PROTOCOL
        );
        if perhaps {
            error.message += ". It may have been done all the same: look before you try again";
        }
        Self { error, perhaps }
    }
}

/// The error of a change that is of no further consequence.
fn not_changed(error: &UpstreamError) -> ErrorObject {
    NotChanged::from(error).error
}

/// Adds what could not be found out, and why, to `report`.
fn with_gaps(mut report: Report, found: &enrich::Report) -> Report {
    if !found.skipped.is_empty() {
        let reasons = found.skipped.iter().map(|skipped| match skipped.reason {
            SkipReason::Budget => "beyond this request's upstream calls",
            SkipReason::RateLimited => "turned away by the upstream",
            SkipReason::Deadline => "beyond this request's time",
            SkipReason::UpstreamFailed => "failed at the upstream",
        });
        let reasons = tracks::most(reasons, 3).into_iter();
        let reasons = reasons.map(|(reason, count)| format!("{count} {reason}"));
        let reasons: Vec<_> = reasons.collect();
        report.summary += &format!(
            "; {} lookups of tempo or tags are missing ({})",
            found.skipped.len(),
            reasons.join(", ")
        );
    }
    let notes = found.notes.iter().map(|note| note.message.as_str());
    let notes: Vec<&str> = notes.collect();
    match notes.is_empty() {
        true => report,
        false => report.with("notes", notes),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_mode_chooses_the_tools() {
        let names = |mode, named| {
            let tools = for_mode(mode, named);
            let names = tools.iter().map(|tool| tool.spec.name);
            names.collect::<Vec<_>>()
        };
        let reading = [
            "search_tracks",
            "analyze_playlist",
            "get_playlist_tracks",
            "get_track_details",
            "get_recommendations",
        ];
        for named in [false, true] {
            assert_eq!(names(Mode::Analyze, named), reading);
            assert_eq!(names(Mode::Create, named)[..5], reading);
            assert_eq!(names(Mode::Create, named)[5..], ["create_playlist"]);
        }
        assert_eq!(names(Mode::Edit, true)[..5], reading);
        assert_eq!(names(Mode::Edit, true)[5..], ["modify_playlist"]);
        assert_eq!(names(Mode::Edit, false), reading);
    }

    /// What the model is told of each tool, word for word: the component reads it from the
    /// file, which is to be as it is made here.
    #[test]
    fn the_model_is_told_what_the_types_say() {
        let mut tools = for_mode(Mode::Edit, true);
        tools.extend(for_mode(Mode::Create, false).pop());
        let told = tools.iter().map(|Tool { spec, .. }| {
            json!({
                "name": spec.name,
                "description": spec.description,
                "input_schema": spec.schema,
            })
        });
        let told: Vec<_> = told.collect();
        let pinned: Vec<Value> = serde_json::from_str(input::TOLD).unwrap();
        assert_eq!(told, pinned, "{:#}", Value::from(told.clone()));
        for Tool { spec, .. } in tools {
            let schema: Value = serde_json::from_str(input::told(spec.name).get()).unwrap();
            assert_eq!(schema, spec.schema());
        }
    }

    #[test]
    fn every_schema_is_said_in_full() {
        const KNOWN: [&str; 9] = [
            "type",
            "description",
            "items",
            "minItems",
            "maxItems",
            "minLength",
            "maxLength",
            "minimum",
            "maximum",
        ];
        let all = [Mode::Create, Mode::Edit].map(|mode| for_mode(mode, true));
        for tool in all.into_iter().flatten() {
            let spec = tool.spec;
            let schema = spec.schema();
            assert_eq!(schema["type"], "object", "{}", spec.name);
            assert_eq!(schema["additionalProperties"], false, "{}", spec.name);
            let properties = schema["properties"].as_object().unwrap();
            for property in properties.values() {
                let keywords = property.as_object().unwrap().keys();
                let bounds = property["enum"].is_array()
                    || keywords.clone().any(|keyword| keyword.starts_with("max"));
                assert!(bounds, "{property}");
                let known = |keyword: &str| keyword == "enum" || KNOWN.contains(&keyword);
                assert!(keywords.clone().all(|keyword| known(keyword)), "{property}");
            }
            let writes = ["create_playlist", "modify_playlist"].contains(&spec.name);
            assert_eq!(spec.writes, writes, "{}", spec.name);
        }
    }
}
