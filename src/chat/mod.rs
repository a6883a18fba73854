//! The chat: one prompt, answered by the model on one stream.

mod agent;
mod builder;
mod conversation;
mod ids;
mod input;
mod prompt;
mod reasoning;
mod relay;
mod silence;
#[cfg(test)]
mod tests;
mod tools;
mod usage;

use std::sync::Arc;

use futures::FutureExt;
use tracing::warn;

use super::AppState;
use super::clients::spotify::{Access, PlaylistId};
use super::config::Secret;
use super::error::ErrorObject;
use crate::frames::{Dj, Output, Reason, RunEnd, UsageReport, Waits};
use agent::Agent;
use conversation::Conversation;
use ids::Ids;
use reasoning::Reasoning;
use spinlane_client::anthropic::Client;
use spinlane_core::ports::BoxFuture;
use spinlane_http::run::Work;
use tools::{ToolContext, Toolbox};
use usage::Progress;

pub(crate) use input::{HistoryEntry, Mode, Prompt};
pub(crate) use prompt::is_blank;

/// A prompt being answered.
pub(crate) struct Chat {
    app: AppState,
    prompt: Prompt,
    api_key: Secret,
    access: Access,
    progress: Progress,
}

impl Chat {
    /// The answer to `prompt`, by the model that `api_key` opens, whose tools
    /// ask the catalogue with `access`.
    pub(crate) fn new(app: &AppState, prompt: Prompt, api_key: Secret, access: Access) -> Self {
        Self {
            app: app.clone(),
            prompt,
            api_key,
            access,
            progress: Progress::default(),
        }
    }

    async fn answer(&mut self, output: &Output, waits: &Arc<Waits>) -> RunEnd {
        let Self {
            app,
            prompt,
            api_key,
            access,
            progress,
        } = self;
        if let Some((variable, instead)) = app.config.anthropic().deprecated() {
            warn!(
                variable,
                instead, "this variable is read for one release more"
            );
        }
        let config = app.config.anthropic();
        let (key, observer) = (api_key.clone(), Arc::clone(waits) as _);
        let client = Client::new(app.transport(), &config.base_url, key, observer);
        let client = client.progress(config.progress);
        let playlist = prompt.playlist.as_ref().map(PlaylistId::as_str);
        let context = ToolContext::new(app, access.clone(), output, waits, playlist);
        let context = context.making_public(prompt.public);
        let agent = Agent {
            client: &client,
            clock: &*app.ports.clock,
            model: &config.model,
            reasoning: Reasoning::new(config.thinking()),
            system: &prompt::system(prompt),
            output,
            toolbox: Toolbox::new(tools::for_mode(prompt.mode, playlist.is_some())),
            ids: Ids::default(),
            was_silent: false,
        };
        let conversation = Conversation::new(prompt::messages(prompt));
        agent.work(conversation, &context, progress).await
    }
}

impl Work<Dj> for Chat {
    fn opening(&self) -> Option<&'static str> {
        Some("Asking the model")
    }

    fn work<'a>(&'a mut self, output: &'a Output, waits: &'a Arc<Waits>) -> BoxFuture<'a, RunEnd> {
        self.answer(output, waits).boxed()
    }

    fn report(&self, report: &mut UsageReport) {
        self.progress.report(report);
    }

    fn silence(&self, reason: Reason) -> Option<ErrorObject> {
        (!self.progress.said).then(|| silence::because(reason))
    }
}
