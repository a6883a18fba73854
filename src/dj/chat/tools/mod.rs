//! The tools that the model may ask for: one file each.

mod analyze_playlist;
mod create_playlist;
mod get_playlist_tracks;
mod get_recommendations;
mod get_track_details;
mod modify_playlist;
mod report;
mod schema;
mod scoring;
mod search_tracks;
mod toolbox;
mod tracks;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::core::limit::Observer;
use crate::core::ports::BoxFuture;
use crate::dj::AppState;
use crate::dj::api::chat::Mode;
use crate::dj::clients::spotify::{Access, Spotify};
use crate::dj::enrich::{self, SkipReason};
use crate::dj::error::{Code, ErrorObject};
use crate::dj::music::Track;
use crate::dj::run::{Output, Waits};
use report::Report;
pub(super) use toolbox::Toolbox;

/// One tool.
pub(super) trait Tool: Send + Sync {
    /// What the model is told of it.
    fn spec(&self) -> Spec;

    /// Does it. `input` fits the schema of [`spec`](Self::spec). Dropping the
    /// future cancels it.
    ///
    /// An error goes to the model, which may do better, and not to the user as
    /// a broken stream.
    fn call<'a>(
        &'a self,
        input: Value,
        desk: &'a Desk<'a>,
    ) -> BoxFuture<'a, Result<Report, ErrorObject>>;
}

/// What the model is told of a tool.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// What it does, when to use it, what it gives.
    pub(super) description: &'static str,
    /// JSON Schema of its input, an object.
    pub(super) schema: Value,
    /// Whether it changes something: then calls of one turn run one after the
    /// other, in their order, and never again once they have worked.
    pub(super) writes: bool,
}

/// What tools work with.
pub(super) struct Desk<'a> {
    app: &'a AppState,
    spotify: Spotify,
    /// Whether it is a user's own account.
    is_user: bool,
    observer: Arc<dyn Observer>,
    output: &'a Output,
    /// The playlist that the request is about.
    playlist: Option<&'a str>,
}

impl<'a> Desk<'a> {
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
            spotify: Spotify::new(app, access, Arc::clone(&observer)),
            observer,
            output,
            playlist,
        }
    }

    /// What other services know of `tracks`; tells the user how far it is.
    async fn enrich(&self, tracks: &[Track]) -> enrich::Report {
        let progress =
            |done: usize, total: usize, label: &str| self.output.progress(done, total, label);
        enrich::enrich(self.app, &self.observer, tracks, &progress).await
    }

    /// Whether something may be changed.
    fn may_write(&self) -> Result<(), ErrorObject> {
        match self.is_user {
            true => Ok(()),
            false => Err(ErrorObject::new(
                Code::InvalidRequest,
                "nothing can be changed without the user's own account: ask them to connect \
                 Spotify",
            )),
        }
    }
}

/// The tools that the model sees in `mode`.
pub(super) fn of(mode: Mode) -> Vec<Box<dyn Tool>> {
    let mut tools: Vec<Box<dyn Tool>> = vec![
        Box::new(search_tracks::SearchTracks),
        Box::new(analyze_playlist::AnalyzePlaylist),
        Box::new(get_playlist_tracks::GetPlaylistTracks),
        Box::new(get_track_details::GetTrackDetails),
        Box::new(get_recommendations::GetRecommendations),
    ];
    match mode {
        Mode::Analyze => {}
        Mode::Create => tools.push(Box::new(create_playlist::CreatePlaylist)),
        Mode::Edit => tools.push(Box::new(modify_playlist::ModifyPlaylist)),
    }
    tools
}

/// The error of an input that fits the schema and still makes no sense.
fn unfit(message: impl Into<String>) -> ErrorObject {
    ErrorObject::new(Code::InvalidRequest, message)
}

fn no_playlist(id: &str) -> ErrorObject {
    let message = format!(
        "there is no playlist `{}`, or it is not public",
        tracks::name(id)
    );
    ErrorObject::new(Code::NotFound, message)
}

/// Reads an input that fits the schema.
fn typed<T: DeserializeOwned>(input: Value) -> Result<T, ErrorObject> {
    serde_json::from_value(input).map_err(|error| unfit(error.to_string()))
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
    use super::*;

    #[test]
    fn the_mode_chooses_the_tools() {
        let names = |mode| {
            let tools = of(mode);
            let names = tools.iter().map(|tool| tool.spec().name);
            names.collect::<Vec<_>>()
        };
        let reading = [
            "search_tracks",
            "analyze_playlist",
            "get_playlist_tracks",
            "get_track_details",
            "get_recommendations",
        ];
        assert_eq!(names(Mode::Analyze), reading);
        assert_eq!(names(Mode::Create)[..5], reading);
        assert_eq!(names(Mode::Create)[5..], ["create_playlist"]);
        assert_eq!(names(Mode::Edit)[5..], ["modify_playlist"]);
    }

    #[test]
    fn every_schema_is_checked_in_full() {
        for tool in [Mode::Create, Mode::Edit].into_iter().flat_map(of) {
            let spec = tool.spec();
            schema::assert_checked(&spec.schema);
            assert_eq!(spec.schema["type"], "object", "{}", spec.name);
            let writes = ["create_playlist", "modify_playlist"].contains(&spec.name);
            assert_eq!(spec.writes, writes, "{}", spec.name);
        }
    }
}
