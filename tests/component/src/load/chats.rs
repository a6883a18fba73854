//! Chats whose clients have one connection.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use spinlane_upstreams::catalogue::OWN_PLAYLIST;

use super::client::{Client, Heard, head};
use super::judge::{self, Broken, Ended, Frame, Judged, ensure};
use super::services::Upstream;
use super::words::{Conversation, Tool, Turn};
use super::{GONE, Visit, lock};
use crate::browser::SESSION;

/// The chat's route.
const MESSAGE: &str = "/api/chat-stream/message";

impl Visit<'_> {
    /// A prompt.
    pub(super) fn prompt(&self, body: &Value) -> RequestBuilder {
        self.request(Method::POST, MESSAGE).json(body)
    }

    /// What the model will say in this trace.
    pub(super) fn converse(&self, conversation: &mut Conversation) {
        let scripts = std::mem::take(&mut conversation.scripts);
        let anthropic = self.load.upstreams.anthropic();
        anthropic.converse_in(&self.trace, scripts);
        lock(&self.load.traces).push(self.trace.clone());
        if let Some(fault) = conversation.fault {
            self.tally().count("faults", format!("anthropic: {fault}"));
        }
    }

    /// Judges all that a client has of a run's stream: how it has ended.
    pub(super) fn judged(&self, run: &str, heard: &Heard, turns: &[Turn]) -> Judged<Ended> {
        let (frames, ended) = self.ended(heard)?;
        if let Some(first) = frames.first() {
            let is_run = first.kind == "run" && first.data["id"] == run;
            // Of a run whose log was lost, its reader has nothing else to say.
            let is_lost = first.kind == "error" && first.data["code"] == "run_lost";
            ensure!(
                is_run || is_lost && self.load.is_in_trouble(),
                "the first frame is not its run's: {}",
                heard.text
            );
        }
        judge::said(&frames, turns, &ended).map_err(|Broken(what)| {
            let what = format!("{what}: {}", heard.text);
            Broken(what)
        })?;
        tools_end(&frames, heard)?;
        Ok(ended)
    }

    /// Judges that an answer is whole with which nothing went wrong, and to whose run nobody
    /// said stop.
    pub(super) fn is_whole(&self, ended: &Ended, heard: &Heard) -> Judged {
        let nothing = !self.goes_wrong && !self.load.is_in_trouble();
        let stops = matches!(self.client, Client::Stops(_));
        let stopped = stops && *ended == Ended::Incomplete("stopped".into());
        ensure!(
            !nothing || !heard.is_all || *ended == Ended::Whole || stopped,
            "nothing went wrong, and it ends with {ended}: {}",
            heard.text
        );
        Ok(())
    }

    /// Presses stop, where the client does.
    pub(super) async fn stop(&self, run: &str) -> Judged {
        let Client::Stops(after) = self.client else {
            return Ok(());
        };
        // It is what the client does, not a wait for something.
        tokio::time::sleep(after).await;
        let path = format!("/api/chat-stream/{run}/stop");
        let request = self.request(Method::POST, &path);
        let Some(response) = head(request, Client::Stays).await? else {
            return Ok(());
        };
        self.status(response.status().as_u16());
        match response.status().as_u16() {
            204 => Ok(()),
            _ => self.is_explained(&judge::refused(response).await?),
        }
    }
}

/// Each tool that has begun has ended, unless the run has in between.
fn tools_end(frames: &[Frame], heard: &Heard) -> Judged {
    let ids = |kind: &str| {
        let of_kind = frames.iter().filter(|frame| frame.kind == kind);
        let mut ids: Vec<_> = of_kind.map(|frame| frame.data["id"].to_string()).collect();
        ids.sort();
        ids
    };
    let (begun, ended) = (ids("tool_start"), ids("tool_end"));
    let known = ended.iter().all(|id| begun.contains(id));
    ensure!(known, "a tool ends that has not begun: {}", heard.text);
    let whole = frames
        .last()
        .is_some_and(|last| last.kind == "done" && last.data.is_null());
    ensure!(
        !whole || begun == ended,
        "a tool without an end: {}",
        heard.text
    );
    Ok(())
}

/// The run that an answer is of.
pub(super) fn run_of(response: &Response) -> Judged<String> {
    let run = response.headers().get("x-run-id");
    let run = run.and_then(|run| run.to_str().ok());
    let run = run.ok_or_else(|| Broken("a stream without the name of its run".into()))?;
    Ok(run.to_owned())
}

/// A chat, in which the model asks for `tool`.
pub(super) async fn chat(visit: &Visit<'_>, tool: Tool) -> Judged {
    let has_tool = tool != Tool::Nothing;
    let of_a_service = visit.goes_wrong && has_tool && visit.chance.percent(50);
    let of_the_model = visit.goes_wrong && !of_a_service;
    let mut conversation = Conversation::new(visit.number, tool, of_the_model, &visit.chance);
    visit.converse(&mut conversation);
    if of_a_service {
        visit.service_goes_wrong(visit.chance.pick(&[Upstream::Spotify, Upstream::Deezer]));
    }
    let mut body = json!({"message": format!("hello {}", visit.number)});
    let mut request = visit.prompt(&body);
    if matches!(tool, Tool::Creates | Tool::Edits) {
        body["mode"] = if tool == Tool::Creates {
            "create"
        } else {
            "edit"
        }
        .into();
        body["playlistId"] = OWN_PLAYLIST.into();
        let cookie = format!("{SESSION}={}", visit.session()?);
        request = visit.prompt(&body).header("cookie", cookie);
    }
    let Some(response) = visit.answered(request, GONE).await? else {
        return Ok(());
    };
    let (run, heard) = visit.heard(response).await?;
    if !heard.is_all {
        visit.gone(GONE);
    }
    let ended = visit.judged(&run, &heard, &conversation.turns)?;
    visit.is_whole(&ended, &heard)
}
